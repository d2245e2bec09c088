use std::collections::BTreeSet;

use super::model::{Finding, FindingKind, Severity};
use super::regression::Trusted;
use super::summary::early_finding;
use crate::metrics::{AnsweredBy, ControlRecord, LookRecord, RunRecord, SideBySide};

/// What is said where a fault is not the candidate's alone.
pub const ALIKE: &str = "The control fails too: ";
const SHARED: &str =
    "look at what both arms share: the token, the data, what stands behind them, or the check itself";

fn fails(finding: &Finding) -> bool {
    // Where there were too few requests to tell, nothing was observed.
    let seen = finding.kind == FindingKind::Check
        || (matches!(finding.kind, FindingKind::Limit | FindingKind::Probe) && finding.observed.is_some());
    seen && matches!(finding.severity, Severity::Fail | Severity::Hold)
}

/// What fails on the control alike says nothing of the release: it holds, whatever it would have proven. What only the control
/// fails is a warning, or holds where it kept anything from being compared.
pub fn excuse(findings: &mut Vec<Finding>, of_control: &[Finding], compared: bool) {
    let same = |a: &Finding, b: &Finding| {
        // What is proven of the candidate is excused by what was seen of the control, not by what nobody could tell of it.
        // A limit of a probe may be a floor, and looks at each segment by itself.
        let beyond = a.kind != FindingKind::Probe && b.observed > b.reference;
        let as_bad = a.severity == Severity::Hold || b.severity == Severity::Fail || beyond;
        (a.kind, &a.endpoint, a.metric, &a.probe) == (b.kind, &b.endpoint, b.metric, &b.probe)
            && fails(a)
            && fails(b)
            && as_bad
    };
    let alone: Vec<Finding> = of_control
        .iter()
        .filter(|own| fails(own) && !findings.iter().any(|f| same(f, own)))
        .cloned()
        .collect();
    for finding in findings.iter_mut().filter(|f| of_control.iter().any(|own| same(f, own))) {
        finding.reason = format!("{ALIKE}{}", finding.reason);
        (finding.severity, finding.kind) = (Severity::Hold, FindingKind::Validity);
        finding.remedy = Some(SHARED.to_owned());
    }
    findings.extend(alone.into_iter().map(|finding| Finding {
        reason: format!("Of the control alone: {}", finding.reason),
        severity: if compared { Severity::Warn } else { Severity::Hold },
        kind: if compared { finding.kind } else { FindingKind::Validity },
        remedy:
            (!compared).then(|| "mend the control; `loadgate run` judges the candidate by itself".to_owned()),
        ..finding
    }));
}

/// What ended the run before its next look. Where it is not trusted, a latency proves nothing.
pub fn early(record: &RunRecord, trusted: Trusted<'_>) -> Vec<Finding> {
    let stops = record.runs.iter().filter_map(|look| Some((look, look.early_stop.as_ref()?)));
    stops
        .map(|(look, stop)| {
            let mut finding = early_finding(stop);
            // What failed on this machine is nobody's release.
            let own = look.generator.local_failures > 0;
            if own || (stop.metric.quantile().is_some() && !trusted(&stop.endpoint)) {
                finding.severity = Severity::Hold;
            }
            finding
        })
        .collect()
}

/// Of all segments together.
fn answered(runs: &[LookRecord]) -> AnsweredBy {
    let mut all = AnsweredBy::default();
    for own in runs.iter().filter_map(|look| look.answered_by.as_ref()) {
        all.instances.extend(own.instances.iter().cloned());
        all.builds.extend(own.builds.iter().cloned());
        all.cohorts.extend(own.cohorts.iter().cloned());
        all.asked |= own.asked;
    }
    all
}

