//! The corners that VERDICT.md lists, through the judge; those of single formulas stand beside them in `src/verdict`.

use loadgate::metrics::{Environment, Repeat, RunRecord};
use loadgate::units::{LimitsOn, Metric, RegressionRule, Rules, Tolerance};
use loadgate::verdict::{Allow, FindingKind, Outcome, Settled, Severity, Verdict, judge};

use crate::judging::{GOOD, Made, record, references};

fn verdict(record: &RunRecord, instances: u32) -> Verdict {
    judge(record, &references(instances), Allow::default()).verdict
}

#[track_caller]
fn told(verdict: &Verdict, kind: FindingKind, severity: Severity, text: &str) {
    let found =
        verdict.findings.iter().any(|f| f.kind == kind && f.severity == severity && f.reason.contains(text));
    assert!(found, "`{text}` is not in {:#?}", verdict.findings);
}

/// 4,000 requests are too few for a p99: a rule that was written holds, a default one is only shown.
#[test]
fn p99_without_its_samples() {
    for explicit in [true, false] {
        let mut made = record(&GOOD);
        let delta = Tolerance { share: 0.2, floor_ms: 10.0 };
        let rule = RegressionRule { metric: Metric::P99, delta, explicit };
        made.scenarios[0].endpoints[0].rules.regression.push(rule);
        let verdict = verdict(&made, 5);
        assert_eq!(verdict.outcome, if explicit { Outcome::Inconclusive } else { Outcome::Pass });
        assert!(verdict.comparisons.iter().all(|c| c.metric != Metric::P99));
        if explicit {
            told(&verdict, FindingKind::Regression, Severity::Hold, "4000 of 5000, 1000 missing");
        }
    }
}

#[test]
fn an_endpoint_that_is_new_gone_or_renamed() {
    let mut known = references(5);
    known[1].endpoint = "f/old".into();
    known[1].digest = "another request".into();
    let gone = judge(&record(&GOOD), &known, Allow::default()).verdict;
    assert_eq!(gone.exit_code, 4);
    told(&gone, FindingKind::Baseline, Severity::Warn, "No baseline for f/b.");
    told(
        &gone,
        FindingKind::Baseline,
        Severity::Info,
        "f/old has a baseline but was not measured: it is gone",
    );
    known[1].digest = "digest of f/b".into();
    let renamed = judge(&record(&GOOD), &known, Allow::default()).verdict;
    told(
        &renamed,
        FindingKind::Baseline,
        Severity::Warn,
        "No baseline for f/b, but f/old sent the same request: was it renamed?",
    );
    told(&renamed, FindingKind::Baseline, Severity::Info, "f/b sends the same request: was it renamed?");
}

#[test]
fn old_baselines_and_another_host_are_told() {
    let mut made = record(&GOOD);
    made.environment = Environment { cpu_model: "here".into(), cores: 2, ..Environment::default() };
    let mut known = references(5);
    for run in known.iter_mut().flat_map(|r| &mut r.runs) {
        run.recorded = "2026-09-01T00:00:00Z".into();
        run.host = "64 × there".into();
    }
    let warned = judge(&made, &known, Allow::default()).verdict;
    assert_eq!(warned.exit_code, 0);
    told(&warned, FindingKind::Baseline, Severity::Warn, "83 days old");
    told(&warned, FindingKind::Baseline, Severity::Warn, "(2 × here) than the baseline's (64 × there)");
    made.plan.same_host = true;
    let held = judge(&made, &known, Allow::default()).verdict;
    assert_eq!(held.exit_code, 3);
    told(&held, FindingKind::Validity, Severity::Hold, "another kind of machine");
}

#[test]
fn a_disturbed_baseline_instance_is_left_out_and_named() {
    let mut known = references(5);
    let slow = record(&Made { medians: [220.0, 176.0], ..GOOD }).runs.remove(0);
    for (i, reference) in known.iter_mut().enumerate() {
        reference.runs[2].response = slow.endpoints[i].response.clone();
    }
    let verdict = judge(&record(&GOOD), &known, Allow::default()).verdict;
    assert_eq!(verdict.exit_code, 0, "{}", verdict.summary);
    told(
        &verdict,
        FindingKind::Baseline,
        Severity::Warn,
        "Baseline instance baseline-2 is unlike all others",
    );
    let of = |metric| verdict.comparisons.iter().find(|c| c.metric == metric).unwrap();
    assert_eq!((of(Metric::P95).baseline_instances, of(Metric::P95).left_out.len()), (4, 1));
    assert!(of(Metric::P50).noise < 0.03);
}

/// 3 of an old build and 2 of a newer one that is 8% slower and was accepted: the newer is the reference. Where the
/// target does not name its build, what was accepted together is one.
#[test]
fn two_builds_in_one_set() {
    let newer = record(&Made { medians: [162.0, 130.0], ..GOOD }).runs.remove(0);
    for named in [true, false] {
        let mut known = references(5);
        for (i, reference) in known.iter_mut().enumerate() {
            for (k, run) in reference.runs.iter_mut().enumerate() {
                let of = Some(if k < 3 { "old" } else { "new" }.to_owned());
                *(if named { &mut run.build_id } else { &mut run.accepted_at }) = of;
                if k >= 3 {
                    run.response = newer.endpoints[i].response.clone();
                }
            }
        }
        let candidate = record(&Made { medians: [162.0, 130.0], ..GOOD });
        let verdict = judge(&candidate, &known, Allow::default()).verdict;
        assert_eq!(verdict.exit_code, 0, "{}", verdict.summary);
        let reference = if named { "build new" } else { "the runs accepted new" };
        for comparison in verdict.comparisons.iter().filter(|c| c.metric != Metric::ErrorRate) {
            assert_eq!(comparison.reference_of.as_deref(), Some(reference));
            assert!(comparison.change.abs() < 0.01 && comparison.noise < 0.02, "{comparison:?}");
        }
    }
}

