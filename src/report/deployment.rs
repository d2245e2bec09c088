//! The report of a deployment that people sign: one phase a run.

use std::fmt::Write as _;

use super::content::{self, IMPACT_HEADER, tone_of_action};
use super::document::{Block, Cell, Table, Tone};
use super::html::render_html_document;
use super::markdown::markdown_of;
use super::model::{EndpointRow, ReportModel, change_of, level_of, moment};
use super::words::{acceptance, quantity, told_transient};
use crate::metrics::{SmokeStatus, WarmupRecord};
use crate::units::{Metric, counted, format_ms, format_share};
use crate::verdict::{Action, FindingKind, RuleKind, RuleStatus, Severity};

const TITLE: &str = "Deployment report";
/// A start this much slower than what followed is worth telling.
const COLD: f64 = 1.25;

/// Several runs, in the order of the phases, as Markdown.
#[must_use]
pub fn render_deployment_markdown(models: &[ReportModel]) -> String {
    let blocks: Vec<Block> = summary(models).into_iter().chain(body(models)).collect();
    markdown_of(&blocks)
}

/// The same as a page, with the plots of the last phase under load.
#[must_use]
pub fn render_deployment_html(models: &[ReportModel]) -> String {
    render_html_document(TITLE, &summary(models), &body(models), measured(models))
}

/// The last run under load, else the last.
fn measured(models: &[ReportModel]) -> Option<&ReportModel> {
    models.iter().rev().find(|model| !model.record.runs.is_empty())
}

/// The verdict of the last phase, and of all before it.
fn summary(models: &[ReportModel]) -> Vec<Block> {
    let Some(last) = models.last() else { return Vec::new() };
    let went = models.iter().filter(|model| model.verdict.action == Action::Go).count();
    let begun = models.iter().map(|model| model.record.started.as_str()).min().unwrap_or_default();
    let mut text = format!(
        "{TITLE} of {}, begun {}. {went} of {} ended in GO.",
        counted(models.len(), "phase"),
        moment(begun),
        models.len()
    );
    for model in models.iter().filter(|model| model.verdict.action != Action::Go) {
        let _ = write!(text, " {}: {}.", model.title(), model.action());
    }
    let mut blocks = vec![
        Block::Strong(last.verdict.summary.clone(), tone_of_action(last.verdict.action)),
        Block::Text(text),
    ];
    let measured = measured(models);
    blocks.extend(measured.map(|model| Block::Text(format!("{}: {}.", model.title(), model.evidence()))));
    if let Some(cost) = measured.and_then(|model| model.impact.first()) {
        let (name, metric) = quantity(cost);
        let [low, high] = cost.interval.map(|v| change_of(metric, v));
        blocks.push(Block::Text(format!(
            "Performance impact below {}: {}. The {name} of all endpoints together went from {} to {}, {}; with {:.0}% \
             confidence the change lies between {low} and {high}.",
            change_of(metric, cost.allowed).trim_start_matches('+'),
            acceptance(cost.acceptance),
            level_of(metric, cost.before),
            level_of(metric, cost.after),
            change_of(metric, cost.change),
            cost.level * 100.0
        )));
    }
    blocks
}

fn body(models: &[ReportModel]) -> Vec<Block> {
    let mut blocks = vec![Block::Heading("Phases".into()), Block::Table(phases(models))];
    blocks.push(Block::Heading("Features".into()));
    blocks.push(Block::Table(features(models)));
    blocks.push(Block::Heading("Before against after".into()));
    blocks.extend(before_and_after(models));
    blocks.push(Block::Heading("Resources".into()));
    blocks.extend(resources(models));
    blocks.push(Block::Heading("Alerts".into()));
    blocks.extend(alerts(models));
    blocks.push(Block::Heading("Incidents and near-misses".into()));
    blocks.push(incidents(models));
    blocks.push(Block::Heading("Checklist".into()));
    blocks.extend(checklist(models));
    blocks.push(Block::Heading("Sign-off".into()));
    for role in ["Release engineer, date", "Engineering lead, date", "Product owner, date"] {
        blocks.push(Block::Signature(role.into()));
    }
    let origin = models
        .iter()
        .flat_map(|model| [Block::Text(model.title().to_owned()), Block::Table(content::provenance(model))]);
    blocks.push(Block::Fold { summary: "Where this comes from".into(), blocks: origin.collect() });
    blocks
}

