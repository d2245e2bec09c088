use std::path::{Path, PathBuf};

use super::document::documents_of;
use crate::error::{Error, Result};
use crate::metrics::{ProbePlan, RunRecord};
use crate::units::Rules;
use crate::verdict::{Anchor, Reference, unsound};

/// Several runs of the same scenarios, each with where it came from, as the looks of one.
///
/// # Errors
/// If there are none, one is named twice, or they are not of the same endpoints.
pub fn joined(runs: Vec<(PathBuf, RunRecord)>) -> Result<RunRecord> {
    // What is known of its shards is kept for one record only.
    if runs.len() > 1
        && let Some((path, reason)) = runs.iter().find_map(|(path, run)| Some((path, unsound(run)?)))
    {
        let hint = "judge it by itself, or leave it out";
        return Err(Error::input(path, "judge among others", reason).with_hint(hint));
    }
    let alone = runs.len() == 1;
    let mut runs = runs.into_iter();
    let (_, mut first) = runs.next().ok_or_else(|| Error::usage("name at least one run"))?;
    // Each by its own figures from here on, or those of the others would be looked for among its shards.
    first.merged = first.merged.filter(|_| alone);
    let plan = |record: &RunRecord| -> Vec<(String, String)> {
        let endpoints = record.scenarios.iter().flat_map(|s| &s.endpoints);
        endpoints.map(|e| (e.endpoint.clone(), e.digest.clone())).collect()
    };
    let mut seen = vec![first.id.clone()];
    for (path, mut other) in runs {
        // Shards are parts of one load, not looks of one target.
        if first.shard.is_some() || other.shard.is_some() {
            let reason = "it is one shard of a load; only all of them together are judged";
            return Err(Error::input(&path, "judge", reason));
        }
        let fail = |reason: String| Error::input(Path::new(&path), "judge", reason);
        if first.control.is_some() || other.control.is_some() {
            let hint = "judge it by itself";
            return Err(
                fail("a canary stands beside its control, not beside other runs".into()).with_hint(hint)
            );
        }
        if seen.contains(&other.id) {
            return Err(fail(format!("run {} is named twice", other.id)));
        }
        seen.push(other.id.clone());
        if plan(&other) != plan(&first) {
            let hint = "only runs of the same scenarios are judged together; --against takes the other side";
            return Err(fail("its endpoints are not those of the first run".into()).with_hint(hint));
        }
        if other.env != first.env {
            return Err(fail(format!(
                "it is of the environment `{}`, the first run of `{}`",
                other.env, first.env
            )));
        }
        let told = |record: &RunRecord| -> Vec<ProbePlan> {
            record.probes.iter().map(|own| ProbePlan { place: String::new(), ..own.clone() }).collect()
        };
        if told(&other) != told(&first) {
            let hint = "judge them one by one; what one did not read, nobody knows of it";
            return Err(fail("its probes are not those of the first run".into()).with_hint(hint));
        }
        first.unverified |= other.unverified;
        first.stale_baselines = first.stale_baselines.or(other.stale_baselines.take());
        first.probe_failed = first.probe_failed.or(other.probe_failed.take());
        first.interrupted = first.interrupted.or(other.interrupted.take());
        first.not_ready = first.not_ready.or(other.not_ready.take());
        first.setup_failed = first.setup_failed.or(other.setup_failed.take());
        match (&mut first.smoke, other.smoke.take()) {
            (Some(own), Some(mut smoke)) => own.steps.append(&mut smoke.steps),
            (own, smoke) => *own = own.take().or(smoke),
        }
        first.error_examples.append(&mut other.error_examples);
        first.runs.append(&mut other.runs);
    }
    if seen.len() > 1 {
        for (number, look) in (1..).zip(&mut first.runs) {
            look.look = number;
        }
    }
    Ok(first)
}

/// Gives endpoints without rules of their own the default ones: whoever names another side wants a comparison, also where
/// the scenario has limits alone.
pub fn with_default_rules(record: &mut RunRecord) {
    let plans = record.scenarios.iter_mut().flat_map(|s| &mut s.endpoints);
    for plan in plans.filter(|plan| plan.rules.regression.is_empty() && !plan.shown_only) {
        plan.rules.regression = Rules::default_regression();
    }
}

/// Other runs as the references of a record's endpoints.
#[must_use]
pub fn references_of_runs(record: &RunRecord, others: &[RunRecord]) -> Vec<Reference> {
    let mut documents: Vec<_> = others
        .iter()
        .flat_map(|other| other.runs.iter().flat_map(move |look| documents_of(other, look, "", "")))
        .collect();
    // The newest last, however they were named.
    documents.sort_by(|a, b| a.recorded.cmp(&b.recorded));
    let plans = record.scenarios.iter().flat_map(|s| &s.endpoints);
    plans
        .filter_map(|plan| {
            let found: Vec<_> = documents
                .iter()
                .filter_map(|document| Some((document, document.endpoints.get(&plan.endpoint)?)))
                .collect();
            let same = found.iter().any(|(_, e)| e.digest == plan.digest);
            let digest = if same { plan.digest.clone() } else { found.first()?.1.digest.clone() };
            let runs =
                found.iter().filter(|(_, e)| e.digest == digest).map(|(d, e)| e.as_reference(d)).collect();
            Some(Reference { endpoint: plan.endpoint.clone(), digest, runs, anchor: Anchor::new() })
        })
        .collect()
}
