//! Made canaries with something odd about them, through the judge: what must not pass, and what must not be rolled back.

use std::collections::{BTreeMap, BTreeSet};

use loadgate::error_class::ErrorClass;
use loadgate::metrics::{
    AbortRecord, AnsweredBy, EarlyStop, EndpointPlan, Histogram, LookRecord, ProbePlan, Reading, RunRecord,
};
use loadgate::units::{Metric, Threshold, Tolerance};
use loadgate::verdict::{Allow, Judgement, Outcome, ProbeStanding, Sequential, judge};

use crate::simulator::canary::{Arms, canary, watch};
use crate::simulator::model::{Change, Shape};

const SEED: u64 = 9;

/// A canary of one build after all of its segments, not stopped by anything.
fn made(arms: Arms, change: Change) -> RunRecord {
    canary(Arms { early: false, looks: false, ..arms }, change, SEED, 1).record
}

fn judged(record: &RunRecord) -> Judgement {
    judge(record, &[], Allow::default())
}

/// Holds, and says so.
#[track_caller]
fn holds(record: &RunRecord, says: &str) {
    let verdict = judged(record).verdict;
    assert_eq!(verdict.exit_code, 3, "{}", verdict.summary);
    assert!(verdict.findings.iter().any(|f| f.reason.contains(says)), "{says}: {:#?}", verdict.findings);
}

#[test]
fn one_build_passes_where_nothing_is_odd() {
    let record = made(Arms::new(0.0), Change::Same);
    assert_eq!(judged(&record).verdict.outcome, Outcome::Pass, "{}", judged(&record).verdict.summary);
}

/// A control that failed at once left nothing to compare with, and the candidate passed beside it.
#[test]
fn a_control_that_breaks_under_load_is_no_pass() {
    let mut record = made(Arms::new(0.0), Change::Same);
    for look in &mut record.control.as_mut().unwrap().runs {
        let broken = &mut look.endpoints[1];
        broken.errors = BTreeMap::from([(ErrorClass::Status, broken.requests)]);
        broken.error = std::mem::take(&mut broken.response);
        for block in look.blocks.iter_mut().filter(|block| block.endpoint == 1) {
            block.errors = block.planned;
            block.histogram = Histogram::default();
        }
    }
    for scenario in &mut record.scenarios {
        scenario.endpoints[0].rules.regression = Vec::new();
    }
    holds(&record, "there is nothing to compare with");
}

/// The stump of a segment was judged as a whole look.
#[test]
fn a_load_that_the_control_ended_promotes_nothing() {
    let mut record = made(Arms::new(0.0), Change::Same);
    record.runs.truncate(1);
    let control = record.control.as_mut().unwrap();
    control.runs.truncate(1);
    control.runs[0].abort = Some(AbortRecord {
        endpoint: "f0/step".into(),
        metric: Metric::ErrorRate,
        above: 0.5,
        observed: 0.8,
        requests: 100,
        errors: 80,
        window_ms: 10_000,
        at_ms: 12_000,
    });
    control.runs[0].stop = "abort".into();
    record.runs[0].stop = "abort".into();
    holds(&record, "Of the control: Ended by `abort_when`");
}

/// A default rule whose samples were yet to come was passed over, and the first look promoted.
#[test]
fn the_first_look_waits_for_a_p99_that_the_last_can_judge() {
    let arms = Arms { shape: Shape { rate: 100, seconds: 30 }, ..Arms::new(0.0) };
    let mut record = made(arms, Change::Same);
    for scenario in &mut record.scenarios {
        scenario.endpoints[0].rules.regression = Vec::new();
    }
    let whole = judged(&record).verdict;
    assert!(whole.comparisons.iter().any(|c| c.metric == Metric::P99));
    record.runs.truncate(1);
    record.control.as_mut().unwrap().runs.truncate(1);
    let first = judged(&record);
    assert!(first.verdict.comparisons.iter().all(|c| c.metric != Metric::P99));
    assert!(first.look_again && first.verdict.exit_code == 3, "{}", first.verdict.summary);
}

/// 10% slower where 15% is not worth naming ended the run.
#[test]
fn nothing_is_stopped_for_less_than_is_worth_naming() {
    let record = made(Arms::new(0.0), Change::Slower(0.10));
    let control = record.control.as_ref().unwrap();
    let stopped = |ignore: Option<Tolerance>| {
        let mut plans: Vec<EndpointPlan> =
            record.scenarios.iter().flat_map(|s| s.endpoints.clone()).collect();
        for plan in &mut plans {
            plan.rules.ignore = ignore;
        }
        let mut test = Sequential::new(&plans.iter().collect::<Vec<_>>(), 0.005);
        let mut segments = record.runs.iter().zip(&control.runs).zip(0u64..);
        segments.find_map(|(pair, number)| watch(&mut test, pair, number * 30_000))
    };
    assert!(stopped(None).is_some_and(|at_ms| at_ms < 30_000));
    assert_eq!(stopped(Some(Tolerance { share: 0.15, floor_ms: 1.0 })), None);
}

/// Connections that this machine itself refused tripped the breaker.
#[test]
fn what_fails_on_this_machine_stops_no_release() {
    let mut record = made(Arms::new(0.0), Change::Same);
    record.runs[3].early_stop = Some(EarlyStop {
        endpoint: "f0/step".into(),
        metric: Metric::ErrorRate,
        evidence: 0.0,
        breaker: true,
        candidate: 0.6,
        control: 0.0,
        beyond_ms: None,
        at_ms: 95_000,
    });
    assert_eq!(judged(&record).verdict.exit_code, 1);
    record.runs[3].generator.local_failures = 50;
    holds(&record, "out of descriptors or ports");
}

