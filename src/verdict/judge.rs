use std::collections::BTreeSet;

use super::endpoint::endpoint_summary;
use super::errors::{self, ErrorSeries};
use super::limits::{self, QuantileEvidence};
use super::model::{
    Action, Cause, Comparison, Finding, FindingKind, GeneratorSummary, Outcome, Settled, Severity,
    VERDICT_FORMAT, Verdict,
};
use super::quantiles::{LEAST_TAIL_COMPARED, estimate, missing_requests, seconds_for};
use super::reference::Reference;
use super::statistics::{benjamini_hochberg, holm, mean};
use super::stored::{self, Levels, MOST_LOOKS, Series};
use super::{summary, validity};
use crate::exit_code::ExitCode;
use crate::metrics::{EndpointPlan, EndpointRecord, Repeat, RunRecord, SmokeStatus};
use crate::units::{Metric, RegressionRule};

/// What the caller accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allow {
    /// A missing baseline passes.
    pub no_baseline: bool,
    /// An unsettled comparison passes.
    pub unresolved: bool,
}

/// The verdict, and whether another look would help.
pub struct Judgement {
    pub verdict: Verdict,
    pub look_again: bool,
}

/// Whether an endpoint's latencies may prove anything.
type Trusted<'a> = &'a dyn Fn(&str) -> bool;

/// Everything that the comparison with stored runs came to.
#[derive(Default)]
struct Regression {
    findings: Vec<Finding>,
    comparisons: Vec<Comparison>,
    /// Endpoints without anything to compare with.
    without_baseline: usize,
    unresolved: bool,
    /// A change of at least δ is seen and one of Δ not excluded.
    suspect: bool,
}

/// Judges a record against references by the record's own rules and plan.
#[must_use]
pub fn judge(record: &RunRecord, references: &[Reference], allow: Allow) -> Judgement {
    let plans: Vec<&EndpointPlan> = record.scenarios.iter().flat_map(|s| &s.endpoints).collect();
    let mut findings = smoke_findings(record);
    let (generator, ailments) = validity::generator(record, &plans);
    let mut regression = Regression::default();
    if let Some(reason) = &record.not_ready {
        let text = format!("The target never became ready: {reason}.");
        findings.push(
            Finding::new(FindingKind::Validity, Severity::Hold, None, text)
                .remedy("start it, or give it longer with --wait"),
        );
    }
    if !record.runs.is_empty() {
        let unsound = validity::judge(record, &plans);
        let all_sound = generator.healthy && unsound.iter().all(|f| f.endpoint.is_some());
        let doubtful: BTreeSet<String> = unsound.iter().filter_map(|f| f.endpoint.clone()).collect();
        let trusted = |endpoint: &str| all_sound && !doubtful.contains(endpoint);
        for ailment in ailments {
            let text = format!("This machine could not measure properly: {}.", ailment.reason);
            findings
                .push(Finding::new(FindingKind::Validity, Severity::Hold, None, text).remedy(ailment.remedy));
        }
        findings.extend(unsound);
        let notes: BTreeSet<&String> = record.runs.iter().flat_map(|look| &look.notes).collect();
        findings.extend(
            notes
                .into_iter()
                .map(|note| Finding::new(FindingKind::Validity, Severity::Warn, None, note.as_str())),
        );
        findings.extend(validity::aborted(record));
        // A shard sees a part of the load; only all of them together are judged.
        if record.shard.is_none() {
            findings.extend(judge_limits(record, &plans, &trusted));
            regression = judge_regression(record, &plans, references, &trusted);
            findings.append(&mut regression.findings);
        }
    }
    let checked = record.smoke.as_ref().is_some_and(|smoke| !smoke.steps.is_empty());
    if record.runs.is_empty() && !checked && record.not_ready.is_none() {
        let text = "Nothing was checked and nothing was measured.";
        findings.push(Finding::new(FindingKind::Validity, Severity::Hold, None, text));
    }
    if record.interrupted.is_some() {
        // What was not finished is no reason to hold beside the interruption itself.
        findings.retain(|f| f.severity != Severity::Hold);
    }
    findings.sort_by_key(|f| f.severity);
    settle(record, &plans, findings, regression, generator, allow)
}

