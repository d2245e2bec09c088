use std::collections::BTreeSet;

use super::endpoint::endpoint_summary;
use super::limits::{self, QuantileEvidence};
use super::model::{
    Action, Cause, Finding, FindingKind, GeneratorSummary, Outcome, Severity, UNVERIFIED, VERDICT_FORMAT,
    Verdict,
};
use super::quantiles::Evidence;
use super::reference::Reference;
use super::regression::{self, Regression, Trusted};
use super::statistics::mean;
use super::stored::MOST_LOOKS;
use super::{
    alerts, arms, calibration, probe_summary, probes, provenance, shards, side_by_side, summary, validity,
};
use crate::error_class::ErrorClass;
use crate::exit_code::ExitCode;
use crate::metrics::{EndpointPlan, EndpointRecord, LookRecord, Repeat, RunRecord, SEGMENTS, SmokeStatus};
use crate::units::Metric;

/// What the caller accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allow {
    /// A missing baseline passes.
    pub no_baseline: bool,
    /// An unsettled comparison passes.
    pub unresolved: bool,
}

/// Errors where there were none are many times more, but not infinitely so.
const LEAST_REFERENCE: f64 = 0.001;

/// The verdict, and whether another look would help.
pub struct Judgement {
    pub verdict: Verdict,
    pub look_again: bool,
}

