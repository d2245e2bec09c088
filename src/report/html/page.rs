use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::bars::{noise, phases, response_and_service};
use super::blocks::{blocks, breakable, class, findings, table};
use super::forest::forests;
use super::frame::Figure;
use super::probes::probe_figure;
use super::spectrum::spectrum;
use super::timeline::timeline;
use crate::digest::sha256;
use crate::report::beside::{CAUTION, actions, side_by_side};
use crate::report::content;
use crate::report::document::{Block, Cell, Tone};
use crate::report::inert::shortened;
use crate::report::model::{EndpointRow, ReportModel, moment, passed_of};
use crate::report::watched;
use crate::units::{Metric, counted};
use crate::verdict::{Action, Comparison, Standing};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");
/// With so few endpoints all are shown at once; of more only those that are not well, and the one that came closest.
const FEW: usize = 4;
const MOST_EXAMPLES: usize = 10;
const FIRST_EXAMPLES: usize = 3;
const FIRST_FINDINGS: usize = 8;
const MOST_TRANSIENTS: usize = 50;
const MOST_TITLE: usize = 90;

/// One run: verdict, findings, endpoints, plots, and everything else on demand.
#[must_use]
pub fn render_html(model: &ReportModel) -> String {
    let failed = model.verdict.action == Action::RollBack;
    let body = html! {
        @if !model.verdict.findings.is_empty() {
            h2 { "Findings" }
            (all_findings(model))
        }
        @if !model.record.runs.is_empty() {
            h2 { "Endpoints" }
            (table(&content::endpoints(model), "e"))
        }
        @if failed { (evidence(model)) }
        (incidents(model))
        (watched(model))
        (comparison(model))
        @if !model.record.runs.is_empty() {
            @for (number, row) in model.endpoints.iter().enumerate() { (endpoint(model, number, row)) }
        }
        @if !failed { (evidence(model)) }
        (rest(model))
    };
    page(&model.verdict.summary, &heading(model), &body)
}

/// Several runs side by side, each with its verdict.
#[must_use]
pub fn render_html_beside(models: &[ReportModel]) -> String {
    let first = actions(models);
    let head = html! {
        h1 { (first) }
        p.soft { (CAUTION) }
    };
    let body = html! {
        h2 { "Runs" }
        ol { @for model in models {
            li { (model.title()) " (" (moment(&model.record.started)) "): "
                b class=[class(content::tone_of_action(model.verdict.action))] { (model.verdict.summary) } }
        } }
        @for (title, rows) in side_by_side(models) {
            h2 { (title) }
            div.scroll role="group" aria-label=(title) { table {
                thead { tr {
                    th scope="col" { "endpoint" }
                    @for (number, model) in (1..).zip(models) { th.n scope="col" { (number) ": " (shortened(model.title(), 24)) } }
                } }
                tbody { @for row in rows { tr {
                    th scope="row" { (breakable(&row.name)) }
                    @for cell in &row.cells { td.n { (cell) } }
                } } }
            } }
        }
        @for (number, model) in (1..).zip(models) {
            h2 { (number) ": " (model.title()) }
            (comparison_with(model, "Before against after", &format!("r{number}")))
        }
    };
    page(&first, &head, &body)
}

/// A document, with the plots of one of its runs; the first line is a verdict here too.
#[must_use]
pub fn render_html_document(
    (first, tone): (&str, Tone),
    head: &[Block],
    body: &[Block],
    model: Option<&ReportModel>,
) -> String {
    let plots = html! {
        @if let Some(model) = model {
            (comparison_with(model, &format!("Plots of {}: changes", model.title()), ""))
            h2 { "Plots of " (model.title()) ": endpoints" }
            @for (number, row) in model.endpoints.iter().enumerate().filter(|(_, row)| row.summary.requests > 0) {
                (endpoint(model, number, row))
            }
        }
    };
    let body = html! { (blocks(body)) (plots) };
    let tone = class(tone).unwrap_or("plain");
    page(first, &html! { div.verdict.(tone) { h1 { (first) } } (blocks(head)) }, &body)
}

fn heading(model: &ReportModel) -> Markup {
    let tone = class(content::tone_of_action(model.verdict.action)).unwrap_or("plain");
    html! {
        div.verdict.(tone) {
            h1 { (model.verdict.summary) }
            p.soft { (model.evidence()) }
        }
        p.soft {
            @if let Some(label) = &model.record.label { b { (label) } " · " }
            (model.record.target) " · " (moment(&model.record.started)) " · run " (model.record.id)
        }
    }
}

/// What was read beside the load, and the alerts.
fn watched(model: &ReportModel) -> Markup {
    let plans = model.record.probes.iter().enumerate().filter(|(_, plan)| plan.compare.is_none());
    html! {
        @if let Some(probes) = watched::probes(model) {
            h2 { "Resources" }
            (table(&probes, ""))
            div.plots { @for (number, plan) in plans {
                @if let Some(figure) = probe_figure(model, number, plan) { (figure.render()) }
            } }
        }
        @if let Some(alerts) = watched::alerts(model) { h2 { "Alerts" } (table(&alerts, "")) }
    }
}