fn smoke_findings(record: &RunRecord) -> Vec<Finding> {
    let steps = record.smoke.iter().flat_map(|smoke| &smoke.steps);
    steps
        .filter_map(|step| {
            let message = step.message.as_deref().unwrap_or_default();
            match step.status {
                SmokeStatus::Failed => {
                    let text = format!(
                        "Broken: {} failed its functional check. {message} ({})",
                        step.endpoint, step.place
                    );
                    Some(Finding::new(FindingKind::Check, Severity::Fail, Some(&step.endpoint), text))
                }
                SmokeStatus::NearMiss => {
                    let text =
                        format!("Near-miss: {} passed only on its second try; {message}", step.endpoint);
                    Some(Finding::new(FindingKind::Check, Severity::Info, Some(&step.endpoint), text))
                }
                SmokeStatus::Passed | SmokeStatus::Skipped => None,
            }
        })
        .collect()
}

fn looks_of(record: &RunRecord, index: usize) -> Vec<&EndpointRecord> {
    record.runs.iter().filter_map(|look| look.endpoints.get(index)).collect()
}

/// What an endpoint's requests come at; in the closed model, what they came at.
fn rate_of(record: &RunRecord, index: usize, plan: &EndpointPlan) -> f64 {
    if plan.users.is_none() {
        return plan.rate_per_s;
    }
    mean(&looks_of(record, index).iter().map(|e| e.rate_achieved).collect::<Vec<_>>())
}

/// What failed on this machine proves nothing of the target; where that is known only in all, each endpoint is spared it.
fn errors_of_target(record: &RunRecord, index: usize) -> u64 {
    let looks = record.runs.iter().filter_map(|look| Some((look, look.endpoints.get(index)?)));
    looks.map(|(look, e)| e.error_count().saturating_sub(look.generator.local_failures)).sum()
}

fn judge_limits(record: &RunRecord, plans: &[&EndpointPlan], trusted: Trusted<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (i, plan) in plans.iter().enumerate() {
        let looks = looks_of(record, i);
        for limit in &plan.rules.limits {
            let found = if limit.metric == Metric::ErrorRate {
                let requests = looks.iter().map(|e| e.requests).sum();
                let errors = errors_of_target(record, i);
                limits::judge_errors(&plan.endpoint, limit, errors, requests, &classes(&looks))
            } else {
                let estimates =
                    record.runs.iter().filter_map(|look| estimate(look, i, limit.metric)).collect();
                let samples = looks.iter().map(|e| e.response.count()).sum();
                limits::judge_quantile(
                    &plan.endpoint,
                    limit,
                    &QuantileEvidence { estimates, samples },
                    rate_of(record, i, plan),
                )
            };
            findings.extend(found.map(|mut finding| {
                // A measurement that is not trusted proves no latency.
                if !trusted(&plan.endpoint)
                    && finding.severity == Severity::Fail
                    && limit.metric != Metric::ErrorRate
                {
                    finding.severity = Severity::Hold;
                }
                finding
            }));
        }
    }
    findings
}

fn classes(looks: &[&EndpointRecord]) -> String {
    let mut counts = std::collections::BTreeMap::new();
    for (class, count) in looks.iter().flat_map(|e| &e.errors) {
        *counts.entry(class.name()).or_insert(0) += count;
    }
    counts.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
}

