use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::errors::{self, ErrorSeries};
use super::model::{Comparison, Settled, Verdict};
use super::reference::{Reference, ReferenceRun};
use super::rules::{is_whole, trusted, trusted_at};
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
    /// In the unit of `change`, two-sided at `level`.
    pub interval: [f64; 2],
    pub level: f64,
    /// In the unit of `change`.
    pub allowed: f64,
    pub acceptance: Acceptance,
    pub instances_before: usize,
    pub instances_after: usize,
    /// How many endpoints are in it, of how many that are judged: those of which both sides have something.
    pub endpoints: usize,
    pub of_endpoints: usize,
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
}

/// What one comparison with a baseline came to, as the verdict settled it. A measurement that is not trusted proves no
/// latency; one that was broken off shows no more than harm.
#[must_use]
pub fn acceptance(verdict: &Verdict, record: &RunRecord, comparison: &Comparison) -> Acceptance {
    let trusted = match comparison.metric {
        Metric::ErrorRate => is_whole(verdict, record) || comparison.settled == Settled::Worse,
        Metric::Quantile(_) => trusted_at(verdict, record, &comparison.endpoint),
    };
    match comparison.settled {
        _ if !trusted => Acceptance::NotProven,
        Settled::Within => Acceptance::Accepted,
        Settled::Worse => Acceptance::NotAccepted,
        Settled::Open => Acceptance::NotProven,
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
/// is the relative change of latencies that is accepted. Empty where no endpoint has a counterpart, or no stored run
/// measured all of those that have one.
#[must_use]
pub fn impact(record: &RunRecord, references: &[Reference], allowed: f64, verdict: &Verdict) -> Vec<Impact> {
    let sent = paired(record, references, |endpoint| endpoint.requests > 0);
    let answered = paired(record, references, |endpoint| !endpoint.response.is_empty());
    let out: BTreeSet<&String> = verdict.comparisons.iter().flat_map(|c| &c.left_out).collect();
    let mut all = latencies_of(record, &answered, &out, allowed, trusted(verdict, record));
    all.extend(errors_of(record, &sent, &out, is_whole(verdict, record)));
    all
}

/// An endpoint's number in the record, its plan, and what it is compared with.
type Pair<'a> = (usize, &'a EndpointPlan, &'a Reference);

fn paired<'a>(
    record: &'a RunRecord,
    references: &'a [Reference],
    measured: impl Fn(&EndpointRecord) -> bool,
) -> Vec<Pair<'a>> {
    let plans = record.scenarios.iter().flat_map(|s| &s.endpoints).enumerate();
    plans
        .filter(|(_, plan)| !plan.shown_only)
        .filter(|(i, _)| record.runs.iter().all(|l| l.endpoints.get(*i).is_some_and(&measured)))
        .filter_map(|(i, plan)| {
            let same =
                |r: &&Reference| r.endpoint == plan.endpoint && r.digest == plan.digest && !r.runs.is_empty();
            Some((i, plan, references.iter().find(same)?))
        })
        .collect()
}

