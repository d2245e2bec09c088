use serde::{Deserialize, Serialize};

use super::model::{Finding, FindingKind, Severity};
use crate::metrics::{LookRecord, ProbePlan, Reading, RunRecord};
use crate::units::{Threshold, format_figure, format_ms};

/// A percentage far beyond 100% is one that was taken for a fraction.
const NO_FRACTION: f64 = 1.5;

/// What a probe read over all looks, as `verdict.json` has it. Percentages are fractions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeSummary {
    pub name: String,
    /// `candidate` or `control`.
    pub arm: String,
    pub limit: Option<Threshold>,
    pub for_ms: u64,
    /// Within the measured windows.
    pub readings: usize,
    pub mean: Option<f64>,
    /// The highest, or where the limit is a floor the lowest.
    pub worst: Option<f64>,
    pub standing: ProbeStanding,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeStanding {
    Held,
    /// Beyond its limit for a time, and back.
    NearMiss,
    Broken,
    /// Missing, or still beyond its limit at the end.
    NotKnown,
    /// It has no limit.
    Shown,
}

impl ProbeStanding {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Held => "within",
            Self::NearMiss => "near-miss",
            Self::Broken => "BROKEN",
            Self::NotKnown => "not known",
            Self::Shown => "shown",
        }
    }
}

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

/// What stands against the probes of one arm; a figure that both arms share is no arm's own.
#[must_use]
pub fn judge(record: &RunRecord) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, plan) in record.probes.iter().enumerate() {
        for look in whole(&record.runs) {
            let of = if record.runs.len() > 1 {
                format!(" in {} {}", word(record), look.look)
            } else {
                String::new()
            };
            findings.extend(of_look(plan, number, look, &of));
        }
    }
    findings
}

/// What the control reads alike: of its own figures, or of those that both arms share.
#[must_use]
pub fn of_control(record: &RunRecord, beside: &RunRecord) -> Vec<Finding> {
    let shared =
        |f: &Finding| record.probes.iter().any(|plan| !plan.of_arm && Some(&plan.name) == f.probe.as_ref());
    let own = judge(beside).into_iter().filter(|f| !shared(f));
    judge(record).into_iter().filter(shared).chain(own).collect()
}

/// Counts of the control's users that are missing: then there is nothing to compare with.
#[must_use]
pub fn uncounted(beside: &RunRecord) -> Vec<Finding> {
    let counts = |f: &Finding| {
        beside.probes.iter().any(|plan| plan.compare.is_some() && Some(&plan.name) == f.probe.as_ref())
    };
    let told = |f: Finding| Finding { reason: format!("Of the control: {}", f.reason), ..f };
    judge(beside).into_iter().filter(counts).map(told).collect()
}

fn word(record: &RunRecord) -> &'static str {
    if record.plan.side_by_side.is_some() { "segment" } else { "look" }
}

/// Why nothing was sent, where a probe can never be read.
#[must_use]
pub fn never_read(record: &RunRecord) -> Option<Finding> {
    let reason = record.probe_failed.as_ref()?;
    let text = format!("Nothing was measured, since a probe cannot be read: {reason}.");
    let remedy = "mend the probe, or take it away: what it would have told is not known without it";
    Some(Finding::new(FindingKind::Probe, Severity::Hold, None, text).remedy(remedy))
}

/// Looks that came to their end; a load that was cut off is short of readings for that alone.
fn whole(runs: &[LookRecord]) -> impl Iterator<Item = &LookRecord> {
    runs.iter().filter(|look| look.stop != "crash")
}

fn of_look(plan: &ProbePlan, number: usize, look: &LookRecord, of: &str) -> Vec<Finding> {
    let finding = |severity, text: String| {
        let mut finding = Finding::new(FindingKind::Probe, severity, None, text);
        finding.probe = Some(plan.name.clone());
        finding
    };
    let points = points(look, number);
    let mut findings = Vec::new();
    if plan.limit.is_some() || plan.compare.is_some() {
        findings.extend(gap(plan, number, look, of).map(|text| {
            finding(Severity::Hold, text)
                .remedy("what is not known is no pass: mend the probe or what it asks, and run again")
        }));
    }
    let Some(limit) = plan.limit else { return findings };
    let name = &plan.name;
    let for_ms = plan.for_ms as i64;
    let beyond = |value: f64| !limit.holds(value);
    for one in excursions(&points, &beyond, limit, longest_gap_ms(plan, look.window_ms)) {
        let (length, from) = (told_ms(one.to_ms - one.from_ms), told_ms(one.from_ms));
        let rule = if for_ms > 0 { format!("{limit} for {}", told_ms(for_ms)) } else { limit.to_string() };
        let worst = limit.told(one.worst);
        let (severity, text) = if one.to_ms - one.from_ms >= for_ms {
            let text = format!(
                "Over its limit: {name} was {worst} at worst, beyond {limit} for {length} from {from} on{of}; limit {rule}."
            );
            (Severity::Fail, text)
        } else if one.recovered {
            let text = format!(
                "Near-miss: {name} was {worst} at worst, beyond {limit} for {length} from {from} on{of}, and recovered; limit {rule}."
            );
            (Severity::Info, text)
        } else {
            let text = format!(
                "Not recovered: {name} was {worst} at worst, beyond {limit} from {from} on{of} and still when the load ended; limit {rule}."
            );
            (Severity::Hold, text)
        };
        let mut found = finding(severity, text);
        (found.observed, found.reference) = (Some(one.worst), Some(limit.value));
        found.remedy = if limit.percent && one.worst > NO_FRACTION {
            Some(format!(
                "if its query gives percentages, write the limit without a sign: `limit: < {}`",
                limit.value * 100.0
            ))
        } else if severity == Severity::Hold {
            Some("look whether it comes back, and run again; a longer load would tell".to_owned())
        } else {
            None
        };
        findings.push(found);
    }
    findings
}