/// A step whose condition holds on the control alone was compared with nothing.
#[test]
fn an_endpoint_that_the_candidate_never_reaches_holds() {
    let mut record = made(Arms::new(0.0), Change::Same);
    for scenario in &mut record.scenarios {
        scenario.endpoints[0].conditional = true;
    }
    for look in &mut record.runs {
        let name = look.endpoints[2].endpoint.clone();
        look.endpoints[2] = loadgate::metrics::EndpointRecord { endpoint: name, ..Default::default() };
        look.blocks.retain(|block| block.endpoint != 2);
    }
    holds(&record, "f2/step got 0 requests on the candidate");
}

#[test]
fn arms_that_are_answered_alike_hold() {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let answered = |builds: &[&str], instances: &[&str]| {
        let (builds, instances) = (set(builds), set(instances));
        Some(AnsweredBy { builds, instances, asked: true, ..AnsweredBy::default() })
    };
    let by = |own: Option<AnsweredBy>, other: Option<AnsweredBy>| {
        let mut record = made(Arms::new(0.0), Change::Same);
        record.runs.iter_mut().for_each(|look| look.answered_by.clone_from(&own));
        let control = record.control.as_mut().unwrap();
        control.runs.iter_mut().for_each(|look| look.answered_by.clone_from(&other));
        record
    };
    holds(&by(answered(&["7"], &[]), answered(&["7"], &[])), "both arms were answered alike");
    holds(&by(answered(&["7", "8"], &[]), answered(&["7"], &[])), "An arm is a mixture");
    holds(&by(answered(&["8"], &["a"]), answered(&["7"], &["a"])), "they are no two deployments");
    holds(&by(answered(&[], &[]), answered(&["7"], &[])), "none of its responses carried");
    let proven = by(answered(&["8"], &["b"]), answered(&["7"], &["a"]));
    assert_eq!(judged(&proven).verdict.exit_code, 0, "{}", judged(&proven).verdict.summary);
}

/// A probe with a limit; each of the arms' segments is read once a second, as `of_arm` says of (control, segment, second).
fn probed(of_arm: impl Fn(bool, u32, i64) -> Option<f64>) -> RunRecord {
    let mut record = made(Arms::new(0.0), Change::Same);
    record.probes = vec![ProbePlan {
        name: "connections".into(),
        place: String::new(),
        asks: "a figure".into(),
        every_ms: 1_000,
        max_age_ms: 90_000,
        limit: Some(Threshold::parse("< 100").unwrap()),
        for_ms: record.runs[0].window_ms * 2,
        compare: None,
        of_arm: true,
    }];
    let fill = |look: &mut LookRecord, control: bool| {
        let seconds = 0..=look.window_ms as i64 / 1_000;
        let reading =
            |s: i64| Reading { at_ms: s * 1_000, value: of_arm(control, look.look, s), ..Reading::default() };
        look.readings = seconds.map(reading).collect();
    };
    record.runs.iter_mut().for_each(|look| fill(look, false));
    record.control.as_mut().unwrap().runs.iter_mut().for_each(|look| fill(look, true));
    record
}

/// `for` was measured within one segment: with segments of 30 s a limit for 60 s could never be proven broken.
#[test]
fn a_limit_is_held_against_all_segments_in_a_row() {
    let high = |from: u32| {
        move |control: bool, look: u32, _: i64| Some(if !control && look >= from { 150.0 } else { 50.0 })
    };
    let verdict = judged(&probed(high(2))).verdict;
    assert_eq!(
        (verdict.exit_code, verdict.probes[0].standing),
        (1, ProbeStanding::Broken),
        "{}",
        verdict.summary
    );
    // Still beyond after the first segment: it may come back, and is looked at further.
    let first = |record: &RunRecord| {
        let mut record = record.clone();
        record.runs.truncate(1);
        record.control.as_mut().unwrap().runs.truncate(1);
        judged(&record)
    };
    assert!(first(&probed(high(1))).look_again);
    holds(&probed(high(4)), "Not recovered: connections");
    // Over the end of a segment and back: told, and no failure.
    let touched = probed(|control, look, s| Some(if !control && (look, s) == (2, 0) { 150.0 } else { 50.0 }));
    let verdict = judged(&touched).verdict;
    assert_eq!(
        (verdict.exit_code, verdict.probes[0].standing),
        (0, ProbeStanding::NearMiss),
        "{}",
        verdict.summary
    );
}

#[test]
fn what_both_arms_break_or_nobody_read_is_no_release_and_no_pass() {
    holds(
        &probed(|_, look, _| Some(if look >= 2 { 150.0 } else { 50.0 })),
        "The control fails too: Over its limit",
    );
    let unread = probed(|control, look, _| (control || look != 3).then_some(50.0));
    holds(&unread, "Not known: connections could not be read at all in segment 3");
    let verdict = judge(&unread, &[], Allow { no_baseline: true, unresolved: true }).verdict;
    assert_eq!(verdict.exit_code, 3, "nobody accepts what nobody knows");
    // The control alone breaks it: that is not the candidate's.
    let verdict = judged(&probed(|control, _, _| Some(if control { 150.0 } else { 50.0 }))).verdict;
    assert_eq!(verdict.exit_code, 0, "{}", verdict.summary);
    // One figure for both arms: the control's too.
    let mut shared = probed(|_, look, _| Some(if look >= 2 { 150.0 } else { 50.0 }));
    shared.probes[0].of_arm = false;
    shared.control.as_mut().unwrap().runs.iter_mut().for_each(|look| look.readings.clear());
    holds(&shared, "The control fails too: Over its limit");
}
