use std::fmt::Write as _;

use super::inert::{inert, line, shortened};
use super::paint::Paint;
use crate::metrics::{Evidence, SmokeRecord, SmokeStatus, SmokeStep};
use crate::units::format_ms;

/// A line for each step; where it failed, the check in its file, what was expected and what came, the response, and a
/// command to see it again.
#[must_use]
pub fn render_smoke(smoke: &SmokeRecord, paint: Paint) -> String {
    smoke.steps.iter().map(|step| render_step(step, paint)).collect()
}

const MOST_NAME: usize = 200;

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
    let name = shortened(&line(&step.endpoint), MOST_NAME);
    let _ = writeln!(out, "{}", format!("{word}  {name:<60} {took:>8}").trim_end());
    let message = line(step.message.as_deref().unwrap_or_default());
    let place = line(&step.place);
    match &step.evidence {
        Some(evidence) => draw(&mut out, &place, evidence, &message, paint),
        None if message.is_empty() => {}
        None if step.status == SmokeStatus::Skipped => {
            let _ = writeln!(out, "      {message}");
        }
        None => {
            // Records of earlier versions have no more than this.
            if let Some(request) = &step.request {
                let _ = writeln!(out, "      {}", line(request));
            }
            let _ = writeln!(out, "      {message}\n      at {place}");
        }
    }
    out
}

/// The check in its file, what was expected and what came, the response, and a command to see it again.
pub fn draw(out: &mut String, place: &str, evidence: &Evidence, message: &str, paint: Paint) {
    let Evidence { line: number, column, width, source, request, response, reproduce, others } = evidence;
    let margin = " ".repeat(number.to_string().len());
    // A record that somebody made may have any place in it.
    let length = source.chars().count();
    let start = column.saturating_sub(1).min(length);
    let under = " ".repeat(start) + &"^".repeat((*width).clamp(1, (length - start).max(1)));
    let _ = writeln!(out, "      {}", paint.bad(&line(message)));
    let _ = writeln!(out, "      {margin}--> {place}");
    let _ = writeln!(out, "      {margin} |");
    let _ = writeln!(out, "      {number} | {}", inert(source));
    let _ = writeln!(out, "      {margin} | {}", paint.bad(&under));
    for other in others {
        let _ = writeln!(out, "      also {}", line(other));
    }
    if let Some(request) = request {
        let _ = writeln!(out, "      {}", line(request));
    }
    if let Some(response) = response {
        let _ = writeln!(out, "      {}, {} bytes", response.status, response.size);
        for header in &response.headers {
            let _ = writeln!(out, "      | {}", paint.faint(&line(header)));
        }
        let _ = writeln!(out, "      |");
        for body in inert(&response.body).lines() {
            let _ = writeln!(out, "      | {body}");
        }
    }
    if let Some(command) = reproduce {
        let _ = writeln!(out, "      see it again:\n        {}", line(command));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by fuzzing: a record with a column of four billion took as many bytes to show.
    #[test]
    fn a_place_beyond_its_line_is_shown_at_the_end_of_it() {
        let evidence = Evidence {
            line: 3,
            column: usize::MAX,
            width: usize::MAX,
            source: "status: 200".to_owned(),
            request: None,
            response: None,
            reproduce: None,
            others: Vec::new(),
        };
        let mut out = String::new();
        draw(&mut out, "s.yaml:3:1", &evidence, "no", Paint { enabled: false });
        assert!(out.contains("\n        |            ^\n"), "{out}");
    }
}
