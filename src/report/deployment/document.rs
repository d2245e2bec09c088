use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::checklist::checklist;
use super::events::{alerts, incidents};
use super::features::features;
use crate::report::content::{self, tone_of_action};
use crate::report::document::{Block, Cell, Table, Tone};
use crate::report::html::render_html_document;
use crate::report::markdown::render_markdown_document;
use crate::report::model::{ReportModel, moment, passed_of};
use crate::report::rollout::{Course, RolloutView, course};
use crate::report::watched;
use crate::report::words::{told_endpoints, told_impact};
use crate::units::{counted, format_ms, format_share};
use crate::verdict::{Action, Impact};

const TITLE: &str = "Deployment report";

/// Several runs, in the order of the phases, as Markdown.
#[must_use]
pub fn render_deployment_markdown(models: &[ReportModel]) -> String {
    markdown(models, None)
}

fn markdown(models: &[ReportModel], course: Option<&Course>) -> String {
    let blocks: Vec<Block> = summary(models, course).into_iter().chain(body(models, course)).collect();
    render_markdown_document(&blocks)
}

/// The same of a rollout: where it ended leads, and all that happened stands in it.
#[must_use]
pub fn render_rollout_markdown(models: &[ReportModel], view: &RolloutView<'_>) -> String {
    markdown(models, Some(&course(view)))
}

/// The same as a page.
#[must_use]
pub fn render_rollout_html(models: &[ReportModel], view: &RolloutView<'_>) -> String {
    html(models, Some(&course(view)))
}

/// The same as a page, with the plots of the last phase under load.
#[must_use]
pub fn render_deployment_html(models: &[ReportModel]) -> String {
    html(models, None)
}

fn html(models: &[ReportModel], course: Option<&Course>) -> String {
    let (first, rest) = (summary(models, course), body(models, course));
    let Some((Block::Strong(verdict, tone), head)) = first.split_first() else { return String::new() };
    render_html_document((verdict, *tone), head, &rest, measured(models))
}

/// The last run that sent load, of those before it that still say something if it sent none.
fn measured(models: &[ReportModel]) -> Option<&ReportModel> {
    models.iter().rev().find(|model| model.totals().0 > 0)
}

/// Where the deployment stands, which is where its last phase does, with a word of those before it.
fn headline(models: &[ReportModel], last: &ReportModel) -> Block {
    let before = &models[..models.len() - 1];
    let not = before.iter().filter(|model| !went(model)).count();
    let earlier = match not {
        0 => String::new(),
        not => format!("; {not} of {} before it did not end in GO", counted(before.len(), "phase")),
    };
    let text = match before {
        [] => last.verdict.summary.clone(),
        _ => format!("{} (last phase: {}{earlier})", last.verdict.summary, last.title()),
    };
    // What went wrong on the way is looked at before anybody signs.
    let tone = if went(last) && not > 0 { Tone::Caution } else { tone_of_action(last.verdict.action) };
    Block::Strong(text, tone)
}

fn went(model: &ReportModel) -> bool {
    model.verdict.action == Action::Go
}

/// Of what, when, and to which target the deployment was.
fn occasion(models: &[ReportModel], last: &ReportModel, noun: &str) -> String {
    let begun = models.iter().map(|model| model.record.started.as_str()).min().unwrap_or_default();
    let mut text = format!("{TITLE} of {}, begun {}", counted(models.len(), noun), moment(begun));
    let looks = models.iter().flat_map(|model| &model.record.runs);
    let builds: BTreeSet<&str> = looks.filter_map(|look| look.build_id.as_deref()).collect();
    if !builds.is_empty() {
        let _ = write!(text, ", build {}", builds.into_iter().collect::<Vec<_>>().join(", "));
    }
    let _ = write!(text, ", target {}.", last.record.target);
    text
}

/// Where the deployment stands, the phases that were not as they should be, and what it costs.
fn summary(models: &[ReportModel], course: Option<&Course>) -> Vec<Block> {
    let Some(last) = models.last() else { return Vec::new() };
    let mut blocks = match course {
        Some(course) => vec![Block::Strong(course.headline.clone(), course.tone)],
        None => vec![headline(models, last)],
    };
    // A phase of a rollout may have several.
    let noun = if course.is_some() { "round" } else { "phase" };
    blocks.push(Block::Text(occasion(models, last, noun)));
    let others: Vec<Cell> = models
        .iter()
        .filter(|model| !went(model))
        .map(|m| {
            Cell::toned(format!("{}: {}", m.title(), m.verdict.summary), tone_of_action(m.verdict.action))
        })
        .collect();
    // What the rounds came to says nothing good of a rollout that was taken back.
    let well = course.is_none_or(|course| course.tone == Tone::Good);
    if models.len() > 1 && others.is_empty() {
        blocks.extend(well.then_some(Block::Text(format!("All {noun}s ended in GO."))));
    } else if models.len() > 1 {
        let good = models.len() - others.len();
        blocks.push(Block::Text(format!("{good} of {} {noun}s ended in GO; not so:", models.len())));
        blocks.push(Block::List(others));
    }
    if !models.is_sorted_by_key(|model| &model.record.started) {
        let text = "The phases stand as they were named, which is not the order in which they ran.";
        blocks.push(Block::Text(text.into()));
    }
    let Some(model) = measured(models) else { return blocks };
    if last.totals().0 == 0 {
        blocks.push(Block::Text(format!(
            "{} sent no load: response times, errors and what they are compared with are those of {}.",
            last.title(),
            model.title()
        )));
    }
    blocks.push(Block::Text(format!("{}: {}.", model.title(), model.evidence())));
    if model.before {
        let text = "Compared here with the runs before that were named, in one decision; the run's own verdict compared with its baseline.";
        blocks.push(Block::Text(text.into()));
    }
    if !model.impact.is_empty() {
        blocks.push(Block::Text("Performance impact:".into()));
        let told = |one: &Impact| Cell::toned(told_impact(one), content::tone_of_acceptance(one.acceptance));
        blocks.push(Block::List(model.impact.iter().map(told).collect()));
    }
    blocks
}

