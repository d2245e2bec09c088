use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::content;
use super::document::Cell;
use super::inert::{columns, shortened};
use super::model::{EndpointRow, ReportModel};
use super::paint::Paint;
use super::smoke::{draw, render_step};
use super::table::{fitted, in_parts};
use super::watched;
use super::words::told_impact;
use crate::metrics::{EndpointRecord, SmokeStatus};
use crate::units::{Metric, change_of, format_ms, with_interval};
use crate::verdict::{Acceptance, Action, Comparison, Finding, Severity};

/// What text is written on.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    pub paint: Paint,
    /// Columns, where they are known: long lines are then broken between words.
    pub width: Option<usize>,
}

/// What tables fit into where the width is not known.
const USUAL_WIDTH: usize = 100;
/// From here on intervals fit into tables.
const WIDE: usize = 80;
const MOST_TITLE: usize = 60;
const MOST_FINDINGS: usize = 12;
const MOST_TRANSIENTS: usize = 8;
const MOST_EXAMPLES: usize = 3;
const MOST_IN_CLOSING: usize = 3;

impl Screen {
    /// A file: no colours, no lines broken.
    pub const FILE: Self = Self { paint: Paint { enabled: false }, width: None };

    /// Broken between words, where the first one stands at column `at` and further lines are indented.
    pub fn wrapped(self, text: &str, at: usize, indent: usize) -> String {
        let Some(width) = self.width else { return text.to_owned() };
        let mut out = String::new();
        let mut column = at;
        for (number, word) in text.split(' ').enumerate() {
            let len = columns(word);
            if number > 0 && column + 1 + len > width.max(indent + 20) {
                let _ = write!(out, "\n{}", " ".repeat(indent));
                column = indent;
            } else if number > 0 {
                out.push(' ');
                column += 1;
            }
            out.push_str(word);
            column += len;
        }
        out
    }
}

/// What a terminal is shown of a run beside its verdict.
#[derive(Clone, Copy, Default)]
pub struct Detail<'a> {
    /// Instead of the table of endpoints.
    pub instead: Option<&'a str>,
    /// Whether the live view has shown the functional steps that failed.
    pub steps_shown: bool,
}

/// The verdict for a terminal: first line, what it rests on, findings, functional steps that failed, endpoints, where it
/// all came from.
#[must_use]
pub fn render_terminal(model: &ReportModel, screen: Screen, detail: Detail<'_>) -> String {
    let Detail { instead: detail, steps_shown } = detail;
    let paint = screen.paint;
    let mut out = String::new();
    let _ = writeln!(out, "{}", headline(model, screen, 0));
    let _ = writeln!(out, "{}\n", paint.faint(&screen.wrapped(&model.evidence(), 0, 0)));
    if !model.verdict.findings.is_empty() {
        render_findings(&mut out, model, screen);
    }
    let failed = model.smoke_steps().iter().filter(|step| step.status == SmokeStatus::Failed && !steps_shown);
    for step in failed.take(MOST_EXAMPLES) {
        let _ = writeln!(out, "{}", render_step(step, paint));
    }
    if !model.endpoints.is_empty() && !model.record.runs.is_empty() {
        match detail {
            Some(detail) => out.push_str(detail),
            None => {
                let _ = writeln!(out, "{}\n", endpoints(model, screen.width.unwrap_or(USUAL_WIDTH)));
            }
        }
        let narrow = screen.width.is_some_and(|width| width < WIDE);
        for cost in model.impact.iter().filter(|_| narrow && detail.is_none() && !model.beside) {
            let _ = writeln!(out, "{}", screen.wrapped(&told_impact(cost), 0, 2));
        }
        if narrow && !model.impact.is_empty() && !model.beside {
            out.push('\n');
        }
        // Segments are no instances: beside a control it would say less than the verdict does.
        let shown = detail.is_none() && !narrow && !model.beside;
        if let Some(impact) = content::impact(model).filter(|_| shown) {
            let cells = |row: Vec<Cell>| row.into_iter().map(|cell| cell.text).collect();
            let rows: Vec<Vec<String>> = impact.rows.into_iter().map(cells).collect();
            let width = screen.width.unwrap_or(USUAL_WIDTH);
            let _ = writeln!(out, "{}", fitted(&impact.header, &rows, width, &["allowed", "before"]));
            let open = model.impact.iter().any(|one| one.acceptance == Acceptance::NotProven);
            if open && model.verdict.action == Action::Go {
                let _ = writeln!(out, "{}", paint.faint(&screen.wrapped(content::RARELY_PROVEN, 0, 0)));
            }
            out.push('\n');
        }
        render_examples(&mut out, model, paint);
    }
    if let Some(probes) = watched::probes(model).filter(|_| detail.is_none()) {
        let cells = |row: Vec<Cell>| row.into_iter().map(|cell| cell.text).collect();
        let rows: Vec<Vec<String>> = probes.rows.into_iter().map(cells).collect();
        let width = screen.width.unwrap_or(USUAL_WIDTH);
        let _ = writeln!(out, "{}\n", fitted(&probes.header, &rows, width, &["readings"]));
    }
    for transient in content::transients(model, MOST_TRANSIENTS) {
        let _ = writeln!(out, "{}", screen.wrapped(&transient.text, 0, 6));
    }
    if !model.transients.is_empty() {
        out.push('\n');
    }
    let provenance: Vec<String> = model
        .provenance()
        .into_iter()
        .filter(|(name, _)| !matches!(*name, "scenario" | "load" | "started" | "load generator"))
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    let _ = writeln!(out, "{}", paint.faint(&screen.wrapped(&provenance.join(" · "), 0, 0)));
    if let Some(text) = model.power() {
        let _ = writeln!(out, "{}", paint.faint(&screen.wrapped(&text, 0, 0)));
    }
    out
}

