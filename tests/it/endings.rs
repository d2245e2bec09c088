use std::net::TcpListener;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{Demo, fixture, json, loadgate, results, run};

/// Waits until the run has closed some blocks.
pub fn until_measuring(folder: &std::path::Path, least_blocks: usize) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let journal = std::fs::read_to_string(results(folder).join("journal")).unwrap_or_default();
        let closed =
            journal.lines().filter(|l| l.starts_with("{\"block\"") && l.contains("\"warmup\":false")).count();
        if closed >= least_blocks {
            return;
        }
        assert!(Instant::now() < deadline, "no blocks in the journal: {journal}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

pub fn signal(pid: u32, name: &str) {
    let done =
        std::process::Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
    assert!(done.success());
}

#[test]
fn ctrl_c_and_sigterm_midway_keep_what_was_measured() {
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let temp = tempfile::tempdir().unwrap();
        let child = loadgate(temp.path())
            .args(["run", &fixture("stall.yaml"), "--demo", "--out", "out"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        until_measuring(temp.path(), 4);
        signal(child.id(), name);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains(&format!("Interrupted by SIG{name}")), "{text}");
        let record = json(&results(temp.path()).join("run.json"));
        assert_eq!(record["interrupted"], format!("SIG{name}"));
        assert_eq!(record["runs"][0]["stop"], "interrupt");
        assert!(record["runs"][0]["endpoints"][0]["requests"].as_u64().unwrap() >= 100);
        assert_eq!(json(&results(temp.path()).join("verdict.json"))["outcome"], "interrupted");
        assert!(!results(temp.path()).join("journal").exists());
    }
}

#[test]
fn kill_9_midway_leaves_every_closed_block_readable() {
    let temp = tempfile::tempdir().unwrap();
    let mut child = loadgate(temp.path())
        .args(["run", &fixture("stall.yaml"), "--demo", "--quiet", "--out", "out"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    until_measuring(temp.path(), 8);
    child.kill().unwrap();
    child.wait().unwrap();
    let journal = std::fs::read_to_string(results(temp.path()).join("journal")).unwrap();
    let complete = &journal[..=journal.rfind('\n').unwrap()];
    let closed: u64 = complete
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap().get("block").cloned())
        .filter(|block| block["warmup"] == false)
        .map(|block| block["planned"].as_u64().unwrap())
        .sum();
    assert!(closed >= 100, "{closed}");
    let shown = run(loadgate(temp.path()).args(["report", "out", "--format", "json"])).expect(0).out;
    let verdict: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(verdict["outcome"], "interrupted");
    assert_eq!(verdict["endpoints"][0]["requests"].as_u64().unwrap(), closed);
    run(loadgate(temp.path()).args(["report", "out"])).expect(0).says("Cut off: loadgate was killed");
    // It is as long as its blocks are, and what nobody measured is not well.
    let window = |look: &serde_json::Value| look["window_ms"].as_u64().unwrap();
    let opened = complete
        .lines()
        .find_map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap().get("look").cloned());
    let told = run(loadgate(temp.path()).args(["report", "out", "--deployment", "--format", "markdown"]))
        .expect(0)
        .out;
    let planned = window(&opened.unwrap()) as f64 / 1e3;
    assert!(!told.contains(&format!("1 look of {planned:.1} s")), "{planned} s were planned: {told}");
    assert!(
        told.contains("- [ ] the load generator kept up") && told.contains("- [ ] the service reached"),
        "{told}"
    );
    // The journal's last line may have been cut off anywhere.
    std::fs::write(results(temp.path()).join("journal"), &complete[..complete.len() - 20]).unwrap();
    run(loadgate(temp.path()).args(["report", "out"])).expect(0).says("risk-dashboard/page");
}

#[test]
fn a_target_that_is_down_fails_at_once_and_with_wait_was_never_ready() {
    let temp = tempfile::tempdir().unwrap();
    // Bound and released: nothing listens there now.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let args = ["run", &fixture("short"), "--target", &url, "--out"];
    let ran = run(loadgate(temp.path()).args(args).arg("down"));
    ran.expect(1).says("ROLL BACK. Broken:").says("Connection refused");
    let ran = run(loadgate(temp.path()).args(args).arg("waited").args(["--wait", "1s"]));
    ran.expect(3).says("never became ready").says("--wait");
    let record = json(&temp.path().join("waited/run.json"));
    assert!(record["smoke"].is_null() && record["runs"].as_array().unwrap().is_empty());
}

/// No coordinated omission: every request that should have gone out during the stall counts with its full wait.
#[test]
fn a_stall_shows_in_the_percentiles_at_its_full_length() {
    let temp = tempfile::tempdir().unwrap();
    let demo = Demo::start(&["--fault", "stall:after=4s,for=1s"]);
    let ran = run(loadgate(temp.path()).args([
        "run",
        &fixture("stall.yaml"),
        "--target",
        &demo.url,
        "--out",
        "out",
    ]));
    let verdict = json(&results(temp.path()).join("verdict.json"));
    let endpoint = &verdict["endpoints"][0];
    let p99 = endpoint["p99_ms"].as_f64().unwrap();
    assert!((800.0..1400.0).contains(&p99), "p99 {p99} ms\n{}", ran.out);
    assert_eq!(endpoint["requests"], 2000);
    assert_eq!(endpoint["errors"], 0);
}

/// A scenario without a smoke step once passed without sending anything.
#[test]
fn a_scenario_without_smoke_steps_is_measured_all_the_same() {
    let temp = tempfile::tempdir().unwrap();
    let text = "feature: f\nsteps:\n  - { name: page, get: /dashboard, only: load }\n\
                load: { warmup: 1s, stages: [ { rate: 50/s, for: 2s } ] }\n";
    std::fs::write(temp.path().join("only-load.yaml"), text).unwrap();
    run(loadgate(temp.path()).args(["run", "only-load.yaml", "--demo", "--out", "out"])).expect(0);
    assert_eq!(json(&results(temp.path()).join("verdict.json"))["endpoints"][0]["requests"], 100);
    run(loadgate(temp.path()).args(["smoke", "only-load.yaml", "--demo"]))
        .expect(3)
        .says("Nothing was checked");
}

/// What was measured before a failing restart hook is kept, and is no pass.
#[test]
fn a_failing_restart_hook_keeps_the_looks_before_it() {
    let temp = tempfile::tempdir().unwrap();
    let demo = Demo::start(&[]);
    let args = ["run", &fixture("too-few.yaml"), "--target", &demo.url, "--out", "out", "--repeat", "2"];
    run(loadgate(temp.path()).args(args).args(["--restart-hook", "exit 7"])).expect(5).says("exit status: 7");
    let verdict = json(&results(temp.path()).join("verdict.json"));
    assert_eq!(
        (&verdict["outcome"], &verdict["exit_code"], &verdict["looks"]),
        (&"interrupted".into(), &5.into(), &1.into())
    );
}

/// A run's folder is never written over.
#[test]
fn results_are_not_overwritten() {
    let temp = tempfile::tempdir().unwrap();
    let args = ["smoke", &fixture("stall.yaml"), "--demo", "--out", "out"];
    run(loadgate(temp.path()).args(args)).expect(0).says("The one functional step passed");
    let before = std::fs::read(results(temp.path()).join("run.json")).unwrap();
    run(loadgate(temp.path()).args(args)).expect(2).says("already holds a run");
    assert_eq!(before, std::fs::read(results(temp.path()).join("run.json")).unwrap());
}
