use crate::metrics::{Histogram, LookRecord, SmokeStatus};
use crate::report::content;
use crate::report::document::{Block, Cell, Tone};
use crate::report::model::ReportModel;
use crate::units::{counted, format_ms, level_of};
use crate::verdict::{Action, Finding, FindingKind, Severity, interruption};

/// A start this much slower than what followed is worth telling.
const COLD: f64 = 1.25;
/// Of one phase; the rest is in its own report.
const MOST_OF_A_KIND: usize = 20;

/// Rules that fired: alerts, and those that ended a load.
pub fn alerts(models: &[ReportModel]) -> Vec<Block> {
    let mut fired = Vec::new();
    for model in models {
        let found = model.verdict.findings.iter().filter(|f| f.kind == FindingKind::Alert);
        fired.extend(found.map(|f| {
            let respond = f.remedy.as_ref().map(|respond| format!(" → {respond}")).unwrap_or_default();
            Cell::toned(format!("{}: {}{respond}", model.title(), f.reason), Tone::Bad)
        }));
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
        let rules: usize = models.iter().map(|model| model.record.alerts.len()).max().unwrap_or(0);
        let text = match rules {
            0 => "No `abort_when` rule ended a load; these runs had no other alerts.".to_owned(),
            _ => format!(
                "None of {} fired, and no `abort_when` rule ended a load.",
                counted(rules, "alert rule")
            ),
        };
        return vec![Block::Text(text)];
    }
    vec![Block::List(fired)]
}

/// What went wrong and what nearly did, in the order of the phases.
pub fn incidents(models: &[ReportModel]) -> Vec<Block> {
    let seen: Vec<Cell> = models
        .iter()
        .flat_map(|model| {
            let told = |cell: Cell| Cell { text: format!("{}: {}", model.title(), cell.text), ..cell };
            of_phase(model).into_iter().map(told)
        })
        .collect();
    if seen.is_empty() {
        let none = "None was seen in the timelines and the functional passes of these runs.";
        return vec![Block::Text(none.into())];
    }
    vec![Block::List(seen)]
}

/// Each kind has a cap of its own: many incidents push no near-miss out.
fn of_phase(model: &ReportModel) -> Vec<Cell> {
    let own = "in the report of this run";
    let findings = |severity: Severity| model.verdict.findings.iter().filter(move |f| f.severity == severity);
    let told = |word: &str, finding: &Finding, tone: Tone| {
        let remedy = finding.remedy.as_ref().map(|remedy| format!(" → {remedy}")).unwrap_or_default();
        Cell::toned(format!("{word}. {}{remedy}", finding.reason), tone)
    };
    let fails = findings(Severity::Fail).map(|f| told("incident", f, Tone::Bad)).collect();
    let mut seen = content::capped(fails, MOST_OF_A_KIND, "incident", own);
    if model.verdict.action != Action::Go {
        let holds = findings(Severity::Hold).map(|f| told("held", f, Tone::Caution)).collect();
        seen.extend(content::capped(holds, MOST_OF_A_KIND, "reason to hold", own));
    }
    if let Some(signal) = &model.record.interrupted {
        seen.push(Cell::toned(interruption(signal), Tone::Caution));
    }
    seen.extend(content::transients(model, MOST_OF_A_KIND));
    for step in model.smoke_steps().iter().filter(|step| step.status == SmokeStatus::NearMiss) {
        let message = step.message.clone().unwrap_or_default();
        let text = format!("near-miss. {} passed only on its second try; {message}", step.endpoint);
        seen.push(Cell::toned(text, Tone::Caution));
    }
    let probes = model.verdict.findings.iter().filter(|f| f.kind == FindingKind::Probe);
    let near = probes.filter(|f| f.severity == Severity::Info);
    seen.extend(near.map(|f| {
        let text = f.reason.strip_prefix("Near-miss: ").unwrap_or(&f.reason);
        Cell::toned(format!("near-miss. {text}"), Tone::Caution)
    }));
    let cold = model.record.runs.iter().filter_map(|look| cold_start(model, look));
    seen.extend(cold.map(|text| Cell::toned(text, Tone::Caution)));
    seen
}

/// A warm-up that was slower than what followed, or that never ended.
fn cold_start(model: &ReportModel, look: &LookRecord) -> Option<String> {
    let of = if model.record.runs.len() > 1 { format!(" of look {}", look.look) } else { String::new() };
    let length = format_ms(look.warmup.length_ms as f64);
    if let Some(why) = &look.warmup.unsteady {
        return Some(format!("a slow start{of} that did not end within {length}: {why}"));
    }
    // The warm-up is told for all endpoints together, and so is what followed.
    let mut afterwards = Histogram::default();
    for endpoint in &look.endpoints {
        afterwards.merge(&endpoint.response);
    }
    let first = look.warmup.first_p50_ms.or(look.warmup.p50_ms)?;
    let (slow, usual) = (first, afterwards.quantile_ms(0.5)?);
    (slow > usual * COLD).then(|| {
        format!(
            "near-miss, recovered: a slow start{of}, p50 at first {} against {} afterwards; the first {length} are left out",
            format_ms(slow),
            format_ms(usual)
        )
    })
}
