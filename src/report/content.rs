//! The tables and sections that Markdown and HTML share.

use std::collections::BTreeSet;

use super::document::{Block, Cell, Table, Tone};
use super::model::{ReportModel, moment};
use super::words::{acceptance, quantity, told, told_transient};
use crate::metrics::{EndpointRecord, Evidence, SmokeStatus};
use crate::units::{Metric, change_of, counted, format_ms, format_share, level_of, with_interval};
use crate::verdict::{Acceptance, Action, Finding, Impact, RuleStatus, Severity, Standing};

/// Of one endpoint, and of all together.
const MOST_SLOW: usize = 3;
const MOST_SLOW_IN_ALL: usize = 15;

#[must_use]
pub fn tone_of_action(action: Action) -> Tone {
    match action {
        Action::Go => Tone::Good,
        Action::Hold => Tone::Caution,
        Action::RollBack => Tone::Bad,
    }
}

#[must_use]
pub fn tone_of_severity(severity: Severity) -> Tone {
    match severity {
        Severity::Fail => Tone::Bad,
        Severity::Hold | Severity::Warn => Tone::Caution,
        Severity::Info => Tone::Plain,
    }
}

#[must_use]
pub fn tone_of_standing(standing: Standing) -> Tone {
    match standing {
        Standing::Ok => Tone::Good,
        Standing::Fail => Tone::Bad,
        Standing::Hold | Standing::Open | Standing::NoBaseline | Standing::NotSent => Tone::Caution,
        Standing::Shown | Standing::Recorded => Tone::Plain,
    }
}

fn tone_of_rule(status: RuleStatus) -> Tone {
    match status {
        RuleStatus::Held => Tone::Good,
        RuleStatus::Broken => Tone::Bad,
        RuleStatus::Undecided => Tone::Caution,
        RuleStatus::Tolerated | RuleStatus::NotJudged => Tone::Plain,
    }
}

#[must_use]
pub fn tone_of_acceptance(acceptance: Acceptance) -> Tone {
    match acceptance {
        Acceptance::Accepted => Tone::Good,
        Acceptance::NotAccepted => Tone::Bad,
        Acceptance::NotProven => Tone::Caution,
    }
}

/// A finding and what helps.
#[must_use]
pub fn finding_cell(model: &ReportModel, finding: &Finding) -> Cell {
    let remedy = finding.remedy.as_ref().map(|remedy| format!(" → {remedy}")).unwrap_or_default();
    let text = format!("{}: {}{remedy}", model.word(finding), finding.reason);
    Cell::toned(text, tone_of_severity(finding.severity))
}

/// How each endpoint stands.
#[must_use]
pub fn endpoints(model: &ReportModel) -> Table {
    let ms = |value: Option<f64>| value.map_or("–".to_owned(), format_ms);
    let rows = model.endpoints.iter().map(|row| {
        let (limit, p95) = (row.limit(Metric::P95), row.comparison(Metric::P95));
        vec![
            row.name.clone().into(),
            Cell::toned(row.standing.word(), tone_of_standing(row.standing)),
            row.summary.requests.to_string().into(),
            errors(row.summary.errors, row.summary.error_rate).into(),
            ms(row.summary.p50_ms).into(),
            ms(row.summary.p95_ms).into(),
            ms(row.summary.p99_ms).into(),
            limit.map_or("–".to_owned(), |l| format!("< {}", format_ms(l.allowed))).into(),
            p95.map_or("–".to_owned(), |c| with_interval(c.metric, c.change, c.interval, c.level)).into(),
        ]
    });
    Table {
        header: vec![
            "endpoint",
            "status",
            "requests",
            "errors",
            "p50",
            "p95",
            "p99",
            "p95 limit",
            "p95 change (interval, level)",
        ],
        rows: rows.collect(),
        numbers: 2..9,
    }
}

/// `73 (2.32%)`
fn errors(count: u64, rate: Option<f64>) -> String {
    match rate {
        Some(rate) if count > 0 => format!("{count} ({})", format_share(rate)),
        Some(_) => "0".to_owned(),
        None => "–".to_owned(),
    }
}

/// Every rule of every endpoint.
#[must_use]
pub fn rules(model: &ReportModel) -> Table {
    let rows = model.endpoints.iter().flat_map(|row| &row.rules).map(|rule| {
        let told = told(rule);
        vec![
            rule.endpoint.clone().into(),
            told.rule.into(),
            told.observed.into(),
            Cell::toned(told.status, tone_of_rule(rule.status)),
        ]
    });
    Table { header: vec!["endpoint", "rule", "observed", "status"], rows: rows.collect(), numbers: 2..3 }
}

