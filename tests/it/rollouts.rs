//! Deployments phase by phase, through the binary: commands that run once whatever is killed, holds that wait for people,
//! the way back.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::{Value, json as made};

use crate::servers::Service;
use crate::support::{Ran, json, loadgate, run};

/// A second of one user, and a limit that only what is broken breaks: how late this machine is says nothing here.
pub const SHOP: &str = "feature: shop
steps:
  - name: list
    get: /items
  - think: 20ms
load: { warmup: 0s, stages: [ { vus: 1, for: 1s } ] }
limits: { error_rate: < 50% }
";

pub const SWITCH: &str = "#!/bin/sh
echo \"$LOADGATE_PHASE $LOADGATE_PERCENT_BEFORE $1\" >> switched.log
echo switching to $1
";

/// A folder with a scenario, a command that switches, and a plan.
pub fn night(scenario: &str, switch: &str, plan: &str) -> tempfile::TempDir {
    let temp = tempfile::tempdir().unwrap();
    std::fs::create_dir(temp.path().join("scenarios")).unwrap();
    std::fs::write(temp.path().join("scenarios/scenario.yaml"), scenario).unwrap();
    let script = temp.path().join("switch.sh");
    std::fs::write(&script, switch).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(temp.path().join("plan.yaml"), plan).unwrap();
    temp
}

pub fn plan(control: &str, candidate: &str, rest: &str) -> String {
    format!(
        "rollout: night
scenarios: scenarios
control: {{ url: {control} }}
candidate: {{ url: {candidate} }}
rollback: {{ command: [./switch.sh, 0], within: 15m }}
{rest}"
    )
}

/// Two phases that need no control.
pub const PHASES: &str = "phases:
  - { name: before, load: { against: baselines } }
  - { percent: 100, shift: [./switch.sh, 100], load: { against: baselines } }
";

pub fn command(folder: &Path, words: &[&str]) -> Command {
    let mut command = loadgate(folder);
    command.arg("rollout").args(words).env("USER", "anna");
    command
}

pub fn rollout(folder: &Path, words: &[&str]) -> Ran {
    run(&mut command(folder, words))
}

fn status(folder: &Path) -> Value {
    let ran = rollout(folder, &["status", "plan.yaml", "--format", "json"]).expect(0);
    serde_json::from_str(&ran.out).unwrap()
}

