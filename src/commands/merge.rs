use std::path::{Path, PathBuf};

use super::compare::{read_records, stored_references};
use super::publish::Outlet;
use super::report::write_reports;
use super::run::{append_job_summary, close};
use super::session::{Gate, Stdout, print};
use crate::error::{Error, Result};
use crate::gate::write_results;
use crate::metrics::merge_shards;
use crate::report::{Detail, ReportModel, render_terminal};
use crate::store::Shelf;
use crate::verdict::{Allow, DEFAULT_IMPACT, judge};

pub struct MergeRequest {
    /// Shards' folders or records, or folders of those.
    pub runs: Vec<PathBuf>,
    pub out: Option<PathBuf>,
    pub baselines: Shelf,
    pub gate: Option<Gate>,
    pub allow: Allow,
    pub label: Option<String>,
    pub stdout: Stdout,
}

/// Puts shards together into one record, and judges that.
///
/// # Errors
/// If a record cannot be read, or they are not the shards of one load.
pub fn merge(request: &MergeRequest) -> Result<u8> {
    let paths = runs_below(&request.runs)?;
    let records = read_records(&paths)?;
    let (paths, records): (Vec<_>, Vec<_>) = records.into_iter().unzip();
    let mut record = merge_shards(records).map_err(|mismatch| {
        Error::input(&paths[mismatch.record], "merge", mismatch.reason).with_hint(mismatch.hint)
    })?;
    if let Some(gate) = request.gate {
        record.plan.gate = gate.name().into();
    }
    if let Some(label) = &request.label {
        record.label = Some(label.clone());
    }
    let references = stored_references(&record, &request.baselines)?;
    let verdict = judge(&record, &references, request.allow).verdict;
    let outlet = Outlet::of(request.out.as_deref(), &record.id)?;
    let out = outlet.folder.as_path();
    if out.join("run.json").exists() {
        return Err(Error::usage_hint(
            format!("{} already holds a run", out.display()),
            "choose another --out",
        ));
    }
    write_results(out, &record, &verdict)?;
    let model = ReportModel::new(&record, &verdict, &references, DEFAULT_IMPACT);
    let written = write_reports(out, &model);
    append_job_summary(&model);
    let screen = request.stdout.screen();
    print(&render_terminal(&model, screen, Detail::default()))?;
    written?;
    close(&model, out, screen)?;
    outlet.publish()?;
    Ok(verdict.exit_code)
}

/// Folders that hold no run stand for the runs in them, in the order of their names.
pub fn runs_below(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let is_run = |path: &Path| path.join("run.json").exists() || path.join("journal").exists();
    let mut all = Vec::new();
    for path in paths {
        if !path.is_dir() || is_run(path) {
            all.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path).map_err(|e| Error::input(path, "read", e))?;
        let mut below: Vec<PathBuf> =
            entries.flatten().map(|entry| entry.path()).filter(|path| is_run(path)).collect();
        if below.is_empty() {
            let hint = "give runs' folders, their run.json, or a folder of such folders";
            return Err(Error::input(path, "read", "there is no run in it").with_hint(hint));
        }
        below.sort();
        all.append(&mut below);
    }
    Ok(all)
}