/// A run of one target to which several builds answered, as between two phases of a rollout: it is of none of them.
pub fn mixture(record: &RunRecord) -> Option<Finding> {
    let builds = answered(&record.runs).builds;
    (builds.len() > 1).then(|| {
        unproven(
            format!("The target is a mixture: it was answered by build {}, so this is a measurement of neither.", named(&builds)),
            "give an address, or a header, that leads to one build alone, or hold the two against each other by `loadgate canary`",
        )
    })
}

fn named(names: &BTreeSet<String>) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn unproven(reason: String, remedy: &str) -> Finding {
    Finding::new(FindingKind::Validity, Severity::Hold, None, reason).remedy(remedy)
}

/// Whether it was the candidate that answered as the candidate.
pub fn identity(record: &RunRecord, control: &ControlRecord, plan: &SideBySide) -> Vec<Finding> {
    let (own, beside) = (answered(&record.runs), answered(&control.runs));
    let differ =
        |a: &BTreeSet<String>, b: &BTreeSet<String>| !a.is_empty() && !b.is_empty() && a.is_disjoint(b);
    let shared: BTreeSet<String> = own.instances.intersection(&beside.instances).cloned().collect();
    let mut findings = Vec::new();
    let builds: BTreeSet<String> = own.builds.intersection(&beside.builds).cloned().collect();
    let mixed = !builds.is_empty() && own.builds != beside.builds;
    if mixed {
        findings.push(unproven(
            format!(
                "An arm is a mixture: the candidate was answered by build {}, the control by build {}.",
                named(&own.builds),
                named(&beside.builds)
            ),
            "give each arm an address, or a header, that leads to one build alone",
        ));
    }
    // What loadgate started twice is two, whatever name its host gives it.
    let started = record.plan.restarts;
    if !shared.is_empty() && !plan.one_address && !started {
        findings.push(unproven(
            format!("Both arms were answered by instance {}: they are no two deployments.", named(&shared)),
            "look where both addresses lead",
        ));
    }
    let sign = started
        || differ(&own.instances, &beside.instances)
        || differ(&own.builds, &beside.builds)
        || differ(&own.cohorts, &beside.cohorts);
    if !findings.is_empty() || sign {
        findings.extend(same_build(&own, &beside, started));
        return findings;
    }
    let told = !(own.instances.is_empty() && own.builds.is_empty() && own.cohorts.is_empty());
    if plan.one_address {
        findings.push(unproven(
            "No sign of the candidate: both arms have one address, and no response told which of them it was for."
                .to_owned(),
            "name a response header under `identity` (`build`, `instance` or `cohort`) that differs between the arms",
        ));
    } else if own.asked && told {
        let seen = if own.builds.is_empty() { &own.cohorts } else { &own.builds };
        findings.push(unproven(
            format!("No sign of the candidate: both arms were answered alike, by {}.", named(seen)),
            "has the release reached its address? Where one build is meant, name an `instance` header under `identity`",
        ));
    } else if own.asked {
        findings.push(unproven(
            "No sign of the candidate: none of its responses carried an identity header.".to_owned(),
            "look at `identity` in the scenarios, and whether the candidate's address leads to the candidate",
        ));
    } else if !own.asked {
        let text = "Who answered is not known: only their addresses tell the arms apart.";
        findings.push(
            Finding::new(FindingKind::Validity, Severity::Warn, None, text)
                .remedy("name response headers under `identity`, so that each arm is proven"),
        );
    }
    findings.extend(same_build(&own, &beside, started));
    findings
}

fn same_build(own: &AnsweredBy, beside: &AnsweredBy, started: bool) -> Option<Finding> {
    let alike = !own.builds.is_empty() && own.builds == beside.builds && own.cohorts == beside.cohorts;
    alike.then(|| {
        let text = format!("Both arms run build {}: blue against blue.", named(&own.builds));
        if started {
            return Finding::new(FindingKind::Validity, Severity::Info, None, text);
        }
        Finding::new(FindingKind::Validity, Severity::Warn, None, text)
            .remedy("if they should differ: has the release been deployed?")
    })
}
