use std::collections::{BTreeMap, BTreeSet};

use super::contrast::{self, Contrasted};
use super::creep;
use super::errors::{self, ErrorSeries};
use super::judge::{errors_of_target, looks_of, rate_of};
use super::model::{Comparison, Finding, FindingKind, Settled, Severity};
use super::outliers;
use super::power;
use super::quantiles::{Evidence, LEAST_TAIL_COMPARED, ln_quantile, missing_requests, seconds_for};
use super::reference::{Reference, ReferenceRun, instance_key};
use super::statistics::{benjamini_hochberg, holm};
use super::stored::{self, Compared, Instance, Levels, Series};
use super::summary;
use crate::metrics::{EndpointPlan, Repeat, RunRecord};
use crate::units::{Metric, RegressionRule};

/// Whether an endpoint's latencies may prove anything.
pub type Trusted<'a> = &'a dyn Fn(&str) -> bool;

/// Everything that the comparison with stored runs came to.
#[derive(Default)]
pub struct Regression {
    pub findings: Vec<Finding>,
    pub comparisons: Vec<Comparison>,
    /// Endpoints without anything to compare with.
    pub without_baseline: usize,
    pub unresolved: bool,
    /// A change of at least δ is seen and one of Δ not excluded.
    pub suspect: bool,
}

pub fn judge(
    record: &RunRecord,
    plans: &[&EndpointPlan],
    references: &[Reference],
    evidence: &Evidence,
    trusted: Trusted<'_>,
) -> Regression {
    let mut result = Regression::default();
    let mut quantiles: Vec<Series> = Vec::new();
    let mut rates: Vec<ErrorSeries> = Vec::new();
    for (i, plan) in plans.iter().enumerate().filter(|(_, plan)| !plan.rules.regression.is_empty()) {
        let known = references.iter().find(|r| r.endpoint == plan.endpoint && !r.runs.is_empty());
        let Some(reference) = known.filter(|r| r.digest == plan.digest) else {
            result.without_baseline += 1;
            result.findings.push(no_baseline(plan, known.is_some(), plans, references));
            continue;
        };
        for rule in &plan.rules.regression {
            if rule.metric == Metric::ErrorRate {
                rates.push(error_series(record, i, plan, rule, reference));
            } else {
                match quantile_series(record, i, plan, rule, reference, evidence) {
                    Ok(series) => quantiles.push(series),
                    Err(Some(finding)) => result.findings.push(*finding),
                    Err(None) => {}
                }
            }
        }
    }
    if record.plan.require_baseline && record.plan.side_by_side.is_none() {
        for plan in plans.iter().filter(|plan| plan.rules.regression.is_empty() && !plan.shown_only) {
            let known = references.iter().find(|r| r.endpoint == plan.endpoint && !r.runs.is_empty());
            if known.is_none_or(|reference| reference.digest != plan.digest) {
                result.without_baseline += 1;
                result.findings.push(no_baseline(plan, known.is_some(), plans, references));
            }
        }
    }
    outliers::leave_out(&mut quantiles);
    result.findings.extend(left_out(&quantiles));
    let sequential = record.plan.repeat == Repeat::Auto && record.plan.restarts;
    let least_instances = quantiles.iter().map(|s| s.baseline.len()).min().unwrap_or(usize::MAX);
    let levels = Levels::at(sequential, record.runs.len(), least_instances);
    let mut compared = stored::compare(&quantiles, levels);
    let contrasts = contrast::contrasts(&quantiles, &compared, levels);
    let latencies = compared.len() + contrasts.iter().flatten().count();
    for (one, contrast) in compared.iter_mut().zip(&contrasts) {
        one.comparison.detectable =
            power::detectable(one, contrast.as_ref(), levels, levels.each(latencies, rates.len()).0);
        one.comparison.passable = Some(power::passable(one, levels, quantiles.len()));
        one.comparison.contrast = contrast.as_ref().map(|c: &Contrasted| c.contrast.clone());
    }
    result.suspect = compared.iter().any(|c| c.theta >= c.ignore_ln && c.upper >= c.delta_ln);
    let creeping: Vec<Finding> = quantiles
        .iter()
        .zip(&compared)
        .filter(|(series, _)| trusted(&series.endpoint))
        .filter_map(|(series, one)| {
            creep::judge(series, one, references.iter().find(|r| r.endpoint == series.endpoint)?)
        })
        .collect();
    result.comparisons = compared.into_iter().map(|c: Compared| c.comparison).collect();
    let phi = errors::overdispersion(&rates);
    let error_comparisons = rates.iter().map(|series| Comparison {
        detectable: power::detectable_errors(series, phi, levels.each(latencies, rates.len()).1),
        ..errors::compare(series, phi, levels)
    });
    result.comparisons.extend(error_comparisons);
    result.suspect |= result
        .comparisons
        .iter()
        .any(|c| c.metric == Metric::ErrorRate && c.change > 0.0 && c.settled == Settled::Open);
    decide(&mut result, levels, trusted, &summary::regression_finding);
    let worse = |finding: &Finding| {
        let same = |c: &&Comparison| {
            Some(&c.endpoint) == finding.endpoint.as_ref() && Some(c.metric) == finding.metric
        };
        result.comparisons.iter().filter(same).any(|c| c.settled == Settled::Worse)
    };
    let creeping: Vec<Finding> = creeping.into_iter().filter(|finding| !worse(finding)).collect();
    result.findings.extend(creeping);
    result
}

