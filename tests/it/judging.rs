use loadgate::error_class::ErrorClass;
use loadgate::metrics::{
    Block, EndpointPlan, Environment, JudgementPlan, LookBuilder, LookRecord, Outcome as SampleOutcome,
    RECORD_FORMAT, Repeat, RunRecord, Sample, ScenarioRecord,
};
use loadgate::units::{Limit, Metric, RegressionRule, Rules, Tolerance};
use loadgate::verdict::{
    Allow, Anchor, Cause, Judgement, Outcome, Reference, ReferenceRun, Severity, estimates, judge,
};

const BLOCKS: u64 = 40;

/// A run of two endpoints, 4,000 requests each, around these medians (ms) with a log-sd of 0.15.
pub struct Made {
    pub medians: [f64; 2],
    pub errors: u64,
    pub gate: &'static str,
    pub looks: u32,
    pub dropped: u64,
    pub unsteady: bool,
    pub interrupted: Option<&'static str>,
    pub requests: u64,
    /// How much slower the second half is.
    pub drift: f64,
}

pub const GOOD: Made = Made {
    medians: [150.0, 120.0],
    errors: 0,
    gate: "regression",
    looks: 1,
    dropped: 0,
    unsteady: false,
    interrupted: None,
    requests: 4000,
    drift: 0.0,
};

fn plan(name: &str, requests: u64) -> EndpointPlan {
    let rule = |metric, share, floor_ms| RegressionRule {
        metric,
        delta: Tolerance { share, floor_ms },
        explicit: true,
    };
    EndpointPlan {
        endpoint: name.into(),
        digest: format!("digest of {name}"),
        request: "GET /".into(),
        line: 3,
        rate_per_s: 100.0,
        planned: requests,
        rules: Rules {
            limits: vec![
                Limit { metric: Metric::P95, below: 400.0 },
                Limit { metric: Metric::ErrorRate, below: 0.001 },
            ],
            regression: vec![
                rule(Metric::P50, 0.10, 2.0),
                rule(Metric::P95, 0.10, 5.0),
                rule(Metric::ErrorRate, 0.005, 0.0),
            ],
            ignore: None,
            ..Rules::default()
        },
        users: None,
        whole: None,
        length_ms: 40_000,
        shown_only: false,
        conditional: false,
    }
}

fn look(made: &Made, number: u32, plans: &[EndpointPlan]) -> LookRecord {
    let mut blocks = Vec::new();
    for (endpoint, median) in made.medians.iter().enumerate() {
        for index in 0..BLOCKS {
            let mut block =
                Block { endpoint, index, start_ms: index * 1000, len_ms: 1000, ..Block::default() };
            let each = made.requests / BLOCKS;
            for i in 0..each {
                // A golden-ratio sequence spreads quantiles evenly, a little differently in each block.
                let u = ((i + index * each + u64::from(number)) as f64 * 0.618_033_988_75)
                    .fract()
                    .clamp(1e-4, 1.0 - 1e-4);
                let z = (u / (1.0 - u)).ln() * 0.6;
                let median = if index * 2 < BLOCKS { *median } else { median * (1.0 + made.drift) };
                let took = (median * 1e6 * (0.15 * z).exp()) as u64;
                let failed = endpoint == 0 && index * each + i < made.errors;
                let outcome =
                    if failed { SampleOutcome::Failed(ErrorClass::Status) } else { SampleOutcome::Ok };
                block.add(&Sample {
                    endpoint,
                    planned_ns: 0,
                    sent_ns: 0,
                    done_ns: took,
                    outcome,
                    warmup: false,
                });
            }
            blocks.push(block);
        }
    }
    let mut look = LookRecord {
        look: number,
        instance_id: format!("instance-{number}"),
        window_ms: 40_000,
        stop: "done".into(),
        ..LookRecord::default()
    };
    let mut builder = LookBuilder::new(plans.to_vec());
    for block in blocks {
        builder.add(block).unwrap();
    }
    builder.finish(&mut look);
    look.generator.dropped_arrivals = made.dropped;
    look.warmup.unsteady = made.unsteady.then(|| "never reached a steady state".into());
    look
}

