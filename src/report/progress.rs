//! How a look goes, in words: for the moving lines of a terminal, and for the plain ones of a log.

use super::inert::{line, shortened};
use crate::gate::{NearLimit, Progress};
use crate::units::{counted, format_ms, format_share, level_of};

const MOST_NEAR: usize = 3;
const MOST_NAME: usize = 60;

/// `look 1: measuring, 12 s, 22 s left`
#[must_use]
pub fn told_phase(look: &str, progress: &Progress) -> String {
    let phase = if progress.warming_up { "warming up" } else { "measuring" };
    let left = progress.remaining_ms.map(|ms| format!(", {} left", seconds(ms))).unwrap_or_default();
    let since_ms = progress.measured_ms.unwrap_or(progress.elapsed_ms);
    format!("{look}: {phase}, {}{left}", seconds(since_ms))
}

#[must_use]
pub fn told_rate(progress: &Progress) -> String {
    format!(
        "{:>9.1}/s of {:.1}/s offered, {} in flight, {} measured",
        progress.rate_achieved, progress.rate_offered, progress.in_flight, progress.requests
    )
}

#[must_use]
pub fn told_latencies(progress: &Progress) -> String {
    if !progress.answered() && progress.silent_ms.is_none() {
        return "no figures yet".to_owned();
    }
    let ms = |value: Option<f64>| value.map_or("–".to_owned(), format_ms);
    let [p50, p95, p99] = progress.recent_ms.map(ms);
    let silent = progress.silent_ms.map_or(String::new(), |ms| format!("; NO ANSWERS FOR {}", seconds(ms)));
    let over = seconds(progress.recent_over_ms);
    format!("p50 {p50:>8}, p95 {p95:>8}, p99 {p99:>8} over the last {over}{silent}")
}

#[must_use]
pub fn told_errors(progress: &Progress) -> String {
    let count: u64 = progress.errors.values().sum();
    if count == 0 {
        return "no errors".to_owned();
    }
    let classes: Vec<String> =
        progress.errors.iter().map(|(class, count)| format!("{count} {}", class.name())).collect();
    let share = format_share(count as f64 / progress.requests.max(1) as f64);
    format!("{} ({share}): {}", counted(count as usize, "error"), classes.join(", "))
}

/// Limits that are about to break, or are beyond already; `None` where none is.
#[must_use]
pub fn told_near(near: &[NearLimit]) -> Option<String> {
    let told: Vec<String> = near
        .iter()
        .take(MOST_NEAR)
        .map(|one| {
            let word = if one.observed >= one.below { "BEYOND" } else { "near" };
            format!(
                "{word} {} {} of {}: {}",
                one.metric,
                level_of(one.metric, one.observed),
                level_of(one.metric, one.below),
                shortened(&line(&one.endpoint), MOST_NAME)
            )
        })
        .collect();
    let more = near.len().saturating_sub(MOST_NEAR);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    (!told.is_empty()).then(|| format!("{}{more}", told.join(", ")))
}

/// All of it on one line.
#[must_use]
pub fn told_plain(look: &str, progress: &Progress) -> String {
    let near = told_near(&progress.near).map(|text| format!("; limits: {text}")).unwrap_or_default();
    let parts = [
        told_phase(look, progress),
        told_rate(progress).trim_start().to_owned(),
        told_latencies(progress).split_whitespace().collect::<Vec<_>>().join(" "),
        told_errors(progress),
    ];
    format!("{}{near}", parts.join("; "))
}

fn seconds(ms: u64) -> String {
    format!("{:.0} s", ms as f64 / 1e3)
}
