use std::fmt::Write as _;
use std::time::Duration;

use super::table::grid;
use crate::gate::WatchedStep;
use crate::metrics::SmokeStatus;
use crate::units::counted;

/// How long after its beginning something happened: `02:05`.
#[must_use]
pub fn clock(at: Duration) -> String {
    let seconds = at.as_secs();
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}

/// What a watch saw: each step that did not always pass, and when.
#[must_use]
pub fn render_watch(passes: u64, length: Duration, steps: &[WatchedStep]) -> String {
    let mut out = String::new();
    let often = if passes == 1 { "1 pass".to_owned() } else { format!("{passes} passes") };
    let odd: Vec<&WatchedStep> = steps.iter().filter(|step| step.failures > 0).collect();
    let never = steps.iter().filter(|step| step.passes == 0).count();
    let unsent = if never > 0 { format!(", {never} never sent") } else { String::new() };
    let _ = writeln!(
        out,
        "watched {often} in {}: {} of {} passed whenever they were sent{unsent}",
        clock(length),
        steps.len() - odd.len() - never,
        counted(steps.len(), "step")
    );
    if odd.is_empty() {
        return out;
    }
    let rows: Vec<Vec<String>> = odd
        .into_iter()
        .map(|step| {
            let when = |at: Option<Duration>| at.map_or("–".into(), clock);
            let now = if step.last.status == SmokeStatus::Failed { "still failing" } else { "recovered" };
            vec![
                step.last.endpoint.clone(),
                format!("{} of {}", step.failures, step.passes),
                step.longest.to_string(),
                when(step.first_failed),
                when(step.last_failed),
                now.to_owned(),
            ]
        })
        .collect();
    let header = ["step", "failed", "in a row", "first at", "last at", "now"];
    let _ = writeln!(out, "{}", grid(&header, &rows));
    out
}