/// Pass before fail: a real change far below Δ is no regression, in all and for each comparison. `told` words what is proven, and
/// whether by itself.
pub fn decide(
    result: &mut Regression,
    levels: Levels,
    trusted: Trusted<'_>,
    told: &dyn Fn(&Comparison, bool) -> Finding,
) {
    if result.comparisons.iter().all(|c| c.settled == Settled::Within) {
        return;
    }
    // What an untrusted measurement says of latencies proves nothing; its errors still count.
    let counts = |c: &Comparison| {
        c.settled != Settled::Within
            && (c.metric == Metric::ErrorRate || (levels.judges && trusted(&c.endpoint)))
    };
    let mut tests: Vec<(usize, f64)> = Vec::new();
    for (i, comparison) in result.comparisons.iter().enumerate() {
        let p = |p: f64| if counts(comparison) { p } else { 1.0 };
        tests.push((i, p(comparison.p)));
        tests.extend(comparison.contrast.iter().map(|contrast| (i, p(contrast.p))));
    }
    let mut worse: BTreeMap<usize, bool> = BTreeMap::new();
    let mut family = |tests: &[(usize, f64)], alpha: f64| {
        let p: Vec<f64> = tests.iter().map(|(_, p)| *p).collect();
        let (set, confirmed) = (benjamini_hochberg(&p, alpha), holm(&p, alpha));
        for (at, (i, _)) in tests.iter().enumerate().filter(|(at, _)| set[*at]) {
            *worse.entry(*i).or_default() |= confirmed[at];
        }
    };
    match levels.errors_apart {
        None => family(&tests, levels.alpha),
        Some(part) => {
            let (errors, latencies): (Vec<_>, Vec<_>) =
                tests.into_iter().partition(|(i, _)| result.comparisons[*i].metric == Metric::ErrorRate);
            family(&errors, levels.alpha * part);
            family(&latencies, levels.alpha * (1.0 - part));
        }
    }
    for (i, confirmed) in worse {
        result.comparisons[i].settled = Settled::Worse;
        result.findings.push(told(&result.comparisons[i], confirmed));
    }
    result.unresolved = result.comparisons.iter().any(|c| c.settled == Settled::Open);
}

fn no_baseline(
    plan: &EndpointPlan,
    other: bool,
    plans: &[&EndpointPlan],
    references: &[Reference],
) -> Finding {
    let gone = |r: &&Reference| {
        r.digest == plan.digest && !r.runs.is_empty() && plans.iter().all(|p| p.endpoint != r.endpoint)
    };
    let heir = references.iter().find(gone);
    let (reason, remedy) = match (other, heir) {
        (true, _) => (
            format!(
                "No baseline for {}: the stored one is of another request or stage, so it cannot be compared.",
                plan.endpoint
            ),
            "record one from a build that is known to be good: `loadgate baseline refresh`",
        ),
        (false, Some(old)) => (
            format!(
                "No baseline for {}, but {} sent the same request: was it renamed?",
                plan.endpoint, old.endpoint
            ),
            "give it its old name, or accept the new one: `loadgate baseline refresh`",
        ),
        (false, None) => (
            format!("No baseline for {}.", plan.endpoint),
            "record one from a build that is known to be good: `loadgate baseline record`",
        ),
    };
    Finding::new(FindingKind::Baseline, Severity::Warn, Some(&plan.endpoint), reason).remedy(remedy)
}

