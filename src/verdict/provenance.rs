use std::collections::BTreeSet;

use jiff::Timestamp;

use super::model::{Finding, FindingKind, Severity};
use super::reference::Reference;
use crate::metrics::{EndpointPlan, RunRecord};
use crate::units::counted;

/// Baselines older than this are worth a word.
const OLD_DAYS: i64 = 30;

fn warn(endpoint: Option<&str>, text: String, remedy: &str) -> Finding {
    Finding::new(FindingKind::Baseline, Severity::Warn, endpoint, text).remedy(remedy)
}

/// What speaks against the references in use: their age, another machine, endpoints that are gone.
pub fn judge(record: &RunRecord, plans: &[&EndpointPlan], references: &[Reference]) -> Vec<Finding> {
    let compared = |reference: &&Reference| {
        plans.iter().any(|plan| plan.endpoint == reference.endpoint && plan.digest == reference.digest)
            && !reference.runs.is_empty()
    };
    let used: Vec<&Reference> = references.iter().filter(compared).collect();
    let mut findings = Vec::new();
    findings.extend(old(record, &used));
    findings.extend(other_host(record, &used));
    for reference in references {
        let feature = reference.endpoint.split_once('/').map_or("", |(feature, _)| feature);
        let measured = record.scenarios.iter().any(|scenario| scenario.feature == feature);
        if measured && plans.iter().all(|plan| plan.endpoint != reference.endpoint) {
            let heir = heir_of(reference, plans, references);
            let text = match &heir {
                Some(new) => format!(
                    "{} has a baseline but was not measured; {new} sends the same request: was it renamed?",
                    reference.endpoint
                ),
                None => format!("{} has a baseline but was not measured: it is gone.", reference.endpoint),
            };
            findings.push(Finding {
                severity: Severity::Info,
                ..warn(
                    Some(&reference.endpoint),
                    text,
                    "`loadgate baseline refresh` accepts the endpoints as they are now",
                )
            });
        }
    }
    findings
}

/// The new endpoint that sends what an endpoint without a measurement sent.
fn heir_of<'a>(gone: &Reference, plans: &[&'a EndpointPlan], references: &[Reference]) -> Option<&'a str> {
    let new = |plan: &&&EndpointPlan| {
        plan.digest == gone.digest && references.iter().all(|r| r.endpoint != plan.endpoint)
    };
    plans.iter().find(new).map(|plan| plan.endpoint.as_str())
}

fn old(record: &RunRecord, used: &[&Reference]) -> Option<Finding> {
    let newest =
        used.iter().flat_map(|r| &r.runs).filter_map(|run| run.recorded.parse::<Timestamp>().ok()).max()?;
    let started: Timestamp = record.started.parse().ok()?;
    let days = started.duration_since(newest).as_hours() / 24;
    (days > OLD_DAYS).then(|| {
        warn(
            None,
            format!(
                "The newest baseline is {} old: what changed since then counts as this build's.",
                counted(days as usize, "day")
            ),
            "`loadgate baseline refresh` with the build that is live",
        )
    })
}

fn other_host(record: &RunRecord, used: &[&Reference]) -> Option<Finding> {
    let own = record.environment.host_class();
    let others: BTreeSet<&str> = used
        .iter()
        .flat_map(|r| &r.runs)
        .map(|run| run.host.as_str())
        .filter(|host| *host != own && !host.is_empty())
        .collect();
    if others.is_empty() {
        return None;
    }
    let text = format!(
        "The load came from another kind of machine ({own}) than the baseline's ({}).",
        others.into_iter().collect::<Vec<_>>().join("; ")
    );
    let remedy = "record baselines where the gate runs";
    Some(if record.plan.same_host {
        Finding::new(FindingKind::Validity, Severity::Hold, None, text).remedy(remedy)
    } else {
        warn(None, text, remedy)
    })
}