/// Judges a record against references by the record's own rules and plan.
#[must_use]
pub fn judge(record: &RunRecord, references: &[Reference], allow: Allow) -> Judgement {
    let plans: Vec<&EndpointPlan> = record.scenarios.iter().flat_map(|s| &s.endpoints).collect();
    let mut findings = smoke_findings(record);
    let (generator, mut ailments) = validity::generator(record, &plans);
    let mut regression = Regression::default();
    findings.extend(not_begun(record));
    findings.extend(record.stale_baselines.iter().map(|why| {
        let text = format!("The baselines may not be the newest: {why}.");
        let remedy = "run again when the store is back, if what was accepted meanwhile matters";
        Finding::new(FindingKind::Baseline, Severity::Warn, None, text).remedy(remedy)
    }));
    findings.extend(record.unverified.then(|| {
        let text = format!("{UNVERIFIED}: whoever answered was believed, and may not be the target.");
        let remedy = "trust the target's own authority with --cacert FILE instead";
        Finding::new(FindingKind::Validity, Severity::Warn, None, text).remedy(remedy)
    }));
    findings.extend(record.out_of_time.iter().map(|budget| {
        let text = format!("No further look was taken: it would have ended after the budget of {budget}.");
        Finding::new(FindingKind::Regression, Severity::Info, None, text).remedy("give it more with --budget")
    }));
    findings.extend(probes::never_read(record));
    let mut unsound = shards::judge(record);
    let beside = record.of_control();
    let mut of_control = beside.as_ref().map(smoke_findings).unwrap_or_default();
    findings.extend(
        beside
            .iter()
            .flat_map(not_begun)
            .map(|f| Finding { reason: format!("Of the control: {}", f.reason), ..f }),
    );
    if !record.runs.is_empty() {
        let evidence = Evidence::of(record);
        unsound.extend(validity::judge(record, &plans, &evidence));
        if let (Some(beside), Some(control), Some(plan)) =
            (&beside, &record.control, &record.plan.side_by_side)
        {
            let evidence = Evidence::of(beside);
            let also = validity::judge(beside, &plans, &evidence);
            unsound.extend(
                also.into_iter().map(|f| Finding { reason: format!("Of the control: {}", f.reason), ..f }),
            );
            unsound.extend(arms::identity(record, control, plan));
            unsound.push(calibration::calibration(plan));
            let late = validity::generator(beside, &plans).1;
            ailments.extend(late.into_iter().filter(|own| generator.healthy && !own.reason.is_empty()));
            let aborts = validity::aborted(beside);
            if record.runs.iter().all(|look| look.abort.is_none()) {
                // A load that the control ended early is no look at the candidate.
                unsound.extend(aborts.into_iter().map(|f| Finding {
                    reason: format!("Of the control: {}", f.reason),
                    kind: FindingKind::Validity,
                    severity: Severity::Hold,
                    ..f
                }));
            } else {
                of_control.extend(aborts);
            }
            of_control.extend(probes::of_control(record, beside));
            findings.extend(probes::uncounted(beside));
            of_control.extend(personal_data(beside));
            of_control.extend(judge_limits(beside, &plans, &evidence, &|_| true));
        } else if record.shard.is_none() {
            unsound.extend(arms::mixture(record));
            unsound.extend(provenance::judge(record, &plans, references));
        }
        let holds = |f: &&Finding| f.kind == FindingKind::Validity && f.severity == Severity::Hold;
        let all_sound = generator.healthy && unsound.iter().filter(holds).all(|f| f.endpoint.is_some());
        let doubtful: BTreeSet<String> =
            unsound.iter().filter(holds).filter_map(|f| f.endpoint.clone()).collect();
        let trusted = |endpoint: &str| all_sound && !doubtful.contains(endpoint);
        for ailment in ailments {
            let text = format!("This machine could not measure properly: {}.", ailment.reason);
            findings
                .push(Finding::new(FindingKind::Validity, Severity::Hold, None, text).remedy(ailment.remedy));
        }
        findings.append(&mut unsound);
        let notes: BTreeSet<&String> = record.runs.iter().flat_map(|look| &look.notes).collect();
        let of_arm = beside.iter().flat_map(|beside| &beside.runs).flat_map(|look| &look.notes);
        let of_arm: BTreeSet<String> = of_arm.map(|note| format!("Of the control: {note}")).collect();
        findings
            .extend(of_arm.into_iter().map(|n| Finding::new(FindingKind::Validity, Severity::Warn, None, n)));
        findings.extend(
            notes
                .into_iter()
                .map(|note| Finding::new(FindingKind::Validity, Severity::Warn, None, note.as_str())),
        );
        let remarks: BTreeSet<&String> = record.runs.iter().flat_map(|look| &look.remarks).collect();
        findings.extend(
            remarks.into_iter().map(|r| Finding::new(FindingKind::Check, Severity::Info, None, r.as_str())),
        );
        findings.extend(validity::aborted(record));
        findings.extend(personal_data(record));
        // A shard sees a part of the load; only all of them together are judged.
        if record.shard.is_none() {
            findings.extend(judge_limits(record, &plans, &evidence, &trusted));
            findings.extend(probes::judge(record));
            regression = match &record.control {
                Some(control) => side_by_side::judge(record, control, &plans, &trusted),
                None => regression::judge(record, &plans, references, &evidence, &trusted),
            };
            findings.append(&mut regression.findings);
            findings.extend(arms::early(record, &trusted));
        }
    }
    findings.append(&mut unsound);
    arms::excuse(&mut findings, &of_control, !record.runs.is_empty());
    let checked = record
        .smoke
        .as_ref()
        .is_some_and(|smoke| smoke.steps.iter().any(|step| step.status != SmokeStatus::Skipped));
    let begun = record.not_ready.is_none() && record.setup_failed.is_none() && record.probe_failed.is_none();
    let silent = record.control.is_some() && findings.iter().all(|f| f.severity > Severity::Hold);
    if record.runs.is_empty() && begun && (!checked || silent) {
        let text = "Nothing was checked and nothing was measured.";
        findings.push(Finding::new(FindingKind::Validity, Severity::Hold, None, text));
    }
    // A load of ramps alone is shown, and judges nothing.
    let shown_only = plans.iter().all(|plan| plan.shown_only);
    let mut counting = plans.iter().enumerate().filter(|(_, plan)| shown_only || !plan.shown_only);
    let sent = |index: usize| looks_of(record, index).iter().any(|own| own.requests > 0);
    if !record.runs.is_empty() && record.shard.is_none() && counting.all(|(index, _)| !sent(index)) {
        let text = "Nothing was measured: no request of the load is one to judge by.";
        let finding = Finding::new(FindingKind::Validity, Severity::Hold, None, text);
        findings.push(
            finding.remedy("see which steps a `when` leaves out, and what the load is long enough for"),
        );
    }
    if record.interrupted.is_some() {
        // What was not finished is no reason to hold beside the interruption itself.
        findings.retain(|f| f.severity != Severity::Hold);
    }
    sort_findings(&mut findings);
    settle(record, &plans, findings, regression, generator, allow)
}

/// The gravest first.
pub fn sort_findings(findings: &mut [Finding]) {
    findings.sort_by(|a, b| a.severity.cmp(&b.severity).then_with(|| gravity(b).total_cmp(&gravity(a))));
}

/// Which of several failures is told first: what is broken, then what is farthest beyond what it should be. Anything else
/// stays in the order in which it was found.
fn gravity(finding: &Finding) -> f64 {
    match (finding.severity, finding.kind, finding.observed, finding.reference) {
        (Severity::Fail, FindingKind::Check, ..) => f64::INFINITY,
        (Severity::Fail, _, Some(observed), Some(reference)) => observed / reference.max(LEAST_REFERENCE),
        _ => 0.0,
    }
}