pub fn record(made: &Made) -> RunRecord {
    let plans = vec![plan("f/a", made.requests), plan("f/b", made.requests)];
    RunRecord {
        format: RECORD_FORMAT,
        id: "run".into(),
        label: None,
        loadgate_version: "0".into(),
        started: "2026-11-23T00:00:00Z".into(),
        target: "demo".into(),
        env: "demo".into(),
        plan: JudgementPlan {
            gate: made.gate.into(),
            repeat: Repeat::Auto,
            restarts: true,
            same_host: false,
            require_baseline: false,
            instances: 5,
            side_by_side: None,
        },
        environment: Environment::default(),
        runs: (1..=made.looks).map(|number| look(made, number, &plans)).collect(),
        scenarios: vec![ScenarioRecord {
            file: "f.yaml".into(),
            feature: "f".into(),
            owner: None,
            digest: String::new(),
            endpoints: plans,
        }],
        smoke: None,
        error_examples: Vec::new(),
        interrupted: made.interrupted.map(str::to_owned),
        not_ready: None,
        setup_failed: None,
        alerts: Vec::new(),
        probes: Vec::new(),
        probe_failed: None,
        control: None,
        shard: None,
        clock: None,
        merged: None,
        service: None,
        out_of_time: None,
        stale_baselines: None,
        unverified: false,
    }
}

pub fn references(instances: u32) -> Vec<Reference> {
    ["f/a", "f/b"]
        .into_iter()
        .enumerate()
        .map(|(index, name)| Reference {
            endpoint: name.into(),
            digest: format!("digest of {name}"),
            anchor: Anchor::new(),
            runs: (0..instances)
                .map(|k| {
                    let plans = [plan("f/a", 4000), plan("f/b", 4000)];
                    let wobble = 1.0 + 0.004 * f64::from(k % 3) - 0.004;
                    let made = Made { medians: GOOD.medians.map(|m| m * wobble), ..GOOD };
                    ReferenceRun {
                        run_id: format!("run-{k}"),
                        recorded: String::new(),
                        host: String::new(),
                        instance_id: format!("baseline-{k}"),
                        build_id: None,
                        accepted_at: None,
                        requests: 4000,
                        errors: 0,
                        w2: [(5000, 1e-5), (9500, 4e-5)].into(),
                        response: look(&made, 100 + k, &plans).endpoints[index].response.clone(),
                    }
                })
                .collect(),
        })
        .collect()
}

fn judged(made: &Made, instances: u32, allow: Allow) -> Judgement {
    judge(&record(made), &references(instances), allow)
}

/// Precedence: proven fail > hold > no baseline > pass; what each situation comes to.
#[test]
fn every_situation_has_its_outcome_and_code() {
    let slow = Made { medians: [250.0, 120.0], ..GOOD };
    let few = Made { requests: 400, ..GOOD };
    let table = [
        ("same build", GOOD, 5, Outcome::Pass, None, 0),
        ("no baseline", GOOD, 0, Outcome::NoBaseline, None, 4),
        ("slower", slow, 5, Outcome::Fail, None, 1),
        ("errors beat the missing baseline", Made { errors: 60, ..GOOD }, 0, Outcome::Fail, None, 1),
        ("dropped arrivals", Made { dropped: 3, ..GOOD }, 5, Outcome::Inconclusive, Some(Cause::Invalid), 3),
        (
            "invalid beats no baseline",
            Made { dropped: 3, ..GOOD },
            0,
            Outcome::Inconclusive,
            Some(Cause::Invalid),
            3,
        ),
        // A saturated generator proves no latency, but it does prove errors.
        (
            "slow, untrusted",
            Made { dropped: 3, ..Made { medians: [250.0, 120.0], ..GOOD } },
            5,
            Outcome::Inconclusive,
            Some(Cause::Invalid),
            3,
        ),
        ("errors, untrusted", Made { dropped: 3, errors: 60, ..GOOD }, 5, Outcome::Fail, None, 1),
        ("never steady", Made { unsteady: true, ..GOOD }, 5, Outcome::Inconclusive, Some(Cause::Invalid), 3),
        // Its own step once was the yardstick of a drift, so that a clean one could never be seen.
        ("not steady", Made { drift: 0.15, ..GOOD }, 5, Outcome::Inconclusive, Some(Cause::Invalid), 3),
        // Microseconds more on loopback are no sign of an unsteady target.
        ("a small drift", Made { drift: 0.6, medians: [0.1, 0.1], ..GOOD }, 0, Outcome::NoBaseline, None, 4),
        (
            "at the error limit",
            Made { errors: 7, ..GOOD },
            5,
            Outcome::Inconclusive,
            Some(Cause::Unresolved),
            3,
        ),
        ("too few for p95", few, 5, Outcome::Inconclusive, Some(Cause::Unresolved), 3),
        ("Ctrl-C", Made { interrupted: Some("SIGINT"), ..GOOD }, 5, Outcome::Interrupted, None, 130),
        (
            "SIGTERM after a proof",
            Made { interrupted: Some("SIGTERM"), errors: 60, ..GOOD },
            5,
            Outcome::Interrupted,
            None,
            143,
        ),
    ];
    for (what, made, instances, outcome, cause, code) in table {
        let verdict = judged(&made, instances, Allow::default()).verdict;
        assert_eq!(
            (verdict.outcome, verdict.cause, verdict.exit_code),
            (outcome, cause, code),
            "{what}: {}",
            verdict.summary
        );
    }
}

