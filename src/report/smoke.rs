use std::fmt::Write as _;

use super::paint::Paint;
use crate::metrics::{Evidence, SmokeRecord, SmokeStatus, SmokeStep};
use crate::units::format_ms;

/// A line for each step; where it failed, the check in its file, what was expected and what came, the response, and a
/// command to see it again.
#[must_use]
pub fn render_smoke(smoke: &SmokeRecord, paint: Paint) -> String {
    smoke.steps.iter().map(|step| render_step(step, paint)).collect()
}

#[must_use]
pub fn render_step(step: &SmokeStep, paint: Paint) -> String {
    let mut out = String::new();
    let word = match step.status {
        SmokeStatus::Passed => paint.good("ok  "),
        SmokeStatus::NearMiss => paint.caution("near"),
        SmokeStatus::Failed => paint.bad("FAIL"),
        SmokeStatus::Skipped => paint.faint("skip"),
    };
    let took = if step.status == SmokeStatus::Skipped { String::new() } else { format_ms(step.elapsed_ms) };
    let _ = writeln!(out, "{}", format!("{word}  {:<60} {took:>8}", step.endpoint).trim_end());
    let message = step.message.as_deref().unwrap_or_default();
    match &step.evidence {
        Some(evidence) => draw(&mut out, &step.place, evidence, message, paint),
        None if message.is_empty() => {}
        None if step.status == SmokeStatus::Skipped => {
            let _ = writeln!(out, "      {message}");
        }
        None => {
            // Records of earlier versions have no more than this.
            if let Some(request) = &step.request {
                let _ = writeln!(out, "      {request}");
            }
            let _ = writeln!(out, "      {message}\n      at {}", step.place);
        }
    }
    out
}

/// The check in its file, what was expected and what came, the response, and a command to see it again.
pub fn draw(out: &mut String, place: &str, evidence: &Evidence, message: &str, paint: Paint) {
    let Evidence { line, column, width, source, request, response, reproduce, others } = evidence;
    let margin = " ".repeat(line.to_string().len());
    let under = " ".repeat(column.saturating_sub(1)) + &"^".repeat(*width);
    let _ = writeln!(out, "      {}", paint.bad(message));
    let _ = writeln!(out, "      {margin}--> {place}");
    let _ = writeln!(out, "      {margin} |");
    let _ = writeln!(out, "      {line} | {source}");
    let _ = writeln!(out, "      {margin} | {}", paint.bad(&under));
    for other in others {
        let _ = writeln!(out, "      also {other}");
    }
    if let Some(request) = request {
        let _ = writeln!(out, "      {request}");
    }
    if let Some(response) = response {
        let _ = writeln!(out, "      {}, {} bytes", response.status, response.size);
        for header in &response.headers {
            let _ = writeln!(out, "      | {}", paint.faint(header));
        }
        let _ = writeln!(out, "      |");
        for line in response.body.lines() {
            let _ = writeln!(out, "      | {line}");
        }
    }
    if let Some(command) = reproduce {
        let _ = writeln!(out, "      see it again:\n        {command}");
    }
}