/// Why a load was not sent that should have been.
fn not_begun(record: &RunRecord) -> impl Iterator<Item = Finding> {
    let absent = record.not_ready.as_ref().map(|reason| {
        let who = if record.control.is_some() {
            format!("candidate, {},", record.target)
        } else {
            "target".to_owned()
        };
        let text = format!("The {who} never became ready: {reason}.");
        (text, "start it, or give it longer with --wait")
    });
    let unmade = record.setup_failed.as_ref().map(|reason| {
        let what = if record.runs.is_empty() { "Nothing was measured" } else { "The rest was not measured" };
        let text = format!("{what}: the setup before the load failed. {reason}");
        let remedy =
            "look at what is left from earlier runs, or what `setup` finds otherwise than in the smoke pass";
        (text, remedy)
    });
    absent
        .into_iter()
        .chain(unmade)
        .map(|(text, remedy)| Finding::new(FindingKind::Validity, Severity::Hold, None, text).remedy(remedy))
}

/// What got out once got out: no budget of errors covers personal data.
fn personal_data(record: &RunRecord) -> Vec<Finding> {
    let mut told = BTreeSet::new();
    let examples = record.error_examples.iter().filter(|e| e.class == ErrorClass::PersonalData);
    examples
        .filter(|example| told.insert(example.endpoint.clone()))
        .map(|example| {
            let text =
                format!("Leak: {} had personal data in a response. {}", example.endpoint, example.message);
            let finding = Finding::new(FindingKind::Check, Severity::Fail, Some(&example.endpoint), text);
            finding.remedy("look at what the model or the serializer puts into this response")
        })
        .collect()
}

fn smoke_findings(record: &RunRecord) -> Vec<Finding> {
    let steps = record.smoke.iter().flat_map(|smoke| &smoke.steps);
    steps
        .filter_map(|step| {
            let message = step.message.as_deref().unwrap_or_default();
            match step.status {
                SmokeStatus::Failed => {
                    let text = format!(
                        "Broken: {} failed its functional check. {message} ({})",
                        step.endpoint, step.place
                    );
                    Some(Finding::new(FindingKind::Check, Severity::Fail, Some(&step.endpoint), text))
                }
                SmokeStatus::NearMiss => {
                    // Several passes tell how often.
                    let text = match message.strip_prefix("first try: ") {
                        Some(first) => {
                            format!(
                                "Near-miss: {} passed only on its second try; first try: {first}",
                                step.endpoint
                            )
                        }
                        None => format!("Near-miss: {} {message}", step.endpoint),
                    };
                    Some(Finding::new(FindingKind::Check, Severity::Info, Some(&step.endpoint), text))
                }
                SmokeStatus::Passed | SmokeStatus::Skipped => None,
            }
        })
        .collect()
}

pub fn looks_of(record: &RunRecord, index: usize) -> Vec<&EndpointRecord> {
    record.runs.iter().filter_map(|look| look.endpoints.get(index)).collect()
}

/// What an endpoint's requests come at; in the closed model, what they came at.
pub fn rate_of(record: &RunRecord, index: usize, plan: &EndpointPlan) -> f64 {
    if plan.users.is_none() {
        return plan.rate_per_s;
    }
    mean(&looks_of(record, index).iter().map(|e| e.rate_achieved).collect::<Vec<_>>())
}

/// What failed on this machine proves nothing of the target; where that is known only in all, each endpoint is spared it.
pub fn errors_of_target(runs: &[LookRecord], index: usize) -> u64 {
    let looks = runs.iter().filter_map(|look| Some((look, look.endpoints.get(index)?)));
    looks.map(|(look, e)| e.error_count().saturating_sub(look.generator.local_failures)).sum()
}

fn judge_limits(
    record: &RunRecord,
    plans: &[&EndpointPlan],
    evidence: &Evidence,
    trusted: Trusted<'_>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (i, plan) in plans.iter().enumerate() {
        let looks = looks_of(record, i);
        if plan.conditional && !plan.rules.limits.is_empty() && looks.iter().all(|e| e.requests == 0) {
            let text = format!("{} was never sent: its `when` never held.", plan.endpoint);
            findings.push(Finding::new(FindingKind::Validity, Severity::Warn, Some(&plan.endpoint), text));
            continue;
        }
        for limit in &plan.rules.limits {
            let found = if limit.metric == Metric::ErrorRate {
                let requests = looks.iter().map(|e| e.requests).sum();
                let errors = errors_of_target(&record.runs, i);
                limits::judge_errors(
                    &plan.endpoint,
                    limit,
                    errors,
                    requests,
                    &classes(&looks),
                    plan.rules.limits_on,
                )
            } else {
                let estimates =
                    (0..record.runs.len()).filter_map(|look| evidence.at(look, i, limit.metric)).collect();
                let samples = looks.iter().map(|e| e.response.count()).sum();
                limits::judge_quantile(
                    &plan.endpoint,
                    limit,
                    &QuantileEvidence { estimates, samples, limits_on: plan.rules.limits_on },
                    rate_of(record, i, plan),
                )
            };
            findings.extend(found.map(|mut finding| {
                // A measurement that is not trusted proves no latency.
                if !trusted(&plan.endpoint)
                    && finding.severity == Severity::Fail
                    && limit.metric != Metric::ErrorRate
                {
                    finding.severity = Severity::Hold;
                }
                finding
            }));
        }
    }
    findings
}

