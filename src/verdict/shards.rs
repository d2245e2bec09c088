//! What speaks for or against a record that was put together from shards.

use std::collections::BTreeMap;

use super::model::{Finding, FindingKind, Severity};
use super::validity;
use crate::metrics::{EndpointPlan, MergedRecord, RunRecord, ShardPart};
use crate::units::counted;

/// Of the measured window: by so much of it the shards may have begun apart, as at its edges not all of the load was there.
const MOST_APART: f64 = 0.05;
/// Named even where it is a small part of the window.
const LEAST_APART_MS: f64 = 1000.0;

fn holds(reason: String, remedy: &str) -> Finding {
    Finding::new(FindingKind::Validity, Severity::Hold, None, reason).remedy(remedy)
}

/// Shards that are missing or failed, and how far apart they began.
pub fn judge(record: &RunRecord) -> Vec<Finding> {
    let Some(merged) = &record.merged else { return Vec::new() };
    let mut findings: Vec<Finding> = missing(merged).into_iter().collect();
    for part in &merged.shards {
        findings.extend(
            failed(part).map(|(reason, remedy)| {
                holds(format!("Shard {} {reason}.", merged.name(part.index)), remedy)
            }),
        );
    }
    findings.extend(apart(record, merged));
    findings.extend(machines(merged));
    findings
}

/// Why a record that was put together from shards is no whole load; `None`: it is, or was not put together.
#[must_use]
pub fn unsound(record: &RunRecord) -> Option<String> {
    record.merged.as_ref()?;
    let plans: Vec<&EndpointPlan> = record.scenarios.iter().flat_map(|s| &s.endpoints).collect();
    let held = judge(record).into_iter().find(|finding| finding.severity == Severity::Hold);
    let ailing = || validity::generator(record, &plans).1.into_iter().next().map(|ailment| ailment.reason);
    held.map(|finding| finding.reason).or_else(ailing)
}

fn missing(merged: &MergedRecord) -> Option<Finding> {
    let missing = merged.missing();
    let (last, others) = missing.split_last()?;
    let names = match others {
        [] => format!("Shard {} is", merged.name(*last)),
        others => {
            let others: Vec<_> = others.iter().map(|index| merged.name(*index)).collect();
            format!("Shards {} and {} are", others.join(", "), merged.name(*last))
        }
    };
    let text = format!(
        "{names} missing: what is here is {} of {} parts of the load.",
        merged.shards.len(),
        merged.count
    );
    Some(holds(
        text,
        "name the results of all shards; where there are none, look at what that machine logged, and run again",
    ))
}

/// Why a shard is not whole, and what to do.
fn failed(part: &ShardPart) -> Option<(String, &'static str)> {
    const AGAIN: &str = "the target had less load than planned from then on: run again";
    if let Some(cause) = &part.interrupted {
        return Some(match cause.as_str() {
            "crash" => ("was killed, or fell over: what it wrote until then is counted".to_owned(), AGAIN),
            signal => (format!("was ended by {signal}: what it measured until then is counted"), AGAIN),
        });
    }
    if let Some(reason) = &part.not_ready {
        return Some((
            format!("sent no load: for it the target never became ready: {reason}"),
            "look at the network between that machine and the target",
        ));
    }
    if let Some(reason) = &part.setup_failed {
        return Some((
            format!("sent no load: its setup failed. {}", reason.trim_end_matches('.')),
            "a setup must work beside that of other shards: give what it makes a name of its own",
        ));
    }
    if let Some(reason) = &part.probe_failed {
        return Some((format!("sent no load: a probe cannot be read: {reason}"), "mend the probe"));
    }
    if part.broken {
        return Some(("sent no load: a functional step failed".to_owned(), "see the failed step"));
    }
    if part.looks.is_empty() {
        return Some(("sent no load".to_owned(), "give all shards scenarios that have a `load:`"));
    }
    let aborted = part.looks.iter().any(|look| look.look.stop == "abort");
    aborted.then(|| ("ended its part early, by `abort_when`".to_owned(), "see what the rule saw"))
}

/// How far apart the shards began.
fn apart(record: &RunRecord, merged: &MergedRecord) -> Option<Finding> {
    let (spread_ms, within_ms) = merged.spread_ms()?;
    let window_ms = record.runs.first().map_or(0, |look| look.window_ms) as f64;
    let known = match within_ms {
        Some(within_ms) => format!("±{within_ms:.0} ms, by the target's clock"),
        None => "by their own clocks, which the target's could not be compared with".to_owned(),
    };
    let much = spread_ms > LEAST_APART_MS.max(MOST_APART * window_ms);
    Some(if much {
        let text = format!(
            "The shards' measured windows began {:.1} s apart ({known}): they were not one load.",
            spread_ms / 1e3
        );
        holds(text, "give all shards the same --start-at, far enough ahead for all of them to be ready")
    } else {
        let text = format!(
            "{} began within {spread_ms:.0} ms of each other ({known}).",
            counted(merged.shards.len(), "shard")
        );
        Finding::new(FindingKind::Validity, Severity::Info, None, text)
    })
}

fn machines(merged: &MergedRecord) -> Option<Finding> {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for part in &merged.shards {
        *kinds.entry(part.environment.host_class()).or_default() += 1;
    }
    if kinds.len() < 2 {
        return None;
    }
    let told: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} on {kind}")).collect();
    let text = format!("The shards ran on different kinds of machines: {}.", told.join("; "));
    Some(
        Finding::new(FindingKind::Validity, Severity::Warn, None, text)
            .remedy("use one kind of machine: a baseline holds for that kind"),
    )
}