fn latencies_of(
    record: &RunRecord,
    paired: &[Pair<'_>],
    out: &BTreeSet<&String>,
    allowed: f64,
    trusted: bool,
) -> Vec<Impact> {
    let (before, after) = (before(paired, out), after(record, paired));
    if before.is_empty() || after.is_empty() {
        return Vec::new();
    }
    let trusted = trusted && same_mix(record, paired);
    let levels = Levels::at(false, record.runs.len(), before.len());
    let w2 = within(paired);
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
    series
        .iter()
        .flat_map(|(metric, series)| {
            let compared = stored::compare(std::slice::from_ref(series), levels);
            compared.into_iter().map(|one| {
                let of = Acceptance::of(one.comparison.interval, one.comparison.delta, trusted);
                impact_of(*metric, &one.comparison, of, counted(record, paired))
            })
        })
        .collect()
}

/// How many endpoints are paired, of how many that are judged and were sent.
fn counted(record: &RunRecord, paired: &[Pair<'_>]) -> [usize; 2] {
    let plans = record.scenarios.iter().flat_map(|s| &s.endpoints).enumerate();
    let sent = |i: usize| record.runs.iter().any(|l| l.endpoints.get(i).is_some_and(|e| e.requests > 0));
    [paired.len(), plans.filter(|(i, plan)| !plan.shown_only && sent(*i)).count()]
}

fn impact_of(
    metric: ImpactMetric,
    c: &Comparison,
    acceptance: Acceptance,
    [endpoints, of_endpoints]: [usize; 2],
) -> Impact {
    Impact {
        metric,
        before: c.reference,
        after: c.observed,
        change: c.change,
        interval: c.interval,
        level: c.level,
        allowed: c.delta,
        acceptance,
        instances_before: c.baseline_instances,
        instances_after: c.candidate_instances,
        endpoints,
        of_endpoints,
    }
}

/// Held to the strictest rule that any of the endpoints has for its own.
fn errors_of(
    record: &RunRecord,
    paired: &[Pair<'_>],
    out: &BTreeSet<&String>,
    whole: bool,
) -> Option<Impact> {
    let (before, after) = (before(paired, out), after(record, paired));
    if before.is_empty() || after.is_empty() {
        return None;
    }
    let usual = Rules::default_regression();
    let rules = paired.iter().flat_map(|(_, plan, _)| &plan.rules.regression);
    let strictest = |rules: &mut dyn Iterator<Item = &RegressionRule>| {
        let rates = rules.filter(|rule| rule.metric == Metric::ErrorRate);
        rates.min_by(|a, b| a.delta.share.total_cmp(&b.delta.share)).copied()
    };
    let rule = strictest(&mut rules.into_iter()).or_else(|| strictest(&mut usual.iter()))?;
    let levels = Levels::at(false, record.runs.len(), before.len());
    let series = ErrorSeries {
        endpoint: String::new(),
        rule,
        baseline: before.iter().map(|whole| (whole.errors, whole.requests)).collect(),
        candidate: after.iter().fold((0, 0), |(x, n), whole| (x + whole.errors, n + whole.requests)),
        candidate_instances: after.len(),
    };
    let phi = errors::overdispersion(std::slice::from_ref(&series));
    let compared = errors::compare(&series, phi, levels);
    // Wrong answers are wrong however late they were sent; but what was broken off has not shown that all is well.
    let acceptance = match Acceptance::of(compared.interval, compared.delta, true) {
        Acceptance::Accepted if !whole => Acceptance::NotProven,
        other => other,
    };
    Some(impact_of(ImpactMetric::ErrorRate, &compared, acceptance, counted(record, paired)))
}

/// The baseline's runs that measured every paired endpoint, less the instances that the verdict left out.
fn before(paired: &[Pair<'_>], out: &BTreeSet<&String>) -> Vec<Whole> {
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
    for run in paired.iter().flat_map(|(.., reference)| &reference.runs) {
        add(runs.entry((&run.recorded, run.run_id.clone() + &run.instance_key())).or_default(), run);
    }
    runs.into_values().filter(|run| run.endpoints == paired.len() && !out.contains(&run.id)).collect()
}

fn after(record: &RunRecord, paired: &[Pair<'_>]) -> Vec<Whole> {
    let looks = record.runs.iter().map(|look| {
        let mut whole = Whole { run: look.started.clone(), id: look.instance_id.clone(), ..Whole::default() };
        let of: Vec<&EndpointRecord> = paired.iter().filter_map(|(i, ..)| look.endpoints.get(*i)).collect();
        for endpoint in of {
            whole.response.merge(&endpoint.response);
            whole.errors += endpoint.error_count();
            whole.requests += endpoint.requests;
        }
        // What failed on this machine is not the target's.
        whole.errors = whole.errors.saturating_sub(look.generator.local_failures);
        whole
    });
    looks.filter(|whole| whole.requests > 0).collect()
}

/// Whether each endpoint has about the same part of the requests as before: else all together changes for that alone.
fn same_mix(record: &RunRecord, paired: &[Pair<'_>]) -> bool {
    let before: Vec<u64> =
        paired.iter().map(|(.., r)| r.runs.iter().map(|run| run.response.count()).sum()).collect();
    let looks = |i: usize| record.runs.iter().filter_map(move |look| look.endpoints.get(i));
    let after: Vec<u64> = paired.iter().map(|(i, ..)| looks(*i).map(|e| e.response.count()).sum()).collect();
    let share = |all: &[u64], i: usize| all[i] as f64 / all.iter().sum::<u64>().max(1) as f64;
    (0..paired.len()).all(|i| (share(&before, i) - share(&after, i)).abs() <= MOST_SHIFT)
}

/// Variance within a run: the mean of the single endpoints' at p95, each of which has fewer requests than all together.
fn within(paired: &[Pair<'_>]) -> f64 {
    let of_runs = paired.iter().flat_map(|(.., reference)| &reference.runs);
    let all: Vec<f64> = of_runs.filter_map(|run| run.w2.get(&9500).copied()).collect();
    if all.is_empty() { 0.0 } else { super::statistics::mean(&all) }
}
