//! What was watched beside the load: probes, and the alerts that fired.

use super::content::tone_of_acceptance;
use super::document::{Cell, Table, Tone};
use super::model::ReportModel;
use super::words::acceptance;
use crate::metrics::{AlertRule, AlertSeverity};
use crate::units::{format_ms, format_share};
use crate::verdict::{Acceptance, FiredAlert, ProbeStanding, ProbeSummary, told_figure};

fn tone_of_probe(standing: ProbeStanding) -> Tone {
    match standing {
        ProbeStanding::Held => Tone::Good,
        ProbeStanding::Broken => Tone::Bad,
        ProbeStanding::NearMiss | ProbeStanding::NotKnown | ProbeStanding::Open => Tone::Caution,
        ProbeStanding::Shown => Tone::Plain,
    }
}

/// What each probe read, where there are any.
#[must_use]
pub fn probes(model: &ReportModel) -> Option<Table> {
    let rows: Vec<Vec<Cell>> = model.verdict.probes.iter().map(|one| probe_row(model, one)).collect();
    let header = vec!["probe", "mean", "at worst", "limit", "readings", "status"];
    (!rows.is_empty()).then_some(Table { header, rows, numbers: 1..5 })
}

pub fn probe_row(model: &ReportModel, one: &ProbeSummary) -> Vec<Cell> {
    let told = |value: Option<f64>| value.map_or("–".to_owned(), |value| told_figure(one.limit, value));
    let limit = one.limit.map_or("–".to_owned(), |limit| match one.for_ms {
        0 => limit.to_string(),
        for_ms => format!("{limit} for {}", format_ms(for_ms as f64)),
    });
    let name = if model.beside && model.verdict.probes.iter().any(|p| p.arm == "control") {
        format!("{}, {}", one.name, one.arm)
    } else {
        one.name.clone()
    };
    vec![
        name.into(),
        told(one.mean).into(),
        told(one.worst).into(),
        limit.into(),
        one.readings.to_string().into(),
        Cell::toned(one.standing.word(), tone_of_probe(one.standing)),
    ]
}

/// What the release costs of each resource whose limit is a percentage.
#[must_use]
pub fn resource_rows(model: &ReportModel) -> Vec<Vec<Cell>> {
    let share = |value: Option<f64>| value.map_or("–".to_owned(), format_share);
    let points = |value: f64| format!("{:+.1} points", value * 100.0);
    let row = |one: &crate::verdict::ResourceImpact| {
        let told = match (one.acceptance, one.before, one.after) {
            (Acceptance::NotProven, _, None) => "not known",
            (Acceptance::NotProven, None, _) => "not compared: nothing before",
            _ => acceptance(one.acceptance),
        };
        vec![
            one.name.clone().into(),
            share(one.before).into(),
            share(one.after).into(),
            one.change.map_or("–".to_owned(), points).into(),
            points(one.allowed).into(),
            Cell::toned(told, tone_of_acceptance(one.acceptance)),
        ]
    };
    model.resources.iter().map(row).collect()
}

fn tone_of_alert(severity: AlertSeverity) -> Tone {
    match severity {
        AlertSeverity::Page => Tone::Bad,
        AlertSeverity::Warn => Tone::Caution,
        AlertSeverity::Info => Tone::Plain,
    }
}

/// Each rule with what became of it, those that fired first.
#[must_use]
pub fn alerts(model: &ReportModel) -> Option<Table> {
    let same = |rule: &AlertRule, alert: &FiredAlert| rule.place == alert.place && rule.name == alert.name;
    let fired = |rule: &AlertRule| model.verdict.alerts.iter().find(|alert| same(rule, alert));
    let mut rules: Vec<_> = model.record.alerts.iter().map(|rule| (rule, fired(rule))).collect();
    rules.sort_by_key(|(rule, fired)| (fired.is_none(), rule.severity));
    let row = |(rule, fired): (&AlertRule, Option<&FiredAlert>)| {
        let (seen, tone) = match fired {
            Some(alert) => (format!("FIRED: {}", alert.seen), tone_of_alert(alert.severity)),
            None => ("did not fire".to_owned(), Tone::Plain),
        };
        vec![
            rule.name.clone().into(),
            rule.severity.name().into(),
            Cell::toned(seen, tone),
            rule.respond.clone().into(),
        ]
    };
    let rows: Vec<Vec<Cell>> = rules.into_iter().map(row).collect();
    let header = vec!["alert", "severity", "what was seen", "response"];
    (!rows.is_empty()).then_some(Table { header, rows, numbers: 0..0 })
}
