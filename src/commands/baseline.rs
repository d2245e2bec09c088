use std::path::PathBuf;

use super::run::watched;
use super::session::{Session, print};
use crate::baseline::{Library, documents_of};
use crate::error::{Error, Result};
use crate::gate::run_id;
use crate::metrics::Repeat;
use crate::report::{render_baselines, render_verdict};
use crate::verdict::Outcome;

pub struct RecordRequest {
    pub session: Session,
    pub times: u32,
    pub reason: String,
}

/// Measures and stores, one run after the other; stores nothing unless all of them are acceptable.
///
/// # Errors
/// As for a run.
pub fn record(request: &RecordRequest) -> Result<u8> {
    let session = Session { repeat: Repeat::Times(1), ..request.session.clone() };
    let (scenarios, secrets) = session.scenarios()?;
    if scenarios.iter().all(|s| s.load.is_none()) {
        return Err(Error::usage("no scenario has a `load:`: there is nothing to record"));
    }
    let references = session.references(&scenarios)?;
    let accepted_by = ["LOADGATE_USER", "GITHUB_ACTOR", "GITLAB_USER_LOGIN", "USER"]
        .iter()
        .find_map(|name| std::env::var(name).ok())
        .unwrap_or_else(|| "unknown".into());
    let invocation = run_id();
    let out = session.out(&invocation);
    let library = Library::new(&session.baselines, &session.env());
    library.prepare()?;
    let mut documents = Vec::new();
    for time in 1..=request.times {
        let folder = out.join(format!("record-{time}"));
        let mut gate = session.request(
            scenarios.clone(),
            secrets.clone(),
            references.clone(),
            &format!("{invocation}-{time}"),
            &folder,
        )?;
        gate.invocation.clone_from(&invocation);
        let result = watched(&session, gate)?;
        let verdict = &result.verdict;
        if !matches!(verdict.outcome, Outcome::Pass | Outcome::NoBaseline) {
            print(&render_verdict(verdict, &result.record, session.stdout_paint()))?;
            print("nothing was recorded: a baseline is made of runs that pass\n")?;
            return Ok(verdict.exit_code);
        }
        print(&format!("run {time} of {}: functional checks, limits and validity pass\n", request.times))?;
        for look in &result.record.runs {
            documents.extend(documents_of(&result.record, look, &accepted_by, &request.reason));
        }
    }
    for document in &documents {
        let path = library.store(document)?;
        print(&format!("stored {}\n", path.display()))?;
    }
    let instances: std::collections::BTreeSet<_> = documents.iter().map(|d| &d.instance).collect();
    if instances.len() < request.times as usize {
        print(&format!(
            "note: {} runs, but instances: {}; runs of one instance count as one, so restart the target between them\n",
            request.times,
            instances.len()
        ))?;
    }
    Ok(0)
}

pub struct ShowRequest {
    pub baselines: PathBuf,
    pub env: String,
    pub features: Vec<String>,
}

/// Prints what is stored.
///
/// # Errors
/// If a baseline cannot be read, or there is none.
pub fn show(request: &ShowRequest) -> Result<u8> {
    let library = Library::new(&request.baselines, &request.env);
    let known = library.features()?;
    let features = if request.features.is_empty() { known.clone() } else { request.features.clone() };
    for feature in &features {
        let stored = library.documents(feature)?;
        if stored.is_empty() {
            let hint = if known.is_empty() {
                "record some: `loadgate baseline record`".into()
            } else {
                format!("there are {}", known.join(", "))
            };
            return Err(Error::usage_hint(
                format!("no baseline of `{feature}` in {}/{}", request.baselines.display(), request.env),
                hint,
            ));
        }
        print(&format!("{}\n", render_baselines(feature, &stored)))?;
    }
    if features.is_empty() {
        let place = format!("{}/{}", request.baselines.display(), request.env);
        return Err(Error::usage_hint(
            format!("no baselines in {place}"),
            "record some: `loadgate baseline record`",
        ));
    }
    Ok(0)
}