pub fn switched(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("switched.log")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

pub fn state(folder: &Path) -> PathBuf {
    folder.join("rollouts/night/release")
}

fn journal(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(state(folder).join("journal.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn well() -> Service {
    Service::start(Router::new().fallback(get(|| async { "[]" })))
}

fn broken() -> Service {
    Service::start(Router::new().fallback(get(|| async { (StatusCode::INTERNAL_SERVER_ERROR, "no") })))
}

/// Waits until something is so.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_rollout_to_all_of_the_traffic_and_back_within_a_day() {
    let service = well();
    let temp = night(SHOP, SWITCH, &plan(&service.url, &service.url, PHASES));
    let folder = temp.path();
    let told = rollout(folder, &["run", "plan.yaml", "--dry-run"]).expect(0);
    assert!(told.out.contains("shifts 0% → 100% by `./switch.sh 100`"), "{}", told.out);
    assert!(!folder.join("rollouts").exists(), "a dry run leaves nothing");
    rollout(folder, &["status", "plan.yaml"]).expect(2).says("no rollout of this plan has begun");

    rollout(folder, &["run", "plan.yaml"])
        .expect(0)
        .says("COMPLETE. night release serves 100% after 2 phases")
        .says("Synthetic traffic only");
    assert_eq!(switched(folder), ["100% 0 100"]);
    let shown = status(folder);
    assert_eq!((&shown["state"], &shown["percent"]), (&"complete".into(), &100.into()));
    let document = std::fs::read_to_string(state(folder).join("deployment.md")).unwrap();
    assert!(document.contains("COMPLETE. night release serves 100%"), "{document}");
    assert!(document.contains("100%: shifting by"), "{document}");
    assert!(state(folder).join("runs/02-100pc-load/run.json").exists());
    let kept = std::fs::read_to_string(state(folder).join("acts/01-shift-100pc.log")).unwrap();
    assert_eq!(kept, "switching to 100\n", "the command's output is kept");

    // Whoever runs it again changes nothing.
    rollout(folder, &["run", "plan.yaml"]).expect(0).says("Nothing was done");
    assert_eq!(switched(folder).len(), 1);
    let journal = state(folder).join("journal.jsonl");
    let kept = std::fs::read_to_string(&journal).unwrap();
    std::fs::write(&journal, kept.replacen("\"format\":1", "\"format\":2", 1)).unwrap();
    for word in ["run", "status"] {
        rollout(folder, &[word, "plan.yaml"]).expect(2).says("format 2 of loadgate");
    }
    std::fs::write(&journal, kept).unwrap();
    rollout(folder, &["approve", "plan.yaml", "--reason", "x"]).expect(2).says("it is complete");

    rollout(folder, &["rollback", "plan.yaml", "--reason", "complaints"])
        .expect(0)
        .says("ROLLED BACK, from 100%")
        .says("complaints (anna)");
    assert_eq!(switched(folder), ["100% 0 100", "100% 100 0"]);
    rollout(folder, &["rollback", "plan.yaml"]).expect(2).says("it is rolled back");
    rollout(folder, &["run", "plan.yaml"]).expect(1).says("Nothing was done");

    // The next release is another rollout, which can no longer be mixed up with this one.
    rollout(folder, &["run", "plan.yaml", "--release", "v2", "--quiet"]).expect(0);
    rollout(folder, &["status", "plan.yaml"]).expect(0).says("night v2");
}

#[test]
fn what_is_broken_is_rolled_back_and_a_rollback_that_fails_is_the_loudest() {
    let (blue, green) = (well(), broken());
    let phases = "phases:\n  - { percent: 100, shift: [./switch.sh, 100], load: { against: baselines } }\n";
    let temp = night(SHOP, SWITCH, &plan(&blue.url, &green.url, phases));
    rollout(temp.path(), &["run", "plan.yaml"])
        .expect(1)
        .says("ROLLED BACK, from 100%")
        .says("Broken: shop/list");
    assert_eq!(switched(temp.path()), ["100% 0 100", "100% 100 0"]);
    let shown = status(temp.path());
    assert_eq!(shown["state"], "rolled_back");
    assert!(shown["rollback_ms"].as_u64().unwrap() < 60_000);

    let jammed = SWITCH
        .replace("echo switching", "[ $1 != 0 ] || { echo the switch is jammed; exit 7; }\necho switching");
    let temp = night(SHOP, &jammed, &plan(&blue.url, &green.url, phases));
    let ran = rollout(temp.path(), &["run", "plan.yaml"]).expect(6).says("ROLLBACK FAILED");
    assert!(ran.out.contains("MAY STILL SERVE 100%: it ended with exit code 7"), "{}", ran.out);
    assert!(ran.out.contains("| the switch is jammed"), "{}", ran.out);
    // It ran once, and is not run again; a person does what is left, and says so.
    rollout(temp.path(), &["rollback", "plan.yaml"]).expect(2).says("it is not run again");
    rollout(temp.path(), &["run", "plan.yaml"]).expect(6).says("ROLLBACK FAILED");
    rollout(temp.path(), &["run", "plan.yaml", "--release", "v2"]).expect(2).says("is not over");
    rollout(temp.path(), &["approve", "plan.yaml"]).expect(2).says("--reason");
    rollout(temp.path(), &["approve", "plan.yaml", "--reason", "switched by hand"]).expect(0);
    assert_eq!(status(temp.path())["state"], "rolled_back");
    assert_eq!(switched(temp.path()).len(), 2, "{:?}", switched(temp.path()));

    // What fails before anything was shifted needs no way back.
    let temp = night(SHOP, SWITCH, &plan(&blue.url, &green.url, PHASES));
    rollout(temp.path(), &["run", "plan.yaml"])
        .expect(1)
        .says("STOPPED in before, before anything was shifted");
    assert!(switched(temp.path()).is_empty());
}

/// Kills the controller as soon as its journal has so many entries; `false`: it had ended before.
fn killed_at(folder: &Path, entries: usize) -> bool {
    let mut child = spawn(folder, &["run", "plan.yaml", "--quiet"]);
    let path = state(folder).join("journal.jsonl");
    let count = || std::fs::read_to_string(&path).map_or(0, |text| text.matches('\n').count());
    loop {
        if count() >= entries {
            child.kill().unwrap();
            child.wait().unwrap();
            return true;
        }
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_micros(100));
    }
}

fn spawn(folder: &Path, words: &[&str]) -> Child {
    command(folder, words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_controller_killed_at_every_point_of_its_journal_shifts_once_and_loses_nothing() {
    let service = well();
    let text = plan(&service.url, &service.url, PHASES);
    let whole = {
        let temp = night(SHOP, SWITCH, &text);
        rollout(temp.path(), &["run", "plan.yaml", "--quiet"]).expect(0);
        journal(temp.path()).len()
    };
    assert!(whole >= 8, "{whole}");
    // Several at once: each is a night of its own, and nothing is measured.
    let (next, killed) = (Mutex::new(0), Mutex::new(BTreeSet::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let entries = {
                        let mut next = next.lock().unwrap();
                        *next += 1;
                        *next
                    };
                    if entries > whole {
                        break;
                    }
                    killed.lock().unwrap().insert(killed_and_resumed(&text, entries));
                }
            });
        }
    });
    // The kill comes a moment after the entry, in which the next one may be written.
    let killed = killed.into_inner().unwrap();
    assert!(killed.len() + 2 >= whole, "of {whole} points only {killed:?}");
}

