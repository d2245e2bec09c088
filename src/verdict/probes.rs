use super::model::{Finding, FindingKind, Severity};
use super::probe_series::{excursions, gap, in_a_row, told_ms};
use crate::metrics::{AlertCondition, AlertRule, LookRecord, ProbePlan, RunRecord};
use crate::units::format_figure;

/// A percentage far beyond 100% is one that was taken for a fraction.
const NO_FRACTION: f64 = 1.5;
/// How a query that finds nothing is told.
const NO_SERIES: &str = "finds no series";

/// What stands against the probes of one arm; a figure that both arms share is no arm's own.
#[must_use]
pub fn judge(record: &RunRecord) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, plan) in record.probes.iter().enumerate() {
        for look in whole(&record.runs) {
            let of = of_which(record, look);
            findings.extend(missing(plan, number, look, &of));
            let rule = record.alerts.iter().find(|rule| names(rule, &plan.name));
            let blind = rule
                .filter(|_| !plan.is_judged())
                .and_then(|rule| Some((rule, gap(plan, number, look, &of)?)));
            findings.extend(blind.map(|(rule, text)| {
                let text = format!("{text} Alert `{}` could not be seen.", rule.name);
                about(plan, Severity::Warn, text)
            }));
        }
        if record.plan.side_by_side.is_some() {
            // Segments follow each other: what lasts over two of them lasts.
            findings.extend(beyond_limit(plan, number, &whole(&record.runs).collect::<Vec<_>>(), ""));
        } else {
            for look in whole(&record.runs) {
                findings.extend(beyond_limit(plan, number, &[look], &of_which(record, look)));
            }
        }
        if plan.compare.is_some() && record.plan.side_by_side.is_none() && !record.runs.is_empty() {
            let text = format!(
                "Real users were not compared by {}: only `loadgate canary` has two arms.",
                plan.name
            );
            findings.push(about(plan, Severity::Warn, text));
        }
    }
    findings
}

fn names(rule: &AlertRule, name: &str) -> bool {
    matches!(&rule.when, AlertCondition::Probe { probe, .. } if probe == name)
}

