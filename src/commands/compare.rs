use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use super::session::{Gate, paint, print};
use crate::baseline::{DEFAULT_INSTANCES, Library, documents_of};
use crate::error::{Error, Result};
use crate::gate::read_record;
use crate::metrics::{Repeat, RunRecord};
use crate::report::render_verdict;
use crate::units::Rules;
use crate::verdict::{Allow, Reference, Verdict, judge};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportFormat {
    Table,
    Json,
}

pub struct CompareRequest {
    pub runs: Vec<PathBuf>,
    /// Other runs instead of the baselines.
    pub against: Vec<PathBuf>,
    pub baselines: PathBuf,
    pub gate: Option<Gate>,
    pub allow: Allow,
    pub format: ReportFormat,
    pub no_color: bool,
}

/// Judges stored runs again.
///
/// # Errors
/// If a run cannot be read, or the runs do not belong together.
pub fn compare(request: &CompareRequest) -> Result<u8> {
    let mut record = joined(&request.runs)?;
    if let Some(gate) = request.gate {
        record.plan.gate = gate.name().into();
    }
    if !request.against.is_empty() {
        // Whoever names the other side wants a comparison, also where the scenario has limits alone.
        let plans = record.scenarios.iter_mut().flat_map(|s| &mut s.endpoints);
        for plan in plans.filter(|plan| plan.rules.regression.is_empty()) {
            plan.rules.regression = Rules::default_regression();
        }
    }
    let references = if request.against.is_empty() {
        stored_references(&record, &request.baselines)?
    } else {
        references_from_runs(&record, &request.against)?
    };
    let replayed = judge(&record, &references, request.allow);
    // A plan that would look again cannot be gone on with here, and other runs were never part of it: one decision.
    let verdict = if replayed.look_again || !request.against.is_empty() {
        record.plan.repeat = Repeat::Times(record.runs.len() as u32);
        judge(&record, &references, request.allow).verdict
    } else {
        replayed.verdict
    };
    show(&verdict, &record, request.format, request.no_color)?;
    Ok(verdict.exit_code)
}

pub struct ReportRequest {
    pub runs: Vec<PathBuf>,
    pub baselines: PathBuf,
    pub format: ReportFormat,
    pub no_color: bool,
}

/// Shows stored runs with the verdict that they had; one that crashed is judged from what its journal holds.
///
/// # Errors
/// If a run cannot be read.
pub fn report(request: &ReportRequest) -> Result<u8> {
    for path in &request.runs {
        let record = read_record(path)?;
        let verdict = match stored_verdict(path)? {
            Some(verdict) => verdict,
            None => {
                judge(&record, &stored_references(&record, &request.baselines)?, Allow::default()).verdict
            }
        };
        show(&verdict, &record, request.format, request.no_color)?;
    }
    Ok(0)
}

fn show(verdict: &Verdict, record: &RunRecord, format: ReportFormat, no_color: bool) -> Result<()> {
    match format {
        ReportFormat::Table => {
            print(&render_verdict(verdict, record, paint(no_color, std::io::stdout().is_terminal())))
        }
        ReportFormat::Json => {
            let text = serde_json::to_string_pretty(verdict).map_err(|e| Error::harness(e.to_string()))?;
            print(&format!("{text}\n"))
        }
    }
}

fn stored_verdict(run: &Path) -> Result<Option<Verdict>> {
    let folder = if run.is_dir() { run } else { run.parent().unwrap_or(Path::new("")) };
    let path = folder.join("verdict.json");
    match std::fs::read(&path) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map(Some).map_err(|e| Error::input(&path, "read verdict", e))
        }
        Err(_) => Ok(None),
    }
}

/// Several runs of the same scenarios are looks of one.
fn joined(paths: &[PathBuf]) -> Result<RunRecord> {
    let mut records = paths.iter().map(|path| read_record(path).map(|record| (path, record)));
    let (_, mut first) = records.next().ok_or_else(|| Error::usage("name at least one run"))??;
    let plan = |record: &RunRecord| -> Vec<(String, String)> {
        let endpoints = record.scenarios.iter().flat_map(|s| &s.endpoints);
        endpoints.map(|e| (e.endpoint.clone(), e.digest.clone())).collect()
    };
    let mut seen = vec![first.id.clone()];
    for other in records {
        let (path, mut other) = other?;
        if seen.contains(&other.id) {
            return Err(Error::input(path, "judge", format!("run {} is named twice", other.id)));
        }
        seen.push(other.id.clone());
        if plan(&other) != plan(&first) {
            let hint = "only runs of the same scenarios are judged together; --against takes the other side";
            return Err(
                Error::input(path, "judge", "its endpoints are not those of the first run").with_hint(hint)
            );
        }
        first.interrupted = first.interrupted.or(other.interrupted.take());
        first.not_ready = first.not_ready.or(other.not_ready.take());
        match (&mut first.smoke, other.smoke.take()) {
            (Some(own), Some(mut smoke)) => own.steps.append(&mut smoke.steps),
            (own, smoke) => *own = own.take().or(smoke),
        }
        first.error_examples.append(&mut other.error_examples);
        first.runs.append(&mut other.runs);
    }
    Ok(first)
}

fn stored_references(record: &RunRecord, baselines: &Path) -> Result<Vec<Reference>> {
    let library = Library::new(baselines, &record.env);
    let mut references = Vec::new();
    for scenario in &record.scenarios {
        let endpoints: Vec<_> =
            scenario.endpoints.iter().map(|e| (e.endpoint.clone(), e.digest.clone())).collect();
        references.extend(library.references(&scenario.feature, &endpoints, DEFAULT_INSTANCES)?);
    }
    Ok(references)
}

fn references_from_runs(record: &RunRecord, against: &[PathBuf]) -> Result<Vec<Reference>> {
    let mut documents = Vec::new();
    for path in against {
        let other = read_record(path)?;
        documents.extend(other.runs.iter().flat_map(|look| documents_of(&other, look, "", "")));
    }
    let plans = record.scenarios.iter().flat_map(|s| &s.endpoints);
    Ok(plans
        .filter_map(|plan| {
            let found: Vec<_> = documents
                .iter()
                .filter_map(|document| Some((document, document.endpoints.get(&plan.endpoint)?)))
                .collect();
            let same: Vec<_> = found.iter().filter(|(_, e)| e.digest == plan.digest).collect();
            let digest = if same.is_empty() { found.first()?.1.digest.clone() } else { plan.digest.clone() };
            let runs =
                found.iter().filter(|(_, e)| e.digest == digest).map(|(d, e)| e.as_reference(d)).collect();
            Some(Reference { endpoint: plan.endpoint.clone(), digest, runs })
        })
        .collect())
}
