use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{Demo, fixture, json, loadgate, results, run};

/// Requests by endpoint.
fn requests(verdict: &Value) -> BTreeMap<String, u64> {
    let endpoints = verdict["endpoints"].as_array().unwrap();
    let name = |e: &Value| format!("{}/{}", e["feature"].as_str().unwrap(), e["step"].as_str().unwrap());
    endpoints.iter().map(|e| (name(e), e["requests"].as_u64().unwrap())).collect()
}

/// What the record says was planned, in the open model.
fn planned(record: &Value) -> BTreeMap<String, u64> {
    let scenarios = record["scenarios"].as_array().unwrap();
    let plans = scenarios.iter().flat_map(|s| s["endpoints"].as_array().unwrap());
    let open = plans.filter(|plan| plan["users"].is_null());
    open.map(|p| (p["endpoint"].as_str().unwrap().to_owned(), p["planned"].as_u64().unwrap())).collect()
}

fn run_load(folder: &Path, demo: &Demo, out: &str, more: &[&str]) -> (Value, Value) {
    let args = ["run", &fixture("load"), "--target", &demo.url, "--quiet", "--out", out];
    run(loadgate(folder).args(args).args(more)).expect(0);
    (json(&folder.join(out).join("run.json")), json(&folder.join(out).join("verdict.json")))
}

#[test]
fn every_planned_request_is_sent_whole_or_in_shards() {
    let temp = tempfile::tempdir().unwrap();
    let demo = Demo::start(&[]);
    let (record, verdict) = run_load(temp.path(), &demo, "whole", &[]);
    let (sent, planned) = (requests(&verdict), planned(&record));
    assert_eq!(planned.len(), 12, "four steps in two steady stages and a ramp");
    for (endpoint, count) in &planned {
        assert_eq!(sent[endpoint], *count, "{endpoint}");
    }
    assert_eq!(
        (planned["shop/page"], planned["shop/page@ramp1"], planned["shop/page@stage2"]),
        (180, 160, 300)
    );
    assert_eq!(planned["shop/list"] + planned["shop/item"], 180, "each iteration takes one branch");
    assert!(planned["shop/list"] > 2 * planned["shop/item"], "by weight: {planned:?}");
    // Five users, each at most every 50 ms; what they are slower by is the demo's time.
    assert!((100..=600).contains(&sent["users/page"]) && sent["users/page@ramp1"] > 0, "{sent:?}");
    assert_eq!(verdict["outcome"], "pass");

    let mut together = BTreeMap::new();
    let shards = std::thread::scope(|scope| {
        let run = |shard: &'static str| {
            let (folder, demo) = (temp.path(), &demo);
            move || run_load(folder, demo, &shard.replace('/', "of"), &["--shard", shard])
        };
        ["0/2", "1/2"].map(|shard| scope.spawn(run(shard))).map(|shard| shard.join().unwrap())
    });
    for (record, verdict) in shards {
        assert_eq!((&verdict["outcome"], record["shard"]["count"].as_u64()), (&"partial".into(), Some(2)));
        for (endpoint, count) in requests(&verdict) {
            *together.entry(endpoint).or_insert(0) += count;
        }
    }
    for (endpoint, count) in &planned {
        assert_eq!(together[endpoint], *count, "{endpoint}");
    }
    let mut wrong = loadgate(temp.path());
    wrong.args(["run", &fixture("load"), "--target", &demo.url, "--shard", "2/2"]);
    run(&mut wrong).expect(2).says("0-based");
}

