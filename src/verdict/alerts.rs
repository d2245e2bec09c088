use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::model::{Action, Finding, FindingKind, Severity, Verdict};
use super::probe_series::{Excursion, stretches};
use crate::error_class::ErrorClass;
use crate::metrics::{
    AlertCondition, AlertRule, AlertSeverity, AlertVerdict, EndpointPlan, Histogram, LookRecord, RunRecord,
    TimelineBlock,
};
use crate::units::{Metric, Threshold, counted, format_ms, level_of};

/// A rule fires on at least this many requests, or this many beyond its quantile: as those that end a load do.
const LEAST_REQUESTS: u64 = 20;
const LEAST_BEYOND: f64 = 10.0;

/// An alert that fired, as `verdict.json` has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FiredAlert {
    pub name: String,
    /// Of its rule: `file:line`.
    #[serde(default)]
    pub place: String,
    pub severity: AlertSeverity,
    /// Who does what.
    pub respond: String,
    /// What was seen, in words.
    pub seen: String,
    pub endpoint: Option<String>,
    pub probe: Option<String>,
    /// Milliseconds, a fraction, or what the probe counts in.
    pub observed: Option<f64>,
    pub look: Option<u32>,
    /// When it first was so for as long as its rule asks, since the measured window began.
    pub at_ms: Option<u64>,
}

/// Which rules fired, the most severe first. They are of the candidate, where there are two arms.
#[must_use]
pub fn fired(record: &RunRecord, verdict: &Verdict) -> Vec<FiredAlert> {
    // Of a part of a load nothing is judged.
    if record.shard.is_some() {
        return Vec::new();
    }
    let mut all: Vec<FiredAlert> =
        record.alerts.iter().filter_map(|rule| fire(record, rule, verdict)).collect();
    all.sort_by_key(|alert| alert.severity);
    all
}

fn fire(record: &RunRecord, rule: &AlertRule, verdict: &Verdict) -> Option<FiredAlert> {
    let base = FiredAlert {
        name: rule.name.clone(),
        place: rule.place.clone(),
        severity: rule.severity,
        respond: rule.respond.clone(),
        seen: String::new(),
        endpoint: None,
        probe: None,
        observed: None,
        look: None,
        at_ms: None,
    };
    match &rule.when {
        AlertCondition::Verdict(what) => {
            let (action, word) = match what {
                AlertVerdict::Fail => (Action::RollBack, "the verdict is to roll back"),
                AlertVerdict::Hold => (Action::Hold, "the verdict is to hold"),
            };
            let so = verdict.action == action && record.interrupted.is_none();
            so.then(|| FiredAlert { seen: word.to_owned(), ..base })
        }
        AlertCondition::Metric { metric, above, errors } => {
            of_metric(record, rule, (*metric, *above, errors), base)
        }
        AlertCondition::Probe { probe, bound } => of_probe(record, rule, probe, *bound, base),
    }
}

/// An endpoint's worst window in a look: what was observed in it, and when the first one that is too bad ended.
struct Worst {
    observed: f64,
    /// How long that window was: blocks are whole.
    over_ms: u64,
    at_ms: u64,
    look: u32,
}

/// Segments of a canary follow each other; other looks are each by themselves.
fn looks_in_a_row(record: &RunRecord) -> Vec<Vec<&LookRecord>> {
    if record.plan.side_by_side.is_some() {
        return vec![record.runs.iter().collect()];
    }
    record.runs.iter().map(|look| vec![look]).collect()
}

