use std::path::PathBuf;

use super::baseline::{accepted_by, ask, can_ask, measure, store};
use super::compare::read_records;
use super::session::{Session, print};
use crate::baseline::{Acceptance, BaselineDocument, Library, documents_of, joined};
use crate::error::{Error, Result, nearest};
use crate::metrics::{DEFAULT_INSTANCES, Repeat, RunRecord};
use crate::report::{render_refresh, render_verdict};
use crate::scenario::matches;
use crate::units::Rules;
use crate::verdict::{Allow, FindingKind, Settled, Severity, Verdict, judge};

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
        let records = measure(session, request.times, &library, |time, record, _| {
            let measured = !record.runs.is_empty() && record.interrupted.is_none();
            print(&format!(
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
        (Library::new(&session.baselines, &env), records)
    };
    let runs = records.len() as u32;
    let mut record = joined(records.iter().map(|r| (PathBuf::from(&r.id), r.clone())).collect())?;
    if record.shard.is_some() {
        return Err(Error::usage_hint("one shard is no baseline", "only all shards together are the load"));
    }
    record.plan.repeat = Repeat::Times(runs);
    for plan in record.scenarios.iter_mut().flat_map(|s| &mut s.endpoints) {
        if plan.rules.regression.is_empty() && !plan.shown_only {
            plan.rules.regression = Rules::default_regression();
        }
    }
    let references = library.references_of(&record.scenarios, DEFAULT_INSTANCES)?;
    let verdict = judge(&record, &references, Allow { no_baseline: true, unresolved: true }).verdict;
    if let Some(code) = unfit(&verdict) {
        print(&render_verdict(&verdict, &record, session.stdout_paint()))?;
        print("nothing was stored: a baseline is made of runs whose checks, limits and validity pass\n")?;
        return Ok(code);
    }
    print(&render_refresh(&verdict, &references, &record))?;
    let worse = verdict.comparisons.iter().any(|c| c.settled == Settled::Worse)
        || verdict.findings.iter().any(|f| f.kind == FindingKind::Creep);
    if worse && request.accept.is_none() {
        print(
            "nothing was stored: this is worse than what was accepted; --accept \"reason\" takes it all the same\n",
        )?;
        return Ok(1);
    }
    let left_out = unaccepted(request, &verdict)?;
    if !request.yes && !ask("Store these runs as reference?")? {
        print("nothing was stored\n")?;
        return Ok(3);
    }
    let by = accepted_by();
    let reason = request.accept.as_ref().unwrap_or(&request.reason);
    let documents: Vec<BaselineDocument> = records
        .iter()
        .flat_map(|record| record.runs.iter().flat_map(|look| documents_of(record, look, &by, reason)))
        .filter_map(|document| without(document, &left_out))
        .collect();
    if documents.is_empty() {
        print("nothing was stored: no endpoint is left\n")?;
        return Ok(3);
    }
    let acceptance = Acceptance { accepted_by: &by, reason, worse: request.accept.is_some() };
    store(&library, &documents, &acceptance, runs)?;
    if (runs as usize) < DEFAULT_INSTANCES {
        print(&format!(
            "note: a verdict compares with the newest {DEFAULT_INSTANCES} instances; {runs} of them are new\n"
        ))?;
    }
    Ok(0)
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

/// New endpoints, each of which someone has to accept by itself: those that nobody did.
fn unaccepted(request: &RefreshRequest, verdict: &Verdict) -> Result<Vec<String>> {
    let new: Vec<&String> = verdict
        .findings
        .iter()
        .filter(|f| f.kind == FindingKind::Baseline && f.severity == Severity::Warn)
        .filter_map(|f| f.endpoint.as_ref())
        .collect();
    let unused = request.new.iter().find(|pattern| !new.iter().any(|name| matches(pattern, name)));
    if let Some(pattern) = unused {
        let names: Vec<&str> = new.iter().map(|name| name.as_str()).collect();
        let hint = match nearest(pattern, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if names.is_empty() => "every endpoint has a baseline of its request and stage".to_owned(),
            None => format!("new are {}", names.join(", ")),
        };
        return Err(Error::usage_hint(format!("--new {pattern} is no new endpoint"), hint));
    }
    let mut left_out = Vec::new();
    for name in new {
        let named = request.new.iter().any(|pattern| matches(pattern, name));
        if named || (!request.yes && ask(&format!("{name} is new. Accept it?"))?) {
            continue;
        }
        print(&format!("left out: {name} is new; `--new '{name}'` takes it\n"))?;
        left_out.push(name.clone());
    }
    Ok(left_out)
}

fn without(mut document: BaselineDocument, left_out: &[String]) -> Option<BaselineDocument> {
    document.endpoints.retain(|name, _| !left_out.contains(name));
    document.summary.retain(|line| !left_out.iter().any(|name| line.starts_with(&format!("{name}: "))));
    (!document.endpoints.is_empty()).then_some(document)
}
