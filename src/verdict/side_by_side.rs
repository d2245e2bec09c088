use std::collections::BTreeMap;

use super::errors::{self, ErrorSeries};
use super::judge::errors_of_target;
use super::model::{Comparison, Finding, FindingKind, Settled, Severity};
use super::quantiles::{LEAST_BLOCKS, LEAST_TAIL_COMPARED, missing_requests, seconds_for};
use super::regression::{Regression, Trusted, decide};
use super::statistics::{
    mean, proportion_lower, proportion_upper, squared_deviations, t_quantile, t_upper_tail,
};
use super::stored::Levels;
use super::{summary, users};
use crate::metrics::{
    ControlRecord, EndpointPlan, Histogram, LookRecord, RunRecord, SEGMENTS, TimelineBlock,
};
use crate::units::{Metric, RegressionRule, Rules};

/// Half of the stretch of ln latency over which the density at a quantile is taken.
const DENSITY_REACH: f64 = 0.05;
/// Of whom the looks after ¼, ½ and all of the length may spend this much on false alarms, and how sure a pass must be.
const ALPHA: [f64; 3] = [0.001, 0.002, 0.003];
const Q: [f64; 3] = [0.99, 0.975, 0.95];
/// Two arms side by side tell more than stored runs, so less is let pass.
const MOST_DELTA: f64 = 0.05;
const MOST_DELTA_P99: f64 = 0.20;
/// A control that fails more than this is broken.
const MOST_FAILED: f64 = 0.10;
/// With fewer requests arms are not told apart by their number.
const LEAST_TO_DIFFER: u64 = 50;

/// What decides after so many segments; `None`: nothing is decided there.
fn levels(segments: usize) -> Option<Levels> {
    match segments {
        1 => Some(at(0)),
        2 => Some(at(1)),
        n if n >= SEGMENTS => Some(at(2)),
        _ => None,
    }
}

fn at(look: usize) -> Levels {
    Levels { alpha: ALPHA[look], errors_apart: None, q: Q[look], least_fail: 0.0, judges: true }
}

/// Whether a side-by-side run is judged after so many segments.
#[must_use]
pub fn decides_after(segments: usize) -> bool {
    levels(segments).is_some()
}

fn most(metric: Metric) -> f64 {
    if metric == Metric::P99 { MOST_DELTA_P99 } else { MOST_DELTA }
}

/// The rules that hold beside a control: the scenario's, and the defaults for p50, p95,
/// p99 and the error rate where it names none.
pub fn rules(plan: &EndpointPlan) -> Vec<RegressionRule> {
    if plan.shown_only {
        return Vec::new();
    }
    let own = &plan.rules.regression;
    let defaults = Rules::default_regression();
    let missing = defaults.iter().filter(|rule| own.iter().all(|known| known.metric != rule.metric));
    own.iter().chain(missing).copied().collect()
}

/// Candidate and control in the same stretch of time.
pub struct Pair<'a> {
    candidate: &'a TimelineBlock,
    control: &'a TimelineBlock,
}

/// The blocks of one endpoint that both arms have, in order.
pub fn pairs<'a>(candidate: &'a [LookRecord], control: &'a [LookRecord], endpoint: usize) -> Vec<Pair<'a>> {
    let of = |look: &'a LookRecord| look.blocks.iter().filter(move |block| block.endpoint == endpoint);
    let segment = |(own, other): (&'a LookRecord, &'a LookRecord)| {
        let beside: BTreeMap<u64, &TimelineBlock> = of(other).map(|block| (block.start_ms, block)).collect();
        of(own)
            .filter_map(|candidate| Some(Pair { candidate, control: beside.get(&candidate.start_ms)? }))
            .collect::<Vec<_>>()
    };
    candidate.iter().zip(control).flat_map(segment).collect()
}

/// The difference of one quantile between the arms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// ln of the candidate's and of the control's quantile (ms).
    pub candidate_ln: f64,
    pub control_ln: f64,
    /// Standard error of their difference: of the blocks alone, and with that of two instances.
    pub within: f64,
    pub se: f64,
    pub nu: f64,
    /// P of the candidate's exceeding no more often.
    pub p: f64,
}

impl Difference {
    pub fn theta(&self) -> f64 {
        self.candidate_ln - self.control_ln
    }
}