/// What stands last, where the eye is at the end of a run: the verdict, the findings that matter most, the files. `whole`: all
/// else stands above it.
#[must_use]
pub fn render_closing(
    model: &ReportModel,
    folder: &str,
    files: &[&str],
    screen: Screen,
    whole: bool,
) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}", headline(model, screen, 0));
    let important = model.important();
    // One of each endpoint: what else is wrong with it stands above.
    let mut endpoints = BTreeSet::new();
    let mut most: Vec<&Finding> = important.clone();
    most.retain(|f| f.endpoint.as_ref().is_none_or(|endpoint| endpoints.insert(endpoint)));
    most.truncate(MOST_IN_CLOSING);
    let untold = |f: &&&Finding| !model.verdict.summary.contains(&f.reason);
    for finding in most.iter().filter(untold) {
        let word = word(model, finding, screen.paint);
        let _ = writeln!(out, "{word}  {}", screen.wrapped(&finding.reason, 6, 6));
    }
    let more = important.len() - most.len();
    if more > 0 {
        let place = if !whole || important.len() > MOST_FINDINGS { "in report.html" } else { "above" };
        let _ = writeln!(out, "      … and {more} more {place}");
    }
    let _ = writeln!(out, "{}", screen.wrapped(&format!("results in {folder}: {}", files.join(", ")), 0, 2));
    out
}

/// The verdict's first line, where `at` columns stand before it.
fn headline(model: &ReportModel, screen: Screen, at: usize) -> String {
    let text = screen.wrapped(&model.verdict.summary, at, 2);
    match model.verdict.action {
        Action::Go => screen.paint.good(&text),
        Action::Hold => screen.paint.caution(&text),
        Action::RollBack => screen.paint.bad(&text),
    }
}

fn word(model: &ReportModel, finding: &Finding, paint: Paint) -> String {
    let word = model.word(finding);
    match finding.severity {
        Severity::Fail => paint.bad(word),
        Severity::Hold | Severity::Warn => paint.caution(word),
        Severity::Info => paint.faint(word),
    }
}

/// Whether the first line tells this finding, the only one, in full.
fn alone(model: &ReportModel, finding: &Finding) -> bool {
    model.verdict.findings.len() == 1 && model.verdict.summary.contains(&finding.reason)
}

/// A remedy that several findings share stands below the last.
fn render_findings(out: &mut String, model: &ReportModel, screen: Screen) {
    let findings = &model.verdict.findings;
    for (i, finding) in findings.iter().take(MOST_FINDINGS).enumerate() {
        if !alone(model, finding) {
            let word = word(model, finding, screen.paint);
            let _ = writeln!(out, "{word}  {}", screen.wrapped(&finding.reason, 6, 6));
        }
        let next = findings.get(i + 1).filter(|_| i + 1 < MOST_FINDINGS);
        let shared = next.is_some_and(|next| next.remedy == finding.remedy);
        if let Some(remedy) = finding.remedy.as_ref().filter(|_| !shared) {
            let _ = writeln!(out, "      → {}", screen.wrapped(remedy, 8, 8));
        }
    }
    if findings.len() > MOST_FINDINGS {
        let _ = writeln!(out, "      … and {} more", findings.len() - MOST_FINDINGS);
    }
    out.push('\n');
}

