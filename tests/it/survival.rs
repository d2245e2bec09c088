use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use rand::RngExt as _;
use serde_json::Value;

use crate::baselines::five;
use crate::endings::{signal, until_measuring};
use crate::servers::{Service, folder, smoke};
use crate::simulator::model::{Change, random};
use crate::support::{
    Demo, apart, at_once, files, json, loadgate, loadgate_by, panicked, requests, results, run, spawned,
    whole,
};

/// A second of warm-up and three that are measured.
const QUICK: [&str; 6] = ["--rate", "100/s", "--for", "3s", "--out", "out"];
/// Long enough to lose more than may be lost.
const LONGER: [&str; 8] = ["--rate", "100/s", "--for", "6s", "--warmup", "500ms", "--out", "out"];
pub const PAGE: &str = "feature: page
steps: [ { name: page, get: /dashboard } ]
load: { warmup: 500ms, stages: [ { rate: 100/s, for: 1s } ] }
";

/// What `report` reads of a run, or of what is left of one.
#[track_caller]
pub fn reported(folder: &Path, out: &str) -> Value {
    let ran = run(loadgate(folder).args(["report", out, "--format", "json"])).sound().expect(0);
    serde_json::from_str(&ran.out).unwrap()
}

/// How many runs a set of baselines has, each of which can be read.
#[track_caller]
pub fn stored(folder: &Path, baselines: &str, env: &str) -> usize {
    whole(&folder.join(baselines), true);
    let names = files(&folder.join(baselines)).into_iter();
    let names = names.map(|path| path.file_name().unwrap().to_string_lossy().into_owned());
    let count = names.filter(|name| !name.starts_with(['.', '_'])).count();
    let ran = run(loadgate(folder).args(["baseline", "verify", "--baselines", baselines, "--env", env]));
    // There may be nothing but empty folders, or not even these.
    let (code, text) = match (count, ran.code) {
        (0, 2) => (2, "no baselines in"),
        (0, _) => (4, "there are no runs"),
        _ => (0, "every file is whole"),
    };
    ran.sound().expect(code).says(text);
    count
}

fn journal(folder: &Path) -> String {
    String::from_utf8_lossy(&fs::read(results(folder).join("journal")).unwrap_or_default()).into_owned()
}

/// From when something can be seen in its folder, up to so many milliseconds later.
type Moment = (fn(&Path) -> bool, u64);
const MOMENTS: [Moment; 7] = [
    (|_| true, 15),
    (|folder| results(folder).join("journal").exists(), 150),
    (|folder| journal(folder).contains("{\"look\""), 7_000),
    (|folder| journal(folder).contains("{\"look\""), 7_000),
    (|folder| journal(folder).contains("{\"look_ended\"") || results(folder).join("run.json").exists(), 12),
    // Two runs for baselines are measured; five that were measured before are taken.
    (|folder| folder.join("out/record-2/run.json").exists(), 30),
    (|_| true, 500),
];

#[test]
fn kill_9_at_any_instant_leaves_what_was_measured() {
    let kills: usize = std::env::var("LOADGATE_KILLS").map_or(12, |count| count.parse().expect("a number"));
    let demo = Demo::start(&[]);
    let counts: Mutex<BTreeMap<String, usize>> = Mutex::default();
    let lost: Mutex<Vec<u64>> = Mutex::default();
    at_once(&(0..kills).collect::<Vec<_>>(), |kill| {
        let folder = folder(PAGE);
        let (seen, most_ms) = MOMENTS[kill % 7];
        let wait_ms = random(1, *kill as u64, 0).random_range(0..=most_ms);
        let service = Service::start(Router::new().fallback(get(async || "well")));
        let url = format!("{}/page", service.url);
        let record =
            ["baseline", "record", "scenario.yaml", "--target", &demo.url, "--repeat", "2", "--out", "out"];
        let mut command = loadgate(folder.path());
        match kill % 7 {
            5 => command.args(record).args(["--reason", "a kill", "--env", "recorded"]),
            6 => command.args(["baseline", "refresh", "--yes", "--new", "*", "--from"]).args(five(
                folder.path(),
                "one",
                Change::Same,
                1,
            )),
            _ => command.args(["quick", &url]).args(LONGER),
        };
        let mut child = spawned(&mut command);
        until(&mut child, || seen(folder.path()));
        let from = Instant::now();
        until(&mut child, || from.elapsed() >= Duration::from_millis(wait_ms));
        let ended = child.try_wait().unwrap().is_some();
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(!panicked(&String::from_utf8_lossy(&output.stderr)), "{output:?}");
        let stage = match kill % 7 {
            5 => format!("{} of 2 recorded", stored(folder.path(), "baselines", "recorded")),
            6 => format!("{} of 25 taken", stored(folder.path(), "baselines", "simulated")),
            _ => {
                let (stage, measured) = survives(folder.path());
                // By the target's own count, but for two functional passes and half a second of warm-up.
                let served = (service.count("GET /page") as u64).saturating_sub(52);
                // Blocks of half a second are written once a second: the second under way may be lost, and a block.
                assert!(measured + LOST_AT_MOST >= served, "{measured} of {served} that were sent");
                if stage == "load" {
                    lost.lock().unwrap().push(served.saturating_sub(measured));
                }
                stage.to_owned()
            }
        };
        *counts.lock().unwrap().entry(if ended { stage + ", ended before" } else { stage }).or_default() += 1;
    });
    let lost = lost.into_inner().unwrap();
    eprintln!("{kills} kills: {:?}", counts.into_inner().unwrap());
    eprintln!("{} under load, which lost {:?} requests at most", lost.len(), lost.iter().max());
}