/// How many entries there were when it was killed.
fn killed_and_resumed(text: &str, entries: usize) -> usize {
    let temp = night(SHOP, SWITCH, text);
    let folder = temp.path();
    assert!(killed_at(folder, entries), "it had ended before entry {entries}");
    let before = journal(folder);
    let ran = rollout(folder, &["run", "plan.yaml", "--quiet"]).expect(0);
    assert_eq!(switched(folder), ["100% 0 100"], "killed after entry {entries}\n{}", ran.out);
    let after = journal(folder);
    assert_eq!(after[..before.len()], before, "entries are kept");
    let of = |kind: &str| after.iter().filter(|entry| entry["event"] == kind).count();
    assert_eq!((of("acting"), of("acted")), (1, 1));
    assert_eq!(of("judging"), of("judged") + of("cut_off"), "{after:?}");
    // What was measured before is where the journal says.
    for entry in after.iter().filter(|entry| entry["event"] == "judged") {
        let run = state(folder).join("runs").join(entry["run"].as_str().unwrap());
        assert_eq!(json(&run.join("verdict.json"))["exit_code"], 0);
        assert!(run.join("report.html").exists());
    }
    before.len()
}

fn acts(folder: &Path) -> Vec<u32> {
    let mark = folder.display().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let of = |entry: std::fs::DirEntry| {
        let line = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
        (line.contains("\0act\0") && line.contains(&mark))
            .then(|| entry.file_name().to_str()?.parse().ok())?
    };
    processes.filter_map(of).collect()
}