/// The interval log, read by the Python and the Java implementation.
#[test]
fn other_hdr_histogram_readers_read_the_same_from_the_log() {
    let temp = tempfile::tempdir().unwrap();
    let demo = Demo::start(&["--fault", "errors:risk-dashboard:5%"]);
    let args = ["run", &fixture("load"), "--only", "shop", "--target", &demo.url, "--quiet", "--out", "out"];
    let ran = run(loadgate(temp.path()).args(args));
    let out = results(temp.path());
    let verdict = json(&out.join("verdict.json"));
    let log = out.join("latency.hlog");
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python3");
    let mut python = Command::new(venv);
    python.arg(fixture("hlog/read.py"));
    let mut java = Command::new("java");
    java.args(["-cp", "/usr/share/java/hdrhistogram.jar", &fixture("hlog/Read.java")]);
    let read = |mut command: Command| {
        let output = command.arg(&log).output().expect("ci/test installs the readers");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let (python, java) = (read(python), read(java));
    assert_eq!(python, java);
    let mut lines: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for line in python.lines() {
        let mut words = line.split(' ');
        lines.insert(words.next().unwrap(), words.map(|word| word.parse().unwrap()).collect());
    }
    let mut errors = 0;
    for endpoint in verdict["endpoints"].as_array().unwrap() {
        let tag = format!("shop%2F{}", endpoint["step"].as_str().unwrap().replace('@', "%40"));
        let failed = lines.get(format!("{tag}!errors").as_str()).map_or(0.0, |line| line[0]);
        let line = &lines[tag.as_str()];
        assert_eq!(line[0] + failed, endpoint["requests"].as_f64().unwrap(), "{tag}");
        assert_eq!(failed, endpoint["errors"].as_f64().unwrap(), "{tag}");
        for (at, key) in [(1, "p50_ms"), (2, "p95_ms"), (3, "p99_ms")] {
            assert_eq!(line[at] / 1e6, endpoint[key].as_f64().unwrap(), "{tag} {key}");
        }
        errors += failed as u64;
    }
    assert!(errors > 0, "{}", ran.out);
}

#[test]
fn an_abort_rule_ends_the_load_early_and_fails_what_is_proven() {
    let temp = tempfile::tempdir().unwrap();
    let demo = Demo::start(&["--fault", "errors:risk-dashboard:80%"]);
    let args = ["run", &fixture("abort.yaml"), "--target", &demo.url, "--quiet", "--out", "out"];
    run(loadgate(temp.path()).args(args)).expect(1).says("Ended by `abort_when` after");
    let record = json(&results(temp.path()).join("run.json"));
    let look = &record["runs"][0];
    assert_eq!((&look["stop"], &look["abort"]["metric"]), (&"abort".into(), &"error_rate".into()));
    assert!(look["window_ms"].as_u64().unwrap() < 30_000, "{}", look["window_ms"]);
}

#[test]
fn a_rate_for_all_is_shared_out_by_weight() {
    let temp = tempfile::tempdir().unwrap();
    for (feature, weight) in [("often", "weight: 3\n"), ("seldom", "")] {
        let text = format!(
            "feature: {feature}\n{weight}steps: [ {{ name: page, get: / }} ]\n\
             load: {{ stages: [ {{ rate: 50/s, for: 10s }}, {{ ramp: 100/s, for: 10s }} ] }}\n"
        );
        std::fs::write(temp.path().join(format!("{feature}.yaml")), text).unwrap();
    }
    let validate = |more: &[&str]| run(loadgate(temp.path()).args(["validate", "."]).args(more));
    validate(&[]).expect(0).says("200 requests/s at most");
    // At the end of the ramp 300/s and 100/s; in the steady stage half of that.
    validate(&["--rate", "400/s"])
        .expect(0)
        .says("400 requests/s at most")
        .says("1500 ")
        .says("150/s")
        .says("50/s");
    validate(&["--rate", "fast"]).expect(2).says("--rate: `fast` is not a rate");
    std::fs::write(
        temp.path().join("users.yaml"),
        "feature: users\nsteps: [ { name: page, get: / } ]\nload: { stages: [ { vus: 5, for: 10s } ] }\n",
    )
    .unwrap();
    validate(&["--rate", "400/s"]).expect(2).says("users.yaml").says("--only");
}

/// A scenario that only pauses once passed with nothing sent.
#[test]
fn a_load_without_a_request_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let text = "feature: f\nsteps: [ { think: 1s } ]\nload: { stages: [ { vus: 5, for: 10s } ] }\n";
    std::fs::write(temp.path().join("pause.yaml"), text).unwrap();
    let args = ["run", "pause.yaml", "--target", "http://127.0.0.1:1", "--out", "out"];
    run(loadgate(temp.path()).args(args))
        .expect(2)
        .says("`load:` has nothing to send")
        .says("pause.yaml:3:1");
    assert!(!results(temp.path()).exists());
}
