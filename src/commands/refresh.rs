use std::collections::BTreeSet;
use std::path::PathBuf;

use super::baseline::{accepted_by, ask, can_ask, measure, store};
use super::compare::read_records;
use super::session::{Session, print, tell};
use crate::baseline::{Acceptance, BaselineDocument, Library, documents_of, joined, with_default_rules};
use crate::engine::Slice;
use crate::error::{Error, Result, nearest};
use crate::gate::scenario_records;
use crate::metrics::{DEFAULT_INSTANCES, EndpointPlan, Repeat, RunRecord, ScenarioRecord};
use crate::report::{ReportModel, render_refresh, render_terminal};
use crate::scenario::matches;
use crate::units::{Metric, counted};
use crate::verdict::{
    Allow, DEFAULT_IMPACT, FindingKind, Reference, ReferenceRun, Settled, Severity, Verdict, judge,
    reference_level,
};

pub struct RefreshRequest {
    pub session: Session,
    pub times: u32,
    pub reason: String,
    /// Why a worse level is taken all the same.
    pub accept: Option<String>,
    pub yes: bool,
    /// New endpoints to take, by name or pattern, without asking.
    pub new: Vec<String>,
    /// Stored runs instead of a measurement.
    pub from: Vec<PathBuf>,
}

/// Measures, shows what would change, asks, and stores.
///
/// # Errors
/// As for a run, and where nobody can be asked.
pub fn refresh(request: &RefreshRequest) -> Result<u8> {
    if !request.yes {
        can_ask()?;
    }
    let session = &request.session;
    let (library, records) = if request.from.is_empty() {
        let library = Library::new(&session.baselines, &session.env());
        let scenarios = session.loaded()?.scenarios;
        let plans = scenario_records(&scenarios, Slice::WHOLE);
        known_patterns(request, &new_endpoints(&plans, &session.references(&scenarios)?))?;
        let records = measure(session, request.times, &library, |time, record, _| {
            let measured = !record.runs.is_empty() && record.interrupted.is_none();
            tell(&format!(
                "run {time} of {}: {}\n",
                request.times,
                if measured { "measured" } else { "ended" }
            ))?;
            Ok(measured)
        })?;
        (library, records)
    } else {
        let records: Vec<RunRecord> =
            read_records(&request.from)?.into_iter().map(|(_, record)| record).collect();
        let env = session.env.clone().or(records.first().map(|r| r.env.clone())).unwrap_or_default();
        let library = Library::new(&session.baselines, &env);
        // What would be written is held against what is there now, not against what was.
        library.prepare()?;
        (library, records)
    };
    let runs = records.len() as u32;
    let mut record = joined(records.iter().map(|r| (PathBuf::from(&r.id), r.clone())).collect())?;
    if record.shard.is_some() {
        return Err(Error::usage_hint("one shard is no baseline", "only all shards together are the load"));
    }
    if record.control.is_some() {
        let hint = "`loadgate baseline record` measures it by itself";
        return Err(Error::usage_hint("half of a canary is no baseline", hint));
    }
    record.plan.repeat = Repeat::Times(runs);
    // Another kind of machine may be what the refresh is for; it is told.
    record.plan.same_host = false;
    with_default_rules(&mut record);
    let references = library.references_of(&record.scenarios, DEFAULT_INSTANCES)?;
    let new = new_endpoints(&record.scenarios, &references);
    known_patterns(request, &new)?;
    let verdict = judge(&record, &references, Allow { no_baseline: true, unresolved: true }).verdict;
    if let Some(code) = unfit(&verdict) {
        let model = ReportModel::new(&record, &verdict, &references, DEFAULT_IMPACT);
        print(&render_terminal(&model, session.stdout().screen(), session.detail()))?;
        tell("nothing was stored: a baseline is made of runs whose checks, limits and validity pass\n")?;
        return Ok(code);
    }
    tell(&render_refresh(&verdict, &references, &record))?;
    let worse = worse(&verdict);
    if !worse.is_empty() && request.accept.is_none() {
        tell(
            "nothing was stored: this is worse than what was accepted; --accept \"reason\" takes it all the same\n",
        )?;
        return Ok(1);
    }
    let left_out = unaccepted(request, new)?;
    if !request.yes && !ask("Store these runs as reference?")? {
        tell("nothing was stored\n")?;
        return Ok(3);
    }
    let by = accepted_by();
    let reason = request.accept.as_ref().unwrap_or(&request.reason);
    let mut documents: Vec<BaselineDocument> = records
        .iter()
        .flat_map(|record| record.runs.iter().flat_map(|look| documents_of(record, look, &by, reason)))
        .filter_map(|document| without(document, &left_out))
        .collect();
    if documents.is_empty() {
        tell("nothing was stored: no endpoint is left\n")?;
        return Ok(3);
    }
    let acceptance = Acceptance { accepted_by: &by, reason, worse: &worse };
    store(&library, &mut documents, &acceptance, runs)?;
    in_use(&library, &documents)?;
    Ok(0)
}