fn about(plan: &ProbePlan, severity: Severity, text: String) -> Finding {
    let mut finding = Finding::new(FindingKind::Probe, severity, None, text);
    finding.probe = Some(plan.name.clone());
    finding
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

fn of_which(record: &RunRecord, look: &LookRecord) -> String {
    match record.runs.len() {
        0 | 1 => String::new(),
        _ => format!(" in {} {}", word(record), look.look),
    }
}

/// What a look does not tell of a probe on which something rests.
fn missing(plan: &ProbePlan, number: usize, look: &LookRecord, of: &str) -> Option<Finding> {
    let text = gap(plan, number, look, of).filter(|_| plan.is_judged())?;
    let remedy = if plan.compare.is_some() && text.contains(NO_SERIES) {
        "a counter that never counted may not exist yet: add `or vector(0)` to its query".to_owned()
    } else {
        format!("what is not known is no pass: mend the probe or what it asks ({}), and run again", plan.asks)
    };
    Some(about(plan, Severity::Hold, text).remedy(remedy))
}

/// Each stretch beyond the limit, over looks that follow each other.
fn beyond_limit(plan: &ProbePlan, number: usize, looks: &[&LookRecord], of: &str) -> Vec<Finding> {
    let finding = |severity, text| about(plan, severity, text);
    let (points, joined) = in_a_row(plan, number, looks);
    let Some(limit) = plan.limit else { return Vec::new() };
    let name = &plan.name;
    let odd = |value: f64| limit.percent && limit.value <= NO_FRACTION && value > NO_FRACTION;
    if let Some((_, value)) = points.iter().find(|(_, value)| odd(*value)) {
        let text = format!(
            "Not known: {name} was {}, which is no fraction, while its limit {limit} is one{of}.",
            format_figure(*value)
        );
        let remedy =
            format!("if it tells percentages, write the limit without a sign: `limit: {}`", limit.plain());
        return vec![finding(Severity::Hold, text).remedy(remedy)];
    }
    let for_ms = plan.for_ms as i64;
    let so = |value: f64| !limit.holds(value);
    let mut findings = Vec::new();
    for one in excursions(&points, &so, limit, joined) {
        let (length, from) = (told_ms(one.to_ms - one.from_ms), told_ms(one.from_ms));
        let rule = if for_ms > 0 { format!("{limit} for {}", told_ms(for_ms)) } else { limit.to_string() };
        let worst = limit.told(one.worst);
        let (severity, text) = if one.to_ms - one.from_ms >= for_ms {
            let text = format!(
                "Over its limit: {name} was beyond {limit} for {length} from {from} on{of}, {worst} at worst; limit {rule}."
            );
            (Severity::Fail, text)
        } else if one.recovered {
            let text = format!(
                "Near-miss: {name} was beyond {limit} for {length} from {from} on{of}, {worst} at worst, and recovered; limit {rule}."
            );
            (Severity::Info, text)
        } else {
            let text = format!(
                "Not recovered: {name} was beyond {limit} from {from} on{of}, {worst} at worst, and still when the load ended; limit {rule}."
            );
            (Severity::Hold, text)
        };
        let mut found = finding(severity, text);
        (found.observed, found.reference) = (Some(one.worst), Some(limit.value));
        found.remedy = (severity == Severity::Hold)
            .then(|| "look whether it comes back, and run again; a longer load would tell".to_owned());
        findings.push(found);
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Reading;
    use crate::units::Threshold;

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

    fn of_look(plan: &ProbePlan, look: &LookRecord) -> Vec<Finding> {
        missing(plan, 0, look, "").into_iter().chain(beyond_limit(plan, 0, &[look], "")).collect()
    }

    fn severities(plan: &ProbePlan, look: &LookRecord) -> Vec<Severity> {
        of_look(plan, look).into_iter().map(|f| f.severity).collect()
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
        let gone_at = |gone: std::ops::Range<usize>| {
            look(&(0..13).map(|i| if gone.contains(&i) { None } else { ok }).collect::<Vec<_>>())
        };
        assert_eq!(severities(&rule, &gone_at(5..7)), []);
        for gone in [5..8, 0..4, 9..13, 0..13] {
            let found = of_look(&rule, &gone_at(gone.clone()));
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
        // Figures of a time before the load say nothing of it, however fresh they were.
        let mut before = of(0..0);
        before.readings.iter_mut().for_each(|reading| reading.age_ms = Some(70_000));
        assert_eq!(severities(&ProbePlan { max_age_ms: 90_000, ..rule.clone() }, &before), [Severity::Hold]);
        // Asked so seldom that no turn falls into the window.
        let mut seldom = look(&[ok]);
        seldom.readings =
            [-4_000, 61_500].map(|at_ms| Reading { at_ms, value: high, ..Reading::default() }).to_vec();
        assert_eq!(severities(&ProbePlan { every_ms: 60_000, ..rule.clone() }, &seldom), [Severity::Hold]);
        // Scraped every fifteen seconds: samples come more seldom than they are asked for, and what lasts is still seen.
        let mut scraped = of(0..13);
        scraped.readings.iter_mut().for_each(|reading| reading.age_ms = Some(reading.at_ms as u64 % 15_000));
        assert_eq!(severities(&rule, &scraped), [Severity::Fail]);
        // A percentage for a fraction is neither broken nor held.
        for limit in ["< 70%", "> 20%"] {
            let found = of_look(&plan(limit, 0), &look(&[Some(45.0); 13]));
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(
                found[0].severity == Severity::Hold
                    && found[0].remedy.as_ref().is_some_and(|r| r.contains("without a sign"))
            );
        }
        // A floor: what must stay up.
        let floor = plan("> 70%", 20_000);
        assert_eq!(severities(&floor, &of(0..13)), []);
        assert_eq!(severities(&floor, &of(0..0)), [Severity::Fail]);
    }
}
