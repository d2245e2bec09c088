use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{Demo, Ran, fixture, json, loadgate, named, results, run};

/// A short run of three features on the demo, its results under `name`.
fn short(folder: &Path, name: &str, args: &[&str]) -> (Command, std::path::PathBuf) {
    let out = folder.join(name);
    let mut command = loadgate(folder);
    command.args(["run", &fixture("short"), "--demo", "--quiet", "--out"]).arg(&out).args(args);
    (command, out)
}

#[track_caller]
fn judged(folder: &Path, name: &str, args: &[&str], code: i32) -> (Ran, Value) {
    let (mut command, out) = short(folder, name, args);
    let ran = run(&mut command).expect(code);
    let verdict = json(&out.join("verdict.json"));
    assert_eq!(verdict["exit_code"], code);
    (ran, verdict)
}

/// One recorded baseline, then every fault against it: what fails must be named, and nothing else.
#[test]
fn faults_against_recorded_baselines() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();

    let (ran, verdict) = judged(folder, "none", &["--repeat", "1"], 4);
    ran.says("No baseline for 5 of 5 endpoints");
    assert_eq!(verdict["outcome"], "no_baseline");

    let mut record = loadgate(folder);
    record.args([
        "baseline",
        "record",
        &fixture("short"),
        "--demo",
        "--repeat",
        "3",
        "--quiet",
        "--reason",
        "test",
    ]);
    run(&mut record).expect(0).says("stored baselines/demo/churn-prediction/");
    run(loadgate(folder).args(["baseline", "show", "--env", "demo"]))
        .expect(0)
        .says("churn-prediction/score tenant");

    let (ran, verdict) = judged(folder, "safety", &["--gate", "safety"], 0);
    ran.says("GO. PASS");
    assert_eq!((&verdict["outcome"], &verdict["action"]), (&"pass".into(), &"go".into()));
    assert_eq!(verdict["comparisons"].as_array().unwrap().len(), 15);
    run(loadgate(folder).args(["compare", "safety", "--gate", "regression"])).expect(0).says("GO. PASS");

    let (ran, verdict) = judged(folder, "slow", &["--fault", "slow:churn-prediction:+60%"], 1);
    ran.says("ROLL BACK. Slower:");
    assert_eq!(named(&verdict, "fail"), ["churn-prediction/score tenant", "churn-prediction/tenant trend"]);

    let (_, verdict) = judged(folder, "errors", &["--fault", "errors:market-intelligence:2%"], 1);
    assert_eq!(named(&verdict, "fail"), ["market-intelligence/comparables"]);

    let (ran, verdict) = judged(folder, "wrong", &["--fault", "wrong-score:churn-prediction"], 1);
    ran.says("expected a number between 0 and 1");
    assert_eq!(named(&verdict, "fail"), ["churn-prediction/score tenant"]);
    let record = json(&folder.join("wrong/run.json"));
    assert_eq!(record["runs"].as_array().unwrap().len(), 0, "no load after a failed smoke pass");

    judged_again(folder);
    by_limits_alone(folder);
    tampered(folder);
}

/// `compare` says what the run said, and the same inputs give the same bytes.
fn judged_again(folder: &Path) {
    let compare = |args: &[&str], code| {
        run(loadgate(folder).arg("compare").args(args).args(["--format", "json"])).expect(code).out
    };
    let first = compare(&["slow"], 1);
    assert_eq!(first, compare(&["slow/run.json"], 1));
    let mut again: Value = serde_json::from_str(&first).unwrap();
    let beside: Vec<Value> = ["label", "rules", "transients", "impact"]
        .map(|key| again.as_object_mut().unwrap().remove(key).expect("told beside the verdict"))
        .into();
    assert!(beside[1].as_array().is_some_and(|rules| rules.iter().any(|rule| rule["status"] == "broken")));
    let mut stored = json(&folder.join("slow/verdict.json"));
    stored.as_object_mut().unwrap().remove("sha256").expect("a stored verdict is sealed");
    assert!(again == stored, "the verdict is the run's own");

    let against: Value = serde_json::from_str(&compare(&["slow", "--against", "none", "safety"], 1)).unwrap();
    assert_eq!(named(&against, "fail"), ["churn-prediction/score tenant", "churn-prediction/tenant trend"]);
    run(loadgate(folder).args(["compare", "slow", "slow"])).expect(2).says("named twice");
    run(loadgate(folder).args(["report", "slow"])).expect(0).says("ROLL BACK. Slower:");
    run(loadgate(folder).args(["compare", "nothing-here"])).expect(2).says("nothing-here");
}