/// DESIGN §5, side by side: exceedances of the pooled quantile q̂, paired by block. Their differences' variance has the
/// correlation of neighbouring blocks and at least that of independent requests; f̂, the density of ln latency at q̂, turns
/// exceedances into ln latency (Bahadur 1966). Each of `instances` pairs of instances has a deviation of its own.
pub fn difference(
    pairs: &[Pair<'_>],
    whole: (&Histogram, &Histogram),
    q: f64,
    (sigma_dep, instances): (f64, usize),
) -> Option<Difference> {
    let (candidate, control) = whole;
    let mut pooled = candidate.clone();
    pooled.merge(control);
    let at_ms = pooled.quantile_ms(q)?;
    let deltas: Vec<f64> = pairs
        .iter()
        .filter(|pair| !pair.candidate.histogram.is_empty() && !pair.control.histogram.is_empty())
        .map(|pair| pair.candidate.histogram.share_above(at_ms) - pair.control.histogram.share_above(at_ms))
        .collect();
    let count = deltas.len() as f64;
    if deltas.len() < LEAST_BLOCKS as usize {
        return None;
    }
    let d = mean(&deltas);
    let squares = squared_deviations(&deltas);
    let lagged: f64 = deltas.windows(2).map(|pair| (pair[0] - d) * (pair[1] - d)).sum();
    let neighbours = if squares > 0.0 { 1.0 + 2.0 * (lagged / squares).max(0.0) } else { 1.0 };
    let (n_g, n_b) = (candidate.count() as f64, control.count() as f64);
    let independent = 0.5 * q * (1.0 - q) * (1.0 / n_g + 1.0 / n_b);
    let variance = (squares / (count - 1.0) / count * neighbours).max(independent);
    let reach = DENSITY_REACH.exp();
    let density =
        (pooled.share_above(at_ms / reach) - pooled.share_above(at_ms * reach)) / (2.0 * DENSITY_REACH);
    if density <= 0.0 {
        return None;
    }
    let se = (variance + 2.0 * (density * sigma_dep).powi(2) / instances as f64).sqrt();
    let nu = count - 1.0;
    Some(Difference {
        candidate_ln: candidate.quantile_ms(q)?.max(1e-3).ln(),
        control_ln: control.quantile_ms(q)?.max(1e-3).ln(),
        within: variance.sqrt() / density,
        se: se / density,
        nu,
        p: t_upper_tail(d / se, nu),
    })
}

/// All segments of one endpoint together.
pub fn whole(looks: &[LookRecord], endpoint: usize) -> Histogram {
    let mut all = Histogram::default();
    looks.iter().filter_map(|look| look.endpoints.get(endpoint)).for_each(|e| all.merge(&e.response));
    all
}

fn requests(looks: &[LookRecord], endpoint: usize) -> u64 {
    looks.iter().filter_map(|look| look.endpoints.get(endpoint)).map(|e| e.requests).sum()
}

/// How many pairs of instances stand behind so many segments: one a segment where the arms are started afresh for each.
fn instances(record: &RunRecord) -> usize {
    if record.plan.restarts { record.runs.len().max(1) } else { 1 }
}

/// Holds the candidate against its control.
pub fn judge(
    record: &RunRecord,
    control: &ControlRecord,
    plans: &[&EndpointPlan],
    trusted: Trusted<'_>,
) -> Regression {
    let mut result = Regression::default();
    let Some(plan) = &record.plan.side_by_side else { return result };
    let deciding = levels(record.runs.len());
    let levels = deciding.unwrap_or(Levels { judges: false, ..at(0) });
    // The level of the least of all tests, as Bonferroni has it: what a single one needs to be proven by itself.
    let least = levels.alpha / plans.iter().map(|plan| rules(plan).len()).sum::<usize>().max(1) as f64;
    let mut errors = Vec::new();
    for (i, endpoint) in plans.iter().enumerate() {
        let both = pairs(&record.runs, &control.runs, i);
        let (candidate, beside) = (whole(&record.runs, i), whole(&control.runs, i));
        if let Some(finding) = unlike(record, control, endpoint, i) {
            result.findings.push(finding);
        }
        for rule in rules(endpoint) {
            let Some(q) = rule.metric.quantile() else {
                errors.push((i, rule, paired_overdispersion(&both)));
                continue;
            };
            let fewest = candidate.count().min(beside.count());
            let missing = missing_requests(fewest, q, LEAST_TAIL_COMPARED);
            let found = (missing == 0)
                .then(|| difference(&both, (&candidate, &beside), q, (plan.sigma_dep, instances(record))))
                .flatten();
            match found {
                Some(found) => {
                    result.comparisons.push(comparison(
                        endpoint,
                        rule,
                        &found,
                        (levels, least),
                        instances(record),
                    ));
                }
                // At a later look there may be enough; at the last one what was asked for is named.
                None if record.runs.len() < SEGMENTS => {
                    let all = fewest * SEGMENTS as u64 / record.runs.len().max(1) as u64;
                    result.unresolved |= rule.explicit || missing == 0 || all >= fewest + missing;
                }
                None if rule.explicit => {
                    result.findings.push(too_few(endpoint, rule, fewest, missing, both.len()));
                }
                None => {}
            }
        }
    }
    for (i, rule, phi) in errors {
        let series = ErrorSeries {
            endpoint: plans[i].endpoint.clone(),
            rule,
            baseline: vec![(errors_of_target(&control.runs, i), requests(&control.runs, i))],
            candidate: (errors_of_target(&record.runs, i), requests(&record.runs, i)),
            candidate_instances: instances(record),
        };
        if series.candidate.1 > 0 {
            let compared = both_uncertain(errors::compare(&series, phi, levels), &series, phi, levels);
            result.comparisons.push(Comparison { baseline_instances: instances(record), ..compared });
        }
    }
    let mut users = BTreeMap::new();
    for one in users::compare(record, control, levels) {
        match one {
            Ok((comparison, requests)) => {
                users.insert(comparison.endpoint.clone(), requests);
                result.comparisons.push(comparison);
            }
            Err(finding) => result.findings.push(*finding),
        }
    }
    let short = result.unresolved;
    if deciding.is_some() {
        let named: BTreeMap<String, u64> =
            plans.iter().enumerate().map(|(i, p)| (p.endpoint.clone(), requests(&record.runs, i))).collect();
        decide(&mut result, levels, trusted, &|comparison, confirmed| {
            if let Some(requests) = users.get(&comparison.endpoint) {
                return summary::users_finding(comparison, confirmed, *requests);
            }
            let requests = named.get(&comparison.endpoint).copied().unwrap_or_default();
            summary::beside_finding(comparison, confirmed, requests)
        });
    } else {
        for comparison in &mut result.comparisons {
            comparison.settled = Settled::Open;
        }
        result.unresolved = true;
    }
    // A segment that was cut short may prove harm, and promotes nothing.
    let whole = |look: &LookRecord| matches!(look.stop.as_str(), "done" | "drain deadline");
    result.unresolved |= short || !record.runs.iter().chain(&control.runs).all(whole);
    result.suspect = result.unresolved;
    result
}

/// Where the control answered so little, or failed so much, that there is nothing to compare with; or one arm got far fewer
/// requests of an endpoint than the other, since something before it goes otherwise there.
fn unlike(record: &RunRecord, control: &ControlRecord, plan: &EndpointPlan, index: usize) -> Option<Finding> {
    if plan.shown_only {
        return None;
    }
    let hold = |reason: String, remedy: &str| {
        Finding::new(FindingKind::Validity, Severity::Hold, Some(&plan.endpoint), reason).remedy(remedy)
    };
    let (own, other) = (requests(&record.runs, index), requests(&control.runs, index));
    // How many requests virtual users make is the target's doing.
    let apart =
        plan.users.is_none() && own.max(other) >= LEAST_TO_DIFFER && 2 * own.min(other) < own.max(other);
    if apart {
        return Some(hold(
            format!("{} got {own} requests on the candidate and {other} on the control.", plan.endpoint),
            "a step before it fails, or its `when` does not hold, on one of the arms: look at `skipped` in run.json",
        ));
    }
    let failed = errors_of_target(&control.runs, index);
    let broken = other > 0 && failed as f64 > MOST_FAILED * other as f64;
    // What fails on both is told of both.
    let worse = failed * own > 2 * errors_of_target(&record.runs, index) * other;
    (broken && worse).then(|| {
        hold(
            format!(
                "{failed} of {other} requests to {} failed on the control: there is nothing to compare with.",
                plan.endpoint
            ),
            "mend the control; `loadgate run` judges the candidate by itself",
        )
    })
}

/// The bound of a difference of two rates that are both uncertain (Newcombe 1998, method 10, with Clopper–Pearson's bounds on
/// effective counts): a stored baseline has many runs, a control as few requests as the candidate.
pub fn both_uncertain(compared: Comparison, series: &ErrorSeries, phi: f64, levels: Levels) -> Comparison {
    let (x, n) = series.baseline.iter().fold((0, 0), |(x, n), (xi, ni)| (x + xi, n + ni));
    if n == 0 {
        return Comparison { settled: Settled::Open, ..compared };
    }
    let (x, n, before) = (x as f64 / phi, n as f64 / phi, compared.reference);
    let (low, high) = (proportion_lower(x, n, levels.q), proportion_upper(x, n, levels.q));
    let [lower, upper] = compared.interval;
    let upper = compared.change + (upper - compared.change).hypot(before - low);
    let lower = compared.change - (compared.change - lower).hypot(high - before);
    let settled = if upper < compared.delta { Settled::Within } else { Settled::Open };
    Comparison { interval: [lower, upper], settled, ..compared }
}

/// How much more the difference of the arms' errors varies from block to block than that of independent errors would: what
/// hits both at once cancels.
fn paired_overdispersion(pairs: &[Pair<'_>]) -> f64 {
    let deltas: Vec<f64> =
        pairs.iter().map(|pair| pair.candidate.errors as f64 - pair.control.errors as f64).collect();
    let all: f64 = pairs.iter().map(|pair| (pair.candidate.errors + pair.control.errors) as f64).sum();
    if all < 1.0 || deltas.len() < 2 {
        return errors::LEAST_OVERDISPERSION;
    }
    (squared_deviations(&deltas) / all).max(errors::LEAST_OVERDISPERSION)
}

fn comparison(
    plan: &EndpointPlan,
    rule: RegressionRule,
    found: &Difference,
    (levels, level): (Levels, f64),
    instances: usize,
) -> Comparison {
    let (theta, reference_ms) = (found.theta(), found.control_ln.exp());
    let ignore_ln = plan.rules.ignore().ln_at(reference_ms);
    // The milliseconds of a rule, too, allow no more than two arms can tell; but what is not worth naming is allowed.
    let delta_ln = rule.delta.ln_at(reference_ms).min(most(rule.metric).ln_1p()).max(ignore_ln);
    let reach = t_quantile(levels.q, found.nu) * found.se;
    let upper = theta + reach;
    Comparison {
        endpoint: plan.endpoint.clone(),
        metric: rule.metric,
        observed: found.candidate_ln.exp(),
        reference: reference_ms,
        change: theta.exp_m1(),
        interval: [(theta - reach).exp_m1(), upper.exp_m1()],
        level: 2.0 * levels.q - 1.0,
        delta: delta_ln.exp_m1(),
        ignore: ignore_ln.exp_m1(),
        noise: found.se,
        p: if theta < ignore_ln { 1.0 } else { found.p },
        alpha: levels.alpha,
        contrast: None,
        detectable: Some(
            ((t_quantile(1.0 - level, found.nu) + t_quantile(0.95, found.nu)) * found.se)
                .max(ignore_ln)
                .exp_m1(),
        ),
        passable: None,
        baseline_instances: instances,
        candidate_instances: instances,
        reference_of: None,
        left_out: Vec::new(),
        settled: if upper < delta_ln { Settled::Within } else { Settled::Open },
    }
}

fn too_few(plan: &EndpointPlan, rule: RegressionRule, fewest: u64, missing: u64, blocks: usize) -> Finding {
    let metric = rule.metric;
    if missing == 0 && (blocks as u64) < LEAST_BLOCKS {
        let reason = format!(
            "{metric} of {} was measured for {blocks} blocks on both arms, at least {LEAST_BLOCKS} are needed.",
            plan.endpoint
        );
        return Finding::new(FindingKind::Regression, Severity::Hold, Some(&plan.endpoint), reason)
            .about(metric)
            .remedy("use a longer `--for`: a block takes ¼ s or 50 requests, whichever is longer");
    }
    if missing == 0 {
        let reason = format!(
            "{metric} of {} lies in a gap of its response times: the arms cannot be compared there.",
            plan.endpoint
        );
        return Finding::new(FindingKind::Regression, Severity::Hold, Some(&plan.endpoint), reason)
            .about(metric)
            .remedy("judge another quantile, or measure longer");
    }
    let needed = fewest + missing;
    let reason = format!(
        "Too few requests to compare {metric} of {} with the control: {fewest} of {needed} on an arm, {missing} missing.",
        plan.endpoint
    );
    let seconds = seconds_for(needed, plan.rate_per_s);
    Finding::new(FindingKind::Regression, Severity::Hold, Some(&plan.endpoint), reason)
        .about(metric)
        .remedy(format!("use `--for {seconds:.0}s` or a higher rate"))
}