fn endpoints(model: &ReportModel, width: usize) -> String {
    let level = model.verdict.comparisons.iter().find(|c| c.metric == Metric::P95).map(|c| c.level);
    let change = level.map_or("p95 change".to_owned(), |l| format!("p95 change ({:.0}%)", l * 100.0));
    let header = ["endpoint", "requests", "errors", "p50", "p95", "p99", "p95 limit", &change, "status"];
    let rows = |with_intervals: bool| -> Vec<Vec<String>> {
        let ms = |value: Option<f64>| value.map_or("–".to_owned(), format_ms);
        model
            .endpoints
            .iter()
            .enumerate()
            .flat_map(|(number, row)| {
                let (limit, told) = (row.limit(Metric::P95), told_comparison(row));
                let own = vec![
                    row.name.clone(),
                    row.summary.requests.to_string(),
                    row.summary.errors.to_string(),
                    ms(row.summary.p50_ms),
                    ms(row.summary.p95_ms),
                    ms(row.summary.p99_ms),
                    limit.map_or("–".to_owned(), |l| format!("< {}", format_ms(l.allowed))),
                    told.map_or("–".to_owned(), |c| {
                        let whole = with_interval(c.metric, c.change, c.interval, c.level);
                        let (interval, _) = whole.rsplit_once(" (").unwrap_or((&whole, ""));
                        let text =
                            if with_intervals { interval.to_owned() } else { change_of(c.metric, c.change) };
                        if c.metric == Metric::P95 { text } else { format!("{}: {text}", c.metric) }
                    }),
                    row.standing.word().to_owned(),
                ];
                let control = control_of(model, number).map(|beside| {
                    let quantile = |q| ms(beside.response.quantile_ms(q));
                    let (requests, errors) = (beside.requests.to_string(), beside.error_count().to_string());
                    let [p50, p95, p99] = [0.5, 0.95, 0.99].map(quantile);
                    let none = || String::new();
                    vec!["  its control".into(), requests, errors, p50, p95, p99, none(), none(), none()]
                });
                std::iter::once(own).chain(control)
            })
            .collect()
    };
    // Names and intervals are worth more than what stands in the files anyway.
    let droppable = ["p99", "requests", "p95 limit", "p50"];
    if width >= WIDE {
        return fitted(&header, &rows(true), width, &droppable);
    }
    let header = ["endpoint", "requests", "errors", "p50", "p95", "p99", "p95 limit", "p95 change", "status"];
    fitted(&header, &rows(false), width, &droppable)
}

/// That of p95, or where a look had too few requests for it, of what changed most.
fn told_comparison(row: &EndpointRow) -> Option<&Comparison> {
    let latencies = row.comparisons.iter().filter(|c| c.metric.quantile().is_some());
    let most = || latencies.max_by(|a, b| (a.change / a.delta).total_cmp(&(b.change / b.delta)));
    row.comparison(Metric::P95).or_else(most)
}

/// The same endpoint of the arm beside it.
fn control_of(model: &ReportModel, number: usize) -> Option<EndpointRecord> {
    let control = model.record.control.as_ref()?;
    let looks: Vec<&EndpointRecord> =
        control.runs.iter().filter_map(|look| look.endpoints.get(number)).collect();
    (!looks.is_empty()).then(|| EndpointRecord::of_looks(&looks))
}

/// What failed under load, as a failed check of the smoke pass is shown: one of each endpoint and message.
fn render_examples(out: &mut String, model: &ReportModel, paint: Paint) {
    let mut told = BTreeSet::new();
    for example in &model.record.error_examples {
        let Some(evidence) = &example.evidence else { continue };
        if told.len() == MOST_EXAMPLES || !told.insert((&example.endpoint, &example.message)) {
            continue;
        }
        let file = model.endpoints.iter().find(|row| row.name == example.endpoint);
        let file = file.map_or("", |row| row.file.as_str());
        let place = format!("{file}:{}:{}", evidence.line, evidence.column);
        let _ = writeln!(out, "one of the errors of {} ({})", example.endpoint, example.class.name());
        draw(out, &place, evidence, &example.message, paint);
        out.push('\n');
    }
}

/// Several runs side by side, the first as what the others are held against.
#[must_use]
pub fn render_side_by_side(models: &[ReportModel], screen: Screen) -> String {
    let mut out = format!("{}\n", screen.wrapped(&super::beside::actions(models), 0, 2));
    for (number, model) in (1..).zip(models) {
        let title = shortened(model.title(), MOST_TITLE);
        let start = format!("{number}  {title}  ");
        let _ = writeln!(out, "{start}{}", headline(model, screen, columns(&start)));
    }
    out.push('\n');
    for (metric, rows) in super::beside::side_by_side(models) {
        let names: Vec<String> = (1..=models.len()).map(|n| n.to_string()).collect();
        let mut header = vec![metric];
        header.extend(names.iter().map(String::as_str));
        let cells: Vec<Vec<String>> = rows
            .iter()
            .map(|row| std::iter::once(row.name.clone()).chain(row.cells.iter().cloned()).collect())
            .collect();
        // What all others are held against stands in each part.
        for part in in_parts(&header, &cells, screen.width.unwrap_or(USUAL_WIDTH), 2) {
            let _ = writeln!(out, "{part}\n");
        }
    }
    let _ = writeln!(out, "{}", screen.paint.faint(&screen.wrapped(super::beside::CAUTION, 0, 0)));
    out
}
