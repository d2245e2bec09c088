//! The document that people sign: what it calls well, what it compares with, and what an impact is.

use std::path::Path;
use std::process::Command;

use loadgate::error_class::ErrorClass;
use loadgate::metrics::{AbortRecord, Histogram, RunRecord};
use loadgate::report::{ReportModel, render_deployment_markdown, render_html};
use loadgate::units::Metric;
use loadgate::verdict::{
    Acceptance, Allow, DEFAULT_IMPACT, Outcome, Reference, RuleKind, RuleResult, RuleStatus, impact, judge,
    rule_results,
};

use serde_json::Value;

use crate::judging::{GOOD, Made, record, references};
use crate::pages::model;
use crate::reports::report;
use crate::support::{fixture, loadgate, run};

/// The document of the mission's last section, from three runs as three phases.
#[test]
fn a_deployment_report_to_sign() {
    let labels = ["--label", "pre-deployment", "--label", "25%", "--label", "50%", "--deployment"];
    let of =
        |format: &str| report(&[&["pass", "inconclusive", "fail", "--format", format], &labels[..]].concat());
    insta::assert_snapshot!("deployment_markdown", of("markdown"));
    let html = of("html");
    insta::assert_snapshot!("deployment_html", html);
    let ran = |args: &[&str]| run(loadgate(Path::new(&fixture("reports"))).arg("report").args(args));
    // Compared with a run before the deployment instead of the baselines.
    let before = report(&["fail", "--deployment", "--before", "pass", "--format", "markdown"]);
    assert!(before.contains("1 instance after against 1 before"), "{before}");
    ran(&["pass", "--deployment"]).expect(2).says("--format markdown");
    ran(&["pass", "fail", "--label", "one"]).expect(2).says("1 labels for 2 runs");
    ran(&["pass", "--deployment", "--format", "html", "--impact", "2"]).expect(2).says("--impact");
    ran(&["fail", "--deployment", "--format", "html", "--before", "fail"]).expect(2).says("named twice");
    ran(&["nowhere"]).expect(2).says("nowhere");
}

/// "Performance impact below 2%" is proven, refused, or neither.
#[test]
fn an_impact_is_accepted_refused_or_not_proven() {
    let of = |made: &Made, instances: u32, allowed: f64| {
        let (record, references) = (record(made), references(instances));
        let verdict = judge(&record, &references, Allow::default()).verdict;
        impact(&record, &references, allowed, &verdict).iter().map(|i| i.acceptance).collect::<Vec<_>>()
    };
    let [accepted, refused, open] = [Acceptance::Accepted, Acceptance::NotAccepted, Acceptance::NotProven];
    let looks = Made { looks: 5, ..GOOD };
    let slower = Made { looks: 5, medians: GOOD.medians.map(|m| m * 1.08), ..GOOD };
    assert_eq!(of(&looks, 5, 0.02), [accepted, accepted, accepted]);
    assert_eq!(of(&slower, 5, 0.02), [refused, refused, accepted]);
    assert_eq!(of(&slower, 5, 0.20), [accepted, accepted, accepted]);
    assert_eq!(of(&GOOD, 1, 0.02), [open, open, accepted], "one run against one");
    assert_eq!(of(&Made { dropped: 3, ..looks }, 5, 0.02), [open, open, accepted], "untrusted");
    assert_eq!(of(&Made { errors: 400, ..GOOD }, 5, 0.02)[2], refused);
    assert!(of(&GOOD, 0, 0.02).is_empty());
    let cut = Made { interrupted: Some("SIGINT"), ..GOOD };
    assert_eq!(
        of(&cut, 5, 0.02),
        [open, open, open],
        "what was broken off shows no harm, and no more than that"
    );
    assert_eq!(of(&Made { errors: 400, ..cut }, 5, 0.02)[2], refused);
    // Where nothing was answered there are errors all the same, held to the strictest rule of the endpoints.
    let (mut record, references) = (record(&GOOD), references(5));
    record.scenarios[0].endpoints[1].rules.regression[2].delta.share = 0.001;
    for endpoint in &mut record.runs[0].endpoints {
        endpoint.response = Histogram::default();
        endpoint.errors = [(ErrorClass::Connect, endpoint.requests)].into();
    }
    let verdict = judge(&record, &references, Allow::default()).verdict;
    let told: Vec<_> =
        impact(&record, &references, 0.02, &verdict).iter().map(|i| (i.acceptance, i.allowed)).collect();
    assert_eq!(told, [(refused, 0.001)]);
}