/// Requests: 1.5 s of them, and half a second more where the machine is busy.
const LOST_AT_MOST: u64 = 200;

/// Waits until something holds, or the process has ended.
fn until(child: &mut Child, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() && child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "it neither went on nor ended");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Looks at what a run that was killed has left, and says how far it was, with how many requests.
#[track_caller]
fn survives(folder: &Path) -> (&'static str, u64) {
    whole(&results(folder), true);
    let text = journal(folder);
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    let entries: Vec<Value> = complete.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let has = |name: &str| entries.iter().any(|entry| entry.get(name).is_some());
    let recorded = results(folder).join("run.json").exists();
    if entries.is_empty() && !recorded {
        run(loadgate(folder).args(["report", "out"])).sound().expect(2).says("cannot read");
        return ("start", 0);
    }
    let shown = reported(folder, "out");
    let blocks =
        entries.iter().filter_map(|entry| entry.get("block")).filter(|block| block["warmup"] == false);
    let planned: u64 = blocks.map(|block| block["planned"].as_u64().unwrap()).sum();
    let measured = if recorded { 600 } else { planned };
    assert_eq!(requests(&shown), measured, "{shown}");
    // Judged again it is what it was, and never a pass unless it was complete.
    let judged = run(loadgate(folder).args(["compare", "out"])).sound();
    if recorded || has("ended") {
        assert!(matches!(judged.code, 0 | 3), "{}", judged.out);
    } else {
        judged.expect(5).says("loadgate was killed");
        assert_eq!((&shown["outcome"], &shown["exit_code"]), (&"interrupted".into(), &5.into()));
    }
    let stages = [("end", recorded || has("look_ended")), ("load", has("look")), ("smoked", has("smoke"))];
    let stage = stages.into_iter().find(|(_, reached)| *reached).map_or("begun", |(name, _)| name);
    (stage, measured)
}

/// Cleans up after the load for as long as nobody ends it.
const LINGERS: &str = "feature: page
steps: [ { name: page, get: /page } ]
load: { warmup: 500ms, stages: [ { rate: 100/s, for: 30s } ] }
teardown: [ { name: lingers, get: /lingers, only: load, timeout: 60s } ]
";

#[test]
fn a_second_signal_ends_it_at_once_and_leaves_the_journal() {
    let rows = [
        ("TERM", "TERM", 143),
        ("INT", "TERM", 143),
        ("TERM", "INT", 130),
        ("HUP", "TERM", 143),
        ("HUP", "HUP", 130),
    ];
    at_once(&rows, |(first, second, code)| {
        let lingers = get(|| tokio::time::sleep(Duration::from_secs(60)));
        let service = Service::start(Router::new().route("/lingers", lingers).fallback(get(async || "well")));
        let folder = folder(LINGERS);
        let mut command = loadgate_by(folder.path(), &HEARS_HANGUPS);
        command.args(["run", "scenario.yaml", "--target", &service.url, "--out", "out"]);
        let mut child = spawned(&mut command);
        until_measuring(folder.path(), 2);
        signal(child.id(), first);
        until(&mut child, || service.count("GET /lingers") == 1);
        let from = Instant::now();
        signal(child.id(), second);
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(*code), "{first}, {second}: {status}");
        assert!(from.elapsed() < Duration::from_secs(20), "it did not wait for the end of its work");
        assert!(!results(folder.path()).join("run.json").exists());
        let shown = reported(folder.path(), "out");
        assert!(shown["outcome"] == "interrupted" && requests(&shown) >= 100, "{shown}");
    });
}

