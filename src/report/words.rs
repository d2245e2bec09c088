//! Sentences that several formats share.

use super::model::{ReportModel, clock_after};
use crate::units::{Metric, change_of, counted, format_ms, level_of, with_interval};
use crate::verdict::{Acceptance, Impact, ImpactMetric, RuleKind, RuleResult, RuleStatus, Transient};

/// One rule in words.
pub struct ToldRule {
    /// `p95 < 400 ms`, `p95 no more than +10.0%`
    pub rule: String,
    /// `131 ms`, `+3.2% [-2.0, +8.1] (98%)`
    pub observed: String,
    pub status: &'static str,
}

#[must_use]
pub fn told(rule: &RuleResult) -> ToldRule {
    let metric = rule.metric;
    let text = match rule.kind {
        RuleKind::Limit => format!("{metric} < {}", level_of(metric, rule.allowed)),
        RuleKind::Regression => format!("{metric} no more than {}", change_of(metric, rule.allowed)),
    };
    let observed = match (rule.kind, rule.observed, rule.interval, rule.level) {
        (_, None, ..) => "–".to_owned(),
        (RuleKind::Limit, Some(value), ..) => level_of(metric, value),
        (_, Some(change), Some(interval), Some(level)) => with_interval(metric, change, interval, level),
        (_, Some(change), ..) => change_of(metric, change),
    };
    ToldRule { rule: text, observed, status: status(rule.status) }
}

#[must_use]
pub fn status(status: RuleStatus) -> &'static str {
    match status {
        RuleStatus::Held => "held",
        RuleStatus::Broken => "BROKEN",
        RuleStatus::Undecided => "undecided",
        RuleStatus::Tolerated => "not excluded",
        RuleStatus::NotJudged => "not judged",
    }
}

#[must_use]
pub fn acceptance(acceptance: Acceptance) -> &'static str {
    match acceptance {
        Acceptance::Accepted => "accepted",
        Acceptance::NotAccepted => "NOT ACCEPTED",
        Acceptance::NotProven => "not proven",
    }
}

/// The name of a quantity of all endpoints together, and the metric whose unit it has.
#[must_use]
pub fn quantity(impact: &Impact) -> (&'static str, Metric) {
    match impact.metric {
        ImpactMetric::MeanResponse => ("average response time", Metric::P50),
        ImpactMetric::P95 => ("p95", Metric::P95),
        ImpactMetric::ErrorRate => ("error rate", Metric::ErrorRate),
    }
}

/// `p95 of all endpoints together: 125 ms before, 126 ms after, +0.8% [-3.1, +4.9] (90%), allowed +2.0%: not proven`
#[must_use]
pub fn told_impact(impact: &Impact) -> String {
    let (name, metric) = quantity(impact);
    format!(
        "{name} of {} together: {} before, {} after, {}, allowed {}: {}",
        told_endpoints(impact),
        level_of(metric, impact.before),
        level_of(metric, impact.after),
        with_interval(metric, impact.change, impact.interval, impact.level),
        change_of(metric, impact.allowed),
        acceptance(impact.acceptance)
    )
}

/// `all endpoints`, or `9 of 10 endpoints` where the others have nothing to compare with.
#[must_use]
pub fn told_endpoints(impact: &Impact) -> String {
    match (impact.endpoints, impact.of_endpoints) {
        (some, all) if some < all => format!("{some} of {}", counted(all, "endpoint")),
        _ => "all endpoints".to_owned(),
    }
}

/// When a transient was: `13:46:02 UTC`, else since the beginning of its look's window.
#[must_use]
pub fn when(model: &ReportModel, transient: &Transient) -> String {
    let look = model.record.runs.iter().find(|look| look.look == transient.look);
    let at = look.and_then(|l| clock_after(&l.started, l.warmup.length_ms + transient.start_ms));
    at.map_or_else(|| format!("{} in", format_ms(transient.start_ms as f64)), |at| format!("{at} UTC"))
}

/// Below this factor it was not slowness.
const SLOWER: f64 = 1.2;

/// What a transient did, in one line.
#[must_use]
pub fn told_transient(model: &ReportModel, transient: &Transient) -> String {
    let length = format_ms((transient.end_ms - transient.start_ms) as f64);
    let kind = if transient.recovered { "near-miss, recovered" } else { "lasted to the end" };
    let worst = transient.endpoints.iter().max_by(|a, b| {
        (a.peak_ms / a.usual_ms).total_cmp(&(b.peak_ms / b.usual_ms)).then(a.errors.cmp(&b.errors))
    });
    let size = worst.map_or(String::new(), |d| {
        if d.errors > 0 && d.peak_ms < d.usual_ms * SLOWER {
            return format!(
                "{} failed {} of {}",
                d.endpoint,
                d.errors,
                counted(d.requests as usize, "request")
            );
        }
        let (peak, usual) = (format_ms(d.peak_ms), format_ms(d.usual_ms));
        format!("p95 of {} reached {peak}, usually {usual}", d.endpoint)
    });
    let errors: u64 = transient.endpoints.iter().map(|d| d.errors).sum();
    let failed = if errors > 0 { format!(", {}", counted(errors as usize, "error")) } else { String::new() };
    let others = match transient.endpoints.len() {
        0 | 1 => String::new(),
        n => format!(" ({} in all)", counted(n, "endpoint")),
    };
    let look =
        if model.record.runs.len() > 1 { format!(" of look {}", transient.look) } else { String::new() };
    format!("{}{look}, for {length}: {size}{others}{failed}; {kind}", when(model, transient))
}