/// Without any baseline a limit of 0.2% is still broken by 2% of errors, and what is well is allowed to pass.
fn by_limits_alone(folder: &Path) {
    let judge = |name: &str| {
        let args = ["compare", name, "--baselines", "nowhere", "--allow", "no-baseline"];
        run(loadgate(folder).args(args).args(["-o", "alone.json", "--format", "json"]))
    };
    judge("errors").expect(1);
    assert_eq!(named(&json(&folder.join("alone.json")), "fail"), ["market-intelligence/comparables"]);
    judge("none").expect(0);
    let alone = json(&folder.join("alone.json"));
    assert_eq!(alone["outcome"], "pass");
    let summary = alone["summary"].as_str().unwrap();
    assert!(summary.contains("5 of them have no baseline, which was allowed"), "{summary}");
}

/// A baseline or an anchor that was changed by hand is refused; that is not the same as having none.
fn tampered(folder: &Path) {
    let stored = std::fs::read_dir(folder.join("baselines/demo/risk-dashboard")).unwrap();
    let mut paths: Vec<_> = stored.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert_eq!(paths.len(), 4, "three runs and their anchor: {paths:?}");
    for path in paths {
        let whole = std::fs::read_to_string(&path).unwrap();
        let changed = whole.replacen("\"env\": \"demo\"", "\"env\": \"live\"", 1);
        assert_ne!(whole, changed, "{}", path.display());
        std::fs::write(&path, changed).unwrap();
        let (mut command, out) = short(folder, "tampered", &[]);
        run(&mut command).expect(2).says("checksum").says(path.file_name().unwrap().to_str().unwrap());
        assert!(!out.exists(), "nothing is written before the inputs are valid");
        std::fs::write(&path, whole).unwrap();
    }
}

#[test]
fn too_few_requests_hold_and_the_missing_ones_are_named() {
    let temp = tempfile::tempdir().unwrap();
    let demo = Demo::start(&[]);
    let ran = run(loadgate(temp.path()).args([
        "run",
        &fixture("too-few.yaml"),
        "--target",
        &demo.url,
        "--out",
        "out",
    ]));
    ran.expect(3).says("75 of 200, 125 missing").says("use `for: 20s`");
    let verdict = json(&results(temp.path()).join("verdict.json"));
    assert_eq!((&verdict["outcome"], &verdict["cause"]), (&"inconclusive".into(), &"unresolved".into()));
    run(loadgate(temp.path()).args(["validate", &fixture("too-few.yaml")]))
        .expect(2)
        .says("75 of 200 requests; use `for: 20s`");
}

/// The hook runs between the runs, and tells instances apart where the identity header is a host's.
#[test]
fn baselines_of_restarted_instances() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let demo = Demo::start(&[]);
    let mut record = loadgate(folder);
    record.args(["baseline", "record", &fixture("short/churn-prediction.yaml"), "--target", &demo.url]);
    record.args(["--repeat", "2", "--quiet", "--restart-hook", "echo again >> hook.log"]);
    let ran = run(&mut record).expect(0);
    assert!(!ran.out.contains("runs of one instance count as one"), "{}", ran.out);
    assert_eq!(std::fs::read_to_string(folder.join("hook.log")).unwrap(), "again\n");
    run(loadgate(folder).args(["baseline", "verify"])).expect(0).says("2 runs, 2 instances");
}