/// One warning an instance, however many series it was left out of.
fn left_out(all: &[Series]) -> Vec<Finding> {
    let mut by_instance: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for series in all {
        for id in &series.left_out {
            by_instance.entry(id).or_default().push(format!("{} {}", series.endpoint, series.rule.metric));
        }
    }
    by_instance
        .into_iter()
        .map(|(id, places)| {
            let text = format!(
                "Baseline instance {id} is unlike all others and was left out of {}.",
                places.join(", ")
            );
            Finding::new(FindingKind::Baseline, Severity::Warn, None, text)
                .remedy("see `loadgate baseline show`; a disturbed run is best removed and recorded again")
        })
        .collect()
}

fn error_series(
    record: &RunRecord,
    i: usize,
    plan: &EndpointPlan,
    rule: &RegressionRule,
    reference: &Reference,
) -> ErrorSeries {
    let mut instances = BTreeMap::<String, (u64, u64)>::new();
    for run in &reference.runs {
        let sum = instances.entry(run.instance_key()).or_default();
        *sum = (sum.0 + run.errors, sum.1 + run.requests);
    }
    let candidates: BTreeSet<String> =
        record.runs.iter().map(|look| instance_key(&look.instance_id, look.build_id.as_deref())).collect();
    ErrorSeries {
        endpoint: plan.endpoint.clone(),
        rule: *rule,
        baseline: instances.into_values().collect(),
        candidate: (errors_of_target(&record.runs, i), looks_of(record, i).iter().map(|e| e.requests).sum()),
        candidate_instances: candidates.len(),
    }
}

/// `Err(None)`: a default rule without the samples for it; only shown.
fn quantile_series(
    record: &RunRecord,
    i: usize,
    plan: &EndpointPlan,
    rule: &RegressionRule,
    reference: &Reference,
    evidence: &Evidence,
) -> Result<Series, Option<Box<Finding>>> {
    let metric = rule.metric;
    let q = metric.quantile().ok_or(None)?;
    let fewest = looks_of(record, i).iter().map(|e| e.response.count()).min().unwrap_or(0);
    let missing = missing_requests(fewest, q, LEAST_TAIL_COMPARED);
    if missing > 0 {
        let needed = fewest + missing;
        let reason = format!(
            "Too few requests to compare {metric} of {} with its baseline: {fewest} of {needed}, {missing} missing.",
            plan.endpoint
        );
        let remedy =
            format!("use `for: {:.0}s` or a higher rate", seconds_for(needed, rate_of(record, i, plan)));
        let finding = Finding::new(FindingKind::Regression, Severity::Hold, Some(&plan.endpoint), reason)
            .about(metric)
            .remedy(remedy);
        return Err(rule.explicit.then(|| Box::new(finding)));
    }
    let baseline = baseline_instances(reference, metric, q);
    if baseline.is_empty() {
        let reason =
            format!("The baseline of {} has too few requests to compare {metric} with.", plan.endpoint);
        let finding = Finding::new(FindingKind::Baseline, Severity::Hold, Some(&plan.endpoint), reason)
            .about(metric)
            .remedy("record it anew with a longer stage");
        return Err(rule.explicit.then(|| Box::new(finding)));
    }
    let looks = record.runs.iter().enumerate().filter_map(|(number, look)| {
        let estimate = evidence.at(number, i, metric)?;
        Some(Instance {
            id: instance_key(&look.instance_id, look.build_id.as_deref()),
            group: look.build_id.clone(),
            runs: vec![number.to_string()],
            y: estimate.y,
            w2: estimate.w2,
        })
    });
    Ok(Series {
        endpoint: plan.endpoint.clone(),
        feature: plan.endpoint.split_once('/').map_or("", |(feature, _)| feature).to_owned(),
        rule: *rule,
        ignore: plan.rules.ignore(),
        baseline,
        candidate: Instance::averaged(looks),
        left_out: Vec::new(),
    })
}

pub fn baseline_instances(reference: &Reference, metric: Metric, q: f64) -> Vec<Instance> {
    let Metric::Quantile(key) = metric else { return Vec::new() };
    let enough = |run: &&ReferenceRun| missing_requests(run.response.count(), q, LEAST_TAIL_COMPARED) == 0;
    Instance::averaged(reference.runs.iter().filter(enough).filter_map(|run| {
        Some(Instance {
            id: run.instance_key(),
            group: run.group(),
            runs: vec![run.run_id.clone()],
            y: ln_quantile(&run.response, q)?,
            w2: run.w2.get(&key).copied().unwrap_or(0.0),
        })
    }))
}