fn phases(models: &[ReportModel]) -> Table {
    let rows = models.iter().map(|model| {
        let (requests, errors) = model.totals();
        let measured_ms: u64 = model.record.runs.iter().map(|look| look.window_ms).sum();
        let share =
            if requests == 0 { "–".to_owned() } else { format_share(errors as f64 / requests as f64) };
        let functional =
            if model.smoke_steps().is_empty() { "–".to_owned() } else { content::smoke_summary(model) };
        let length = if measured_ms == 0 { "–".to_owned() } else { format_ms(measured_ms as f64) };
        vec![
            model.title().into(),
            moment(&model.record.started).into(),
            length.into(),
            requests.to_string().into(),
            share.into(),
            functional.into(),
            Cell::toned(model.verdict.summary.clone(), tone_of_action(model.verdict.action)),
        ]
    });
    Table {
        header: vec!["phase", "started", "measured for", "requests", "errors", "functional", "result"],
        rows: rows.collect(),
        numbers: 2..5,
    }
}

/// Each feature as the last run that had it found it.
fn features(models: &[ReportModel]) -> Table {
    let mut names: Vec<&str> = Vec::new();
    for name in models.iter().flat_map(feature_names) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let rows = names.into_iter().map(|name| {
        let of = |row: &&EndpointRow| row.summary.feature == name;
        let model = models.iter().rev().find(|m| m.endpoints.iter().any(|row| of(&row)));
        let rows: Vec<&EndpointRow> = model.iter().flat_map(|m| m.endpoints.iter().filter(of)).collect();
        let owner = model.and_then(|m| m.record.scenarios.iter().find(|s| s.feature == name));
        let steps = models.iter().rev().map(|m| steps_of(m, name)).find(|(all, _)| *all > 0);
        let slowest = rows.iter().filter_map(|row| Some((row, judged_p95(row).or(row.summary.p95_ms)?)));
        let slowest = slowest.max_by(|a, b| a.1.total_cmp(&b.1));
        let limit = slowest.as_ref().and_then(|(row, _)| limit_of(row, Metric::P95));
        let worst = rows.iter().filter_map(|row| Some((row, row.summary.error_rate?)));
        let worst = worst.max_by(|a, b| a.1.total_cmp(&b.1));
        let errors = worst.as_ref().and_then(|(row, _)| limit_of(row, Metric::ErrorRate));
        let against = |limit: Option<f64>, metric| {
            limit.map_or(String::new(), |below| format!(" of {}", level_of(metric, below)))
        };
        let (word, tone) = feature_status(&rows, steps);
        vec![
            name.into(),
            owner.and_then(|s| s.owner.clone()).unwrap_or_else(|| "–".into()).into(),
            steps.map_or("–".to_owned(), |(all, passed)| format!("{passed} of {all}")).into(),
            slowest
                .map_or("–".to_owned(), |(_, ms)| {
                    format!("{}{}", format_ms(ms), against(limit, Metric::P95))
                })
                .into(),
            worst
                .map_or("–".to_owned(), |(_, r)| {
                    format!("{}{}", format_share(r), against(errors, Metric::ErrorRate))
                })
                .into(),
            Cell::toned(word, tone),
        ]
    });
    Table {
        header: vec![
            "feature",
            "owner",
            "functional checks",
            "p95 (slowest, limit)",
            "errors (worst, limit)",
            "status",
        ],
        rows: rows.collect(),
        numbers: 2..5,
    }
}

fn feature_names(model: &ReportModel) -> impl Iterator<Item = &str> {
    let endpoints = model.endpoints.iter().map(|row| row.summary.feature.as_str());
    endpoints.chain(model.smoke_steps().iter().filter_map(|s| s.endpoint.split_once('/').map(|(f, _)| f)))
}

/// How many functional steps of a feature were sent, and how many passed.
fn steps_of(model: &ReportModel, feature: &str) -> (usize, usize) {
    let of = |endpoint: &str| endpoint.split_once('/').is_some_and(|(own, _)| own == feature);
    let steps = || model.smoke_steps().iter().filter(|s| of(&s.endpoint) && s.status != SmokeStatus::Skipped);
    (steps().count(), steps().filter(|s| s.status != SmokeStatus::Failed).count())
}

fn limit_of(row: &EndpointRow, metric: Metric) -> Option<f64> {
    row.rules.iter().find(|r| r.kind == RuleKind::Limit && r.metric == metric).map(|r| r.allowed)
}

/// p95 as its limit saw it, which over several looks is their mean.
fn judged_p95(row: &EndpointRow) -> Option<f64> {
    let limit = row.rules.iter().find(|r| r.kind == RuleKind::Limit && r.metric == Metric::P95);
    limit.and_then(|rule| rule.observed)
}

