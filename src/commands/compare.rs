use std::path::PathBuf;

use super::report::{ReportFormat, deliver, rendered};
use super::session::{Gate, Stdout};
use crate::baseline::{Library, joined, references_of_runs, with_default_rules};
use crate::error::{Error, Result};
use crate::gate::read_record;
use crate::metrics::{LookRecord, Repeat, RunRecord};
use crate::report::{ReportModel, Screen, render_explanation};
use crate::store::Shelf;
use crate::verdict::{Allow, Cause, DEFAULT_IMPACT, Outcome, Reference, Verdict, judge};

pub struct CompareRequest {
    pub runs: Vec<PathBuf>,
    /// Other runs instead of the baselines.
    pub against: Vec<PathBuf>,
    pub baselines: Shelf,
    pub gate: Option<Gate>,
    pub instances: Option<usize>,
    pub allow: Allow,
    /// The runs are single looks, to be taken one after the other as a plan with restarts does.
    pub as_looks: bool,
    /// Say of each comparison what it rests on.
    pub explain: bool,
    pub format: ReportFormat,
    /// A file instead of standard output.
    pub output: Option<PathBuf>,
    pub stdout: Stdout,
}

/// Judges stored runs again.
///
/// # Errors
/// If a run cannot be read, or the runs do not belong together.
pub fn compare(request: &CompareRequest) -> Result<u8> {
    let mut record = joined(read_records(&request.runs)?)?;
    if record.shard.is_some() {
        let hint = "`loadgate merge` puts all of them together, and judges them";
        return Err(Error::usage_hint("one shard of a load is judged by nobody", hint));
    }
    if let Some(gate) = request.gate {
        record.plan.gate = gate.name().into();
    }
    if let Some(instances) = request.instances {
        record.plan.instances = instances;
    }
    if record.control.is_some() && (!request.against.is_empty() || request.as_looks) {
        let hint = "leave --against and --repeat out";
        return Err(Error::usage_hint("a canary is judged beside its own control", hint));
    }
    // What was known of the baselines then says nothing of those of now.
    record.stale_baselines = None;
    let references = if request.against.is_empty() {
        let references = stored_references(&record, &request.baselines)?;
        record.stale_baselines = request.baselines.stale();
        references
    } else {
        with_default_rules(&mut record);
        references_of_runs(&record, &other_side(&record, &request.against)?)
    };
    let verdict = judged(&mut record, &references, request);
    let models = [ReportModel::new(&record, &verdict, &references, DEFAULT_IMPACT)];
    let screen = if request.output.is_some() { Screen::FILE } else { request.stdout.screen() };
    let mut text = rendered(&models, request.format, screen)?;
    if request.explain && request.format == ReportFormat::Table {
        text.push_str(&render_explanation(&models[0].verdict, &models[0].record));
    }
    deliver(&text, request.output.as_deref())?;
    Ok(verdict.exit_code)
}

/// The runs to compare with: each named once, and fit to be compared with.
pub fn other_side(record: &RunRecord, paths: &[PathBuf]) -> Result<Vec<RunRecord>> {
    let key = |look: &LookRecord| (look.instance_id.clone(), look.started.clone());
    let mut seen: Vec<_> = record.runs.iter().map(key).collect();
    let mut others = Vec::new();
    for (path, other) in read_records(paths)? {
        let fail = |reason: String| Error::input(&path, "compare with", reason);
        for look in &other.runs {
            if seen.contains(&key(look)) {
                return Err(fail(format!("run {} is named twice", other.id)));
            }
            seen.push(key(look));
        }
        let verdict = judge(&other, &[], Allow { no_baseline: true, unresolved: true }).verdict;
        if other.control.is_some() {
            return Err(fail("it is a canary, whose load was shared by two arms".into()));
        }
        let unfit = matches!(verdict.outcome, Outcome::Interrupted | Outcome::Partial)
            || verdict.cause == Some(Cause::Invalid)
            || other.runs.is_empty();
        if unfit {
            return Err(fail(format!("it is no measurement to go by: {}", verdict.summary)));
        }
        others.push(other);
    }
    Ok(others)
}

fn judged(record: &mut RunRecord, references: &[Reference], request: &CompareRequest) -> Verdict {
    if request.as_looks {
        return look_by_look(record, references, request.allow);
    }
    let replayed = judge(record, references, request.allow);
    // A plan that would look again cannot be gone on with here, and other runs were never part of it: one decision.
    if replayed.look_again || !request.against.is_empty() {
        return one_decision(record, references, request.allow);
    }
    replayed.verdict
}

/// All looks at once, whatever the plan was.
pub fn one_decision(record: &mut RunRecord, references: &[Reference], allow: Allow) -> Verdict {
    record.plan.repeat = Repeat::Times(record.runs.len() as u32);
    judge(record, references, allow).verdict
}

/// The runs as the looks of a plan with restarts, as few of them as settle it.
fn look_by_look(record: &mut RunRecord, references: &[Reference], allow: Allow) -> Verdict {
    record.plan.repeat = Repeat::Auto;
    record.plan.restarts = true;
    let mut left = std::mem::take(&mut record.runs).into_iter();
    loop {
        record.runs.extend(left.next());
        let judgement = judge(record, references, allow);
        if !judgement.look_again || left.len() == 0 {
            return judgement.verdict;
        }
    }
}

pub fn read_records(paths: &[PathBuf]) -> Result<Vec<(PathBuf, RunRecord)>> {
    paths.iter().map(|path| Ok((path.clone(), read_record(path)?))).collect()
}

pub fn stored_references(record: &RunRecord, baselines: &Shelf) -> Result<Vec<Reference>> {
    if record.control.is_some() {
        return Ok(Vec::new());
    }
    Library::new(baselines, &record.env).references_of(&record.scenarios, record.plan.instances)
}
