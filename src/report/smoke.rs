use std::fmt::Write as _;

use super::paint::Paint;
use crate::metrics::{SmokeRecord, SmokeStatus};
use crate::units::format_ms;

/// A line for each step, with what was expected and what came where it failed.
#[must_use]
pub fn render_smoke(smoke: &SmokeRecord, paint: Paint) -> String {
    let mut out = String::new();
    for step in &smoke.steps {
        let word = match step.status {
            SmokeStatus::Passed => paint.good("ok  "),
            SmokeStatus::NearMiss => paint.caution("near"),
            SmokeStatus::Failed => paint.bad("FAIL"),
            SmokeStatus::Skipped => paint.faint("skip"),
        };
        let took =
            if step.status == SmokeStatus::Skipped { String::new() } else { format_ms(step.elapsed_ms) };
        let _ = writeln!(out, "{word}  {:<60} {took:>8}", step.endpoint);
        if let Some(request) = &step.request {
            let _ = writeln!(out, "      {request}");
        }
        if let Some(message) = &step.message {
            let _ = writeln!(out, "      {message}\n      at {}", step.place);
        }
    }
    out
}
