use std::fmt::Write as _;

use tabled::builder::Builder;
use tabled::settings::object::Columns;
use tabled::settings::{Alignment, Modify, Padding, Style};

use super::paint::Paint;
use super::smoke::draw;
use crate::metrics::{EndpointPlan, Repeat, RunRecord};
use crate::units::{Metric, counted, format_ms, visible_change};
use crate::verdict::{Action, Comparison, EndpointSummary, Finding, Outcome, Settled, Severity, Verdict};

/// Rows below a header, numbers to the right of the first column (the only door to `tabled`).
#[must_use]
pub fn grid(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut builder = Builder::default();
    builder.push_record(header.iter().copied());
    for row in rows {
        builder.push_record(row.iter().map(String::as_str));
    }
    let mut table = builder.build();
    table
        .with(Style::blank())
        .with(Padding::new(0, 1, 0, 0))
        .with(Modify::new(Columns::new(1..)).with(Alignment::right()));
    table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// The verdict for a terminal: first line, findings, endpoints, what it rests on.
#[must_use]
pub fn render_verdict(verdict: &Verdict, record: &RunRecord, paint: Paint) -> String {
    let mut out = String::new();
    let headline = match verdict.action {
        Action::Go => paint.good(&verdict.summary),
        Action::Hold => paint.caution(&verdict.summary),
        Action::RollBack => paint.bad(&verdict.summary),
    };
    let _ = writeln!(out, "{headline}\n");
    if !verdict.findings.is_empty() {
        render_findings(&mut out, verdict, paint);
    }
    if !verdict.endpoints.is_empty() && !record.runs.is_empty() {
        let plans: Vec<&EndpointPlan> = record.scenarios.iter().flat_map(|s| &s.endpoints).collect();
        let rows: Vec<Vec<String>> = verdict
            .endpoints
            .iter()
            .zip(plans)
            .map(|(endpoint, plan)| endpoint_row(endpoint, plan, verdict))
            .collect();
        let header =
            ["endpoint", "requests", "errors", "p50", "p95", "p99", "p95 limit", "p95 change", "status"];
        let _ = writeln!(out, "{}\n", grid(&header, &rows));
        render_examples(&mut out, record, paint);
    }
    let _ = writeln!(out, "{}", paint.faint(&provenance(verdict, record)));
    if let Some(text) = power(verdict, record) {
        let _ = writeln!(out, "{}", paint.faint(&text));
    }
    out
}

const MOST_EXAMPLES: usize = 3;

/// What failed under load, as a failed check of the smoke pass is shown: one of each endpoint and message.
fn render_examples(out: &mut String, record: &RunRecord, paint: Paint) {
    let files = record.scenarios.iter().flat_map(|s| s.endpoints.iter().map(|e| (&e.endpoint, &s.file)));
    let files: std::collections::HashMap<_, _> = files.collect();
    let mut told = std::collections::BTreeSet::new();
    for example in &record.error_examples {
        let Some(evidence) = &example.evidence else { continue };
        if told.len() == MOST_EXAMPLES || !told.insert((&example.endpoint, &example.message)) {
            continue;
        }
        let file = files.get(&example.endpoint).map_or("", |file| file.as_str());
        let place = format!("{file}:{}:{}", evidence.line, evidence.column);
        let _ = writeln!(out, "one of the errors of {} ({})", example.endpoint, example.class.name());
        draw(out, &place, evidence, &example.message, paint);
        out.push('\n');
    }
}

const MOST_SHOWN: usize = 12;

/// A finding that the first line tells in full is not told twice; a remedy that several share stands below the last.
fn render_findings(out: &mut String, verdict: &Verdict, paint: Paint) {
    let findings: Vec<&Finding> = verdict.findings.iter().collect();
    for (i, finding) in findings.iter().take(MOST_SHOWN).enumerate() {
        let word = match finding.severity {
            Severity::Fail => paint.bad("FAIL"),
            Severity::Hold => paint.caution("HOLD"),
            Severity::Warn => paint.caution("WARN"),
            Severity::Info => paint.faint("INFO"),
        };
        if findings.len() > 1 || !verdict.summary.contains(&finding.reason) {
            let _ = writeln!(out, "{word}  {}", finding.reason);
        }
        let shared = findings
            .get(i + 1)
            .filter(|_| i + 1 < MOST_SHOWN)
            .is_some_and(|next| next.remedy == finding.remedy);
        if let Some(remedy) = finding.remedy.as_ref().filter(|_| !shared) {
            let _ = writeln!(out, "      → {remedy}");
        }
    }
    if findings.len() > MOST_SHOWN {
        let _ = writeln!(out, "      … and {} more in verdict.json", findings.len() - MOST_SHOWN);
    }
    out.push('\n');
}

fn endpoint_row(endpoint: &EndpointSummary, plan: &EndpointPlan, verdict: &Verdict) -> Vec<String> {
    let name = format!("{}/{}", endpoint.feature, endpoint.step);
    let of = |c: &&Comparison| c.endpoint == name;
    let p95 = verdict.comparisons.iter().filter(of).find(|c| c.metric == Metric::P95);
    let limit = plan.rules.limits.iter().find(|l| l.metric == Metric::P95);
    let ms = |value: Option<f64>| value.map_or("–".to_owned(), format_ms);
    vec![
        name.clone(),
        endpoint.requests.to_string(),
        endpoint.errors.to_string(),
        ms(endpoint.p50_ms),
        ms(endpoint.p95_ms),
        ms(endpoint.p99_ms),
        limit.map_or("–".to_owned(), |l| format!("< {}", format_ms(l.below))),
        p95.map_or("–".to_owned(), |c| format!("{:+.1}%", c.change * 100.0)),
        if endpoint.requests == 0 { "not sent" } else { status(&name, plan, verdict) }.to_owned(),
    ]
}

fn status(endpoint: &str, plan: &EndpointPlan, verdict: &Verdict) -> &'static str {
    if plan.shown_only {
        return "shown";
    }
    if verdict.outcome == Outcome::Partial {
        return "recorded";
    }
    let of = |f: &&Finding| f.endpoint.as_deref() == Some(endpoint);
    let worst = verdict.findings.iter().filter(of).map(|f| f.severity).min();
    let mut compared = verdict.comparisons.iter().filter(|c| c.endpoint == endpoint).peekable();
    let without = compared.peek().is_none();
    let open = compared.any(|c| c.settled == Settled::Open);
    match worst {
        Some(Severity::Fail) => "FAIL",
        Some(Severity::Hold) => "hold",
        Some(Severity::Warn) if without => "no baseline",
        _ if open => "open",
        _ => "ok",
    }
}

