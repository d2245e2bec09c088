//! Plain words first, then the statistics.

use super::alerts;
use super::model::{Action, Cause, Comparison, Finding, FindingKind, Outcome, Settled, Severity, Verdict};
use crate::metrics::{EarlyStop, RunRecord, SmokeStatus};
use crate::units::{self, Metric, change_of, counted, format_ms, format_share, visible_change};

fn with_interval(c: &Comparison) -> String {
    units::with_interval(c.metric, c.change, c.interval, c.level)
}

/// A proven regression, in two lines' worth of words.
pub fn regression_finding(comparison: &Comparison, confirmed: bool) -> Finding {
    let (observed, reference) = (comparison.observed, comparison.reference);
    let against = format!(
        "{} against {}",
        counted(comparison.candidate_instances, "instance"),
        comparison.baseline_instances
    );
    let (kind, text) = match comparison.metric.quantile() {
        Some(q) => {
            let words = format!(
                "Slower: 1 in {:.0} users waits over {}, was {}. REGRESSION {} {} {}{}, {against}, run noise ±{:.1}%{}",
                1.0 / (1.0 - q),
                format_ms(observed),
                format_ms(reference),
                comparison.endpoint,
                comparison.metric,
                with_interval(comparison),
                beyond_others(comparison),
                comparison.noise * 100.0,
                smallest(comparison)
            );
            (FindingKind::Regression, words)
        }
        None => {
            let words = format!(
                "More errors: {} of its requests fail, before {}. REGRESSION {} error_rate {}, {against}",
                format_share(observed),
                format_share(reference),
                comparison.endpoint,
                with_interval(comparison)
            );
            (FindingKind::Errors, words)
        }
    };
    let mut finding = Finding::new(kind, Severity::Fail, Some(&comparison.endpoint), text);
    finding.confirmed = confirmed;
    carried(finding, comparison)
}

/// The candidate is proven worse than the control beside it; `requests` went to each arm.
pub fn beside_finding(comparison: &Comparison, confirmed: bool, requests: u64) -> Finding {
    let (observed, reference) = (comparison.observed, comparison.reference);
    let (kind, words) = match comparison.metric.quantile() {
        Some(q) => (
            FindingKind::Regression,
            format!(
                "Slower: 1 in {:.0} users waits over {}, the control's over {}",
                1.0 / (1.0 - q),
                format_ms(observed),
                format_ms(reference)
            ),
        ),
        None => (
            FindingKind::Errors,
            format!(
                "More errors: {} of its requests fail, of the control's {}",
                format_share(observed),
                format_share(reference)
            ),
        ),
    };
    let text = format!(
        "{words}. REGRESSION {} {} {}, {} side by side{}",
        comparison.endpoint,
        comparison.metric,
        with_interval(comparison),
        counted(requests as usize, "request"),
        smallest(comparison)
    );
    let mut finding = Finding::new(kind, Severity::Fail, Some(&comparison.endpoint), text);
    finding.confirmed = confirmed;
    carried(finding, comparison)
}

/// Real users of the candidate are proven to meet more errors than those of the control.
pub fn users_finding(comparison: &Comparison, confirmed: bool, requests: u64) -> Finding {
    let text = format!(
        "Real users are worse off: {} of their requests fail on the candidate, {} on the control. REGRESSION {} {} {}, {} or more on each arm",
        format_share(comparison.observed),
        format_share(comparison.reference),
        comparison.endpoint,
        comparison.metric,
        with_interval(comparison),
        counted(requests as usize, "request")
    );
    let mut finding = Finding::new(FindingKind::Errors, Severity::Fail, Some(&comparison.endpoint), text);
    finding.confirmed = confirmed;
    carried(finding, comparison)
}

/// The evidence against the candidate sufficed before the next look.
pub fn early_finding(stop: &EarlyStop) -> Finding {
    let after_s = stop.at_ms as f64 / 1e3;
    let (own, other) = (format_share(stop.candidate), format_share(stop.control));
    let endpoint = &stop.endpoint;
    let text = match (stop.beyond_ms, stop.breaker) {
        (Some(beyond_ms), _) => format!(
            "Slower: {own} of {endpoint}'s requests take over {}, of the control's {other}. STOPPED after {after_s:.0} s: the evidence against {} is {:.0} to 1, 250 suffice",
            format_ms(beyond_ms),
            stop.metric,
            stop.evidence
        ),
        (None, true) => format!(
            "Broken: {own} of {endpoint}'s latest requests fail, of the control's {other}. STOPPED after {after_s:.0} s"
        ),
        (None, false) => format!(
            "More errors: {own} of {endpoint}'s requests fail, of the control's {other}. STOPPED after {after_s:.0} s: the evidence against it is {:.0} to 1, 250 suffice",
            stop.evidence
        ),
    };
    let kind = if stop.metric == Metric::ErrorRate { FindingKind::Errors } else { FindingKind::Regression };
    let finding = Finding::new(kind, Severity::Fail, Some(endpoint), text);
    if stop.metric == Metric::ErrorRate {
        let mut finding = finding.measured(stop.metric, stop.candidate, stop.control);
        finding.change = Some(stop.candidate - stop.control);
        return finding;
    }
    finding.about(stop.metric)
}