fn of_metric(
    record: &RunRecord,
    rule: &AlertRule,
    (metric, above, errors): (Metric, f64, &[ErrorClass]),
    base: FiredAlert,
) -> Option<FiredAlert> {
    let features = record.scenarios.iter().flat_map(|s| s.endpoints.iter().map(|plan| (&s.feature, plan)));
    let mut found: Vec<(&EndpointPlan, Worst)> = Vec::new();
    for (number, (feature, plan)) in features.enumerate() {
        if rule.feature.as_ref().is_some_and(|own| own != feature) {
            continue;
        }
        let worst = looks_in_a_row(record)
            .into_iter()
            // What failed on this machine is nobody's to look at but its own.
            .filter(|looks| {
                metric.quantile().is_some() || looks.iter().all(|l| l.generator.local_failures == 0)
            })
            .filter_map(|looks| worst(&looks, number, (metric, above, errors), rule.for_ms))
            .max_by(|a, b| a.observed.total_cmp(&b.observed));
        found.extend(worst.map(|worst| (plan, worst)));
    }
    let more = found.len().saturating_sub(1);
    let (plan, worst) = found.into_iter().max_by(|a, b| a.1.observed.total_cmp(&b.1.observed))?;
    let which = errors.iter().map(|class| class.name()).collect::<Vec<_>>().join(", ");
    let which = if which.is_empty() { String::new() } else { format!(" ({which})") };
    let others =
        if more > 0 { format!(", and of {}", counted(more, "more endpoint")) } else { String::new() };
    let seen = format!(
        "{metric}{which} of {} was {} over {}, above {}{others}",
        plan.endpoint,
        level_of(metric, worst.observed),
        format_ms(worst.over_ms as f64),
        level_of(metric, above)
    );
    Some(FiredAlert {
        seen,
        endpoint: Some(plan.endpoint.clone()),
        observed: Some(worst.observed),
        look: Some(worst.look),
        at_ms: Some(worst.at_ms),
        ..base
    })
}

/// Over every stretch of blocks that is as long as the rule asks, or a single block where that is longer.
fn worst(
    looks: &[&LookRecord],
    number: usize,
    (metric, above, errors): (Metric, f64, &[ErrorClass]),
    for_ms: u64,
) -> Option<Worst> {
    // Begin and end of each, as if nothing lay between the looks; the last block of a look takes what is left of it.
    let mut blocks: Vec<(u64, u64, u32, &TimelineBlock)> = Vec::new();
    let mut offset_ms = 0;
    for look in looks {
        let own: BTreeMap<u64, &TimelineBlock> =
            look.blocks.iter().filter(|b| b.endpoint == number).map(|b| (b.start_ms, b)).collect();
        let ends = own.keys().skip(1).copied().map(Some).chain([None]);
        for (block, next_ms) in own.values().zip(ends) {
            let end_ms = block.start_ms + block.len_ms;
            let whole = next_ms.is_none() && end_ms + block.len_ms > look.window_ms;
            let end_ms = if whole { end_ms.max(look.window_ms) } else { end_ms };
            blocks.push((offset_ms + block.start_ms, offset_ms + end_ms, look.look, block));
        }
        offset_ms += look.window_ms;
    }
    let failed = |block: &TimelineBlock| match errors {
        [] => block.errors,
        some => some.iter().filter_map(|class| block.classes.get(class)).sum(),
    };
    let mut found: Option<Worst> = None;
    for (last, (_, end_ms, look, _)) in blocks.iter().enumerate() {
        let first = blocks[..=last].iter().rposition(|(start_ms, ..)| start_ms + for_ms <= *end_ms);
        let Some(first) = first else { continue };
        let over_ms = end_ms - blocks[first].0;
        let window: Vec<&TimelineBlock> = blocks[first..=last].iter().map(|(.., block)| *block).collect();
        let observed = match metric.quantile() {
            None => {
                let requests: u64 = window.iter().map(|b| b.planned).sum();
                let failures: u64 = window.iter().map(|b| failed(b)).sum();
                (requests >= LEAST_REQUESTS).then(|| failures as f64 / requests as f64)
            }
            Some(q) => {
                let mut response = Histogram::default();
                for block in &window {
                    response.merge(&block.histogram);
                }
                let enough = response.count() as f64 * (1.0 - q) >= LEAST_BEYOND;
                enough.then(|| response.quantile_ms(q)).flatten()
            }
        };
        let Some(observed) = observed.filter(|observed| *observed > above) else { continue };
        match &mut found {
            Some(known) if known.observed >= observed => {}
            Some(known) => (known.observed, known.over_ms) = (observed, over_ms),
            None => found = Some(Worst { observed, over_ms, at_ms: *end_ms, look: *look }),
        }
    }
    found
}