fn body(models: &[ReportModel], course: Option<&Course>) -> Vec<Block> {
    let measured = measured(models);
    let mut blocks = vec![Block::Heading("Phases".into()), Block::Table(phases(models))];
    blocks.extend(course.iter().flat_map(|course| course.blocks.clone()));
    blocks.push(Block::Heading("Features".into()));
    if models.len() > 1 {
        blocks.push(Block::Text(
            "Each as the last phase that measured it, or at least checked it, found it.".into(),
        ));
    }
    blocks.push(Block::Table(features(models)));
    blocks.push(Block::Heading("Before against after".into()));
    blocks.extend(before_and_after(measured));
    blocks.push(Block::Heading("Resources".into()));
    blocks.extend(resources(models));
    blocks.push(Block::Heading("Alerts".into()));
    blocks.extend(alerts(models));
    blocks.push(Block::Heading("Incidents and near-misses".into()));
    blocks.extend(incidents(models));
    blocks.push(Block::Heading("Checklist: what was done".into()));
    blocks.push(Block::Text("A tick says that it was done, not how it ended.".into()));
    blocks.extend(checklist(models, measured));
    blocks.push(Block::Heading("Sign-off".into()));
    for role in ["Release engineer", "Engineering lead", "Product owner"] {
        blocks.push(Block::Signature(format!("{role}: approved or rejected, name, date")));
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
            if model.smoke_steps().is_empty() { "–".to_owned() } else { passed_of(model.smoke_steps()) };
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

fn before_and_after(measured: Option<&ReportModel>) -> Vec<Block> {
    let Some(model) = measured else {
        return vec![Block::Text("No load was sent, so nothing was compared.".into())];
    };
    let mut rows = content::impact_rows(&model.impact);
    if rows.is_empty() {
        let why = if model.verdict.comparisons.is_empty() {
            "nothing to compare with".to_owned()
        } else if model.references.is_empty() {
            format!("not told: the {} are not at hand", runs_of(model))
        } else {
            format!("not told: none of the {} measured all these endpoints", runs_of(model))
        };
        rows.push(unmeasured("response times and errors", &why));
    }
    if model.resources.is_empty() {
        rows.push(unmeasured("CPU", "not measured: no probe"));
        rows.push(unmeasured("memory", "not measured: no probe"));
    }
    rows.extend(watched::resource_rows(model));
    let mut blocks = vec![Block::Table(Table { header: content::impact_header(model), rows, numbers: 1..5 })];
    if let Some(first) = model.impact.first() {
        blocks.push(Block::Text(format!(
            "{}: {} together, {} after against {} before. Accepted: the whole interval lies within what is \
             allowed. Not accepted: the whole interval lies beyond it. Not proven: anything else, and whatever a \
             measurement that was broken off or is not to be trusted says of response times. {}",
            model.title(),
            told_endpoints(first),
            counted(first.instances_after, "instance"),
            first.instances_before,
            content::RARELY_PROVEN
        )));
    }
    let each = content::comparisons(model);
    if !each.rows.is_empty() {
        blocks.push(Block::Fold { summary: "Each endpoint".into(), blocks: vec![Block::Table(each)] });
    }
    blocks
}

fn runs_of(model: &ReportModel) -> &'static str {
    match (model.before, model.beside) {
        (true, _) => "runs before",
        (_, true) => "runs of the control",
        _ => "runs of the baseline",
    }
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
            let (word, tone) = match model.kept_up() {
                None => ("not known", Tone::Caution),
                Some(true) => ("healthy", Tone::Good),
                Some(false) => ("could not keep up", Tone::Bad),
            };
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
    let probed: Vec<Vec<Cell>> = models
        .iter()
        .flat_map(|model| {
            let row =
                |one| std::iter::once(model.title().into()).chain(watched::probe_row(model, one)).collect();
            model.verdict.probes.iter().map(row)
        })
        .collect();
    let mut blocks = vec![if probed.is_empty() {
        Block::Text(none.into())
    } else {
        let header = vec!["phase", "probe", "mean", "at worst", "limit", "readings", "status"];
        Block::Table(Table { header, rows: probed, numbers: 2..6 })
    }];
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