/// While what it has to say is taken by nobody, the first signal waits, and the second one is the end.
#[test]
fn a_second_signal_ends_it_at_once_behind_the_load_too() {
    let service = Service::start(Router::new().fallback(get(async || "well")));
    let folder = folder("feature: page\nsteps: [ { name: page, get: /page } ]\n");
    // A pipe that is full, and whose reader does not read.
    let script = "mkfifo pipe; exec 3<>pipe; head -c 65536 /dev/zero >&3; exec \"$0\" \"$@\" >&3";
    let mut command = loadgate_by(folder.path(), &["sh", "-c", script]);
    command.args(["smoke", "scenario.yaml", "--target", &service.url, "--out", "out"]);
    let mut child = spawned(&mut command);
    let verdict = results(folder.path()).join("report.html");
    until(&mut child, || verdict.exists());
    std::thread::sleep(Duration::from_millis(300));
    signal(child.id(), "TERM");
    std::thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none(), "the first one ends nothing that is about to end");
    signal(child.id(), "TERM");
    let from = Instant::now();
    until(&mut child, || false);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(from.elapsed() < Duration::from_secs(20));
    whole(&results(folder.path()), false);
}

/// Whoever runs the tests may have been told to ignore it.
const HEARS_HANGUPS: [&str; 2] = ["env", "--default-signal=HUP"];

/// A run in which something happens midway: its code and verdict.
fn midway(mut command: Command, url: &str, happens: impl FnOnce(u32)) -> (Option<i32>, Value) {
    let folder = tempfile::tempdir().unwrap();
    let child = spawned(command.current_dir(folder.path()).args(["quick", url]).args(QUICK));
    until_measuring(folder.path(), 1);
    happens(child.id());
    let output = child.wait_with_output().unwrap();
    assert_eq!(files(&results(folder.path())).len(), 6, "{output:?}");
    whole(&results(folder.path()), false);
    (output.status.code(), json(&results(folder.path()).join("verdict.json")))
}

#[test]
fn the_end_of_the_terminal_ends_it_in_order_unless_nohup_says_no() {
    let demo = Demo::start(&[]);
    let url = format!("{}/dashboard", demo.url);
    at_once(&[(&HEARS_HANGUPS[..], false), (&["nohup"], true)], |(before, goes_on)| {
        let command = loadgate_by(Path::new("."), before);
        let (code, verdict) = midway(command, &url, |process| signal(process, "HUP"));
        if *goes_on {
            assert!(matches!(code, Some(0 | 3)) && requests(&verdict) == 300, "{code:?}: {verdict}");
        } else {
            assert_eq!((code, &verdict["outcome"]), (Some(130), &"interrupted".into()));
            assert!((50..300).contains(&requests(&verdict)), "{verdict}");
        }
    });
}

