use std::path::{Path, PathBuf};

use super::merge::runs_below;
use super::report::{deliver, model_of, stored_request, write_files};
use super::session::Stdout;
use crate::error::{Error, Result};
use crate::gate::read_record;
use crate::report::{
    CombinedRow, ReportModel, Screen, render_combined, render_combined_json, render_combined_junit,
    render_combined_markdown,
};
use crate::verdict::{Combined, One, Outcome, combine as combine_verdicts};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CombinedFormat {
    Table,
    Json,
    Junit,
    Markdown,
}

pub struct CombineRequest {
    /// Runs' folders, or folders of those.
    pub runs: Vec<PathBuf>,
    /// Names that must be among them.
    pub expect: Vec<String>,
    pub format: CombinedFormat,
    pub output: Option<PathBuf>,
    pub stdout: Stdout,
}

/// Many verdicts as one: returns its exit code.
///
/// # Errors
/// If a run cannot be read, or two have one name.
pub fn combine(request: &CombineRequest) -> Result<u8> {
    let (rows, models) = rows(&runs_below(&request.runs)?, &request.expect)?;
    let combined = combined(&rows);
    let screen = if request.output.is_some() { Screen::FILE } else { request.stdout.screen() };
    deliver(&rendered(&rows, &models, &combined, request.format, screen)?, request.output.as_deref())?;
    Ok(combined.exit_code)
}

pub fn combined(rows: &[CombinedRow]) -> Combined {
    let mut all = Vec::with_capacity(rows.len());
    for row in rows {
        all.push(One { name: &row.name, verdict: row.verdict.as_ref().map_err(String::as_str) });
    }
    combine_verdicts(&all)
}

/// What each run came to, with those that are expected and are not there.
pub fn rows(runs: &[PathBuf], expect: &[String]) -> Result<(Vec<CombinedRow>, Vec<ReportModel>)> {
    let (mut rows, mut models) = (Vec::<CombinedRow>::new(), Vec::new());
    for path in runs {
        let record = match read_record(path) {
            Ok(record) => record,
            // What others have proven is not to be lost for it.
            Err(error) if path.is_dir() || path.ends_with("run.json") => {
                rows.push(unread(path, &error));
                continue;
            }
            Err(error) => return Err(error),
        };
        let name = record.service.clone().or_else(|| record.label.clone()).unwrap_or_else(|| name_of(path));
        if let Some(other) = rows.iter().find(|row| row.name == name && row.verdict.is_ok()) {
            let reason = format!("{} is of `{name}` too: which of them counts?", other.folder);
            let hint = "name one run of each; folders may hold others from before";
            return Err(Error::input(path, "combine", reason).with_hint(hint));
        }
        let model = match model_of(path, &record, &[], &stored_request()) {
            Ok(model) => model,
            Err(error) => {
                rows.push(CombinedRow { name, ..unread(path, &error) });
                continue;
            }
        };
        if model.raw.verdict.outcome == Outcome::Partial {
            let hint = "`loadgate merge` puts the shards of a load together, and judges them";
            return Err(Error::input(
                path,
                "combine",
                "it is one shard of a load, which nobody judges by itself",
            )
            .with_hint(hint));
        }
        let folder = folder_of(path).display().to_string();
        rows.push(CombinedRow { name, folder, verdict: Ok(model.raw.verdict.clone()) });
        models.push(model);
    }
    for name in
        expect.iter().filter(|name| !rows.iter().any(|row| row.name == **name)).cloned().collect::<Vec<_>>()
    {
        let reason = "There is no run of it: it was not measured, or its results were not handed on.";
        rows.push(CombinedRow { name, folder: String::new(), verdict: Err(reason.to_owned()) });
    }
    Ok((rows, models))
}

fn unread(path: &Path, error: &Error) -> CombinedRow {
    let folder = folder_of(path).display().to_string();
    CombinedRow { name: name_of(path), folder, verdict: Err(error.to_string()) }
}

/// Of a run that has no name of its own.
fn name_of(path: &Path) -> String {
    let name = folder_of(path).file_name();
    name.map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

fn folder_of(path: &Path) -> &Path {
    if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) }
}

pub fn rendered(
    rows: &[CombinedRow],
    models: &[ReportModel],
    combined: &Combined,
    format: CombinedFormat,
    screen: Screen,
) -> Result<String> {
    let fault = |e: &dyn std::fmt::Display| Error::harness(e.to_string());
    Ok(match format {
        CombinedFormat::Table => render_combined(rows, combined, screen),
        CombinedFormat::Json => render_combined_json(rows, combined).map_err(|e| fault(&e))?,
        CombinedFormat::Junit => render_combined_junit(rows, models).map_err(|e| fault(&e))?,
        CombinedFormat::Markdown => render_combined_markdown(rows, combined),
    })
}

/// `combined.json`, `summary.md` and `junit.xml` in a folder.
pub fn write_combined(
    folder: &Path,
    rows: &[CombinedRow],
    models: &[ReportModel],
    combined: &Combined,
) -> Result<()> {
    let text = |format| rendered(rows, models, combined, format, Screen::FILE);
    let files = [
        ("combined.json", text(CombinedFormat::Json)?),
        ("summary.md", text(CombinedFormat::Markdown)?),
        ("junit.xml", text(CombinedFormat::Junit)?),
    ];
    write_files(folder, &files)
}