/// Every comparison with a baseline: levels, change with its interval, noise, what could have been proven.
#[must_use]
pub fn comparisons(model: &ReportModel) -> Table {
    let rows = model.verdict.comparisons.iter().map(|c| {
        let of = model.acceptance(c);
        let noise =
            if c.metric == Metric::ErrorRate { "–".into() } else { format!("±{:.1}%", c.noise * 100.0) };
        vec![
            c.endpoint.clone().into(),
            c.metric.to_string().into(),
            level_of(c.metric, c.reference).into(),
            level_of(c.metric, c.observed).into(),
            with_interval(c.metric, c.change, c.interval, c.level).into(),
            change_of(c.metric, c.delta).into(),
            noise.into(),
            c.detectable.map_or("–".to_owned(), |d| change_of(c.metric, d)).into(),
            Cell::toned(acceptance(of), tone_of_acceptance(of)),
        ]
    });
    Table {
        header: vec![
            "endpoint",
            "metric",
            if model.beside { "control" } else { "before" },
            if model.beside { "candidate" } else { "after" },
            "change (interval, level)",
            "allowed",
            if model.beside { "standard error" } else { "run noise" },
            "smallest detectable",
            "status",
        ],
        rows: rows.collect(),
        numbers: 2..8,
    }
}

/// All endpoints together, before against after, where there is something to compare.
#[must_use]
pub fn impact(model: &ReportModel) -> Option<Table> {
    let rows = impact_rows(&model.impact);
    (!rows.is_empty()).then(|| Table { header: impact_header(model), rows, numbers: 1..5 })
}

#[must_use]
pub fn impact_header(model: &ReportModel) -> Vec<&'static str> {
    let part = model.impact.iter().any(|one| one.endpoints < one.of_endpoints);
    let of = if part { "endpoints that both sides have" } else { "all endpoints together" };
    vec![of, "before", "after", "change (interval, level)", "allowed", "accepted"]
}

#[must_use]
pub fn impact_rows(impact: &[Impact]) -> Vec<Vec<Cell>> {
    let row = |one: &Impact| {
        let (name, metric) = quantity(one);
        vec![
            name.into(),
            level_of(metric, one.before).into(),
            level_of(metric, one.after).into(),
            with_interval(metric, one.change, one.interval, one.level).into(),
            change_of(metric, one.allowed).into(),
            Cell::toned(acceptance(one.acceptance), tone_of_acceptance(one.acceptance)),
        ]
    };
    impact.iter().map(row).collect()
}

/// What is to be said wherever an impact is shown: that it is not proven is no alarm.
pub const RARELY_PROVEN: &str = "Two instances of one build differ too, so that a small impact is rarely proven by one run; the verdict does not rest on it.";

/// Steps of the functional pass.
#[must_use]
pub fn smoke(model: &ReportModel) -> Table {
    let rows = model.smoke_steps().iter().map(|step| {
        let (word, tone) = match step.status {
            SmokeStatus::Passed => ("passed", Tone::Good),
            SmokeStatus::NearMiss => ("near-miss", Tone::Caution),
            SmokeStatus::Failed => ("FAILED", Tone::Bad),
            SmokeStatus::Skipped => ("skipped", Tone::Plain),
        };
        let took =
            if step.status == SmokeStatus::Skipped { "–".to_owned() } else { format_ms(step.elapsed_ms) };
        vec![
            step.endpoint.clone().into(),
            took.into(),
            Cell::toned(word, tone),
            step.message.clone().unwrap_or_default().into(),
        ]
    });
    Table { header: vec!["step", "time", "status", "what happened"], rows: rows.collect(), numbers: 1..2 }
}

/// The slowest requests that carried a trace, by endpoint; `None`: none did.
#[must_use]
pub fn slowest(model: &ReportModel) -> Option<Table> {
    let looks = model.record.runs.iter();
    let all = looks.flat_map(|look| look.endpoints.iter().map(move |own| (look, own)));
    let mut rows: Vec<(f64, Vec<Cell>)> = Vec::new();
    for (look, own) in all {
        for slow in own.slowest.iter().take(MOST_SLOW) {
            let failed = if slow.failed { " (failed)" } else { "" };
            let at = format!("{} of look {}", format_ms(slow.at_ms as f64), look.look);
            let cells =
                [own.endpoint.clone(), at, format!("{}{failed}", slow.trace_id), format_ms(slow.response_ms)];
            rows.push((slow.response_ms, cells.into_iter().map(Cell::from).collect()));
        }
    }
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    let rows: Vec<Vec<Cell>> = rows.into_iter().take(MOST_SLOW_IN_ALL).map(|(_, cells)| cells).collect();
    (!rows.is_empty()).then(|| Table {
        header: vec!["endpoint", "sent after", "trace", "response time"],
        rows,
        numbers: 3..4,
    })
}

/// What happened in the timeline and was over again, or was not: so many at most.
#[must_use]
pub fn transients(model: &ReportModel, most: usize) -> Vec<Cell> {
    let tone = |recovered| if recovered { Tone::Caution } else { Tone::Bad };
    let told = model.transients.iter().map(|t| Cell::toned(told_transient(model, t), tone(t.recovered)));
    capped(told.collect(), most, "transient", "in `loadgate report --format json`")
}

