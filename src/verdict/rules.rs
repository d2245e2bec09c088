use serde::Serialize;

use super::judge::errors_of_target;
use super::model::{Comparison, EndpointSummary, Finding, FindingKind, Outcome, Settled, Severity, Verdict};
use super::statistics::mean;
use crate::metrics::{EndpointPlan, RunRecord};
use crate::units::Metric;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleKind {
    Limit,
    Regression,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleStatus {
    Held,
    /// Proven broken.
    Broken,
    /// Could not be told, and holds.
    Undecided,
    /// Could not be told, and the gate lets it pass.
    Tolerated,
    /// Never came to be judged; why stands among the findings of the run.
    NotJudged,
}

/// What became of one rule of one endpoint.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleResult {
    pub endpoint: String,
    pub kind: RuleKind,
    pub metric: Metric,
    pub status: RuleStatus,
    /// Milliseconds or a fraction; of a regression rule the relative change (of error rates: the difference).
    pub observed: Option<f64>,
    /// The limit, or Δ, in the same unit.
    pub allowed: f64,
    pub interval: Option<[f64; 2]>,
    /// Confidence of the interval.
    pub level: Option<f64>,
    /// What the verdict says of it.
    pub reason: Option<String>,
    pub remedy: Option<String>,
}

/// Every rule of every endpoint with what became of it, in the order of the plan.
#[must_use]
pub fn rule_results(verdict: &Verdict, record: &RunRecord) -> Vec<RuleResult> {
    let plans = record.scenarios.iter().flat_map(|s| &s.endpoints).enumerate();
    let judged = plans.filter(|(_, plan)| !plan.shown_only && !record.runs.is_empty());
    judged.flat_map(|(number, plan)| of_endpoint(verdict, record, plan, number)).collect()
}

fn of_endpoint(verdict: &Verdict, record: &RunRecord, plan: &EndpointPlan, number: usize) -> Vec<RuleResult> {
    // What was broken off tells what it proved until then, and no more.
    let partial = !is_whole(verdict, record);
    // What was allowed to pass does not hold.
    let open = if verdict.outcome == Outcome::Pass { RuleStatus::Tolerated } else { RuleStatus::Undecided };
    let not_excluded = if tolerates(verdict) { RuleStatus::Tolerated } else { RuleStatus::Undecided };
    let sent = verdict.endpoints.get(number).is_some_and(|endpoint| endpoint.requests > 0);
    let untrusted = doubt(verdict, &plan.endpoint);
    let limits = plan.rules.limits.iter().map(|limit| {
        let finding = finding_of(verdict, plan, limit.metric, &[FindingKind::Limit]);
        let status = match finding.map(|f| f.severity) {
            Some(Severity::Fail) => RuleStatus::Broken,
            Some(Severity::Hold) => open,
            _ if partial || !sent => RuleStatus::NotJudged,
            // What a saturated generator measured is no proof of a good latency either.
            _ if untrusted.is_some() && limit.metric != Metric::ErrorRate => RuleStatus::NotJudged,
            _ => RuleStatus::Held,
        };
        RuleResult {
            endpoint: plan.endpoint.clone(),
            kind: RuleKind::Limit,
            metric: limit.metric,
            status,
            observed: finding.and_then(|f| f.observed).or_else(|| observed(record, number, limit.metric)),
            allowed: limit.below,
            interval: None,
            level: None,
            reason: finding
                .or(untrusted.filter(|_| status == RuleStatus::NotJudged))
                .map(|f| f.reason.clone()),
            remedy: finding.and_then(|f| f.remedy.clone()),
        }
    });
    let regressions = plan.rules.regression.iter().map(|rule| {
        let finding = finding_of(verdict, plan, rule.metric, &[FindingKind::Regression, FindingKind::Errors]);
        let comparison =
            verdict.comparisons.iter().find(|c| c.endpoint == plan.endpoint && c.metric == rule.metric);
        let without = verdict
            .findings
            .iter()
            .find(|f| f.kind == FindingKind::Baseline && f.endpoint.as_ref() == Some(&plan.endpoint));
        let latency = rule.metric != Metric::ErrorRate;
        let status = match (finding.map(|f| f.severity), comparison) {
            (Some(Severity::Fail), _) => RuleStatus::Broken,
            (Some(Severity::Hold), _) => open,
            (_, Some(_)) if partial || (untrusted.is_some() && latency) => RuleStatus::NotJudged,
            (_, Some(Comparison { settled: Settled::Within, .. })) => RuleStatus::Held,
            (_, Some(Comparison { settled: Settled::Worse, .. })) => RuleStatus::Broken,
            (Some(Severity::Info), Some(_)) => RuleStatus::Tolerated,
            (_, Some(Comparison { settled: Settled::Open, .. })) => not_excluded,
            (_, None) if verdict.outcome == Outcome::NoBaseline && without.is_some() => RuleStatus::Undecided,
            (_, None) => RuleStatus::NotJudged,
        };
        let told = finding.or(without.filter(|_| comparison.is_none()));
        RuleResult {
            endpoint: plan.endpoint.clone(),
            kind: RuleKind::Regression,
            metric: rule.metric,
            status,
            observed: comparison.map(|c| c.change),
            allowed: comparison.map_or(rule.delta.share, |c| c.delta),
            interval: comparison.map(|c| c.interval),
            level: comparison.map(|c| c.level),
            reason: told.or(untrusted.filter(|_| status == RuleStatus::NotJudged)).map(|f| f.reason.clone()),
            remedy: told.and_then(|f| f.remedy.clone()),
        }
    });
    limits.chain(regressions).collect()
}