/// The word for a feature: that of its functional checks (how many were sent, how many passed), else of its worst rule.
fn feature_status(rows: &[&EndpointRow], steps: Option<(usize, usize)>) -> (&'static str, Tone) {
    let broken = steps.is_some_and(|(all, passed)| passed < all);
    let sent = rows.iter().any(|row| row.summary.requests > 0);
    let any = |status: RuleStatus| rows.iter().flat_map(|row| &row.rules).any(|rule| rule.status == status);
    if broken {
        ("BROKEN", Tone::Bad)
    } else if any(RuleStatus::Broken) {
        ("DEGRADED", Tone::Bad)
    } else if any(RuleStatus::Undecided) {
        ("undecided", Tone::Caution)
    } else if any(RuleStatus::NotJudged) {
        ("not judged", Tone::Caution)
    } else if any(RuleStatus::Tolerated) {
        ("operational, a change not excluded", Tone::Caution)
    } else if !sent && steps.is_none() {
        ("not measured", Tone::Caution)
    } else if !sent {
        ("operational, without load", Tone::Good)
    } else {
        ("operational", Tone::Good)
    }
}

fn before_and_after(models: &[ReportModel]) -> Vec<Block> {
    let Some(model) = measured(models) else {
        return vec![Block::Text("No load was sent, so nothing was compared.".into())];
    };
    let mut rows = content::impact_rows(&model.impact);
    if rows.is_empty() {
        rows.push(unmeasured("response times and errors", "no baseline to compare with"));
    }
    rows.push(unmeasured("CPU", "not measured: no probe"));
    rows.push(unmeasured("memory", "not measured: no probe"));
    let mut blocks = vec![Block::Table(Table { header: IMPACT_HEADER.to_vec(), rows, numbers: 1..5 })];
    if let Some(first) = model.impact.first() {
        blocks.push(Block::Text(format!(
            "All endpoints together, {} after against {} before. Accepted: the whole interval lies within what is \
             allowed. Not accepted: the whole interval lies beyond it. Not proven: anything else. Two instances of one \
             build differ too, so a small impact is rarely proven.",
            counted(first.instances_after, "instance"),
            first.instances_before
        )));
    }
    let each = content::comparisons(model);
    if !each.rows.is_empty() {
        blocks.push(Block::Fold { summary: "Each endpoint".into(), blocks: vec![Block::Table(each)] });
    }
    blocks
}

fn unmeasured(name: &str, why: &str) -> Vec<Cell> {
    let mut row = vec![Cell::from(name)];
    row.extend((0..4).map(|_| Cell::from("–")));
    row.push(Cell::toned(why, Tone::Caution));
    row
}

fn resources(models: &[ReportModel]) -> Vec<Block> {
    let rows: Vec<Vec<Cell>> = models
        .iter()
        .filter(|model| !model.record.runs.is_empty())
        .map(|model| {
            let generator = &model.verdict.generator;
            let (word, tone) =
                if generator.healthy { ("healthy", Tone::Good) } else { ("could not keep up", Tone::Bad) };
            vec![
                model.title().into(),
                generator.cpu_busy.map_or("–".to_owned(), |busy| format!("{:.0}%", busy * 100.0)).into(),
                generator.send_lag_p99_us.map_or("–".to_owned(), |us| format_ms(us / 1e3)).into(),
                generator.dropped_arrivals.to_string().into(),
                Cell::toned(word, tone),
            ]
        })
        .collect();
    let none = "CPU, memory and database connections of the service: not measured, since no probe was part of these runs.";
    let mut blocks = vec![Block::Text(none.into())];
    if !rows.is_empty() {
        blocks.push(Block::Table(Table {
            header: vec![
                "load generator in",
                "CPU of its busiest core",
                "sent late (p99)",
                "dropped",
                "status",
            ],
            rows,
            numbers: 1..4,
        }));
    }
    blocks
}