/// One endpoint with one rule, and one baseline instance.
#[test]
fn as_little_as_there_can_be() {
    let mut made = record(&Made { looks: 2, ..GOOD });
    let plan = &mut made.scenarios[0].endpoints;
    plan.truncate(1);
    plan[0].rules.regression.retain(|rule| rule.metric == Metric::P95);
    for look in &mut made.runs {
        look.endpoints.truncate(1);
        look.blocks.retain(|block| block.endpoint == 0);
    }
    let two = verdict(&made, 1);
    assert_eq!(two.comparisons.len(), 1);
    assert_eq!((two.comparisons[0].baseline_instances, two.comparisons[0].candidate_instances), (1, 2));
    made.runs.truncate(1);
    made.plan.repeat = Repeat::Times(1);
    let one = verdict(&made, 1);
    // Nothing repeats: 5% is assumed, 7% of which is told to be as fine as it gets.
    assert!((one.comparisons[0].noise - 0.05f64.exp_m1()).abs() < 1e-9);
    assert_eq!(one.comparisons[0].settled, Settled::Open);
}

/// Without restarts the report says which Δ one look could pass at all.
#[test]
fn one_look_without_restarts_says_what_it_could_settle() {
    let mut made = record(&Made { gate: "safety", medians: [159.0, 120.0], ..GOOD });
    made.plan.restarts = false;
    let mut known = references(5);
    // Instances that differ by 4%.
    for (i, reference) in known.iter_mut().enumerate() {
        for (k, run) in reference.runs.iter_mut().enumerate() {
            let shift = 1.0 + 0.04 * (k as f64 - 2.0);
            let other = record(&Made { medians: GOOD.medians.map(|m| m * shift), ..GOOD }).runs.remove(0);
            run.response = other.endpoints[i].response.clone();
        }
    }
    let verdict = judge(&made, &known, Allow::default()).verdict;
    assert_eq!(verdict.exit_code, 3);
    let remedy = verdict.findings.iter().find_map(|f| f.remedy.as_deref()).unwrap();
    assert!(remedy.contains("one look against these baselines settles only a Δ of"), "{remedy}");
    let latency = verdict.comparisons.iter().find(|c| c.metric == Metric::P95).unwrap();
    assert!(latency.passable.unwrap() > 0.1 && latency.detectable.unwrap() > 0.1, "{latency:?}");
}

/// Once a proof, found by a review: on another kind of machine nothing of latency is proven where that voids the run.
#[test]
fn another_host_proves_no_latency_where_it_voids_the_run() {
    let mut made = record(&Made { medians: [250.0, 120.0], ..GOOD });
    made.environment = Environment { cpu_model: "here".into(), cores: 2, ..Environment::default() };
    made.plan.same_host = true;
    let mut known = references(5);
    for run in known.iter_mut().flat_map(|r| &mut r.runs) {
        run.host = "64 × there".into();
    }
    assert_eq!(judge(&made, &known, Allow::default()).verdict.exit_code, 3);
    made.plan.same_host = false;
    assert_eq!(judge(&made, &known, Allow::default()).verdict.exit_code, 1);
}

/// A host name that outlives builds does not make one instance of them; one build on it is one instance.
#[test]
fn a_host_name_that_outlives_a_build() {
    let mut known = references(5);
    for run in known.iter_mut().flat_map(|r| &mut r.runs) {
        run.instance_id = "app-0".into();
    }
    let same = judge(&record(&GOOD), &known, Allow::default()).verdict;
    assert_eq!(same.comparisons[0].baseline_instances, 1);
    for reference in &mut known {
        for (k, run) in reference.runs.iter_mut().enumerate() {
            run.build_id = Some(format!("build {k}"));
        }
    }
    let apart = judge(&record(&GOOD), &known, Allow::default()).verdict;
    assert_eq!(apart.comparisons[0].baseline_instances, 5);
}

/// A default rule is as void by drift as one that was written.
#[test]
fn drift_voids_default_rules_too() {
    let mut made = record(&Made { drift: 0.3, ..GOOD });
    for plan in &mut made.scenarios[0].endpoints {
        plan.rules.limits.retain(|limit| limit.metric == Metric::ErrorRate);
        plan.rules.regression = Rules::default_regression();
    }
    let verdict = verdict(&made, 5);
    assert_eq!(verdict.exit_code, 3, "{}", verdict.summary);
    told(&verdict, FindingKind::Validity, Severity::Hold, "it was not steady");
}

/// `limits_on: observed` is k6's rule, and is worded so.
#[test]
fn limits_on_observed_values() {
    for (limits_on, code) in [(LimitsOn::Proven, 3), (LimitsOn::Observed, 1)] {
        let mut made = record(&Made { errors: 7, ..GOOD });
        made.scenarios[0].endpoints[0].rules =
            Rules { limits_on, ..made.scenarios[0].endpoints[0].rules.clone() };
        let verdict = verdict(&made, 5);
        assert_eq!(verdict.exit_code, code);
        if code == 1 {
            told(&verdict, FindingKind::Limit, Severity::Fail, "observed beyond it, not proven");
        }
    }
}