/// What is proven worse than the level before, or than the best one.
fn worse(verdict: &Verdict) -> Vec<(String, Metric)> {
    let proven = verdict.comparisons.iter().filter(|c| c.settled == Settled::Worse);
    let crept = verdict.findings.iter().filter(|f| f.kind == FindingKind::Creep);
    proven
        .map(|c| (c.endpoint.clone(), c.metric))
        .chain(crept.filter_map(|f| Some((f.endpoint.clone()?, f.metric?))))
        .collect()
}

/// Says how far the level that verdicts compare with is the new one.
fn in_use(library: &Library, documents: &[BaselineDocument]) -> Result<()> {
    let Some(first) = documents.first() else { return Ok(()) };
    let newest = library.newest(&first.feature, DEFAULT_INSTANCES)?;
    let Some(reference) = newest.iter().find(|r| first.endpoints.contains_key(&r.endpoint)) else {
        return Ok(());
    };
    let instances: BTreeSet<String> = reference.runs.iter().map(ReferenceRun::instance_key).collect();
    let new = |run: &&ReferenceRun| documents.iter().any(|d| d.run_id == run.run_id);
    let of_these: BTreeSet<String> =
        reference.runs.iter().filter(new).map(ReferenceRun::instance_key).collect();
    let level = reference_level(reference, Metric::P50).map(|level| level.instances);
    if of_these.len() < instances.len() && level == Some(of_these.len()) {
        tell(&format!(
            "note: verdicts compare with the level of these {}, and take the noise from the newest {}\n",
            counted(of_these.len(), "instance"),
            instances.len()
        ))?;
    } else if of_these.len() < instances.len() {
        tell(&format!(
            "note: of the newest {} that a verdict compares with, {} of these runs\n",
            counted(instances.len(), "instance"),
            match of_these.len() {
                0 => "none is".to_owned(),
                1 => "1 is".to_owned(),
                n => format!("{n} are"),
            }
        ))?;
    }
    Ok(())
}

/// The exit code where something other than the comparison speaks against these runs.
fn unfit(verdict: &Verdict) -> Option<u8> {
    // What is stored may be what is at fault; that is what a refresh is for.
    let compared =
        |kind| matches!(kind, FindingKind::Regression | FindingKind::Errors | FindingKind::Baseline);
    let of = |severity| verdict.findings.iter().any(|f| f.severity == severity && !compared(f.kind));
    if of(Severity::Fail) {
        return Some(1);
    }
    let interrupted = !matches!(verdict.exit_code, 0 | 1 | 3 | 4);
    (interrupted || of(Severity::Hold)).then_some(if interrupted { verdict.exit_code } else { 3 })
}

/// Endpoints without a baseline of their request and stage.
fn new_endpoints(scenarios: &[ScenarioRecord], references: &[Reference]) -> Vec<String> {
    let plans = scenarios.iter().flat_map(|s| &s.endpoints).filter(|plan| !plan.shown_only);
    let known = |plan: &&EndpointPlan| {
        references
            .iter()
            .any(|r| r.endpoint == plan.endpoint && r.digest == plan.digest && !r.runs.is_empty())
    };
    plans.filter(|plan| !known(plan)).map(|plan| plan.endpoint.clone()).collect()
}

fn known_patterns(request: &RefreshRequest, new: &[String]) -> Result<()> {
    let unused = request.new.iter().find(|pattern| !new.iter().any(|name| matches(pattern, name)));
    let Some(pattern) = unused else { return Ok(()) };
    let hint = match nearest(pattern, new.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None if new.is_empty() => "every endpoint has a baseline of its request and stage".to_owned(),
        None => format!("new are {}", new.join(", ")),
    };
    Err(Error::usage_hint(format!("--new {pattern} is no new endpoint"), hint))
}

/// New endpoints, each of which someone has to accept by itself: those that nobody did.
fn unaccepted(request: &RefreshRequest, new: Vec<String>) -> Result<Vec<String>> {
    let mut left_out = Vec::new();
    for name in new {
        let named = request.new.iter().any(|pattern| matches(pattern, &name));
        if named || (!request.yes && ask(&format!("{name} is new. Accept it?"))?) {
            continue;
        }
        tell(&format!("left out: {name} is new; `--new '{name}'` takes it\n"))?;
        left_out.push(name);
    }
    Ok(left_out)
}

fn without(mut document: BaselineDocument, left_out: &[String]) -> Option<BaselineDocument> {
    document.endpoints.retain(|name, _| !left_out.contains(name));
    document.summary.retain(|line| !left_out.iter().any(|name| line.starts_with(&format!("{name}: "))));
    (!document.endpoints.is_empty()).then_some(document)
}