/// Good readings within the measured window.
fn points(look: &LookRecord, number: usize) -> Vec<Point> {
    let window = 0..=look.window_ms as i64;
    let mut points: Vec<Point> = good(look, number).filter(|(at_ms, _)| window.contains(at_ms)).collect();
    points.sort_by_key(|(at_ms, _)| *at_ms);
    points
}

fn good(look: &LookRecord, number: usize) -> impl Iterator<Item = Point> {
    of_probe(look, number).filter_map(|reading| Some((reading.at_ms, reading.value?)))
}

fn of_probe(look: &LookRecord, number: usize) -> impl Iterator<Item = &Reading> {
    look.readings.iter().filter(move |reading| reading.probe == number)
}

/// A quarter of the window, but no less than a turn and a half and no more than three.
fn longest_gap_ms(plan: &ProbePlan, window_ms: u64) -> i64 {
    (window_ms / 4).clamp(plan.every_ms * 3 / 2, plan.every_ms * 3) as i64
}

/// Where readings are missing for too long, in words. Those just outside of the window close its ends.
fn gap(plan: &ProbePlan, number: usize, look: &LookRecord, of: &str) -> Option<String> {
    let most_ms = longest_gap_ms(plan, look.window_ms);
    let end_ms = look.window_ms as i64;
    let near = |at_ms: i64| at_ms > -most_ms && at_ms < end_ms + most_ms;
    let mut times: Vec<i64> = good(look, number).map(|(at_ms, _)| at_ms).filter(|at| near(*at)).collect();
    times.sort_unstable();
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

/// The stretches of a look in which a probe's readings are `so`.
#[must_use]
pub fn stretches(
    plan: &ProbePlan,
    number: usize,
    look: &LookRecord,
    so: &dyn Fn(f64) -> bool,
    bound: Threshold,
) -> Vec<Excursion> {
    // Where it fires upwards, the highest is the worst; a limit's sign says the contrary.
    let upwards = Threshold { relation: bound.relation.contrary(), ..bound };
    excursions(&points(look, number), so, upwards, longest_gap_ms(plan, look.window_ms))
}

fn excursions(
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

fn told_ms(ms: i64) -> String {
    format_ms(ms as f64)
}

/// What each probe read, for whoever reads the reports.
#[must_use]
pub fn summaries(record: &RunRecord, findings: &[Finding]) -> Vec<ProbeSummary> {
    let mut all = Vec::new();
    let control = record.control.as_ref().map_or(&[][..], |control| &control.runs);
    for (number, plan) in record.probes.iter().enumerate() {
        for (arm, runs) in [("candidate", record.runs.as_slice()), ("control", control)] {
            if runs.is_empty() || (arm == "control" && !plan.of_arm) || plan.compare.is_some() {
                continue;
            }
            let values: Vec<f64> =
                runs.iter().flat_map(|look| points(look, number)).map(|(_, v)| v).collect();
            let worse = |a: f64, b: f64| plan.limit.map_or(a.max(b), |limit| limit.worse(a, b));
            let count = values.len();
            all.push(ProbeSummary {
                name: plan.name.clone(),
                arm: arm.to_owned(),
                limit: plan.limit,
                for_ms: plan.for_ms,
                readings: count,
                mean: (count > 0).then(|| values.iter().sum::<f64>() / count as f64),
                worst: values.into_iter().reduce(worse),
                standing: standing(plan, arm, count, findings),
            });
        }
    }
    all
}

/// What probes read of whole runs, before anything is judged.
#[must_use]
pub fn probe_means(records: &[RunRecord]) -> Vec<ProbeSummary> {
    let mut all: Vec<ProbeSummary> = Vec::new();
    for own in records.iter().flat_map(|record| summaries(record, &[])).filter(|one| one.arm == "candidate") {
        match all.iter_mut().find(|known| known.name == own.name) {
            None => all.push(own),
            Some(known) => {
                let (a, b) = (known.readings as f64, own.readings as f64);
                let mean = known.mean.zip(own.mean).map(|(x, y)| (x * a + y * b) / (a + b).max(1.0));
                (known.mean, known.readings) =
                    (mean.or(known.mean).or(own.mean), known.readings + own.readings);
            }
        }
    }
    all
}

fn standing(plan: &ProbePlan, arm: &str, readings: usize, findings: &[Finding]) -> ProbeStanding {
    if plan.limit.is_none() || arm == "control" {
        return ProbeStanding::Shown;
    }
    let own = || findings.iter().filter(|f| f.probe.as_ref() == Some(&plan.name));
    match own().map(|f| f.severity).min() {
        Some(Severity::Fail) => ProbeStanding::Broken,
        Some(Severity::Hold) => ProbeStanding::NotKnown,
        _ if readings == 0 => ProbeStanding::NotKnown,
        Some(Severity::Info) => ProbeStanding::NearMiss,
        _ => ProbeStanding::Held,
    }
}

/// A figure in the unit of its limit.
#[must_use]
pub fn told_figure(limit: Option<Threshold>, value: f64) -> String {
    limit.map_or_else(|| format_figure(value), |limit| limit.told(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(limit: &str, for_ms: u64) -> ProbePlan {
        ProbePlan {
            name: "cpu".into(),
            place: String::new(),
            asks: String::new(),
            every_ms: 5_000,
            max_age_ms: 90_000,
            limit: Some(Threshold::parse(limit).unwrap()),
            for_ms,
            compare: None,
            of_arm: true,
        }
    }

    /// One reading every five seconds of a minute, from the beginning on.
    fn look(values: &[Option<f64>]) -> LookRecord {
        let readings = values.iter().enumerate().map(|(i, value)| Reading {
            at_ms: i as i64 * 5_000,
            value: *value,
            problem: value.is_none().then(|| "refused".to_owned()),
            ..Reading::default()
        });
        LookRecord {
            window_ms: 60_000,
            readings: readings.collect(),
            stop: "done".into(),
            ..LookRecord::default()
        }
    }

    fn severities(plan: &ProbePlan, look: &LookRecord) -> Vec<Severity> {
        of_look(plan, 0, look, "").into_iter().map(|f| f.severity).collect()
    }

    #[test]
    fn what_lasts_fails_what_passes_is_told_and_what_is_open_or_missing_holds() {
        let (ok, high) = (Some(0.5), Some(0.9));
        let of = |bad: std::ops::Range<usize>| {
            look(&(0..13).map(|i| if bad.contains(&i) { high } else { ok }).collect::<Vec<_>>())
        };
        let rule = plan("< 70%", 20_000);
        assert_eq!(severities(&rule, &of(0..0)), []);
        assert_eq!(severities(&rule, &of(2..7)), [Severity::Fail], "20 s from the first to the last");
        assert_eq!(severities(&rule, &of(2..6)), [Severity::Info]);
        assert_eq!(severities(&rule, &of(10..13)), [Severity::Hold], "nobody saw it recover");
        assert_eq!(
            severities(&plan("< 70%", 0), &of(4..5)),
            [Severity::Fail],
            "without `for` once is enough"
        );
        // One reading that is missing is no gap; three in a row are, at either end too.
        let missing = |gone: std::ops::Range<usize>| {
            look(&(0..13).map(|i| if gone.contains(&i) { None } else { ok }).collect::<Vec<_>>())
        };
        assert_eq!(severities(&rule, &missing(5..7)), []);
        for gone in [5..8, 0..4, 9..13, 0..13] {
            let found = of_look(&rule, 0, &missing(gone.clone()), "");
            assert_eq!(found.len(), 1, "{gone:?}: {found:?}");
            assert!(found[0].severity == Severity::Hold && found[0].reason.contains("refused"), "{found:?}");
        }
        // Before and after a gap it was high: nobody knows what was between.
        let mut split = of(0..0);
        for (i, reading) in split.readings.iter_mut().enumerate() {
            reading.value = match i {
                2 | 8 => high,
                3..=7 => None,
                _ => ok,
            };
        }
        assert!(!severities(&rule, &split).contains(&Severity::Fail));
        assert!(severities(&rule, &split).contains(&Severity::Hold));
        // A floor: what must stay up.
        let floor = plan("> 70%", 20_000);
        assert_eq!(severities(&floor, &of(0..13)), []);
        assert_eq!(severities(&floor, &of(0..0)), [Severity::Fail]);
    }
}