fn judge_regression(
    record: &RunRecord,
    plans: &[&EndpointPlan],
    references: &[Reference],
    trusted: Trusted<'_>,
) -> Regression {
    let mut result = Regression::default();
    let mut quantiles: Vec<Series> = Vec::new();
    let mut rates: Vec<ErrorSeries> = Vec::new();
    for (i, plan) in plans.iter().enumerate().filter(|(_, plan)| !plan.rules.regression.is_empty()) {
        let known = references.iter().find(|r| r.endpoint == plan.endpoint);
        let Some(reference) = known.filter(|r| r.digest == plan.digest && !r.runs.is_empty()) else {
            result.without_baseline += 1;
            let reason = match known {
                Some(r) if !r.runs.is_empty() => format!(
                    "No baseline for {}: the stored one is of another request or stage, so it cannot be compared.",
                    plan.endpoint
                ),
                _ => format!("No baseline for {}.", plan.endpoint),
            };
            result.findings.push(
                Finding::new(FindingKind::Baseline, Severity::Warn, Some(&plan.endpoint), reason)
                    .remedy("record one from a build that is known to be good: `loadgate baseline record`"),
            );
            continue;
        };
        for rule in &plan.rules.regression {
            if rule.metric == Metric::ErrorRate {
                rates.push(error_series(record, i, plan, rule, reference));
            } else {
                match quantile_series(record, i, plan, rule, reference) {
                    Ok(series) => quantiles.push(series),
                    Err(Some(finding)) => result.findings.push(*finding),
                    Err(None) => {}
                }
            }
        }
    }
    let sequential = record.plan.repeat == Repeat::Auto && record.plan.restarts;
    let least_instances = quantiles.iter().map(|s| s.baseline.len()).min().unwrap_or(usize::MAX);
    let levels = Levels::at(sequential, record.runs.len(), least_instances);
    let compared = stored::compare(&quantiles, levels);
    result.suspect = compared.iter().any(|c| c.theta >= c.ignore_ln && c.upper >= c.delta_ln);
    result.comparisons = compared.into_iter().map(|c| c.comparison).collect();
    let phi = errors::overdispersion(&rates);
    let error_comparisons: Vec<Comparison> =
        rates.iter().map(|series| errors::compare(series, phi, levels)).collect();
    result.suspect |= error_comparisons.iter().any(|c| c.change > 0.0 && c.settled == Settled::Open);
    result.comparisons.extend(error_comparisons);
    decide(&mut result, levels, trusted);
    result
}

/// Pass before fail: a real change far below Δ is no regression.
fn decide(result: &mut Regression, levels: Levels, trusted: Trusted<'_>) {
    let open = result.comparisons.iter().any(|c| c.settled != Settled::Within);
    if !open {
        return;
    }
    // What an untrusted measurement says of latencies proves nothing; its errors still count.
    let p: Vec<f64> = result
        .comparisons
        .iter()
        .map(|c| if trusted(&c.endpoint) || c.metric == Metric::ErrorRate { c.p } else { 1.0 })
        .collect();
    let (set, confirmed) = if levels.judges {
        (benjamini_hochberg(&p, levels.alpha), holm(&p, levels.alpha))
    } else {
        (vec![false; p.len()], vec![false; p.len()])
    };
    for ((comparison, worse), confirmed) in result.comparisons.iter_mut().zip(set).zip(confirmed) {
        if worse {
            comparison.settled = Settled::Worse;
            result.findings.push(summary::regression_finding(comparison, confirmed));
        }
    }
    result.unresolved = result.comparisons.iter().any(|c| c.settled == Settled::Open);
}

fn error_series(
    record: &RunRecord,
    i: usize,
    plan: &EndpointPlan,
    rule: &RegressionRule,
    reference: &Reference,
) -> ErrorSeries {
    let looks = looks_of(record, i);
    let mut instances = std::collections::BTreeMap::<&str, (u64, u64)>::new();
    for run in &reference.runs {
        let sum = instances.entry(run.instance_id.as_str()).or_default();
        *sum = (sum.0 + run.errors, sum.1 + run.requests);
    }
    ErrorSeries {
        endpoint: plan.endpoint.clone(),
        rule: *rule,
        baseline: instances.into_values().collect(),
        candidate: (errors_of_target(record, i), looks.iter().map(|e| e.requests).sum()),
        candidate_instances: record.runs.len(),
    }
}