/// What this verdict could have proven, by its least sharp comparison of each metric; and, where nothing is restarted,
/// which Δ one look could have passed.
fn power(verdict: &Verdict, record: &RunRecord) -> Option<String> {
    let worst = |metric: Metric, of: fn(&Comparison) -> Option<f64>| {
        let values = verdict.comparisons.iter().filter(|c| c.metric == metric);
        values.filter_map(|c| Some((of(c)?, &c.endpoint))).max_by(|a, b| a.0.total_cmp(&b.0))
    };
    let told: Vec<String> = [Metric::P50, Metric::P95, Metric::P99, Metric::ErrorRate]
        .into_iter()
        .filter_map(|metric| {
            let (least, endpoint) = worst(metric, |c| c.detectable)?;
            let least = match metric {
                Metric::ErrorRate => format!("+{:.2} points", least * 100.0),
                Metric::Quantile(_) => visible_change(least, 1),
            };
            Some(format!("{metric} {least} ({endpoint})"))
        })
        .collect();
    if told.is_empty() {
        return None;
    }
    let mut text = format!(
        "smallest change that is proven 19 times in 20, at the noisiest endpoint: {}",
        told.join(", ")
    );
    if record.plan.restarts && record.plan.repeat == Repeat::Auto && record.runs.len() < 5 {
        text.push_str(" · further looks, which are taken only where they are needed, prove smaller ones");
    }
    let passable = worst(Metric::P95, |c| c.passable).filter(|_| !record.plan.restarts);
    if let Some((least, _)) = passable {
        let _ = write!(
            text,
            " · without a restart between looks, a same-build run passes p95 only where Δ ≥ {:.0}%",
            least * 100.0
        );
    }
    Some(text)
}

fn provenance(verdict: &Verdict, record: &RunRecord) -> String {
    let mut parts = vec![format!("run {}", verdict.run_id), format!("target {}", record.target)];
    if let Some(look) = record.runs.last() {
        let looks = if verdict.looks == 1 { "1 look".to_owned() } else { format!("{} looks", verdict.looks) };
        parts.push(format!("{looks} of {:.0} s", look.window_ms as f64 / 1e3));
        parts.push(format!("gate {}", verdict.gate));
        let warmup = &look.warmup;
        parts.push(format!(
            "warm-up {:.1} s ({} requests) left out",
            warmup.length_ms as f64 / 1e3,
            warmup.requests
        ));
        if let Some(build) = &look.build_id {
            parts.push(format!("build {build}"));
        }
    }
    if let Some(compared) = verdict.comparisons.iter().find(|c| c.metric != Metric::ErrorRate) {
        parts.push(format!("baseline of {}", counted(compared.baseline_instances, "instance")));
    }
    if let Some(lag) = verdict.generator.send_lag_p99_us {
        parts.push(format!("sent at most {} late (p99)", format_ms(lag / 1e3)));
    }
    parts.join(" · ")
}