fn incidents(model: &ReportModel) -> Markup {
    let seen = content::transients(model, MOST_TRANSIENTS);
    html! { @if !seen.is_empty() { h2 { "Seen in the timeline" } (findings(&seen)) } }
}

fn comparison(model: &ReportModel) -> Markup {
    comparison_with(model, "Before against after", "")
}

/// The forest plots, the noise, and the figures behind them; `prefix` keeps names on the page apart.
fn comparison_with(model: &ReportModel, title: &str, prefix: &str) -> Markup {
    let named = |figure: Figure| Figure { id: format!("{prefix}{}", figure.id), ..figure };
    let figures: Vec<Figure> = forests(model).into_iter().chain(noise(model)).map(named).collect();
    html! {
        @if !figures.is_empty() {
            h2 { (title) }
            div.plots { @for figure in &figures { (figure.render()) } }
            details {
                summary { "The same in figures" }
                @if let Some(impact) = content::impact(model) {
                    (table(&impact, ""))
                    p.soft { (content::RARELY_PROVEN) }
                }
                (table(&content::comparisons(model), ""))
                @if let Some(power) = model.power() { p.soft { (power) } }
            }
        }
    }
}

fn endpoint(model: &ReportModel, number: usize, row: &EndpointRow) -> Markup {
    let figures: Vec<Figure> = [
        spectrum(&format!("s{number}"), model, row),
        timeline(&format!("l{number}"), model, number, row),
        response_and_service(&format!("v{number}"), row),
        phases(&format!("p{number}"), row),
    ]
    .into_iter()
    .flatten()
    .collect();
    let open = model.endpoints.len() <= FEW
        || !matches!(row.standing, Standing::Ok | Standing::Shown)
        || nearest(model) == Some(row.name.as_str());
    html! {
        details id={ "e" (number) } open[open] {
            summary {
                (row.name) " " b class=[class(content::tone_of_standing(row.standing))] { (row.standing.word()) }
            }
            p.soft { (row.plan.request) " · " (row.file) ":" (row.plan.line) }
            div.plots { @for figure in &figures { (figure.render()) } }
        }
    }
}

/// The endpoint whose change comes closest to what is allowed.
fn nearest(model: &ReportModel) -> Option<&str> {
    let share = |c: &Comparison| c.interval[1] / c.delta;
    let latencies = model.verdict.comparisons.iter().filter(|c| c.metric != Metric::ErrorRate);
    latencies.max_by(|a, b| share(a).total_cmp(&share(b))).map(|c| c.endpoint.as_str())
}

/// The gravest at once, the rest on demand.
fn all_findings(model: &ReportModel) -> Markup {
    let all: Vec<Cell> = model.verdict.findings.iter().map(|f| content::finding_cell(model, f)).collect();
    let (first, rest) = all.split_at(all.len().min(FIRST_FINDINGS));
    html! {
        (findings(first))
        @if !rest.is_empty() {
            details { summary { (counted(rest.len(), "more finding")) } (findings(rest)) }
        }
    }
}

fn evidence(model: &ReportModel) -> Markup {
    let all = content::evidence(model, MOST_EXAMPLES);
    let (first, rest) = all.split_at(all.len().min(FIRST_EXAMPLES));
    html! {
        @if !first.is_empty() {
            h2 { (content::evidence_title(model)) }
            (blocks(&first.concat()))
        }
        @if !rest.is_empty() {
            details { summary { (counted(rest.len(), "more example")) } (blocks(&rest.concat())) }
        }
    }
}

fn rest(model: &ReportModel) -> Markup {
    let rules = content::rules(model);
    html! {
        h2 { "Detail" }
        @if !rules.rows.is_empty() {
            details { summary { "All rules (" (rules.rows.len()) ")" } (table(&rules, "")) }
        }
        @if let Some(slowest) = content::slowest(model) {
            details { summary { "The slowest requests, by their traces" } (table(&slowest, "")) }
        }
        @if !model.smoke_steps().is_empty() {
            details { summary { (passed_of(model.smoke_steps())) } (table(&content::smoke(model), "")) }
        }
        @if !model.record.runs.is_empty() {
            details { summary { (counted(model.record.runs.len(), if model.beside { "segment" } else { "look" })) } (table(&content::looks(model), "")) }
        }
        details { summary { "Where this comes from" } (table(&content::provenance(model), "")) }
    }
}

fn page(title: &str, head: &Markup, body: &Markup) -> String {
    // Whatever else might get into the page: only this script runs, and nothing is fetched.
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{}'",
        BASE64.encode(sha256(SCRIPT.as_bytes()))
    );
    let whole = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="generator" content=(concat!("loadgate ", env!("CARGO_PKG_VERSION")));
                title { (shortened(title, MOST_TITLE)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    (head)
                    fieldset.tools {
                        legend.soft { "Colours" }
                        label { input type="radio" name="theme" id="auto" checked; " as the system" }
                        label { input type="radio" name="theme" id="light"; " light" }
                        label { input type="radio" name="theme" id="dark"; " dark" }
                        button #open type="button" aria-pressed="false" hidden { "open all" }
                        span #keys hidden { "On a plot, the pointer or the arrow keys tell values." }
                    }
                }
                main { (body) }
                footer { "Response times count from when a request should have gone out. loadgate " (env!("CARGO_PKG_VERSION")) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    whole.into_string()
}