/// The word for a feature is the gravest that was found of it, and what was not judged is not well.
#[test]
fn a_deployment_report_says_how_each_feature_is() {
    let of = |change: &dyn Fn(&mut RunRecord), made: &Made, instances: u32| {
        let mut record = record(made);
        change(&mut record);
        let text = render_deployment_markdown(&[model(&record, &references(instances))]);
        let row = text.lines().find(|line| line.starts_with("| f | ")).unwrap_or_else(|| panic!("{text}"));
        let word = row.trim_end_matches(" |").rsplit(" | ").next().unwrap().to_owned();
        let checks: Vec<String> =
            text.lines().filter(|l| l.starts_with("- [ ]")).map(str::to_owned).collect();
        (word, checks.join("\n"))
    };
    let as_it_is = |_: &mut RunRecord| {};
    let step = |status: &str| {
        let status = status.to_owned();
        move |record: &mut RunRecord| {
            let steps = serde_json::json!({ "steps": [
                { "endpoint": "f/a", "place": "f.yaml:3", "status": status, "elapsed_ms": 1.0, "message": "no" },
                { "endpoint": "f/b", "place": "f.yaml:5", "status": "passed", "elapsed_ms": 1.0, "message": null },
            ] });
            record.smoke = Some(serde_json::from_value(steps).unwrap());
        }
    };
    assert_eq!(of(&as_it_is, &GOOD, 5).0, "operational");
    let (word, checks) = of(&step("failed"), &GOOD, 5);
    assert_eq!(word, "**BROKEN**");
    assert!(checks.contains("functional checks: 1 of 2 steps passed, in 1 phase"), "{checks}");
    assert_eq!(of(&as_it_is, &Made { errors: 60, ..GOOD }, 5).0, "**DEGRADED**");
    let (word, checks) = of(&as_it_is, &Made { dropped: 3, ..GOOD }, 5);
    assert_eq!(word, "undecided");
    assert!(checks.contains("limits judged: 2 of 4") && checks.contains("kept up"), "{checks}");
    let never_set_up = |record: &mut RunRecord| {
        record.setup_failed = Some("login answered 500".into());
        record.runs.clear();
    };
    assert_eq!(of(&never_set_up, &GOOD, 5).0, "undecided");
    let ramps = |record: &mut RunRecord| {
        record.scenarios[0].endpoints.iter_mut().for_each(|plan| plan.shown_only = true);
    };
    assert_eq!(of(&ramps, &GOOD, 5).0, "not judged");
    let (_, checks) = of(&as_it_is, &Made { requests: 120, ..GOOD }, 5);
    assert!(checks.contains("limits judged: 2 of 4"), "three requests a block have no p95: {checks}");
    let measured = |record: &mut RunRecord| {
        record.runs.iter_mut().for_each(|look| look.generator.send_lag_p99_us = Some(100.0));
    };
    assert!(!of(&measured, &Made { looks: 2, ..GOOD }, 5).1.contains("kept up"));
    let killed_later = |record: &mut RunRecord| {
        measured(record);
        record.runs[1].generator.send_lag_p99_us = None;
    };
    assert!(of(&killed_later, &Made { looks: 2, ..GOOD }, 5).1.contains("kept up"), "nobody knows");
    let never_looked = |record: &mut RunRecord| record.runs[0].warmup.examined = Some(false);
    assert!(of(&never_looked, &GOOD, 5).1.contains("steady state"), "not ticked where nobody looked");
    assert!(!of(&as_it_is, &GOOD, 5).1.contains("steady state"));
    let lets_pass = Made { requests: 400, ..GOOD };
    assert_ne!(of(&as_it_is, &lets_pass, 5).0, "operational", "what could not be told is not well");
    let smoke_only = |record: &mut RunRecord| {
        step("passed")(record);
        record.runs.clear();
    };
    assert_eq!(of(&smoke_only, &GOOD, 5).0, "operational, without load");
}