/// Rules that fired: alerts, and those that ended a load.
fn alerts(models: &[ReportModel]) -> Vec<Block> {
    let mut fired = Vec::new();
    for model in models {
        let found = model.verdict.findings.iter().filter(|f| f.kind == FindingKind::Alert);
        fired.extend(found.map(|f| Cell::toned(format!("{}: {}", model.title(), f.reason), Tone::Bad)));
        for abort in model.record.runs.iter().filter_map(|look| look.abort.as_ref()) {
            let text = format!(
                "{}: the load was ended after {}: {} of {} was {}, above {} for {}",
                model.title(),
                format_ms(abort.at_ms as f64),
                abort.metric,
                abort.endpoint,
                level_of(abort.metric, abort.observed),
                level_of(abort.metric, abort.above),
                format_ms(abort.window_ms as f64)
            );
            fired.push(Cell::toned(text, Tone::Bad));
        }
    }
    if fired.is_empty() {
        return vec![Block::Text("No rule fired that ends a load (`abort_when`).".replace('`', ""))];
    }
    vec![Block::List(fired)]
}

/// What went wrong and what nearly did, in the order of the phases.
fn incidents(models: &[ReportModel]) -> Block {
    let mut seen = Vec::new();
    for model in models {
        let title = model.title();
        for finding in model.verdict.findings.iter().filter(|f| f.severity == Severity::Fail) {
            seen.push(Cell::toned(format!("{title}: incident. {}", finding.reason), Tone::Bad));
        }
        for transient in &model.transients {
            let tone = if transient.recovered { Tone::Caution } else { Tone::Bad };
            seen.push(Cell::toned(format!("{title}: {}", told_transient(model, transient)), tone));
        }
        for step in model.smoke_steps().iter().filter(|step| step.status == SmokeStatus::NearMiss) {
            let message = step.message.clone().unwrap_or_default();
            let text =
                format!("{title}: near-miss. {} passed only on its second try; {message}", step.endpoint);
            seen.push(Cell::toned(text, Tone::Caution));
        }
        for look in &model.record.runs {
            seen.extend(
                cold_start(model, &look.warmup)
                    .map(|text| Cell::toned(format!("{title}: {text}"), Tone::Caution)),
            );
        }
    }
    if seen.is_empty() {
        return Block::Text("None was seen in the timelines and the functional passes of these runs.".into());
    }
    Block::List(seen)
}

/// A warm-up that was slower than what followed, or that never ended.
fn cold_start(model: &ReportModel, warmup: &WarmupRecord) -> Option<String> {
    let length = format_ms(warmup.length_ms as f64);
    if let Some(why) = &warmup.unsteady {
        return Some(format!("slow start that did not end within {length}: {why}"));
    }
    let mut usual: Vec<f64> = model.endpoints.iter().filter_map(|row| row.summary.p50_ms).collect();
    usual.sort_by(f64::total_cmp);
    let (slow, usual) = (warmup.p50_ms?, *usual.get(usual.len() / 2)?);
    (slow > usual * COLD).then(|| {
        format!(
            "near-miss, recovered: a slow start, p50 {} against {} afterwards; settled within {length} and left out",
            format_ms(slow),
            format_ms(usual)
        )
    })
}

/// What was run, and what was not.
fn checklist(models: &[ReportModel]) -> Vec<Block> {
    let steps: usize = models.iter().map(|model| model.smoke_steps().len()).sum();
    let requests: u64 = models.iter().map(|model| model.totals().0).sum();
    let measured = measured(models);
    let rules = || measured.iter().flat_map(|m| &m.endpoints).flat_map(|row| &row.rules);
    let of = |kind: RuleKind| {
        let all = rules().filter(|rule| rule.kind == kind).count();
        let judged = rules()
            .filter(|rule| {
                rule.kind == kind && rule.status != RuleStatus::NotJudged && rule.observed.is_some()
            })
            .count();
        (judged, all)
    };
    let check = |done: bool, text: String| Block::Check { done, text };
    let (limits, all_limits) = of(RuleKind::Limit);
    let (compared, all_compared) = of(RuleKind::Regression);
    let healthy = measured.is_some_and(|model| model.verdict.generator.healthy);
    let steady = measured.is_some_and(|m| m.record.runs.iter().all(|look| look.warmup.unsteady.is_none()));
    vec![
        check(
            steps > 0,
            format!("functional checks: {} in {}", counted(steps, "step"), counted(models.len(), "phase")),
        ),
        check(requests > 0, format!("load: {requests} measured requests")),
        check(all_limits > 0 && limits == all_limits, format!("limits judged: {limits} of {all_limits}")),
        check(
            all_compared > 0 && compared == all_compared,
            format!("compared with what ran before: {compared} of {all_compared} rules"),
        ),
        check(healthy, "the load generator kept up".into()),
        check(steady, "the service reached a steady state".into()),
        check(false, "resources of the service probed (no probe was part of these runs)".into()),
    ]
}