#[test]
fn a_shift_outlives_its_controller_and_one_that_nobody_saw_end_holds() {
    let service = well();
    let slow = SWITCH.replace("echo switching", "sleep 2\necho done >> done.log\necho switching");
    let temp = night(SHOP, &slow, &plan(&service.url, &service.url, PHASES));
    let folder = temp.path();
    let mut child =
        spawn(folder, &["run", "plan.yaml", "--state", &folder.join("rollouts").display().to_string()]);
    until("the shift begins", || !switched(folder).is_empty());
    child.kill().unwrap();
    child.wait().unwrap();
    rollout(folder, &["run", "plan.yaml"]).expect(0).says("going on with");
    assert_eq!(switched(folder), ["100% 0 100"]);
    assert!(folder.join("done.log").exists(), "nobody ended it");

    let temp = night(SHOP, &slow, &plan(&service.url, &service.url, PHASES));
    let folder = temp.path();
    let given = folder.join("rollouts").display().to_string();
    let mut child = spawn(folder, &["run", "plan.yaml", "--state", &given]);
    until("the shift begins", || !switched(folder).is_empty());
    child.kill().unwrap();
    child.wait().unwrap();
    let runners = acts(folder);
    assert_eq!(runners.len(), 1, "{runners:?}");
    assert!(Command::new("kill").args(["-9", &runners[0].to_string()]).status().unwrap().success());
    until("its runner is gone", || acts(folder).is_empty());
    rollout(folder, &["run", "plan.yaml"])
        .expect(3)
        .says("HELD at 100%, shift")
        .says("Nobody knows whether the shift to 100% took place");
    rollout(folder, &["run", "plan.yaml"]).expect(3);
    assert_eq!(switched(folder).len(), 1, "it is not shifted again unless somebody says so");
    rollout(folder, &["approve", "plan.yaml"]).expect(2).says("--reason");
    rollout(folder, &["approve", "plan.yaml", "--reason", "the flags show it"])
        .expect(0)
        .says("no controller runs");
    rollout(folder, &["run", "plan.yaml"]).expect(0).says("COMPLETE");
    assert_eq!(switched(folder).len(), 1);
    let document = std::fs::read_to_string(state(folder).join("deployment.md")).unwrap();
    assert!(document.contains("approve by anna: the flags show it"), "{document}");
}

