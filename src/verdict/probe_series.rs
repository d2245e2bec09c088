use crate::metrics::{LookRecord, ProbePlan, Reading};
use crate::units::{Threshold, format_ms};

/// A stretch of readings beyond the limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Excursion {
    pub from_ms: i64,
    /// The last reading beyond.
    pub to_ms: i64,
    pub worst: f64,
    /// Whether a reading within the limit followed, with none missing between.
    pub recovered: bool,
}

/// A figure and when it was true.
type Point = (i64, f64);

fn good(look: &LookRecord, number: usize) -> impl Iterator<Item = Point> {
    of_probe(look, number).filter_map(|reading| Some((reading.at_ms, reading.value?)))
}

fn of_probe(look: &LookRecord, number: usize) -> impl Iterator<Item = &Reading> {
    look.readings.iter().filter(move |reading| reading.probe == number)
}

/// A quarter of the window, but no less than a turn and a half and no more than three; where samples themselves are farther
/// apart, one and a half of their usual distance, as far as they may be old. Never longer than the window.
fn longest_gap_ms(plan: &ProbePlan, window_ms: u64, times: &[i64]) -> i64 {
    let turns = (window_ms / 4).clamp(plan.every_ms * 3 / 2, plan.every_ms * 3) as i64;
    let mut apart: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    apart.sort_unstable();
    let usual = apart.get(apart.len() / 2).copied().unwrap_or(0);
    turns.max((usual * 3 / 2).min(plan.max_age_ms as i64)).min(window_ms as i64)
}

/// Where readings are missing for too long, in words. Those just outside of the window close its ends.
pub fn gap(plan: &ProbePlan, number: usize, look: &LookRecord, of: &str) -> Option<String> {
    let end_ms = look.window_ms as i64;
    let mut times: Vec<i64> = good(look, number).map(|(at_ms, _)| at_ms).collect();
    times.sort_unstable();
    let most_ms = longest_gap_ms(plan, look.window_ms, &times);
    let near = |at_ms: i64| at_ms > -most_ms && at_ms < end_ms + most_ms;
    times.retain(|at| near(*at));
    let begins = times.first().copied().unwrap_or(end_ms).min(0);
    let mut last = begins;
    let mut widest: Option<(i64, i64)> = None;
    for at in times.iter().copied().chain([end_ms]) {
        let (from, to) = (last.max(0), at.min(end_ms));
        if at - last > most_ms && widest.is_none_or(|(a, b)| b - a < to - from) {
            widest = Some((from, to));
        }
        last = last.max(at);
    }
    let name = &plan.name;
    let told =
        of_probe(look, number).filter(|reading| near(reading.at_ms)).filter_map(|r| r.problem.as_deref());
    let (from, to) = match widest {
        Some(gap) => gap,
        None if times.is_empty() => (0, end_ms),
        // What was read is of a time before the load.
        None if plan.compare.is_none() && look.figures(number).is_empty() => {
            let text = format!("Not known: no figure of {name} is of the time that was measured{of}.");
            return Some(text);
        }
        None => return None,
    };
    let why = told.last().map_or_else(String::new, |problem| format!(": {problem}"));
    Some(if times.is_empty() {
        format!("Not known: {name} could not be read at all{of}{why}.")
    } else {
        format!(
            "Not known: {name} is missing from {} to {} of {}{of}{why}.",
            told_ms(from),
            told_ms(to),
            told_ms(end_ms)
        )
    })
}

/// The figures of looks that follow each other, as if nothing lay between them, and how far apart two of them may be and still
/// tell of what lies between.
pub fn in_a_row(plan: &ProbePlan, number: usize, looks: &[&LookRecord]) -> (Vec<Point>, i64) {
    let (mut points, mut offset_ms, mut apart_ms) = (Vec::new(), 0, 0);
    for look in looks {
        let own = look.figures(number);
        let times: Vec<i64> = own.iter().map(|(at_ms, _)| *at_ms).collect();
        apart_ms = apart_ms.max(longest_gap_ms(plan, look.window_ms, &times));
        points.extend(own.into_iter().map(|(at_ms, value)| (offset_ms + at_ms, value)));
        offset_ms += look.window_ms as i64;
    }
    (points, apart_ms)
}

/// The stretches in which a probe's readings are `so`, over looks that follow each other.
#[must_use]
pub fn stretches(
    plan: &ProbePlan,
    number: usize,
    looks: &[&LookRecord],
    so: &dyn Fn(f64) -> bool,
    bound: Threshold,
) -> Vec<Excursion> {
    // Where it fires upwards, the highest is the worst; a limit's sign says the contrary.
    let upwards = Threshold { relation: bound.relation.contrary(), ..bound };
    let (points, apart_ms) = in_a_row(plan, number, looks);
    excursions(&points, so, upwards, apart_ms)
}

pub fn excursions(
    points: &[Point],
    so: &dyn Fn(f64) -> bool,
    limit: Threshold,
    longest_gap_ms: i64,
) -> Vec<Excursion> {
    let mut found: Vec<Excursion> = Vec::new();
    let mut open = false;
    let mut last_ms = i64::MIN / 2;
    for (at_ms, value) in points {
        let joined = at_ms - last_ms <= longest_gap_ms;
        last_ms = *at_ms;
        let beyond = so(*value);
        match found.last_mut().filter(|_| open && joined) {
            Some(one) if beyond => {
                one.to_ms = *at_ms;
                one.worst = limit.worse(one.worst, *value);
            }
            Some(one) => {
                one.recovered = true;
                open = false;
            }
            None if beyond => {
                found.push(Excursion { from_ms: *at_ms, to_ms: *at_ms, worst: *value, recovered: false });
                open = true;
            }
            None => open = false,
        }
    }
    found
}

pub fn told_ms(ms: i64) -> String {
    format_ms(ms as f64)
}
