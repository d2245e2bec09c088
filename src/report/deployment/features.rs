use crate::metrics::{SmokeStatus, SmokeStep};
use crate::report::document::{Cell, Table, Tone};
use crate::report::model::{EndpointRow, ReportModel};
use crate::units::{Metric, format_ms, format_share, level_of};
use crate::verdict::{Outcome, RuleStatus, Severity, Standing};

/// Each feature as the last run that had it found it.
pub fn features(models: &[ReportModel]) -> Table {
    let mut names: Vec<&str> = Vec::new();
    for name in models.iter().flat_map(feature_names) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Table {
        header: vec![
            "feature",
            "owner",
            "functional checks",
            "p95 (nearest its limit)",
            "errors (nearest their limit)",
            "status",
        ],
        rows: names.into_iter().map(|name| feature(models, name)).collect(),
        numbers: 2..5,
    }
}

fn feature_names(model: &ReportModel) -> impl Iterator<Item = &str> {
    let endpoints = model.endpoints.iter().map(|row| row.summary.feature.as_str());
    endpoints.chain(model.smoke_steps().iter().filter_map(|s| s.endpoint.split_once('/').map(|(f, _)| f)))
}

fn feature(models: &[ReportModel], name: &str) -> Vec<Cell> {
    let of = |row: &&EndpointRow| row.summary.feature == name;
    let sent = |m: &&ReportModel| m.endpoints.iter().any(|row| of(&row) && row.summary.requests > 0);
    // A last phase that sent nothing says nothing of response times.
    let loaded = models.iter().rev().find(sent);
    let model = loaded.or_else(|| models.iter().rev().find(|m| m.endpoints.iter().any(|row| of(&row))));
    let rows: Vec<&EndpointRow> = model.iter().flat_map(|m| m.endpoints.iter().filter(of)).collect();
    let owner = model.and_then(|m| m.record.scenarios.iter().find(|s| s.feature == name));
    let steps = models.iter().rev().map(|m| steps_of(m, name)).find(|steps| steps.sent > 0);
    // What comes closest to its limit, or is farthest beyond; of what has none, the highest.
    let worst = |metric: Metric, value: fn(&EndpointRow) -> Option<f64>| {
        let of = |row: &&EndpointRow| {
            let limit = row.limit(metric);
            let seen = limit.and_then(|rule| rule.observed).or_else(|| value(row))?;
            Some((seen, limit.map(|rule| rule.allowed)))
        };
        let share = |(seen, limit): (f64, Option<f64>)| (limit.is_some(), limit.map_or(seen, |l| seen / l));
        let judged = rows.iter().filter(|row| row.standing != Standing::Shown);
        let worst = judged.filter_map(of).max_by(|a, b| {
            let (a, b) = (share(*a), share(*b));
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
        });
        worst.map_or("–".to_owned(), |(seen, limit)| {
            let against = limit.map_or(String::new(), |below| format!(" of {}", level_of(metric, below)));
            let seen = if metric == Metric::P95 { format_ms(seen) } else { format_share(seen) };
            format!("{seen}{against}")
        })
    };
    let (word, tone) = status(model, &rows, steps);
    vec![
        name.into(),
        owner.and_then(|s| s.owner.clone()).unwrap_or_else(|| "–".into()).into(),
        steps.map_or("–".to_owned(), |steps| format!("{} of {}", steps.passed, steps.all)).into(),
        worst(Metric::P95, |row| row.summary.p95_ms).into(),
        worst(Metric::ErrorRate, |row| row.summary.error_rate).into(),
        Cell::toned(word, tone),
    ]
}

/// The functional steps of a feature in one pass.
#[derive(Clone, Copy)]
struct Steps {
    all: usize,
    sent: usize,
    passed: usize,
}

fn steps_of(model: &ReportModel, feature: &str) -> Steps {
    let of = |step: &&SmokeStep| step.endpoint.split_once('/').is_some_and(|(own, _)| own == feature);
    let steps = || model.smoke_steps().iter().filter(of);
    let count = |status| steps().filter(|step| step.status == status).count();
    let (all, failed) = (steps().count(), count(SmokeStatus::Failed));
    let sent = all - count(SmokeStatus::Skipped);
    Steps { all, sent, passed: sent - failed }
}

/// The word for a feature: that of its functional checks, else the gravest that was
/// found of its endpoints, or of the run they were measured in.
fn status(model: Option<&ReportModel>, rows: &[&EndpointRow], steps: Option<Steps>) -> (&'static str, Tone) {
    let broken = steps.is_some_and(|steps| steps.passed < steps.sent);
    let sent = rows.iter().any(|row| row.summary.requests > 0);
    let rule = |status: RuleStatus| rows.iter().flat_map(|row| &row.rules).any(|rule| rule.status == status);
    let findings = || model.iter().flat_map(|m| &m.verdict.findings);
    let found = |severity: Severity| {
        let of = |name: &String| rows.iter().any(|row| row.name == *name);
        findings().any(|f| f.severity == severity && f.endpoint.as_ref().is_some_and(of))
    };
    let passed = model.is_some_and(|m| m.verdict.outcome == Outcome::Pass);
    let held = !passed
        && (found(Severity::Hold)
            || findings().any(|f| f.severity == Severity::Hold && f.endpoint.is_none()));
    let judged = |row: &&&EndpointRow| !matches!(row.standing, Standing::Shown | Standing::Recorded);
    if broken {
        ("BROKEN", Tone::Bad)
    } else if rule(RuleStatus::Broken) || found(Severity::Fail) {
        ("DEGRADED", Tone::Bad)
    } else if rule(RuleStatus::Undecided) || held {
        ("undecided", Tone::Caution)
    } else if sent && (rule(RuleStatus::NotJudged) || !rows.iter().any(|row| judged(&row))) {
        ("not judged", Tone::Caution)
    } else if rule(RuleStatus::Tolerated) || found(Severity::Hold) {
        ("operational, a change not excluded", Tone::Caution)
    } else if !sent && steps.is_none() {
        ("not measured", Tone::Caution)
    } else if !sent {
        ("operational, without load", Tone::Good)
    } else {
        ("operational", Tone::Good)
    }
}