#[test]
fn another_terminal_approves_a_second_controller_is_refused_and_a_rollback_breaks_off_a_load() {
    let service = well();
    let phases = "phases:
  - { percent: 50, approve: 60s, shift: [./switch.sh, 50], soak: { for: 10m, rate: 5/s } }
";
    let scenario = SHOP
        .replace("vus: 1", "rate: 20/s")
        .replace("feature: shop", "feature: shop\nidentity: { instance: x-instance }");
    let temp =
        night(&scenario, SWITCH, &plan(&service.url, &service.url.replace("localhost", "127.0.0.1"), phases));
    let folder = temp.path();
    let child =
        command(folder, &["run", "plan.yaml"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("it asks", || journal(folder).iter().any(|entry| entry["event"] == "asked"));
    rollout(folder, &["run", "plan.yaml"]).expect(2).says("another loadgate (process");
    rollout(folder, &["run", "plan.yaml", "--release", "v2"]).expect(2).says("is not over");
    rollout(folder, &["status", "plan.yaml"])
        .expect(0)
        .says("waits for approval")
        .says("A controller goes on with it");
    assert!(switched(folder).is_empty(), "nobody has said so yet");
    rollout(folder, &["approve", "plan.yaml", "--by", "bert"]).expect(0).says("heard by the controller");
    until("it measures", || journal(folder).iter().any(|entry| entry["event"] == "judging"));
    rollout(folder, &["approve", "plan.yaml"]).expect(2).says("nothing waits for it");
    rollout(folder, &["rollback", "plan.yaml", "--reason", "the phones ring"])
        .expect(0)
        .says("ROLLED BACK, from 50%");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(out.contains("approve by bert") && out.contains("the phones ring (anna)"), "{out}");
    assert_eq!(switched(folder), ["50% 0 50", "50% 50 0"]);
    let cut = state(folder).join("runs/01-50pc-soak/verdict.json");
    assert_eq!(json(&cut)["outcome"], "interrupted");

    // Nobody says so in time: held, and asked again once somebody wants that.
    let short =
        plan(&service.url, &service.url, &PHASES.replace("name: before,", "name: before, approve: 300ms,"));
    let temp = night(SHOP, SWITCH, &short);
    rollout(temp.path(), &["run", "plan.yaml"]).expect(3).says("HELD at before, approval");
    rollout(temp.path(), &["approve", "plan.yaml"]).expect(0);
    rollout(temp.path(), &["run", "plan.yaml"]).expect(0).says("COMPLETE");
}

#[test]
fn what_settles_nothing_takes_its_further_rounds_and_then_waits_for_people() {
    // A token that has expired fails both arms: that is no release's fault.
    let guarded = |name: &'static str| {
        Service::start(Router::new().fallback(get(move |_: HeaderMap| async move {
            (StatusCode::UNAUTHORIZED, [("x-instance", name)], "expired").into_response()
        })))
    };
    let (blue, green) = (guarded("blue"), guarded("green"));
    let phases = "on_hold: { extend: 1, then: hold }
phases:
  - { percent: 25, shift: [./switch.sh, 25], soak: { for: 30m, rate: 20/s }, load: { for: 10s } }
";
    let scenario = SHOP
        .replace("vus: 1", "rate: 20/s")
        .replace("feature: shop", "feature: shop\nidentity: { instance: x-instance }");
    let temp = night(&scenario, SWITCH, &plan(&blue.url, &green.url, phases));
    let folder = temp.path();
    let ran = rollout(folder, &["run", "plan.yaml", "--time-scale", "0.01"]).expect(3);
    assert!(ran.out.contains("25% soak: hold, so one more round (1 of 1)"), "{}", ran.out);
    assert!(
        ran.out.contains("HELD at 25%, soak") && ran.out.contains("The control fails too"),
        "{}",
        ran.out
    );
    assert_eq!(switched(folder), ["25% 0 25"], "held is not rolled back");
    rollout(folder, &["run", "plan.yaml"]).expect(3).says("HELD");
    assert_eq!(
        journal(folder).iter().filter(|entry| entry["event"] == "judging").count(),
        2,
        "it waits for people"
    );
    rollout(folder, &["extend", "plan.yaml"]).expect(0);
    rollout(folder, &["run", "plan.yaml"]).expect(3).says("HELD at 25%");
    assert_eq!(journal(folder).iter().filter(|entry| entry["event"] == "judging").count(), 3);
    // A plan that has changed meanwhile is another plan.
    let path = folder.join("plan.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("30m", "20m")).unwrap();
    rollout(folder, &["run", "plan.yaml"])
        .expect(2)
        .says("it has changed since the rollout of release began");
    // The way back is open all the same.
    rollout(folder, &["rollback", "plan.yaml"]).expect(0).says("ROLLED BACK");
    assert_eq!(switched(folder).last().unwrap(), "25% 25 0");
}

/// The way back must not depend on who decided it being alive, nor on a plan that somebody is editing.
#[test]
fn the_way_back_is_open_whatever_became_of_the_controller_and_the_plan() {
    let service = well();
    let temp = night(SHOP, SWITCH, &plan(&service.url, &service.url, PHASES));
    let folder = temp.path();
    rollout(folder, &["run", "plan.yaml", "--quiet"]).expect(0);
    std::fs::write(folder.join("plan.yaml"), "rollout: night\nphases: [\n<<<<<<< HEAD\n").unwrap();
    rollout(folder, &["status", "plan.yaml"]).expect(0).says("COMPLETE").says("going by its copy");
    // A name that is mistyped means no other plan.
    rollout(folder, &["rollback", "plam.yaml"]).expect(2).says("cannot read plan plam.yaml");
    // Decided, and its controller killed before it did anything.
    let path = state(folder).join("journal.jsonl");
    let at = journal(folder).last().unwrap()["at"].clone();
    let decided =
        made!({"at": at, "event": "requested", "id": "1", "kind": "rollback", "by": "bert", "about": ""});
    let text = std::fs::read_to_string(&path).unwrap() + &format!("{decided}\n{{\"at\":\"20");
    std::fs::write(&path, text).unwrap();
    rollout(folder, &["status", "plan.yaml"]).expect(0).says("ROLLING BACK, from 100%");
    rollout(folder, &["rollback", "plan.yaml"]).expect(0).says("ROLLED BACK, from 100%").says("(bert)");
    assert_eq!(switched(folder), ["100% 0 100", "100% 100 0"]);
    assert!(journal(folder).len() > 9, "the half line of the crash is gone, the rest is whole");
}

#[test]
fn a_rollback_ends_a_shift_that_hangs() {
    let service = well();
    let hangs = SWITCH.replace("echo switching", "[ $1 = 0 ] || sleep 300\necho switching");
    let temp = night(SHOP, &hangs, &plan(&service.url, &service.url, PHASES));
    let folder = temp.path();
    let child =
        command(folder, &["run", "plan.yaml"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("the shift begins", || !switched(folder).is_empty());
    rollout(folder, &["rollback", "plan.yaml"]).expect(0).says("ROLLED BACK, from 100%");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(out.contains("it was ended, since a rollback was asked for"), "{out}");
    assert_eq!(switched(folder), ["100% 0 100", "100% 0 0"]);
}

/// It was good at first, so that nobody answers is no mistake in its address.
#[test]
fn a_release_that_goes_down_is_rolled_back() {
    let (blue, green) = (well(), well());
    let phases = "phases:
  - { percent: 100, shift: [./switch.sh, 100], load: { against: baselines } }
  - { name: after, approve: 60s, load: { for: 10s } }
";
    let temp = night(SHOP, SWITCH, &plan(&blue.url, &green.url, phases));
    let folder = temp.path();
    let words = ["run", "plan.yaml", "--time-scale", "0.01"];
    let child = command(folder, &words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("it asks", || journal(folder).iter().any(|entry| entry["event"] == "asked"));
    drop(green);
    rollout(folder, &["approve", "plan.yaml"]).expect(0);
    let output = child.wait_with_output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{out}");
    assert!(out.contains("ROLLED BACK, from after") && out.contains("Down: the candidate"), "{out}");
    assert_eq!(switched(folder).last().unwrap(), "after 100 0");
}

#[test]
fn mistakes_in_a_plan_are_named_where_they_stand() {
    let base = plan("http://127.0.0.1:1", "http://127.0.0.1:2", PHASES);
    for (old, new, told) in [
        ("rollback:", "rolback:", "did you mean `rollback`?"),
        ("rollback: { command: [./switch.sh, 0], within: 15m }\n", "", "there must be a way back"),
        ("shift: [./switch.sh, 100], ", "", "nothing shifts the traffic to 100%"),
        ("percent: 100, shift", "percent: 50, shift", "at 50% the service answers by two builds"),
        ("percent: 100, ", "", "a phase that shifts traffic says where to"),
        ("[./switch.sh, 100]", "[]", "a command has a program"),
        (
            ", load: { against: baselines } }\n  - { percent",
            " }\n  - { percent",
            "has neither `soak` nor `load`",
        ),
        ("control: { url:", "control: { address:", "unknown key `address`"),
        ("rollout: night", "rollout: ../night", "it names a folder"),
        (
            "against: baselines } }\n  - {",
            "against: control, for: 5s } }\n  - {",
            "a load takes 10s at least",
        ),
    ] {
        let text = base.replace(old, new);
        assert_ne!(text, base, "{old}");
        let temp = night(SHOP, SWITCH, &text);
        let ran = rollout(temp.path(), &["run", "plan.yaml"]).expect(2);
        assert!(ran.err.contains(told) && ran.err.contains("plan.yaml:"), "{told}\n{}", ran.err);
        assert!(!temp.path().join("rollouts").exists() && switched(temp.path()).is_empty());
    }
    let temp = night(&SHOP.replace("get: /items", "gte: /items"), SWITCH, &base);
    rollout(temp.path(), &["run", "plan.yaml"]).expect(2).says("scenario.yaml:4");
    let missing = base.replace("command: [./switch.sh, 0]", "command: [./swich.sh, 0]");
    let temp = night(SHOP, SWITCH, &missing);
    rollout(temp.path(), &["run", "plan.yaml", "--dry-run"]).expect(2).says("swich.sh is no program");
    let unloaded = SHOP.replace(
        "load: { warmup: 0s, stages: [ { vus: 1, for: 1s } ] }\nlimits: { error_rate: < 50% }\n",
        "",
    );
    let temp = night(&unloaded.replace("  - think: 20ms\n", ""), SWITCH, &base);
    rollout(temp.path(), &["run", "plan.yaml"]).expect(2).says("no scenario has a `load:`");
    let temp = night(SHOP, SWITCH, &base);
    rollout(temp.path(), &["run", "plan.yaml", "--release", "a/b"]).expect(2).says("it names a folder");
    rollout(temp.path(), &["run", "plan.yaml", "--var", "blue=x"])
        .expect(2)
        .says("the plan has no such variable");
    run(loadgate(temp.path()).args(["smoke", "plan.yaml", "--demo"]))
        .expect(2)
        .says("it is the plan of a rollout");
}
