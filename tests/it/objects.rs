//! Against moto, an S3-compatible server that nobody here wrote.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::baselines::{five, made};
use crate::simulator::model::Change;
use crate::support::{Demo, Ran, http, json, loadgate, run};

/// A server of one's own with a bucket `perf`; ends with this.
struct Moto {
    child: Child,
    address: String,
}

impl Moto {
    fn start(environment: &[(&str, &str)]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/moto_server");
        let child = Command::new(python)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("ci/test installs moto");
        let address = format!("127.0.0.1:{port}");
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(&address).is_err() {
            assert!(Instant::now() < deadline, "moto does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        let moto = Self { child, address };
        if environment.is_empty() {
            assert_eq!(http(&moto.address, "PUT", "/perf", "").0, 200);
        }
        moto
    }

    /// A command that knows the way there.
    fn command(&self, folder: &Path) -> Command {
        let mut command = loadgate(folder);
        command
            .env("AWS_ACCESS_KEY_ID", "key")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ENDPOINT_URL", format!("http://{}", self.address))
            .env("AWS_ALLOW_HTTP", "true")
            .env("LOADGATE_CACHE", folder.join("cache"));
        command
    }

    fn run(&self, folder: &Path, args: &[&str]) -> Ran {
        run(self.command(folder).args(args))
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Five refreshes at once, from five machines: every run is kept, and the anchor is of all of them.
#[test]
fn refreshes_that_race_lose_no_run() {
    let (temp, moto) = (tempfile::tempdir().unwrap(), Moto::start(&[]));
    let folder = temp.path();
    let first = five(folder, "one", Change::Same, 1);
    let refresh = |machine: &str, runs: &[String], more: &[&str]| {
        let mut command = moto.command(folder);
        command.env("LOADGATE_CACHE", folder.join(machine));
        command.args(["baseline", "refresh", "--baselines", "s3://perf/baselines", "--yes"]);
        command.args(more).arg("--from").args(runs);
        command
    };
    run(&mut refresh("first", &first, &["--new", "*"]))
        .expect(0)
        .says("stored s3://perf/baselines/simulated/f0/");
    // Of the same second and the same instance's name, as two jobs of one pipeline may be.
    let racing: Vec<String> = (0..5).map(|i| made(folder, &format!("two-{i}"), Change::Same, 2)).collect();
    for name in &racing {
        let path = folder.join(name).join("run.json");
        let text = std::fs::read_to_string(&path).unwrap();
        let instance = json(&path)["runs"][0]["instance_id"].as_str().unwrap().to_owned();
        std::fs::write(
            &path,
            text.replace(&format!("\"instance_id\":\"{instance}\""), "\"instance_id\":\"two\""),
        )
        .unwrap();
    }
    let started: Vec<Child> = racing
        .iter()
        .map(|name| {
            refresh(name, std::slice::from_ref(name), &[])
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for child in started {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let set = ["--baselines", "s3://perf/baselines", "--env", "simulated"];
    let verify = moto.run(folder, &[&["baseline", "verify"], &set[..]].concat()).expect(0);
    verify.says("f0: 10 runs").says("f4: 10 runs").says("every file is whole");
    let anchor = std::fs::read_dir(folder.join("cache/loadgate")).unwrap().next().unwrap().unwrap().path();
    let anchor = json(&anchor.join("simulated/f0/_anchor.json"));
    assert!(anchor["endpoints"]["f0/step"]["levels"]["p50"]["ms"].as_f64().is_some(), "{anchor}");
    // The same run once more replaces itself; what nobody needs can go.
    run(&mut refresh("first", &racing[..1], &[])).expect(0);
    moto.run(folder, &[&["baseline", "verify"], &set[..]].concat()).expect(0).says("f0: 10 runs");
    moto.run(folder, &[&["baseline", "prune", "--keep", "5", "--yes"], &set[..]].concat()).expect(0);
    let left = moto.run(folder, &[&["baseline", "verify"], &set[..]].concat()).expect(0);
    assert!(!left.out.contains("f0: 10 runs"), "{}", left.out);
}

/// A store that is away for a moment keeps no gate from deciding, and the verdict says by what it decided.
#[test]
fn a_store_that_is_away_is_stood_in_for_by_what_was_there() {
    let (temp, moto) = (tempfile::tempdir().unwrap(), Moto::start(&[]));
    let folder = temp.path();
    let first = five(folder, "one", Change::Same, 1);
    made(folder, "two-0", Change::Same, 2);
    let baselines = ["--baselines", "s3://perf/baselines"];
    let refresh = [
        &["baseline", "refresh", "--yes", "--new", "*", "--from"],
        &first.iter().map(String::as_str).collect::<Vec<_>>()[..],
        &baselines[..],
    ]
    .concat();
    moto.run(folder, &refresh).expect(0);
    let demo = Demo::start(&[]);
    let scenario = "feature: f0\nsteps: [ { name: step, get: /dashboard } ]\n";
    std::fs::write(folder.join("f0.yaml"), scenario).unwrap();
    let compare = |moto: &Moto| {
        moto.run(folder, &[&["compare", "two-0", "--gate", "regression"], &baselines[..]].concat())
    };
    let with = compare(&moto).expect(0);
    let address = moto.address.clone();
    drop(moto);
    let away = Moto { child: Command::new("true").spawn().unwrap(), address };
    let without = compare(&away).expect(0);
    let warned = |line: &&str| line.contains("The baselines may not be the newest");
    let told: Vec<&str> = without.out.lines().filter(warned).collect();
    assert_eq!(told.len(), 1, "{}", without.out);
    assert_eq!(with.out.lines().filter(warned).count(), 0, "{}", with.out);
    for figure in ["GO. PASS", "step"] {
        let of = |out: &str| -> Vec<String> {
            out.lines().filter(|line| line.contains(figure) && !warned(line)).map(str::to_owned).collect()
        };
        assert_eq!(of(&with.out), of(&without.out), "the same baselines, the same verdict");
    }
    let load = format!(
        "{scenario}load: {{ warmup: 1s, stages: [ {{ rate: 50/s, for: 6s }} ] }}\nregression: default\n"
    );
    std::fs::write(folder.join("f0.yaml"), load).unwrap();
    let args = [
        "run",
        "f0.yaml",
        "--target",
        &demo.url,
        "--env",
        "simulated",
        "--out",
        "run",
        "--allow",
        "no-baseline",
    ];
    let ran = away.run(folder, &[&args[..], &baselines[..]].concat());
    ran.says(
        "The baselines may not be the newest: s3://perf/baselines is away, so this is what was there at 20",
    );
    assert!(
        json(&folder.join("run/run.json"))["stale_baselines"]
            .as_str()
            .is_some_and(|why| why.contains("Connection refused"))
    );
    // What was never there cannot stand in for anything; and what is to be written has to be.
    let never = away.run(folder, &["validate", "f0.yaml", "--baselines", "s3://perf/other"]).expect(5);
    never.says("cannot read s3://perf/other: ").says("is the store up");
    let again: Vec<&str> = refresh.iter().copied().filter(|word| !["--new", "*"].contains(word)).collect();
    away.run(folder, &again).expect(5).says("cannot read s3://perf/baselines");
    let out = ["smoke", "f0.yaml", "--target", &demo.url, "--out", "s3://perf/runs/1"];
    away.run(folder, &out).expect(5).says("cannot list s3://perf/runs/1");
}

/// Results of shards and of runs go there and come back.
#[test]
fn results_are_put_into_the_store_and_read_from_there() {
    let (temp, moto) = (tempfile::tempdir().unwrap(), Moto::start(&[]));
    let (folder, demo) = (temp.path(), Demo::start(&[]));
    let scenario = "feature: f0\nsteps: [ { name: page, get: /dashboard } ]\nload: { warmup: 1s, stages: [ { rate: 100/s, for: 6s } ] }\nlimits: { p95: < 2s }\n";
    std::fs::write(folder.join("f0.yaml"), scenario).unwrap();
    let shards: Vec<Child> = (0..2)
        .map(|index| {
            let mut command = moto.command(folder);
            command.args([
                "run",
                "f0.yaml",
                "--target",
                &demo.url,
                "--quiet",
                "--shard",
                &format!("{index}/2"),
            ]);
            command.args(["--out", &format!("s3://perf/runs/7/{index}")]).stdout(Stdio::null());
            command.spawn().unwrap()
        })
        .collect();
    for mut shard in shards {
        assert_eq!(shard.wait().unwrap().code(), Some(0));
    }
    let merged = moto.run(folder, &["merge", "s3://perf/runs/7", "--out", "s3://perf/runs/7-merged"]);
    // That they were begun together nobody saw to here.
    assert!(matches!(merged.code, 0 | 3), "{}{}", merged.out, merged.err);
    merged.says("600 requests").says("results are in s3://perf/runs/7-merged too");
    moto.run(folder, &["report", "s3://perf/runs/7-merged/run.json"]).expect(0).says("600 requests");
    moto.run(folder, &["report", "s3://perf/runs/7-merged", "--format", "junit"])
        .expect(0)
        .says("<testsuites");
    let again = ["smoke", "f0.yaml", "--target", &demo.url, "--out", "s3://perf/runs/7-merged"];
    moto.run(folder, &again).expect(2).says("s3://perf/runs/7-merged already holds a run");
    moto.run(folder, &["report", "s3://perf/runs/8"]).expect(2).says("there is nothing");
    let bad = |args: &[&str]| moto.run(folder, &[&["validate", "f0.yaml", "--baselines"], args].concat());
    bad(&["s3://nowhere/x"]).expect(2).says("there is no such bucket");
    // Not waited for: this test would be ended before.
    let waits = |runs: &str, out: &str| moto.run(folder, &["merge", runs, "--wait", "1h", "--out", out]);
    waits("s3://nowhere/x", "m").expect(2).says("there is no such bucket");
    waits("s3://perf/later", "s3://perf/runs/7-merged").expect(2).says("already holds a run");
    bad(&["s4://perf/x"]).expect(2).says("s3://bucket/path, gs://bucket/path or az://container/path");
    let mut nobody = moto.command(folder);
    nobody.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    run(nobody.args(["validate", "f0.yaml", "--baselines", "s3://perf/x"]))
        .expect(2)
        .says("there are no credentials")
        .says("AWS_ACCESS_KEY_ID");
    let strict = Moto::start(&[("INITIAL_NO_AUTH_ACTION_COUNT", "0")]);
    strict
        .run(folder, &["validate", "f0.yaml", "--baselines", "s3://perf/x"])
        .expect(2)
        .says("the credentials are not accepted: InvalidAccessKeyId");
}
