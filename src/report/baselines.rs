use std::fmt::Write as _;

use jiff::Timestamp;

use super::table::grid;
use crate::baseline::{AnchorDocument, Stored};
use crate::metrics::RunRecord;
use crate::units::{Metric, Rules, format_ms, visible_change};
use crate::verdict::{Comparison, Finding, FindingKind, Outlook, Reference, Settled, Severity, Verdict};

/// What is stored of a feature and what it is good for.
pub struct Shown<'a> {
    pub feature: &'a str,
    pub stored: &'a [Stored],
    /// What a verdict compares with.
    pub references: &'a [Reference],
    pub anchor: &'a AnchorDocument,
    /// Of all features together.
    pub outlooks: &'a [Outlook],
    pub now: Timestamp,
}

/// Level, noise, headroom and what one look could tell of each endpoint, and where each run came from.
#[must_use]
pub fn render_baselines(shown: &Shown<'_>) -> String {
    let mut out = format!("{}\n", shown.feature);
    let rows: Vec<Vec<String>> = shown
        .outlooks
        .iter()
        .filter(|outlook| shown.references.iter().any(|r| r.endpoint == outlook.endpoint))
        .map(|outlook| outlook_row(outlook, shown))
        .collect();
    let header = [
        "endpoint",
        "",
        "level",
        "noise",
        "instances",
        "headroom",
        "best ever",
        "Δ",
        "one look proves",
        "one look passes",
    ];
    if !rows.is_empty() {
        let _ = writeln!(out, "{}\n", grid(&header, &rows));
    }
    let rows: Vec<Vec<String>> = shown.references.iter().map(error_row).collect();
    let _ = writeln!(out, "{}\n", grid(&["endpoint", "errors", "requests"], &rows));
    let rows: Vec<Vec<String>> = shown
        .stored
        .iter()
        .map(|s| {
            let d = &s.document;
            vec![
                d.recorded.chars().take(19).collect(),
                age(&d.recorded, shown.now),
                d.instance.clone(),
                d.build.clone().unwrap_or_else(|| "–".into()),
                d.accepted_by.clone(),
                d.reason.clone(),
                d.host.host_class(),
            ]
        })
        .collect();
    let header = ["recorded (UTC)", "age", "instance", "build", "accepted by", "reason", "host"];
    let _ = writeln!(out, "{}", grid(&header, &rows));
    for (endpoint, own) in &shown.anchor.endpoints {
        for given_up in &own.given_up {
            let _ = writeln!(
                out,
                "given up: {} of {endpoint} at {} ({}; {})",
                given_up.metric,
                format_ms(given_up.level.ms),
                given_up.accepted_by,
                given_up.reason
            );
        }
    }
    out
}

fn outlook_row(outlook: &Outlook, shown: &Shown<'_>) -> Vec<String> {
    let newest = shown.stored.iter().rev().find_map(|s| s.document.endpoints.get(&outlook.endpoint));
    let rules: Option<&Rules> = newest.and_then(|baseline| baseline.rules.as_ref());
    let limit = rules.and_then(|rules| rules.limits.iter().find(|limit| limit.metric == outlook.metric));
    let best =
        shown.anchor.endpoints.get(&outlook.endpoint).and_then(|a| a.levels.get(&outlook.metric.to_string()));
    let percent = |share: f64| format!("{:.0}%", share * 100.0);
    vec![
        outlook.endpoint.clone(),
        outlook.metric.to_string(),
        format_ms(outlook.level_ms),
        format!("±{:.1}%{}", outlook.noise * 100.0, if outlook.noise_known { "" } else { " assumed" }),
        outlook.instances.to_string(),
        limit.map_or("–".into(), |limit| {
            format!("{} to {}", percent(limit.below / outlook.level_ms - 1.0), format_ms(limit.below))
        }),
        best.map_or("–".into(), |best| format_ms(best.ms)),
        format!("+{}", percent(outlook.delta)),
        outlook.detectable.map_or("–".into(), |least| format!("from {}", visible_change(least, 0))),
        format!("Δ ≥ {}", percent(outlook.passable)),
    ]
}

fn error_row(reference: &Reference) -> Vec<String> {
    let (errors, requests) =
        reference.runs.iter().fold((0, 0), |(e, r), run| (e + run.errors, r + run.requests));
    vec![reference.endpoint.clone(), errors.to_string(), requests.to_string()]
}

/// Whole days, or hours below one.
fn age(recorded: &str, now: Timestamp) -> String {
    let Ok(then) = recorded.parse::<Timestamp>() else { return "–".into() };
    match now.duration_since(then).as_hours() {
        hours if hours < 48 => format!("{} h", hours.max(0)),
        hours => format!("{} d", hours / 24),
    }
}

/// What a refresh would change: each endpoint's level before and now, what is new, what is gone.
#[must_use]
pub fn render_refresh(verdict: &Verdict, references: &[Reference], record: &RunRecord) -> String {
    let mut out = String::new();
    let rows: Vec<Vec<String>> = verdict.comparisons.iter().map(refresh_row).collect();
    if !rows.is_empty() {
        let header = ["endpoint", "", "accepted", "now", "change", "between", ""];
        let _ = writeln!(out, "{}\n", grid(&header, &rows));
    }
    for finding in verdict.findings.iter().filter(|f| told(f)) {
        let _ = writeln!(out, "{}", finding.reason);
    }
    for endpoint in verdict.endpoints.iter().filter(|e| {
        let name = format!("{}/{}", e.feature, e.step);
        references.iter().all(|r| r.endpoint != name)
    }) {
        let ms = |value: Option<f64>| value.map_or("–".to_owned(), format_ms);
        let _ = writeln!(
            out,
            "new: {}/{}: p50 {}, p95 {}, p99 {}, {} errors in {} requests",
            endpoint.feature,
            endpoint.step,
            ms(endpoint.p50_ms),
            ms(endpoint.p95_ms),
            ms(endpoint.p99_ms),
            endpoint.errors,
            endpoint.requests
        );
    }
    let builds: std::collections::BTreeSet<&str> =
        record.runs.iter().filter_map(|r| r.build_id.as_deref()).collect();
    if !builds.is_empty() {
        let _ = writeln!(out, "build {}", builds.into_iter().collect::<Vec<_>>().join(", "));
    }
    out
}

/// Findings that bear on accepting; what the table already shows is not told twice.
fn told(finding: &Finding) -> bool {
    match finding.kind {
        FindingKind::Creep => true,
        FindingKind::Baseline => {
            finding.severity != Severity::Warn
                || finding.endpoint.is_none()
                || finding.reason.contains("another request")
        }
        FindingKind::Regression | FindingKind::Errors => finding.severity == Severity::Fail,
        _ => false,
    }
}

fn refresh_row(c: &Comparison) -> Vec<String> {
    let rate = c.metric == Metric::ErrorRate;
    let level = |value: f64| if rate { format!("{:.2}%", value * 100.0) } else { format_ms(value) };
    let change = |value: f64| {
        if rate { format!("{:+.2} pp", value * 100.0) } else { format!("{:+.1}%", value * 100.0) }
    };
    let word = match c.settled {
        Settled::Worse => "WORSE",
        Settled::Open => "open",
        Settled::Within if c.interval[1] < 0.0 => "better",
        Settled::Within => "same",
    };
    vec![
        c.endpoint.clone(),
        c.metric.to_string(),
        level(c.reference),
        level(c.observed),
        change(c.change),
        format!("{} … {}", change(c.interval[0]), change(c.interval[1])),
        word.to_owned(),
    ]
}