/// Where the comparison with the other features says more than that with the past.
fn beyond_others(comparison: &Comparison) -> String {
    match &comparison.contrast {
        Some(contrast) if contrast.p < comparison.p => format!(
            ", {:+.1}% [{:+.1}, {:+.1}] beyond the other features",
            contrast.change * 100.0,
            contrast.interval[0] * 100.0,
            contrast.interval[1] * 100.0
        ),
        _ => String::new(),
    }
}

fn smallest(comparison: &Comparison) -> String {
    // A change below it that is proven all the same was one of several, or lucky: the figure would only puzzle.
    comparison.detectable.filter(|least| *least <= comparison.change).map_or(String::new(), |least| {
        format!(", smallest detectable {}", visible_change(least, 1).replace('+', ""))
    })
}

fn carried(finding: Finding, comparison: &Comparison) -> Finding {
    let mut finding = finding.measured(comparison.metric, comparison.observed, comparison.reference);
    finding.change = Some(comparison.change);
    finding.interval = Some(comparison.interval);
    finding.level = Some(comparison.level);
    finding
}

fn allowed(comparison: &Comparison) -> String {
    if comparison.metric == Metric::ErrorRate {
        format!("+{:.2} points", comparison.delta * 100.0)
    } else {
        format!("+{:.0}%", comparison.delta * 100.0)
    }
}

/// One finding for each comparison that is not settled.
pub fn open_findings(verdict: &Verdict, record: &RunRecord, hold: bool) -> Vec<Finding> {
    let (comparisons, restarts) = (&verdict.comparisons, record.plan.restarts);
    let severity = if hold { Severity::Hold } else { Severity::Info };
    let passable = comparisons
        .iter()
        .filter(|c| c.settled == Settled::Open)
        .filter_map(|c| c.passable.filter(|least| *least > c.delta))
        .fold(0.0, f64::max);
    let remedy = if record.control.is_some() {
        "a longer run (`--for`) or a higher rate would settle it".to_owned()
    } else if restarts {
        "more looks, or a longer history of baselines, would settle it".to_owned()
    } else if passable > 0.0 {
        format!(
            "one look against these baselines settles only a Δ of {:.0}% or more: give --restart-hook for more looks, or record more instances",
            (passable * 100.0).ceil()
        )
    } else {
        "more looks at restarted instances (--restart-hook), or a longer history of baselines, would settle it".to_owned()
    };
    let open = comparisons.iter().filter(|c| c.settled == Settled::Open);
    open.map(|comparison| {
        let text = format!(
            "Not shown safe, not shown bad: {} {} {}, allowed {}.",
            comparison.endpoint,
            comparison.metric,
            with_interval(comparison),
            allowed(comparison)
        );
        let kind = if comparison.metric == Metric::ErrorRate {
            FindingKind::Errors
        } else {
            FindingKind::Regression
        };
        let finding = Finding::new(kind, severity, Some(&comparison.endpoint), text).remedy(remedy.as_str());
        carried(finding, comparison)
    })
    .collect()
}