/// What a measurement that is not to be trusted, or was broken off, has to say of its endpoints is not that they are well.
#[test]
fn nothing_is_called_well_that_was_not_shown() {
    let standings = |record: &RunRecord| -> Vec<&'static str> {
        model(record, &references(5)).endpoints.iter().map(|row| row.standing.word()).collect()
    };
    let statuses = |record: &RunRecord, endpoint: &str| -> Vec<RuleStatus> {
        let verdict = judge(record, &references(5), Allow::default()).verdict;
        let of = rule_results(&verdict, record).into_iter().filter(|rule| rule.endpoint == endpoint);
        of.map(|rule| rule.status).collect()
    };
    let looks = Made { looks: 5, ..GOOD };
    assert_eq!(standings(&record(&looks)), ["ok", "ok"]);
    assert_eq!(standings(&record(&Made { dropped: 3, ..looks })), ["hold", "hold"]);
    assert_eq!(standings(&record(&Made { unsteady: true, ..looks })), ["hold", "hold"]);
    // Another failure makes it no better.
    let worse = record(&Made { unsteady: true, errors: 60, looks: 5, ..GOOD });
    assert_eq!(standings(&worse), ["FAIL", "hold"]);
    let verdict = judge(&worse, &references(5), Allow::default()).verdict;
    let latencies = impact(&worse, &references(5), 0.02, &verdict);
    assert!(latencies[..2].iter().all(|one| one.acceptance == Acceptance::NotProven), "{latencies:?}");
    // A rule ended the load.
    let mut ended = record(&Made { errors: 60, looks: 5, ..GOOD });
    ended.runs[4].abort = Some(
        serde_json::from_value(serde_json::json!({
            "endpoint": "f/a", "metric": "error_rate", "above": 0.005, "observed": 0.015, "requests": 4000,
            "errors": 60, "window_ms": 10_000, "at_ms": 20_000,
        }))
        .unwrap(),
    );
    assert_eq!(standings(&ended), ["FAIL", "recorded"]);
    let mut slow = record(&Made { looks: 5, ..GOOD });
    slow.runs[4].abort =
        ended.runs[4].abort.clone().map(|abort| AbortRecord { metric: Metric::P95, ..abort });
    assert_eq!(standings(&slow), ["hold", "recorded"], "what ended it, and what was cut short for that");
    assert_eq!(statuses(&ended, "f/b"), [RuleStatus::NotJudged; 5]);
    // What the safety gate would hold is not let pass because something else fails.
    let open = record(&Made { gate: "safety", errors: 60, medians: [150.0, 128.0], ..GOOD });
    assert!(statuses(&open, "f/b").contains(&RuleStatus::Undecided), "{:?}", statuses(&open, "f/b"));
    assert!(!statuses(&open, "f/b").contains(&RuleStatus::Tolerated) && standings(&open) == ["FAIL", "hold"]);
    // What was allowed is let pass, whatever else the run lacks.
    let one = record(&Made { gate: "safety", medians: [150.0, 128.0], ..GOOD });
    let known = references(5).into_iter().skip(1).collect::<Vec<_>>();
    let allow = Allow { unresolved: true, ..Allow::default() };
    let verdict = judge(&one, &known, allow).verdict;
    assert_eq!(verdict.outcome, Outcome::NoBaseline);
    let of_b = |rule: &RuleResult| rule.endpoint == "f/b" && rule.status == RuleStatus::Undecided;
    assert!(!rule_results(&verdict, &one).iter().any(of_b));
    let told = ReportModel::new(&one, &verdict, &known, DEFAULT_IMPACT);
    assert_eq!(
        told.endpoints.iter().map(|row| row.standing.word()).collect::<Vec<_>>(),
        ["no baseline", "unsettled"]
    );
    // What failed on this machine is not the target's.
    let mut local = record(&Made { errors: 60, ..looks });
    local.runs.iter_mut().for_each(|look| look.generator.local_failures = 60);
    let verdict = judge(&local, &references(5), Allow::default()).verdict;
    let rate = impact(&local, &references(5), 0.02, &verdict).pop().unwrap();
    assert_eq!((rate.after, rate.acceptance), (0.0, Acceptance::Accepted));
    let errors = |rule: &RuleResult| rule.kind == RuleKind::Limit && rule.metric == Metric::ErrorRate;
    let observed: Vec<_> =
        rule_results(&verdict, &local).into_iter().filter(errors).map(|r| r.observed).collect();
    assert_eq!(observed, [Some(0.0); 2]);
}

