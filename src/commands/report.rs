use std::path::{Path, PathBuf};

use super::compare::{one_decision, other_side, read_records};
use super::merge::is_run;
use super::session::{Stdout, complain, print};
use crate::baseline::{Library, references_of_runs, with_default_rules};
use crate::error::{Error, Result};
use crate::gate::{read_record, unbroken};
use crate::metrics::RunRecord;
use crate::report::{
    Detail, ReportModel, RolloutView, Screen, render_deployment_html, render_deployment_markdown,
    render_html, render_html_beside, render_json, render_junit, render_load_performance, render_markdown,
    render_markdown_beside, render_rollout_html, render_rollout_markdown, render_side_by_side,
    render_terminal,
};
use crate::rollout::{Event, Place};
use crate::store::{Shelf, is_remote, write_atomic};
use crate::verdict::{
    Action, Allow, DEFAULT_IMPACT, Finding, FindingKind, Severity, VERDICT_FORMAT, Verdict, judge,
    probe_means, sort_findings,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportFormat {
    Table,
    Json,
    Junit,
    Markdown,
    Html,
}

pub struct ReportRequest {
    pub runs: Vec<PathBuf>,
    /// One for each run, in their order, or none.
    pub labels: Vec<String>,
    pub baselines: Shelf,
    pub format: ReportFormat,
    /// The document that people sign, a phase a run.
    pub deployment: bool,
    /// Runs before the deployment, instead of the baselines.
    pub before: Vec<PathBuf>,
    /// What the release may cost all endpoints together.
    pub impact: f64,
    /// A file instead of standard output.
    pub output: Option<PathBuf>,
    pub stdout: Stdout,
}

/// Shows stored runs with the verdict that they had; one that crashed is judged from what its journal holds. Several are
/// put side by side.
///
/// # Errors
/// If a run cannot be read, or the flags do not go together.
pub fn report(request: &ReportRequest) -> Result<u8> {
    if !request.labels.is_empty() && request.labels.len() != request.runs.len() {
        let (labels, runs) = (request.labels.len(), request.runs.len());
        let hint = "give --label once for each run, in their order";
        return Err(Error::usage_hint(format!("{labels} labels for {runs} runs"), hint));
    }
    if request.deployment && !matches!(request.format, ReportFormat::Markdown | ReportFormat::Html) {
        let hint = "add --format markdown or --format html";
        return Err(Error::usage_hint("the deployment report is a document", hint));
    }
    let mut records = read_records(&request.runs)?;
    for ((_, record), label) in records.iter_mut().zip(&request.labels) {
        record.label = Some(label.clone());
    }
    let sent = |record: &RunRecord| {
        record.runs.iter().flat_map(|look| &look.endpoints).any(|endpoint| endpoint.requests > 0)
    };
    let last_load = records.iter().rposition(|(_, record)| sent(record));
    if last_load.is_none() && !request.before.is_empty() {
        let hint = "leave --before out, or name a run that sent load";
        return Err(Error::usage_hint("none of these runs sent load that could be compared", hint));
    }
    let mut models = Vec::new();
    for (number, (path, record)) in records.iter().enumerate() {
        let before = if Some(number) == last_load { request.before.as_slice() } else { &[] };
        models.push(model_of(path, record, before, request)?);
    }
    let screen = if request.output.is_some() { Screen::FILE } else { request.stdout.screen() };
    let text = if request.deployment {
        match request.format {
            ReportFormat::Html => render_deployment_html(&models),
            _ => render_deployment_markdown(&models),
        }
    } else {
        rendered(&models, request.format, screen)?
    };
    deliver(&text, request.output.as_deref())?;
    Ok(0)
}

/// Into a file, whole or not at all; where a link leads; into what is no file (a pipe, a device) as it is. Else to standard
/// output.
pub fn deliver(text: &str, output: Option<&Path>) -> Result<()> {
    let Some(path) = output else { return print(text) };
    if is_remote(path) {
        let hint = "write a file, and copy it; `--out` of a run takes a URL";
        return Err(Error::usage_hint(format!("--output {} is no file", path.display()), hint));
    }
    let fail = |e| Error::output(path, "write", e);
    match std::fs::metadata(path) {
        Ok(there) if there.is_file() => write_atomic(&path.canonicalize().map_err(fail)?, text.as_bytes()),
        Ok(_) => std::fs::write(path, text).map_err(fail),
        // A link to what is yet to be written.
        Err(_) if path.is_symlink() => {
            let target = std::fs::read_link(path).map_err(fail)?;
            write_atomic(&path.parent().unwrap_or(Path::new("")).join(target), text.as_bytes())
        }
        Err(_) => write_atomic(path, text.as_bytes()),
    }
}

/// What a stored run is shown by where nobody asks for more.
pub fn stored_request() -> ReportRequest {
    ReportRequest {
        runs: Vec::new(),
        labels: Vec::new(),
        baselines: Shelf::local(Path::new("baselines")),
        format: ReportFormat::Html,
        deployment: false,
        before: Vec::new(),
        impact: DEFAULT_IMPACT,
        output: None,
        stdout: Stdout { no_color: true },
    }
}

pub fn model_of(
    path: &Path,
    record: &RunRecord,
    before: &[PathBuf],
    request: &ReportRequest,
) -> Result<ReportModel> {
    let stored = stored_verdict(path)?;
    if let Some(verdict) = stored.as_ref().filter(|verdict| verdict.run_id != record.id) {
        let reason = format!("the verdict beside it is of run {}", verdict.run_id);
        let hint = "keep each run in a folder of its own, or take verdict.json away";
        return Err(Error::input(path, "report", reason).with_hint(hint));
    }
    if !before.is_empty() && record.control.is_some() {
        let reason = "it is a canary, which is compared with its own control";
        return Err(Error::input(path, "report", reason).with_hint("leave --before out"));
    }
    if !before.is_empty() {
        let mut record = record.clone();
        with_default_rules(&mut record);
        let earlier = other_side(&record, before)?;
        let references = references_of_runs(&record, &earlier);
        let anew = one_decision(&mut record, &references, Allow::default());
        let verdict = match stored {
            Some(stored) => compared_anew(stored, anew),
            None => anew,
        };
        let model = ReportModel::new(&record, &verdict, &references, request.impact);
        return Ok(model.compared_with(&probe_means(&earlier)));
    }
    // What was accepted since is not what a run was compared with.
    let library = Library::new(&request.baselines, &record.env).as_of(&record.started);
    let known = if record.control.is_some() {
        Ok(Vec::new())
    } else {
        library.references_of(&record.scenarios, record.plan.instances)
    };
    let references = match (known, &stored) {
        (Ok(references), _) => references,
        (Err(error), None) => return Err(error),
        (Err(error), Some(_)) => {
            complain(&format!("warning: the report is without its baseline's runs: {error}"));
            Vec::new()
        }
    };
    let verdict = stored.unwrap_or_else(|| judge(record, &references, Allow::default()).verdict);
    Ok(ReportModel::new(record, &verdict, &references, request.impact))
}

/// What a run came to is not said anew, only what it is compared with: nothing that was proven is forgotten, and a proof
/// against the runs before leads. What they could not settle, no gate had asked for.
fn compared_anew(stored: Verdict, anew: Verdict) -> Verdict {
    let of_comparison =
        |f: &Finding| matches!(f.kind, FindingKind::Regression | FindingKind::Errors | FindingKind::Baseline);
    let proven = anew.findings.iter().any(|f| f.severity == Severity::Fail && of_comparison(f));
    let mut verdict = Verdict { comparisons: anew.comparisons, ..stored };
    verdict.findings.retain(|f| f.severity == Severity::Fail || !of_comparison(f));
    verdict.findings.extend(anew.findings.into_iter().filter(of_comparison).map(|finding| Finding {
        reason: format!("Against the runs before: {}", finding.reason),
        severity: if finding.severity == Severity::Hold { Severity::Info } else { finding.severity },
        ..finding
    }));
    sort_findings(&mut verdict.findings);
    if proven && verdict.action != Action::RollBack {
        verdict.summary =
            format!("{} (against the runs before; by itself: {})", anew.summary, verdict.summary);
        (verdict.outcome, verdict.cause, verdict.action) = (anew.outcome, anew.cause, anew.action);
    }
    verdict
}

/// One run, or several side by side.
pub fn rendered(models: &[ReportModel], format: ReportFormat, screen: Screen) -> Result<String> {
    let fault = |e: &dyn std::fmt::Display| Error::harness(e.to_string());
    Ok(match (format, models) {
        (ReportFormat::Table, [one]) => render_terminal(one, screen, Detail::default()),
        (ReportFormat::Table, many) => render_side_by_side(many, screen),
        (ReportFormat::Json, many) => render_json(many).map_err(|e| fault(&e))?,
        (ReportFormat::Junit, many) => render_junit(many).map_err(|e| fault(&e))?,
        (ReportFormat::Markdown, [one]) => render_markdown(one),
        (ReportFormat::Markdown, many) => render_markdown_beside(many),
        (ReportFormat::Html, [one]) => render_html(one),
        (ReportFormat::Html, many) => render_html_beside(many),
    })
}

/// `report.html`, `report.md` and `junit.xml` beside the record, each whole or not at all.
pub fn write_reports(folder: &Path, model: &ReportModel) -> Result<()> {
    let junit = render_junit(std::slice::from_ref(model)).map_err(|e| Error::harness(e.to_string()))?;
    let mut texts = vec![
        ("report.html", render_html(model)),
        ("report.md", render_markdown(model)),
        ("junit.xml", junit),
    ];
    // Its merge-request widget has a form of its own.
    if std::env::var("GITLAB_CI").is_ok_and(|value| value == "true") {
        let text = render_load_performance(model).map_err(|e| Error::harness(e.to_string()))?;
        texts.push(("load-performance.json", text));
    }
    write_files(folder, &texts)
}

/// Each whole or not at all.
pub fn write_files(folder: &Path, texts: &[(&str, String)]) -> Result<()> {
    texts.iter().try_for_each(|(name, text)| write_atomic(&folder.join(name), text.as_bytes()))
}

/// The document of a rollout, with all its runs, as `deployment.html` and `deployment.md` in its folder; `None`: there is no run.
pub fn write_deployment(place: &Place, view: &RolloutView<'_>, baselines: &Shelf) -> Result<Option<String>> {
    let runs: Vec<PathBuf> = view
        .entries
        .iter()
        .filter_map(|entry| match &entry.event {
            Event::Judging { run, .. } => Some(place.run(run)),
            _ => None,
        })
        .collect();
    let request = ReportRequest { baselines: baselines.clone(), deployment: true, ..stored_request() };
    let mut models = Vec::new();
    for run in &runs {
        let record = match read_record(run) {
            Ok(record) => record,
            Err(error) => {
                // One that was cut off before it began has left nothing.
                if is_run(run) {
                    complain(&format!("warning: the document lacks a run: {error}"));
                }
                continue;
            }
        };
        models.push(model_of(run, &record, &[], &request)?);
    }
    if models.is_empty() {
        return Ok(None);
    }
    let folder = place.folder();
    let texts = [
        ("deployment.html", render_rollout_html(&models, view)),
        ("deployment.md", render_rollout_markdown(&models, view)),
    ];
    write_files(&folder, &texts)?;
    Ok(Some(folder.join("deployment.html").display().to_string()))
}

/// The verdict that stands beside a record.
pub fn stored_verdict(run: &Path) -> Result<Option<Verdict>> {
    let folder = if run.is_dir() { run } else { run.parent().unwrap_or(Path::new("")) };
    let path = folder.join("verdict.json");
    match std::fs::read(&path) {
        Ok(bytes) => {
            let hint = "without this file the run is judged anew from its record";
            let fail = |e| Error::input(&path, "read verdict", e).with_hint(hint);
            let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(fail)?;
            unbroken(&path, "read verdict", &bytes, &value)?;
            let format = value["format"].as_u64().unwrap_or(0);
            if format > u64::from(VERDICT_FORMAT) {
                let reason = format!("format {format}, this loadgate reads up to {VERDICT_FORMAT}");
                return Err(Error::input(&path, "read verdict", reason).with_hint(hint));
            }
            serde_json::from_value(value).map(Some).map_err(fail)
        }
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(e) => Err(Error::input(&path, "read verdict", e)),
    }
}