/// `Err(None)`: a default rule without the samples for it; only shown.
fn quantile_series(
    record: &RunRecord,
    i: usize,
    plan: &EndpointPlan,
    rule: &RegressionRule,
    reference: &Reference,
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
            .remedy(remedy);
        return Err(rule.explicit.then(|| Box::new(finding)));
    }
    let (baseline, baseline_w2) = stored::baseline_instances(reference, metric);
    if baseline.is_empty() {
        let reason =
            format!("The baseline of {} has too few requests to compare {metric} with.", plan.endpoint);
        let finding = Finding::new(FindingKind::Baseline, Severity::Hold, Some(&plan.endpoint), reason)
            .remedy("record it anew with a longer stage");
        return Err(rule.explicit.then(|| Box::new(finding)));
    }
    let estimates =
        record.runs.iter().filter_map(|look| Some((look.instance_id.as_str(), estimate(look, i, metric)?)));
    let (candidate, candidate_w2) = stored::candidate_instances(estimates);
    let w2: Vec<f64> = baseline_w2.into_iter().chain(candidate_w2).collect();
    Ok(Series {
        endpoint: plan.endpoint.clone(),
        rule: *rule,
        ignore: plan.rules.ignore(),
        baseline,
        candidate,
        w2: mean(&w2),
    })
}

/// Puts everything together by precedence: interrupted, then proven fail > hold > no baseline > pass.
fn settle(
    record: &RunRecord,
    plans: &[&EndpointPlan],
    findings: Vec<Finding>,
    regression: Regression,
    generator: GeneratorSummary,
    allow: Allow,
) -> Judgement {
    let safety = record.plan.gate == "safety";
    let failed = findings.iter().any(|f| f.severity == Severity::Fail);
    let invalid = findings.iter().any(|f| f.kind == FindingKind::Validity && f.severity == Severity::Hold);
    let held = findings.iter().any(|f| f.severity == Severity::Hold);
    let unresolved = regression.unresolved && !failed;
    let at_limit = findings.iter().any(|f| f.kind == FindingKind::Limit && f.severity == Severity::Hold);
    let sequential = record.plan.repeat == Repeat::Auto && record.plan.restarts;
    let look_again = sequential
        && record.runs.len() < MOST_LOOKS
        && record.interrupted.is_none()
        && !failed
        && !invalid
        && unresolved
        && (safety || regression.suspect);
    let holds_unresolved = unresolved && safety && !allow.unresolved;
    let (outcome, cause, action, code) = match record.interrupted.as_deref() {
        Some("SIGTERM") => (Outcome::Interrupted, None, Action::Hold, ExitCode::Terminated),
        Some("crash" | "a fault of loadgate") => {
            (Outcome::Interrupted, None, Action::Hold, ExitCode::Harness)
        }
        Some(_) => (Outcome::Interrupted, None, Action::Hold, ExitCode::Interrupted),
        None if record.shard.is_some() && !record.runs.is_empty() => {
            (Outcome::Partial, None, Action::Hold, ExitCode::Pass)
        }
        None if failed => (Outcome::Fail, None, Action::RollBack, ExitCode::Fail),
        None if invalid => (Outcome::Inconclusive, Some(Cause::Invalid), Action::Hold, ExitCode::Hold),
        None if at_limit || (held && !allow.unresolved) || holds_unresolved => {
            (Outcome::Inconclusive, Some(Cause::Unresolved), Action::Hold, ExitCode::Hold)
        }
        None if regression.without_baseline > 0 && !allow.no_baseline => {
            (Outcome::NoBaseline, None, Action::Hold, ExitCode::NoBaseline)
        }
        None => (Outcome::Pass, None, Action::Go, ExitCode::Pass),
    };
    let mut verdict = Verdict {
        format: VERDICT_FORMAT,
        run_id: record.id.clone(),
        started: record.started.clone(),
        outcome,
        cause,
        action,
        exit_code: code.code(),
        gate: record.plan.gate.clone(),
        summary: String::new(),
        looks: record.runs.len(),
        findings,
        endpoints: plans
            .iter()
            .enumerate()
            .map(|(i, plan)| endpoint_summary(&looks_of(record, i), plan))
            .collect(),
        comparisons: regression.comparisons,
        generator,
    };
    if unresolved && record.interrupted.is_none() {
        verdict.findings.extend(summary::open_findings(&verdict.comparisons, safety && !allow.unresolved));
        verdict.findings.sort_by_key(|f| f.severity);
    }
    verdict.summary = summary::first_line(&verdict, record, regression.without_baseline);
    Judgement { verdict, look_again }
}