/// At most so many, and how many more there are and where.
#[must_use]
pub fn capped(mut all: Vec<Cell>, most: usize, noun: &str, place: &str) -> Vec<Cell> {
    let more = all.len().saturating_sub(most);
    all.truncate(most);
    if more > 0 {
        all.push(Cell::toned(
            format!("and {} {place}", counted(more, &format!("more {noun}"))),
            Tone::Caution,
        ));
    }
    all
}

/// What failed, each with its evidence: failed steps first, then one of each kind under load.
#[must_use]
pub fn evidence(model: &ReportModel, most: usize) -> Vec<Vec<Block>> {
    let told = |text: String, evidence: Option<&Evidence>| {
        let mut blocks = vec![Block::Text(text)];
        blocks.extend(evidence.map(|evidence| Block::Code(code(evidence))));
        blocks
    };
    let failed = model.smoke_steps().iter().filter(|step| step.status == SmokeStatus::Failed);
    let mut all: Vec<Vec<Block>> = failed
        .take(most)
        .map(|step| {
            let message = step.message.clone().unwrap_or_default();
            told(format!("{}: {message} ({})", step.endpoint, step.place), step.evidence.as_deref())
        })
        .collect();
    let mut kinds = BTreeSet::new();
    for example in &model.record.error_examples {
        if kinds.len() < most && kinds.insert((&example.endpoint, &example.message)) {
            let (endpoint, class) = (&example.endpoint, example.class.name());
            let text = format!("{endpoint} under load ({class}): {}", example.message);
            all.push(told(text, example.evidence.as_deref()));
        }
    }
    all
}

/// What stands above [`evidence`]: errors within the budget are no failure.
#[must_use]
pub fn evidence_title(model: &ReportModel) -> &'static str {
    let failed = model.verdict.findings.iter().any(|f| f.severity == Severity::Fail);
    if failed { "What failed" } else { "Examples of errors" }
}

fn code(evidence: &Evidence) -> String {
    let mut lines = vec![format!("{} | {}", evidence.line, evidence.source)];
    lines.extend(evidence.others.iter().map(|other| format!("also {other}")));
    lines.extend(evidence.request.clone());
    if let Some(response) = &evidence.response {
        lines.push(format!("{}, {} bytes", response.status, response.size));
        lines.extend(response.headers.iter().cloned());
        lines.push(String::new());
        lines.push(response.body.clone());
    }
    if let Some(command) = &evidence.reproduce {
        lines.push(String::new());
        lines.push(format!("see it again: {command}"));
    }
    lines.join("\n")
}

#[must_use]
pub fn provenance(model: &ReportModel) -> Table {
    let rows = model.provenance().into_iter().map(|(name, value)| vec![name.into(), value.into()]);
    Table { header: vec!["what", "value"], rows: rows.collect(), numbers: 0..0 }
}

/// Each look: when, whom, how it went.
#[must_use]
pub fn looks(model: &ReportModel) -> Table {
    let control = model.record.control.iter().flat_map(|control| &control.runs);
    let rows = model.record.runs.iter().chain(control).map(|look| {
        let requests: u64 = look.endpoints.iter().map(|e| e.requests).sum();
        let errors: u64 = look.endpoints.iter().map(EndpointRecord::error_count).sum();
        let warmup = &look.warmup;
        let looked = if warmup.settled() { "steady" } else { "steadiness not known" };
        let settled = warmup.unsteady.as_deref().unwrap_or(looked);
        let stopped = look.early_stop.as_ref().map(|stop| {
            format!("stopped after {}: {} of {}", format_ms(stop.at_ms as f64), stop.metric, stop.endpoint)
        });
        let ended = look.abort.as_ref().map_or(stopped.unwrap_or(look.stop.clone()), |abort| {
            format!("aborted after {}: {} of {}", format_ms(abort.at_ms as f64), abort.metric, abort.endpoint)
        });
        vec![
            if model.beside { format!("{}, {}", look.look, look.arm) } else { look.look.to_string() }.into(),
            moment(&look.started).into(),
            look.instance_id.clone().into(),
            look.build_id.clone().unwrap_or_else(|| "–".into()).into(),
            format!("{}, {settled}", format_ms(warmup.length_ms as f64)).into(),
            format_ms(look.window_ms as f64).into(),
            requests.to_string().into(),
            errors.to_string().into(),
            ended.into(),
        ]
    });
    Table {
        header: vec![
            if model.beside { "segment" } else { "look" },
            "started",
            "instance",
            "build",
            "warm-up",
            "measured",
            "requests",
            "errors",
            "ended",
        ],
        rows: rows.collect(),
        numbers: 5..8,
    }
}