/// The gravest finding about this metric.
fn finding_of<'a>(
    verdict: &'a Verdict,
    plan: &EndpointPlan,
    metric: Metric,
    kinds: &[FindingKind],
) -> Option<&'a Finding> {
    let of = verdict.findings.iter().filter(|f| {
        kinds.contains(&f.kind) && f.endpoint.as_ref() == Some(&plan.endpoint) && f.metric == Some(metric)
    });
    of.min_by_key(|f| f.severity)
}

/// As limits see it: the geometric mean of the looks' quantiles; errors of all looks together.
fn observed(record: &RunRecord, number: usize, metric: Metric) -> Option<f64> {
    let looks = || record.runs.iter().filter_map(|look| look.endpoints.get(number));
    let Some(q) = metric.quantile() else {
        let requests: u64 = looks().map(|look| look.requests).sum();
        return (requests > 0).then(|| errors_of_target(&record.runs, number) as f64 / requests as f64);
    };
    let logarithms: Vec<f64> = looks().filter_map(|look| Some(look.response.quantile_ms(q)?.ln())).collect();
    (!logarithms.is_empty()).then(|| mean(&logarithms).exp())
}

/// How an endpoint stands, all its rules together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Ok,
    Fail,
    Hold,
    /// A change is not excluded, which this gate lets pass.
    Open,
    NoBaseline,
    /// A ramp, or the attempts of a poll: never judged.
    Shown,
    /// A part of a load, or one that was broken off.
    Recorded,
    NotSent,
}

impl Standing {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Fail => "FAIL",
            Self::Hold => "hold",
            Self::Open => "unsettled",
            Self::NoBaseline => "no baseline",
            Self::Shown => "shown",
            Self::Recorded => "recorded",
            Self::NotSent => "not sent",
        }
    }
}

#[must_use]
pub fn standing(
    verdict: &Verdict,
    record: &RunRecord,
    plan: &EndpointPlan,
    summary: &EndpointSummary,
) -> Standing {
    // An alert tells people, and decides nothing.
    let of =
        |f: &&Finding| f.endpoint.as_deref() == Some(plan.endpoint.as_str()) && f.kind != FindingKind::Alert;
    let worst = verdict.findings.iter().filter(of).map(|f| f.severity).min();
    let compared = || verdict.comparisons.iter().filter(|c| c.endpoint == plan.endpoint);
    let open = compared().any(|c| c.settled == Settled::Open);
    let of_comparison = |f: &Finding| matches!(f.kind, FindingKind::Regression | FindingKind::Errors);
    let let_pass =
        verdict.findings.iter().filter(of).any(|f| f.severity == Severity::Info && of_comparison(f));
    match worst {
        _ if summary.requests == 0 => Standing::NotSent,
        _ if plan.shown_only => Standing::Shown,
        _ if verdict.outcome == Outcome::Partial => Standing::Recorded,
        Some(Severity::Fail) => Standing::Fail,
        Some(Severity::Hold) if verdict.outcome == Outcome::Pass => Standing::Open,
        Some(Severity::Hold) => Standing::Hold,
        _ if !is_whole(verdict, record) => Standing::Recorded,
        _ if doubt(verdict, &plan.endpoint).is_some() => Standing::Hold,
        Some(Severity::Warn) if compared().next().is_none() => Standing::NoBaseline,
        _ if open && (let_pass || tolerates(verdict)) => Standing::Open,
        _ if open => Standing::Hold,
        _ => Standing::Ok,
    }
}

/// Whether a change that is not excluded passes this gate.
fn tolerates(verdict: &Verdict) -> bool {
    verdict.gate != "safety" || verdict.outcome == Outcome::Pass
}

/// What speaks against the measurement of an endpoint, or of the whole run.
pub fn doubt<'a>(verdict: &'a Verdict, endpoint: &str) -> Option<&'a Finding> {
    doubts(verdict).find(|f| f.endpoint.as_ref().is_none_or(|own| own == endpoint))
}

fn doubts(verdict: &Verdict) -> impl Iterator<Item = &Finding> {
    verdict.findings.iter().filter(|f| f.kind == FindingKind::Validity && f.severity == Severity::Hold)
}

/// Whether the latencies of one endpoint prove anything.
#[must_use]
pub fn trusted_at(verdict: &Verdict, record: &RunRecord, endpoint: &str) -> bool {
    is_whole(verdict, record) && verdict.generator.healthy && doubt(verdict, endpoint).is_none()
}

/// Whether the latencies of all endpoints together prove anything: they do not where the measurement was broken off or is
/// only a part.
#[must_use]
pub fn trusted(verdict: &Verdict, record: &RunRecord) -> bool {
    is_whole(verdict, record) && verdict.generator.healthy && doubts(verdict).next().is_none()
}

/// Whether a measurement came to its end and is all of it.
pub(super) fn is_whole(verdict: &Verdict, record: &RunRecord) -> bool {
    !matches!(verdict.outcome, Outcome::Interrupted | Outcome::Partial)
        && record.runs.iter().all(|look| look.abort.is_none())
}