fn classes(looks: &[&EndpointRecord]) -> String {
    let mut counts = std::collections::BTreeMap::new();
    for (class, count) in looks.iter().flat_map(|e| &e.errors) {
        *counts.entry(class.name()).or_insert(0) += count;
    }
    counts.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
}

/// Puts everything together by precedence: interrupted, then proven fail > hold > no baseline > pass.
fn settle(
    record: &RunRecord,
    plans: &[&EndpointPlan],
    findings: Vec<Finding>,
    regression: Regression,
    generator: GeneratorSummary,
    allow: Allow,
) -> Judgement {
    let safety = record.plan.gate == "safety";
    let failed = findings.iter().any(|f| f.severity == Severity::Fail);
    let invalid = findings.iter().any(|f| f.kind == FindingKind::Validity && f.severity == Severity::Hold);
    let held = findings.iter().any(|f| f.severity == Severity::Hold);
    let unresolved = regression.unresolved && !failed;
    // Nobody accepts what nobody knows.
    let of_probes =
        || findings.iter().filter(|f| f.kind == FindingKind::Probe && f.severity == Severity::Hold);
    let unread = of_probes().count() > 0;
    // What may come back is looked at further, where more follows at once.
    let may_recover = record.control.is_some() && unread && of_probes().all(|f| f.observed.is_some());
    let at_limit = findings.iter().any(|f| f.kind == FindingKind::Limit && f.severity == Severity::Hold);
    let sequential = record.plan.repeat == Repeat::Auto && record.plan.restarts;
    let more = match &record.control {
        Some(_) => record.runs.len() < SEGMENTS,
        None => sequential && record.runs.len() < MOST_LOOKS && (safety || regression.suspect),
    };
    let look_again = more
        && record.interrupted.is_none()
        && record.runs.iter().all(|look| look.abort.is_none())
        && !failed
        && !invalid
        && (!unread || may_recover)
        && (unresolved || may_recover);
    let holds_unresolved = unresolved && safety && !allow.unresolved;
    let (outcome, cause, action, code) = match record.interrupted.as_deref() {
        Some("SIGTERM") => (Outcome::Interrupted, None, Action::Hold, ExitCode::Terminated),
        Some("crash" | "a fault of loadgate") => {
            (Outcome::Interrupted, None, Action::Hold, ExitCode::Harness)
        }
        Some(_) => (Outcome::Interrupted, None, Action::Hold, ExitCode::Interrupted),
        None if record.shard.is_some() && !record.runs.is_empty() => {
            (Outcome::Partial, None, Action::Hold, ExitCode::Pass)
        }
        None if failed => (Outcome::Fail, None, Action::RollBack, ExitCode::Fail),
        None if invalid => (Outcome::Inconclusive, Some(Cause::Invalid), Action::Hold, ExitCode::Hold),
        None if at_limit || unread || (held && !allow.unresolved) || holds_unresolved => {
            (Outcome::Inconclusive, Some(Cause::Unresolved), Action::Hold, ExitCode::Hold)
        }
        None if regression.without_baseline > 0 && !allow.no_baseline => {
            (Outcome::NoBaseline, None, Action::Hold, ExitCode::NoBaseline)
        }
        None => (Outcome::Pass, None, Action::Go, ExitCode::Pass),
    };
    let mut verdict = Verdict {
        format: VERDICT_FORMAT,
        run_id: record.id.clone(),
        started: record.started.clone(),
        outcome,
        cause,
        action,
        exit_code: code.code(),
        gate: record.plan.gate.clone(),
        summary: String::new(),
        looks: record.runs.len(),
        findings,
        endpoints: plans
            .iter()
            .enumerate()
            .map(|(i, plan)| endpoint_summary(&looks_of(record, i), plan))
            .collect(),
        comparisons: regression.comparisons,
        alerts: Vec::new(),
        probes: Vec::new(),
        generator,
    };
    verdict.probes = probe_summary::summaries(record, &verdict.findings);
    // Beside a canary that is void, what it left open would only drown why.
    let told = unresolved && !(invalid && record.control.is_some());
    if told && record.interrupted.is_none() {
        let holds = safety && !allow.unresolved;
        let open = summary::open_findings(&verdict, record, holds);
        verdict.findings.extend(open);
        sort_findings(&mut verdict.findings);
    }
    // They speak of the verdict too, so they come last.
    verdict.alerts = alerts::fired(record, &verdict);
    verdict.findings.extend(verdict.alerts.iter().map(alerts::finding));
    sort_findings(&mut verdict.findings);
    verdict.summary = summary::first_line(&verdict, record, regression.without_baseline);
    Judgement { verdict, look_again }
}