#[test]
fn an_interrupt_keeps_proven_findings() {
    let made = Made { interrupted: Some("SIGINT"), errors: 60, ..GOOD };
    let verdict = judged(&made, 5, Allow::default()).verdict;
    assert!(verdict.findings.iter().any(|f| f.severity == Severity::Fail));
    assert!(verdict.summary.contains("Proven before that"), "{}", verdict.summary);
}

/// +8% is neither excluded nor proven at first: each gate says so in its own way, and looks are taken while they help.
#[test]
fn an_unsettled_change_is_looked_at_again_and_then_told() {
    let doubtful = |gate, looks| Made { medians: [162.0, 120.0], gate, looks, ..GOOD };
    let first = judged(&doubtful("safety", 1), 5, Allow::default());
    assert_eq!((first.verdict.outcome, first.verdict.exit_code), (Outcome::Inconclusive, 3));
    assert_eq!(first.verdict.cause, Some(Cause::Unresolved));
    assert!(
        first.look_again && first.verdict.summary.starts_with("HOLD. Not shown safe, not shown bad: f/a p")
    );
    let regression = judged(&doubtful("regression", 1), 5, Allow::default());
    assert!(regression.look_again, "a suspect change is looked at again");
    assert_eq!(regression.verdict.exit_code, 0);
    assert!(regression.verdict.summary.contains("not excluded"), "{}", regression.verdict.summary);
    let last = judged(&doubtful("safety", 5), 5, Allow::default());
    assert!(!last.look_again, "five looks are the most: {}", last.verdict.summary);
    let allowed = judged(&doubtful("safety", 1), 5, Allow { unresolved: true, no_baseline: false });
    assert_eq!(allowed.verdict.exit_code, 0);
    let passed = judged(&Made { gate: "safety", ..GOOD }, 5, Allow::default());
    assert!(!passed.look_again, "{}", passed.verdict.summary);
}

/// With two instances or fewer the first look decides nothing.
#[test]
fn a_short_history_first_judges_at_the_second_look() {
    let slow = |looks| Made { medians: [250.0, 200.0], looks, ..GOOD };
    let one = judged(&slow(1), 2, Allow::default());
    assert!(one.look_again && one.verdict.outcome != Outcome::Fail, "{}", one.verdict.summary);
    assert_eq!(judged(&slow(2), 2, Allow::default()).verdict.exit_code, 1);
    // One instance leaves one degree of freedom at the second look: even this much needs a third.
    assert!(judged(&slow(2), 1, Allow::default()).look_again);
    assert_eq!(judged(&slow(3), 1, Allow::default()).verdict.exit_code, 1);
}

/// Another request or stage under the same name is no baseline, and says so.
#[test]
fn another_digest_is_no_baseline() {
    let mut changed = references(5);
    changed[0].digest = "another".into();
    let verdict = judge(&record(&GOOD), &changed, Allow::default()).verdict;
    assert_eq!((verdict.outcome, verdict.exit_code), (Outcome::NoBaseline, 4));
    assert!(verdict.findings.iter().any(|f| f.reason.contains("another request or stage")));
}

#[test]
fn identical_inputs_give_identical_bytes() {
    let bytes = || serde_json::to_string(&judged(&GOOD, 5, Allow::default()).verdict).unwrap();
    assert_eq!(bytes(), bytes());
}

/// Blocks that happen to be alike once made the variance within a run too small, and 5% of drift in a short run void.
#[test]
fn the_variance_within_a_run_is_at_least_that_of_independent_samples() {
    let made = look(&GOOD, 1, &[plan("f/a", 4000), plan("f/b", 4000)]);
    let w = estimates(&made, 0, &[Metric::P95])[0].unwrap().w2.sqrt();
    // Of this distribution, d ln Q / du = 0.09 / (u (1 − u)); times the standard error of u at 4,000 samples.
    let independent = 0.09 / 0.0475 * (0.0475f64 / 4000.0).sqrt();
    assert!((w / independent - 1.0).abs() < 0.2, "{w} against {independent}");
}