/// Endpoints that have nothing to compare with are not silently part of all together, nor are instances that were left out.
#[test]
fn an_impact_says_what_it_is_of() {
    let (record, mut known) = (record(&Made { looks: 5, ..GOOD }), references(5));
    known.remove(1);
    let part = model(&record, &known);
    assert_eq!((part.impact[0].endpoints, part.impact[0].of_endpoints), (1, 2));
    let text = render_deployment_markdown(&[part]);
    assert!(
        text.contains("1 of 2 endpoints together: ") && text.contains("1 of 2 endpoints together, 5"),
        "{text}"
    );
    // Recorded apart, no run has measured both.
    let mut apart = references(5);
    for run in &mut apart[1].runs {
        run.run_id.push_str(" of b");
    }
    let text = render_deployment_markdown(&[model(&record, &apart)]);
    assert!(text.contains("none of the runs of the baseline measured all these endpoints"), "{text}");
    // An endpoint whose request changed has no run-to-run noise to show.
    let mut changed = references(5);
    for reference in &mut changed {
        reference.digest = "another".into();
    }
    let figure = |known: &[Reference]| render_html(&model(&record, known)).contains("id=\"nt\"");
    assert!(figure(&references(5)) && !figure(&changed));
}

/// What was accepted after a run is not what it was compared with, however much it was.
#[test]
fn a_report_of_a_stored_run_stays_what_it_was() {
    let temp = tempfile::tempdir().unwrap();
    let copy =
        Command::new("cp").arg("-r").arg(fixture("reports")).arg(temp.path().join("r")).status().unwrap();
    assert!(copy.success());
    let folder = temp.path().join("r");
    let of = |args: &[&str]| run(loadgate(&folder).args(args));
    let told = |args: &[&str]| of(args).expect(0).out;
    std::fs::write(folder.join("pass/verdict.json"), told(&["report", "pass", "--format", "json"])).unwrap();
    let deployment = ["report", "pass", "--deployment", "--format", "html"];
    let before = told(&deployment);
    of(&["baseline", "refresh", "--from", "pass", "--env", "demo", "--yes", "--reason", "newer"]).expect(0);
    assert!(told(&["baseline", "show", "--env", "demo"]).contains("newer"));
    assert!(told(&deployment) == before, "the five runs before it, not four of them");
    // Proven against other runs is proven, whatever the baseline said.
    let unknown = told(&["report", "fail", "--baselines", "nowhere", "--format", "json"]);
    std::fs::write(folder.join("fail/verdict.json"), unknown).unwrap();
    let text = told(&["report", "fail", "--before", "pass", "--deployment", "--format", "markdown"]);
    assert!(text.contains("incident. Against the runs before: Slower: "), "{text}");
    let row = text.lines().find(|line| line.starts_with("| churn-prediction |")).unwrap();
    assert!(row.ends_with("**DEGRADED** |"), "{row}");
    // It leads, also where the run by itself was well.
    let path = folder.join("fail/verdict.json");
    let verdict = std::fs::read_to_string(&path).unwrap();
    let mut well: Value = serde_json::from_str(&verdict).unwrap();
    (well["outcome"], well["action"], well["findings"]) =
        ("pass".into(), "go".into(), Value::Array(Vec::new()));
    well["summary"] = "GO. PASS: all is well.".into();
    std::fs::write(&path, well.to_string()).unwrap();
    let text = told(&["report", "fail", "--before", "pass", "--deployment", "--format", "markdown"]);
    assert!(
        text.starts_with("❌ **ROLL BACK. ") && text.contains("by itself: GO. PASS: all is well."),
        "{text}"
    );
    let page = told(&["report", "fail", "--before", "pass", "--deployment", "--format", "html"]);
    assert!(page.contains("1 run before, lowest to highest") && !page.contains("of the baseline"));
    let twice = ["--deployment", "--format", "html", "--before", "pass", "--before", "pass"];
    of(&[&["report", "fail"], &twice[..]].concat()).expect(2).says("named twice");
    // Runs that are judged together are looks with numbers of their own.
    let looks = of(&["compare", "pass", "inconclusive", "--format", "markdown"]).out;
    assert!(looks.contains("\n| 1 | 2026") && looks.contains("\n| 2 | 2026"), "{looks}");
}
