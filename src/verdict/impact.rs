use std::collections::BTreeMap;

use serde::Serialize;

use super::errors::{self, ErrorSeries};
use super::model::{Comparison, Settled};
use super::reference::{Reference, ReferenceRun};
use super::stored::{self, Instance, Levels, Series};
use crate::metrics::{EndpointPlan, EndpointRecord, Histogram, RunRecord};
use crate::units::{Metric, RegressionRule, Rules, Tolerance};

/// What a release may cost all endpoints together where nobody says otherwise.
pub const DEFAULT_IMPACT: f64 = 0.02;
/// By how much an endpoint's part of all requests may differ between the two sides.
const MOST_SHIFT: f64 = 0.02;

/// Before against after, over all endpoints that both sides have.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Impact {
    pub metric: ImpactMetric,
    /// Milliseconds or a fraction.
    pub before: f64,
    pub after: f64,
    /// Relative; for the error rate the difference.
    pub change: f64,
    pub interval: [f64; 2],
    pub level: f64,
    /// In the unit of `change`.
    pub allowed: f64,
    pub acceptance: Acceptance,
    pub instances_before: usize,
    pub instances_after: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ImpactMetric {
    MeanResponse,
    P95,
    ErrorRate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Acceptance {
    /// The whole interval lies within what is allowed.
    Accepted,
    /// The whole interval lies beyond it.
    NotAccepted,
    NotProven,
}

impl Acceptance {
    /// By the interval of a change and what is allowed; nothing is proven by a measurement that is not trusted.
    #[must_use]
    pub fn of(interval: [f64; 2], allowed: f64, trusted: bool) -> Self {
        match interval {
            [_, high] if trusted && high < allowed => Self::Accepted,
            [low, _] if trusted && low > allowed => Self::NotAccepted,
            _ => Self::NotProven,
        }
    }

    /// Of one comparison with a baseline, as the verdict settled it.
    #[must_use]
    pub fn of_comparison(comparison: &Comparison, trusted: bool) -> Self {
        match comparison.settled {
            _ if !trusted && comparison.metric != Metric::ErrorRate => Self::NotProven,
            Settled::Within => Self::Accepted,
            Settled::Worse => Self::NotAccepted,
            Settled::Open => Self::NotProven,
        }
    }
}

/// One run of all endpoints: response times together, errors, requests.
#[derive(Default)]
struct Whole {
    id: String,
    group: Option<String>,
    run: String,
    response: Histogram,
    errors: u64,
    requests: u64,
    endpoints: usize,
}

/// The mean response time, p95 and error rate of all paired endpoints together: Student's t on instances as for single
/// endpoints (DESIGN §5, step 1; two one-sided bounds of 95% each), errors by the same test as theirs (step 5). `allowed`
/// is the relative change of latencies that is accepted. Empty where no endpoint has a counterpart.
#[must_use]
pub fn impact(record: &RunRecord, references: &[Reference], allowed: f64, trusted: bool) -> Vec<Impact> {
    let plans: Vec<&EndpointPlan> = record.scenarios.iter().flat_map(|s| &s.endpoints).collect();
    let paired: Vec<(usize, &Reference)> = plans
        .iter()
        .enumerate()
        .filter(|(_, plan)| !plan.shown_only)
        .filter(|(i, _)| {
            record.runs.iter().all(|l| l.endpoints.get(*i).is_some_and(|e| !e.response.is_empty()))
        })
        .filter_map(|(i, plan)| {
            let same =
                |r: &&Reference| r.endpoint == plan.endpoint && r.digest == plan.digest && !r.runs.is_empty();
            Some((i, references.iter().find(same)?))
        })
        .collect();
    let before = before(&paired);
    let after = after(record, &paired);
    if before.is_empty() || after.is_empty() {
        return Vec::new();
    }
    let trusted = trusted && same_mix(record, &paired);
    let levels = Levels::at(false, record.runs.len(), before.len());
    let w2 = within(&paired);
    let series: Vec<(ImpactMetric, Series)> = [ImpactMetric::MeanResponse, ImpactMetric::P95]
        .into_iter()
        .map(|metric| {
            let tail = metric == ImpactMetric::P95;
            let value = |all: &Histogram| if tail { all.quantile_ms(0.95) } else { all.mean_ms() };
            // A mean is about as noisy as a median.
            let noise_of = if tail { Metric::P95 } else { Metric::P50 };
            let instances = |side: &[Whole]| {
                Instance::averaged(side.iter().filter_map(|whole| {
                    let (id, group, runs) = (whole.id.clone(), whole.group.clone(), vec![whole.run.clone()]);
                    Some(Instance { id, group, runs, y: value(&whole.response)?.ln(), w2 })
                }))
            };
            let rule = RegressionRule {
                metric: noise_of,
                delta: Tolerance { share: allowed, floor_ms: 0.0 },
                explicit: true,
            };
            let series = Series {
                endpoint: String::new(),
                feature: String::new(),
                rule,
                ignore: Tolerance { share: 0.0, floor_ms: 0.0 },
                baseline: instances(&before),
                candidate: instances(&after),
                left_out: Vec::new(),
            };
            (metric, series)
        })
        .filter(|(_, series)| !series.baseline.is_empty() && !series.candidate.is_empty())
        .collect();
    let mut all: Vec<Impact> = series
        .iter()
        .flat_map(|(metric, series)| {
            let compared = stored::compare(std::slice::from_ref(series), levels);
            compared.into_iter().map(|one| impact_of(*metric, &one.comparison, trusted))
        })
        .collect();
    all.push(errors_of(&before, &after, levels));
    all
}

fn impact_of(metric: ImpactMetric, c: &Comparison, trusted: bool) -> Impact {
    Impact {
        metric,
        before: c.reference,
        after: c.observed,
        change: c.change,
        interval: c.interval,
        level: c.level,
        allowed: c.delta,
        acceptance: Acceptance::of(c.interval, c.delta, trusted),
        instances_before: c.baseline_instances,
        instances_after: c.candidate_instances,
    }
}

fn errors_of(before: &[Whole], after: &[Whole], levels: Levels) -> Impact {
    let rules = Rules::default_regression();
    let rule = *rules.iter().find(|rule| rule.metric == Metric::ErrorRate).unwrap_or(&rules[0]);
    let series = ErrorSeries {
        endpoint: String::new(),
        rule,
        baseline: before.iter().map(|whole| (whole.errors, whole.requests)).collect(),
        candidate: after.iter().fold((0, 0), |(x, n), whole| (x + whole.errors, n + whole.requests)),
        candidate_instances: after.len(),
    };
    let phi = errors::overdispersion(std::slice::from_ref(&series));
    // Wrong answers are wrong however late they were sent.
    impact_of(ImpactMetric::ErrorRate, &errors::compare(&series, phi, levels), true)
}

/// The baseline's runs that measured every paired endpoint.
fn before(paired: &[(usize, &Reference)]) -> Vec<Whole> {
    let mut runs: BTreeMap<(&str, String), Whole> = BTreeMap::new();
    let add = |whole: &mut Whole, run: &ReferenceRun| {
        whole.id = run.instance_key();
        whole.group = run.group();
        whole.run.clone_from(&run.run_id);
        whole.response.merge(&run.response);
        whole.errors += run.errors;
        whole.requests += run.requests;
        whole.endpoints += 1;
    };
    for run in paired.iter().flat_map(|(_, reference)| &reference.runs) {
        add(runs.entry((&run.recorded, run.run_id.clone() + &run.instance_key())).or_default(), run);
    }
    runs.into_values().filter(|whole| whole.endpoints == paired.len()).collect()
}

fn after(record: &RunRecord, paired: &[(usize, &Reference)]) -> Vec<Whole> {
    let looks = record.runs.iter().map(|look| {
        let mut whole = Whole { run: look.started.clone(), id: look.instance_id.clone(), ..Whole::default() };
        let of: Vec<&EndpointRecord> = paired.iter().filter_map(|(i, _)| look.endpoints.get(*i)).collect();
        for endpoint in of {
            whole.response.merge(&endpoint.response);
            whole.errors += endpoint.error_count();
            whole.requests += endpoint.requests;
        }
        whole
    });
    looks.filter(|whole| !whole.response.is_empty()).collect()
}

/// Whether each endpoint has about the same part of the requests as before: else all together changes for that alone.
fn same_mix(record: &RunRecord, paired: &[(usize, &Reference)]) -> bool {
    let before: Vec<u64> =
        paired.iter().map(|(_, r)| r.runs.iter().map(|run| run.response.count()).sum()).collect();
    let looks = |i: usize| record.runs.iter().filter_map(move |look| look.endpoints.get(i));
    let after: Vec<u64> = paired.iter().map(|(i, _)| looks(*i).map(|e| e.response.count()).sum()).collect();
    let share = |all: &[u64], i: usize| all[i] as f64 / all.iter().sum::<u64>().max(1) as f64;
    (0..paired.len()).all(|i| (share(&before, i) - share(&after, i)).abs() <= MOST_SHIFT)
}

/// Variance within a run: that of single endpoints' p95, which is no less than that of all together.
fn within(paired: &[(usize, &Reference)]) -> f64 {
    let of_runs = paired.iter().flat_map(|(_, reference)| &reference.runs);
    let all: Vec<f64> = of_runs.filter_map(|run| run.w2.get(&9500).copied()).collect();
    if all.is_empty() { 0.0 } else { super::statistics::mean(&all) }
}
