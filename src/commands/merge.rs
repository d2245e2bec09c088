use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::compare::{read_records, stored_references};
use super::publish::{Freshness, Outlet, fetched_if_any, nothing_at};
use super::report::write_reports;
use super::run::{append_job_summary, close, though};
use super::session::{Gate, Stdout, print};
use crate::error::{Error, Result};
use crate::gate::write_results;
use crate::metrics::{MergedRecord, RunRecord, ShardPart, merge_shards};
use crate::report::{Detail, ReportModel, render_terminal};
use crate::store::Shelf;
use crate::verdict::{Allow, DEFAULT_IMPACT, judge};

const LOOKS_EVERY: Duration = Duration::from_secs(2);

pub struct MergeRequest {
    /// Shards' folders or records, or folders of those.
    pub runs: Vec<PathBuf>,
    pub out: Option<PathBuf>,
    pub baselines: Shelf,
    pub gate: Option<Gate>,
    pub allow: Allow,
    pub label: Option<String>,
    /// How long to wait for shards that are not there yet.
    pub wait: Duration,
    pub stdout: Stdout,
}

/// Puts shards together into one record, and judges that.
///
/// # Errors
/// If a record cannot be read, or they are not the shards of one load.
pub fn merge(request: &MergeRequest) -> Result<u8> {
    // Found before one waits for half an hour.
    request.out.as_deref().map(|out| outlet(Some(out), "merged")).transpose()?;
    let mut record = gathered(request)?;
    if let Some(gate) = request.gate {
        record.plan.gate = gate.name().into();
    }
    if let Some(label) = &request.label {
        record.label = Some(label.clone());
    }
    let references = stored_references(&record, &request.baselines)?;
    record.stale_baselines = request.baselines.stale();
    let verdict = judge(&record, &references, request.allow).verdict;
    let outlet = outlet(request.out.as_deref(), &record.id)?;
    let out = outlet.folder.as_path();
    write_results(out, &record, &verdict)?;
    let model = ReportModel::new(&record, &verdict, &references, DEFAULT_IMPACT);
    let written = write_reports(out, &model);
    append_job_summary(&model);
    let screen = request.stdout.screen();
    let shown = print(&render_terminal(&model, screen, Detail::default()));
    let ended = shown.and(written).and_then(|()| close(&model, out, screen));
    though(verdict.exit_code, ended.and_then(|()| outlet.publish()))
}

fn outlet(given: Option<&Path>, id: &str) -> Result<Outlet> {
    let outlet = Outlet::of(given, id)?;
    if outlet.folder.join("run.json").exists() {
        let message = format!("{} already holds a run", outlet.folder.display());
        return Err(Error::usage_hint(message, "choose another --out"));
    }
    Ok(outlet)
}

/// All shards, or those that there are when the time is over.
fn gathered(request: &MergeRequest) -> Result<RunRecord> {
    let begun = Instant::now();
    loop {
        let waits = begun.elapsed() < request.wait;
        match attempt(&request.runs) {
            Ok(record) if waits && record.merged.as_ref().is_some_and(is_open) => {}
            // Nothing is there yet, or only a part of something.
            Err(Refused::Unread(_)) if waits => {}
            Ok(record) => return Ok(record),
            Err(Refused::Unread(error) | Refused::Mismatch(error)) => return Err(error),
        }
        std::thread::sleep(LOOKS_EVERY.min(request.wait));
    }
}

/// Whether shards are still missing, or at work.
fn is_open(merged: &MergedRecord) -> bool {
    let at_work = |part: &ShardPart| part.interrupted.as_deref() == Some("crash");
    !merged.missing().is_empty() || merged.shards.iter().any(at_work)
}

enum Refused {
    Unread(Error),
    /// To wait would not help.
    Mismatch(Error),
}

fn attempt(runs: &[PathBuf]) -> std::result::Result<RunRecord, Refused> {
    let mut paths = Vec::new();
    for run in runs {
        match fetched_if_any(run, Freshness::Now) {
            Ok(Some(path)) => paths.push(path),
            Ok(None) => return Err(Refused::Unread(nothing_at(run))),
            // A name or a right that is wrong stays so.
            Err(error) if error.is_input() => return Err(Refused::Mismatch(error)),
            Err(error) => return Err(Refused::Unread(error)),
        }
    }
    let paths = runs_below(&paths).map_err(Refused::Unread)?;
    let records = read_records(&paths).map_err(Refused::Unread)?;
    let (paths, records): (Vec<_>, Vec<_>) = records.into_iter().unzip();
    merge_shards(records).map_err(|mismatch| {
        let path = &paths[mismatch.record];
        Refused::Mismatch(Error::input(path, "merge", mismatch.reason).with_hint(mismatch.hint))
    })
}

/// A run, or what was cut off before it was one.
pub fn is_run(path: &Path) -> bool {
    path.join("run.json").exists() || path.join("journal").exists()
}

/// However deep: one that is passed over might be the one that matters. Nor is one skipped that cannot be read; links are
/// not gone along, but for one to a run.
fn runs_within(folder: &Path, all: &mut Vec<PathBuf>) -> Result<()> {
    let fail = |e: std::io::Error| Error::input(folder, "read", e);
    let mut below = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        // What a file system, or a tool of somebody's, keeps for itself.
        let own = entry.file_name() == "lost+found" || entry.file_name().to_string_lossy().starts_with('.');
        if !own {
            below.push((entry.path(), entry.file_type().map_err(fail)?.is_dir()));
        }
    }
    below.sort();
    for (path, is_folder) in below {
        if is_run(&path) {
            all.push(path);
        } else if is_folder {
            runs_within(&path, all)?;
        }
    }
    Ok(())
}

/// Folders that hold no run stand for the runs in them, in the order of their names.
pub fn runs_below(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for path in paths {
        if !path.is_dir() || is_run(path) {
            all.push(path.clone());
            continue;
        }
        let before = all.len();
        runs_within(path, &mut all)?;
        if all.len() == before {
            let hint = "give runs' folders, their run.json, or a folder of such folders";
            return Err(Error::input(path, "read", "there is no run in it").with_hint(hint));
        }
    }
    Ok(all)
}