/// Action, ground, number.
pub fn first_line(verdict: &Verdict, record: &RunRecord, without_baseline: usize) -> String {
    let action = match verdict.action {
        Action::Go => "GO",
        Action::Hold => "HOLD",
        Action::RollBack => "ROLL BACK",
    };
    if let (Outcome::Partial, Some(shard)) = (verdict.outcome, record.shard) {
        let requests: u64 = verdict.endpoints.iter().map(|e| e.requests).sum();
        let (index, count) = (shard.index, shard.count);
        return format!(
            "PARTIAL. Shard {index}/{count} is recorded with {requests} requests; only all shards together are judged."
        );
    }
    let ground = match (verdict.outcome, verdict.cause) {
        (Outcome::Interrupted, _) => {
            let why = interruption(record.interrupted.as_deref().unwrap_or("a signal"));
            format!("{why}: what was measured until then is kept, and is no pass.{}", proven(verdict))
        }
        (Outcome::Fail, _) => leading(verdict, Severity::Fail),
        (Outcome::Inconclusive, Some(Cause::Invalid)) => {
            let said = if record.control.is_some() {
                "Nothing is known of the candidate."
            } else {
                "The measurement cannot be trusted."
            };
            format!("{said} {}", leading_of(verdict, Severity::Hold, FindingKind::Validity))
        }
        (Outcome::Inconclusive, _) => leading(verdict, Severity::Hold),
        (Outcome::NoBaseline, _) => format!(
            "No baseline for {without_baseline} of {} endpoints; everything else passed.",
            verdict.endpoints.len()
        ),
        (Outcome::Pass | Outcome::Partial, _) => passed(verdict, record, without_baseline),
    };
    // Whoever is paged reads no further than this.
    let alert = verdict.alerts.first().map_or_else(String::new, |alert| {
        let more = match verdict.alerts.len() - 1 {
            0 => String::new(),
            more => format!(" (and {})", counted(more, "more alert")),
        };
        format!("{} → {}{more}. ", alerts::told(alert), alert.respond)
    });
    format!("{action}. {alert}{ground}")
}

/// Why a run did not come to its end, from what its record says of it.
#[must_use]
pub fn interruption(cause: &str) -> String {
    match cause {
        "crash" => "Cut off: loadgate was killed, or fell over".to_owned(),
        signal => format!("Interrupted by {signal}"),
    }
}

fn proven(verdict: &Verdict) -> String {
    let fails = verdict.findings.iter().filter(|f| f.severity == Severity::Fail).count();
    if fails == 0 {
        String::new()
    } else {
        format!(" Proven before that: {}", leading(verdict, Severity::Fail))
    }
}

/// The first finding of a severity, and how many more there are.
fn leading(verdict: &Verdict, severity: Severity) -> String {
    words(verdict.findings.iter().filter(|f| f.severity == severity))
}

fn leading_of(verdict: &Verdict, severity: Severity, kind: FindingKind) -> String {
    words(verdict.findings.iter().filter(|f| f.severity == severity && f.kind == kind))
}

fn words<'a>(mut findings: impl Iterator<Item = &'a Finding>) -> String {
    let Some(first) = findings.next() else { return String::new() };
    match findings.count() {
        0 => first.reason.clone(),
        more => format!("{} (and {more} more)", first.reason),
    }
}

fn passed(verdict: &Verdict, record: &RunRecord, without_baseline: usize) -> String {
    if record.runs.is_empty() {
        let steps = || record.smoke.iter().flat_map(|smoke| &smoke.steps);
        let skipped = steps().filter(|step| step.status == SmokeStatus::Skipped).count();
        let steps = steps().count();
        return match skipped {
            0 if steps == 1 => "The one functional step passed; no load was sent.".to_owned(),
            0 => format!("All {steps} functional steps passed; no load was sent."),
            _ => format!(
                "All {} functional steps that were sent passed, {skipped} of {steps} were skipped; no load was sent.",
                steps - skipped
            ),
        };
    }
    let plans = record.scenarios.iter().flat_map(|s| &s.endpoints);
    let judged = plans.zip(&verdict.endpoints).filter(|(plan, own)| !plan.shown_only && own.requests > 0);
    let endpoints = counted(judged.count(), "endpoint");
    let latencies = || verdict.comparisons.iter().filter(|c| c.metric != Metric::ErrorRate);
    let widest = verdict
        .comparisons
        .iter()
        .filter(|c| c.settled == Settled::Open)
        .max_by(|a, b| (a.interval[1] / a.delta).total_cmp(&(b.interval[1] / b.delta)));
    let unpaired = match without_baseline {
        0 => String::new(),
        n => format!(" {n} of them have no baseline, which was allowed."),
    };
    if let Some(open) = widest {
        let (most, endpoint) = (change_of(open.metric, open.interval[1]), &open.endpoint);
        return format!(
            "PASS: no regression found; up to {most} not excluded ({endpoint} {}).{unpaired}",
            open.metric
        );
    }
    let nearest = latencies().max_by(|a, b| (a.interval[1] / a.delta).total_cmp(&(b.interval[1] / b.delta)));
    match nearest {
        None => format!("PASS: {endpoints} within limits.{unpaired}"),
        Some(c) => {
            let worst = format!("{} {} {}", c.endpoint, c.metric, with_interval(c));
            let than = if record.control.is_some() { " beside the control" } else { "" };
            format!(
                "PASS: {endpoints} within limits and no slower than allowed{than}; closest is {worst}.{unpaired}"
            )
        }
    }
}
