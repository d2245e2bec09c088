//! Two arms under load at once, through the binary.

use std::time::Duration;

use axum::Router;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::Value;

use crate::servers::{Service, folder};
use crate::support::{Ran, json, loadgate, named, results, run};

/// Two features of the demo would do as well as one; this one is asked twice as often as its scenario says.
pub const CHURN: &str = "feature: churn-prediction
identity: { build: x-build, instance: x-instance }
steps:
  - name: score tenant
    post: /api/v1/churn/score
    json: { tenant_id: 4711 }
    check: [ { status: 200 } ]
load:
  warmup: 1s
  stages: [ { rate: 200/s, for: 10s } ]
";

pub const PLAIN: &str = "feature: plain
identity: { cohort: x-cohort }
steps:
  - name: page
    get: /
load:
  warmup: 1s
  stages: [ { rate: 100/s, for: 10s } ]
";

pub fn canary(folder: &std::path::Path, args: &[&str]) -> Ran {
    let out = results(folder);
    if out.exists() {
        std::fs::remove_dir_all(out).unwrap();
    }
    run(loadgate(folder).args(["canary", "scenario.yaml", "--out", "out"]).args(args))
}

pub fn verdict(folder: &std::path::Path) -> Value {
    json(&results(folder).join("verdict.json"))
}

fn requests(record: &Value, arm: &str) -> Vec<u64> {
    let runs = if arm == "control" { &record["control"]["runs"] } else { &record["runs"] };
    let of = |look: &Value| look["endpoints"][0]["requests"].as_u64().unwrap();
    runs.as_array().unwrap().iter().map(of).collect()
}

#[test]
fn blue_against_blue_calibrates_and_is_no_regression() {
    let temp = folder(CHURN);
    let ran = canary(
        temp.path(),
        &["--demo", "--calibrate", "--rate", "400/s", "--pairing", "split", "--for", "10s"],
    );
    ran.expect(0).says("CALIBRATED. In 4 pairs");
    crate::contract::fit_their_schemas(&results(temp.path()));
    let record = json(&results(temp.path()).join("run.json"));
    for arm in ["candidate", "control"] {
        assert_eq!(requests(&record, arm), [500; 4], "400/s shared by two arms, four times 2.5 s");
    }
    let instance = |arm: &Value| arm["instance_id"].as_str().unwrap().to_owned();
    assert_ne!(instance(&record["runs"][0]), instance(&record["control"]["runs"][0]));
    let verdict = verdict(temp.path());
    assert_eq!(verdict["endpoints"][0]["requests"], 2_000);
    // Judged again it says the same, which is no regression.
    let again = run(loadgate(temp.path()).args(["compare", "out", "--format", "json"]));
    assert!(matches!(again.code, 0 | 3), "{}\n{}", again.out, again.err);
    let again: Value = serde_json::from_str(&again.out).unwrap();
    assert_eq!(again["findings"], verdict["findings"]);
    run(loadgate(temp.path()).args(["compare", "out"])).says("blue against blue").says("Uncalibrated");
    for (args, says) in [
        (vec!["compare", "out", "--against", "out"], "beside its own control"),
        (
            vec!["report", "out", "--before", "out", "--deployment", "--format", "markdown"],
            "compared with its own control",
        ),
        (vec!["baseline", "refresh", "--from", "out", "--yes"], "half of a canary"),
    ] {
        run(loadgate(temp.path()).args(args)).expect(2).says(says);
    }
    let page = std::fs::read_to_string(results(temp.path()).join("report.html")).unwrap();
    assert!(page.contains("beside the control"), "the page says what it compares");
    let log = std::fs::read_to_string(results(temp.path()).join("latency.hlog")).unwrap();
    assert!(log.contains("Tag=control!churn-prediction"), "both arms are in the log");
    // The file is no baseline, and is refused once it was changed.
    run(loadgate(temp.path()).args(["baseline", "verify", "--env", "demo"]))
        .expect(2)
        .says("no baselines in");
    let file = temp.path().join("baselines/demo/_calibration.json");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("\"pairs\": 4", "\"pairs\": 9", 1)).unwrap();
    canary(temp.path(), &["--demo"]).expect(2).says("_calibration.json");
}

#[test]
fn a_slower_candidate_is_stopped_early_and_rolled_back() {
    let temp = folder(CHURN);
    let ran = canary(temp.path(), &["--demo", "--fault", "slow:churn-prediction:+60%"]).expect(1);
    let ran = ran.says("STOPPED after").says("ROLL BACK").says("the control's over");
    crate::contract::fit_their_schemas(&results(temp.path()));
    let verdict = verdict(temp.path());
    assert_eq!(named(&verdict, "fail"), ["churn-prediction/score tenant"]);
    let record = json(&results(temp.path()).join("run.json"));
    assert_eq!(requests(&record, "candidate").len(), 1, "the first segment of 30 s was not finished");
    assert_eq!(requests(&record, "candidate"), requests(&record, "control"), "each arrival went to both");
    let stop = &record["runs"][0]["early_stop"];
    assert!(
        stop["evidence"].as_f64().unwrap() >= 250.0 && stop["at_ms"].as_u64().unwrap() < 30_000,
        "{stop}"
    );
    assert!(ran.out.contains("stopped early"), "{}", ran.out);
    // Nothing that was proven is forgotten by the reports.
    run(loadgate(temp.path()).args(["report", "out", "--format", "markdown"]))
        .expect(0)
        .says("STOPPED after");
}

#[test]
fn a_flag_cohort_on_one_address_is_an_arm() {
    let temp = folder(PLAIN);
    let service = Service::start(flagged(true));
    let flags = ["--control-header", "x-flag: stable", "--candidate-header", "x-flag: beta"];
    let arms = ["--control", &service.url, "--candidate", &service.url, "--for", "40s"];
    canary(temp.path(), &[&flags[..], &arms].concat()).expect(1).says("Slower");
}

/// One address: a flag decides by a header who gets which code.
pub fn flagged(tells: bool) -> Router {
    Router::new().fallback(get(move |headers: HeaderMap| async move {
        let beta = headers.get("x-flag").is_some_and(|flag| flag == "beta");
        if beta {
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
        let cohort = match (tells, beta) {
            (false, _) => "everybody",
            (true, true) => "beta",
            (true, false) => "stable",
        };
        ([("x-cohort", cohort)], "ok").into_response()
    }))
}