/// Dates are the clock's, and everything that lasts is not.
#[test]
fn a_clock_that_is_set_meanwhile_changes_no_figure() {
    let libraries = fs::read_dir("/usr/lib").unwrap().flatten();
    let mut libraries = libraries.map(|folder| folder.path().join("faketime/libfaketime.so.1"));
    let library = libraries.find(|path| path.exists()).expect("install the package libfaketime");
    let demo = Demo::start(&[]);
    let url = format!("{}/dashboard", demo.url);
    // It begins in two hours, and goes on then, in three or in one.
    at_once(&["+2h", "+3h", "+1h"], |then| {
        let clock = tempfile::NamedTempFile::new().unwrap();
        fs::write(&clock, "+2h").unwrap();
        let mut command = loadgate(Path::new("."));
        command.env("LD_PRELOAD", &library).env("FAKETIME_TIMESTAMP_FILE", clock.path());
        command.envs([("FAKETIME_NO_CACHE", "1"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")]);
        let from = Instant::now();
        let (code, verdict) = midway(command, &url, |_| fs::write(&clock, then).unwrap());
        assert!(from.elapsed() < Duration::from_secs(60), "it ended when its clock said so");
        let endpoint = &verdict["endpoints"][0];
        assert!(matches!(code, Some(0 | 3)), "{then}: {code:?}: {verdict}");
        assert_eq!((requests(&verdict), &endpoint["errors"]), (300, &0.into()), "{then}: {verdict}");
        // The clock was set by two hours: no response took anything like that.
        assert!(endpoint["max_ms"].as_f64().unwrap() < 600_000.0, "{then}: {verdict}");
        let started: jiff::Timestamp = verdict["started"].as_str().unwrap().parse().unwrap();
        let ahead = started.duration_since(jiff::Timestamp::now()).as_secs();
        assert!((7_080..=7_200).contains(&ahead), "{then}: it started in {ahead} s");
    });
}

#[test]
fn that_nobody_listens_is_no_reason_for_another_verdict() {
    let late = get(|| async { tokio::time::sleep(Duration::from_millis(300)).await });
    let service = Service::start(Router::new().route("/dashboard", late));
    let folder = folder(PAGE);
    fs::write(folder.path().join("bad.yaml"), PAGE.replace("/dashboard", "/nowhere")).unwrap();
    // The fourth is a pipe whose reader is gone.
    let no_reader = "rm -f pipe; mkfifo pipe; exec 3<>pipe 4>pipe 3<&-";
    let smoke_into = |redirected: &str, scenario: &str, code| {
        let script = format!("{no_reader}; \"$0\" \"$@\" {redirected}");
        let args = ["smoke", scenario, "--target", &service.url, "--out", "out"];
        run(loadgate_by(folder.path(), &["sh", "-c", &script]).args(args)).sound().expect(code);
        whole(&results(folder.path()), false);
        assert_eq!(files(&results(folder.path())).len(), if code == 2 { 0 } else { 5 }, "{redirected}");
        let _ = fs::remove_dir_all(results(folder.path()));
    };
    for redirected in [">&4", "2>&4", ">&4 2>&4", ">&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full"] {
        smoke_into(redirected, "scenario.yaml", 0);
        smoke_into(redirected, "bad.yaml", 1);
        smoke_into(redirected, "missing.yaml", 2);
    }
    // Whoever wants it in a file must not take it for had.
    smoke_into(">/dev/full", "scenario.yaml", 5);
    smoke_into(">/dev/full", "missing.yaml", 2);
    // More than a pipe holds, of which somebody reads a little; and a run of which somebody reads the beginning.
    let mut shows = spawned(loadgate(folder.path()).args(["schema", "scenario"]));
    shows.stdout.take().unwrap().read_exact(&mut [0; 10]).unwrap();
    let mut smokes = spawned(&mut smoke(folder.path(), &service));
    smokes.stderr.take().unwrap().read_exact(&mut [0; 10]).unwrap();
    assert_eq!([shows, smokes].map(|mut child| child.wait().unwrap().code()), [Some(0); 2]);
}

/// In a network of its own with a target that would answer all of it.
#[test]
fn where_files_or_ports_run_out_it_blames_its_own_machine() {
    let files = ("ulimit -n 64", "raise the limit of open files");
    let ports = ("echo 40000 40050 >/proc/sys/net/ipv4/ip_local_port_range", "out of descriptors or ports");
    let rows = [
        (files, ["-c", "200"], "failed on this machine"),
        (files, ["--rate", "400/s"], "arrivals were dropped"),
        (ports, ["-c", "150"], "failed on this machine"),
        (ports, ["--rate", "400/s"], "failed on this machine"),
    ];
    at_once(&rows, |((limit, remedy), load, phrase)| {
        let folder = tempfile::tempdir().unwrap();
        let script = format!("{LOOPBACK} && {{ \"$0\" demo --port 8080 --fault slow:risk-dashboard:+200% >demo & }} && {limit} &&
            {{ \"$0\" \"$@\"; code=$?; kill $!; exit $code; }}");
        let mut command = apart(folder.path(), 'n', &script);
        command
            .args("quick http://127.0.0.1:8080/dashboard --for 2s --wait 20s --out out".split(' '))
            .args(load);
        let ran = run(&mut command).sound().expect(3).says("HOLD").says(phrase).says(remedy).says("--shard");
        for blame in ["the target answers too slowly", "ROLL BACK"] {
            assert!(!ran.out.contains(blame), "`{blame}` is in\n{}", ran.out);
        }
        let verdict = json(&results(folder.path()).join("verdict.json"));
        assert_eq!((&verdict["outcome"], &verdict["cause"]), (&"inconclusive".into(), &"invalid".into()));
        whole(&results(folder.path()), false);
    });
}

/// Where there is no `ip` to set it up.
const LOOPBACK: &str = "python3 -c 'import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack(\"16sh14x\", b\"lo\", 0x49))'";