fn of_probe(
    record: &RunRecord,
    rule: &AlertRule,
    probe: &str,
    bound: Threshold,
    base: FiredAlert,
) -> Option<FiredAlert> {
    let number = record.probes.iter().position(|plan| plan.name == probe)?;
    let plan = &record.probes[number];
    // The shown unit is that of the bound at hand.
    let length = |one: &Excursion| one.to_ms - one.from_ms;
    let mut found: Option<(u32, Excursion)> = None;
    for looks in looks_in_a_row(record) {
        let so = |value: f64| bound.holds(value);
        for one in stretches(plan, number, &looks, &so, bound) {
            let longer = found.as_ref().is_none_or(|(_, known)| length(&one) > length(known));
            if length(&one) >= rule.for_ms as i64 && longer {
                found = Some((looks[0].look, one));
            }
        }
    }
    let (look, one) = found?;
    let length = format_ms((one.to_ms - one.from_ms) as f64);
    let seen = format!("{probe} was {bound} for {length}, {} at worst", bound.told(one.worst));
    Some(FiredAlert {
        seen,
        probe: Some(probe.to_owned()),
        observed: Some(one.worst),
        look: Some(look),
        at_ms: Some((one.from_ms.max(0) as u64) + rule.for_ms),
        ..base
    })
}

/// An alert among the findings: it changes no code.
#[must_use]
pub fn finding(alert: &FiredAlert) -> Finding {
    let severity = if alert.severity == AlertSeverity::Info { Severity::Info } else { Severity::Warn };
    let mut finding = Finding::new(FindingKind::Alert, severity, alert.endpoint.as_deref(), told(alert));
    finding.probe.clone_from(&alert.probe);
    finding.observed = alert.observed;
    finding.remedy(alert.respond.clone())
}

/// `ALERT (page) high error rate: error_rate of … was 7.2% over 10 s, above 5%.`
#[must_use]
pub fn told(alert: &FiredAlert) -> String {
    // A rule without a name is called by its condition, which what was seen says again.
    let name = if alert.name.contains(['<', '>']) { String::new() } else { format!(" {}", alert.name) };
    format!("ALERT ({}){name}: {}.", alert.severity.name(), alert.seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(errors: &[u64]) -> LookRecord {
        let blocks = errors.iter().enumerate().map(|(i, errors)| {
            let mut histogram = Histogram::default();
            (0..100).for_each(|n| histogram.record((if *errors > 0 { 900 } else { 100 } + n) * 1_000_000));
            TimelineBlock {
                start_ms: i as u64 * 1000,
                len_ms: 1000,
                planned: 100,
                done: 100,
                errors: *errors,
                classes: [(ErrorClass::Check, *errors)].into(),
                histogram,
                ..TimelineBlock::default()
            }
        });
        LookRecord {
            look: 1,
            window_ms: errors.len() as u64 * 1000,
            blocks: blocks.collect(),
            ..LookRecord::default()
        }
    }

    #[test]
    fn a_window_is_as_long_as_its_rule_and_the_worst_one_counts() {
        let look = look(&[0, 0, 0, 20, 0, 0, 8, 8, 8, 0]);
        let rate = |above, for_ms, classes: &[ErrorClass]| {
            worst(&[&look], 0, (Metric::ErrorRate, above, classes), for_ms).map(|w| (w.observed, w.at_ms))
        };
        assert_eq!(rate(0.05, 3000, &[]), Some((0.08, 4000)), "fired first by the burst, worst later");
        assert_eq!(rate(0.05, 10_000, &[]), None, "4.4% of all");
        assert_eq!(rate(0.05, 11_000, &[]), None, "no window is so long");
        assert_eq!(rate(0.10, 1000, &[ErrorClass::Check]), Some((0.2, 4000)));
        assert_eq!(rate(0.0, 1000, &[ErrorClass::Status]), None);
        let slow = |above, for_ms| worst(&[&look], 0, (Metric::P50, above, &[]), for_ms).map(|w| w.at_ms);
        assert_eq!((slow(500.0, 2000), slow(500.0, 6000)), (Some(8000), Some(9000)));
        assert_eq!(slow(2000.0, 1000), None);
    }
}
