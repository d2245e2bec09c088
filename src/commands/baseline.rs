use std::path::PathBuf;

use jiff::Timestamp;

use super::run::watched;
use super::session::{Session, TRANSPORTS, print, tell};
use crate::baseline::{Acceptance, BaselineDocument, Library, documents_of};
use crate::engine::Slice;
use crate::error::{Error, Result};
use crate::gate::{run_id, scenario_records};
use crate::metrics::{DEFAULT_INSTANCES, Repeat, RunRecord, ScenarioRecord};
use crate::report::{ReportModel, Shown, render_baselines, render_terminal};
use crate::scenario::{LoadOptions, load};
use crate::store::{Shelf, is_remote};
use crate::units::{Rate, Rules, counted};
use crate::verdict::{DEFAULT_IMPACT, FindingKind, Outcome, Reference, Severity, Verdict, outlook};

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
    let session = &request.session;
    let library = Library::new(&session.baselines, &session.env());
    let mut refused = None;
    let records = measure(session, request.times, &library, |time, record, verdict| {
        if !matches!(verdict.outcome, Outcome::Pass | Outcome::NoBaseline) {
            let model = ReportModel::new(record, verdict, &[], DEFAULT_IMPACT);
            print(&render_terminal(&model, session.stdout().screen(), session.detail()))?;
            tell("nothing was recorded: a baseline is made of runs that pass")?;
            let mut fails = verdict.findings.iter().filter(|f| f.severity == Severity::Fail).peekable();
            let slower = fails.peek().is_some()
                && fails.all(|f| matches!(f.kind, FindingKind::Regression | FindingKind::Errors));
            let hint = "; `baseline refresh --accept \"reason\"` takes a worse level";
            tell(if slower { hint } else { "" })?;
            tell("\n")?;
            refused = Some(verdict.exit_code);
            return Ok(false);
        }
        tell(&format!("run {time} of {}: functional checks, limits and validity pass\n", request.times))?;
        Ok(true)
    })?;
    if let Some(code) = refused {
        return Ok(code);
    }
    let by = accepted_by();
    let looks = records.iter().flat_map(|record| record.runs.iter().map(move |look| (record, look)));
    let mut documents: Vec<_> =
        looks.flat_map(|(record, look)| documents_of(record, look, &by, &request.reason)).collect();
    let acceptance = Acceptance { accepted_by: &by, reason: &request.reason, worse: &[] };
    store(&library, &mut documents, &acceptance, request.times)?;
    Ok(0)
}

/// Runs `times` times, or until `each` (which gets the number, the record and its verdict) says no.
pub fn measure(
    session: &Session,
    times: u32,
    library: &Library,
    mut each: impl FnMut(u32, &RunRecord, &Verdict) -> Result<bool>,
) -> Result<Vec<RunRecord>> {
    let session = Session { repeat: Repeat::Times(1), ..session.clone() };
    let loaded = session.loaded()?;
    let scenarios = &loaded.scenarios;
    if scenarios.iter().all(|s| s.load.is_none()) {
        return Err(Error::usage("no scenario has a `load:`: there is nothing to record"));
    }
    let references = session.references(scenarios)?;
    let invocation = run_id();
    let out = session.outlet(&invocation)?.folder;
    if session.out.as_deref().is_some_and(is_remote) {
        let hint = "give a folder; --baselines may be a URL";
        return Err(Error::usage_hint("the runs behind a baseline stay here", hint));
    }
    library.prepare()?;
    let mut records = Vec::new();
    for time in 1..=times {
        let folder = out.join(format!("record-{time}"));
        let mut gate =
            session.request(loaded.clone(), references.clone(), &format!("{invocation}-{time}"), &folder)?;
        gate.invocation.clone_from(&invocation);
        gate.restart_first = time > 1;
        let result = watched(&session, gate)?;
        let go_on = each(time, &result.record, &result.verdict)?;
        records.push(result.record);
        if !go_on {
            break;
        }
    }
    Ok(records)
}

/// Who answers for what is stored.
pub fn accepted_by() -> String {
    ["LOADGATE_USER", "GITHUB_ACTOR", "GITLAB_USER_LOGIN", "USER"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .unwrap_or_else(|| "unknown".into())
}

pub fn store(
    library: &Library,
    documents: &mut [BaselineDocument],
    acceptance: &Acceptance<'_>,
    runs: u32,
) -> Result<()> {
    let now = Timestamp::now().to_string();
    let mut stored = Vec::new();
    let features: std::collections::BTreeSet<_> = documents.iter().map(|d| d.feature.clone()).collect();
    let anchors = features.iter().map(|feature| library.anchor(feature)).collect::<Result<Vec<_>>>()?;
    let went = documents
        .iter_mut()
        .try_for_each(|document| {
            document.accepted_at = Some(now.clone());
            stored.push(library.store(document)?);
            Ok(())
        })
        .and_then(|()| features.iter().try_for_each(|feature| library.anchor_to_newest(feature, acceptance)));
    if let Err(error) = went {
        // All or none: half of a set would be another set.
        for path in &stored {
            let _ = library.remove(path);
        }
        for (feature, before) in features.iter().zip(&anchors) {
            if library.anchor(feature).is_ok_and(|now| now != *before) {
                let _ = library.restore_anchor(feature, before);
            }
        }
        return Err(error);
    }
    for path in stored {
        tell(&format!("stored {}\n", library.told(&path)))?;
    }
    let instances: std::collections::BTreeSet<_> = documents.iter().map(|d| &d.instance).collect();
    if instances.len() < runs as usize {
        tell(&format!(
            "note: {runs} runs, but instances: {}; runs of one instance count as one, so restart the target between them (--restart-hook)\n",
            instances.len()
        ))?;
    }
    Ok(())
}

/// Which set of baselines, and which features of it.
pub struct SetRequest {
    pub baselines: Shelf,
    pub env: String,
    /// All where it is empty.
    pub features: Vec<String>,
}

impl SetRequest {
    fn library(&self) -> Library {
        Library::new(&self.baselines, &self.env)
    }

    fn place(&self) -> String {
        format!("{}/{}", self.baselines.location().display(), self.env)
    }

    /// The features asked for, each of which there is.
    fn features(&self, library: &Library) -> Result<Vec<String>> {
        let known = library.features()?;
        if known.is_empty() {
            let hint = "record some: `loadgate baseline record`; --env names another set";
            return Err(Error::usage_hint(format!("no baselines in {}", self.place()), hint));
        }
        if let Some(unknown) = self.features.iter().find(|feature| !known.contains(feature)) {
            return Err(Error::usage_hint(
                format!("no baseline of `{unknown}` in {}", self.place()),
                format!("there are {}", known.join(", ")),
            ));
        }
        Ok(if self.features.is_empty() { known } else { self.features.clone() })
    }
}

/// Prints level, noise, age, provenance, headroom and what one look could tell.
///
/// # Errors
/// If a baseline cannot be read, or there is none.
pub fn show(request: &SetRequest) -> Result<u8> {
    let library = request.library();
    let features = request.features(&library)?;
    let mut all = Vec::new();
    for feature in &features {
        let stored = library.documents(feature)?;
        if stored.is_empty() {
            return Err(Error::usage(format!("no baseline of `{feature}` in {}", request.place())));
        }
        all.push((feature, stored, library.newest(feature, DEFAULT_INSTANCES)?, library.anchor(feature)?));
    }
    // What one look can tell depends on everything that is judged with it.
    let ruled: Vec<(&Reference, Rules)> = all
        .iter()
        .flat_map(|(_, stored, references, _)| {
            references.iter().map(|reference| {
                let newest = stored.iter().rev().find_map(|s| s.document.endpoints.get(&reference.endpoint));
                let rules = newest
                    .and_then(|baseline| baseline.rules.clone())
                    .unwrap_or_else(|| Rules { regression: Rules::default_regression(), ..Rules::default() });
                (reference, rules)
            })
        })
        .collect();
    let outlooks = outlook(&ruled);
    for (feature, stored, references, anchor) in &all {
        let shown = Shown { feature, stored, references, anchor, outlooks: &outlooks, now: Timestamp::now() };
        tell(&format!("{}\n", render_baselines(&shown)))?;
    }
    Ok(0)
}

pub struct VerifyRequest {
    pub set: SetRequest,
    /// Scenarios whose endpoints must have baselines.
    pub scenarios: Vec<PathBuf>,
    pub vars: Vec<(String, String)>,
    pub rate: Option<Rate>,
}

/// Reads everything that is stored: 2 if anything is damaged, 4 if a scenario has an endpoint without a baseline.
///
/// # Errors
/// If there is nothing to read, or a scenario is invalid.
pub fn verify(request: &VerifyRequest) -> Result<u8> {
    let library = request.set.library();
    let (mut damaged, mut missing, mut runs) = (0, 0, 0);
    for feature in request.set.features(&library)? {
        let (read, mut mistakes) = library.check(&feature)?;
        runs += read.len();
        if let Err(error) = library.anchor(&feature) {
            mistakes.push(error);
        }
        let instances: std::collections::BTreeSet<_> = read.iter().map(|s| &s.document.instance).collect();
        tell(&format!(
            "{feature}: {}, {}\n",
            counted(read.len(), "run"),
            counted(instances.len(), "instance")
        ))?;
        if instances.len() < 3 {
            tell("  few: with three instances or more a first look already decides; five is the default\n")?;
        }
        if !read.is_empty() && !library.has_anchor(&feature)? {
            tell(
                "  no anchor: small steps that add up are not seen; it comes with the next `baseline record` or `refresh`\n",
            )?;
        }
        for mistake in &mistakes {
            tell(&format!("  DAMAGED: {mistake}\n"))?;
        }
        damaged += mistakes.len();
    }
    if !request.scenarios.is_empty() {
        // Recorded through whatever transport: which one will run is not known here.
        let mut known: Vec<Vec<ScenarioRecord>> = Vec::new();
        for transport in TRANSPORTS {
            let options = LoadOptions {
                vars: request.vars.clone(),
                require_secrets: false,
                transport,
                rate: request.rate,
                ..LoadOptions::default()
            };
            let scenarios = load(&request.scenarios, &options)?.scenarios;
            known.push(scenario_records(&scenarios, Slice::WHOLE));
        }
        for (at, scenario) in known[0].iter().enumerate() {
            // What cannot be read was told above.
            let Ok(stored) = library.newest(&scenario.feature, 1) else { continue };
            for (i, plan) in scenario.endpoints.iter().enumerate() {
                if plan.rules.regression.is_empty() {
                    continue;
                }
                let reference = stored.iter().find(|r| r.endpoint == plan.endpoint);
                let same = |r: &&Reference| known.iter().any(|k| k[at].endpoints[i].digest == r.digest);
                let text = match reference {
                    Some(reference) if same(&reference) => continue,
                    Some(_) => "its baseline is of another request or stage",
                    None => "it has no baseline",
                };
                missing += 1;
                tell(&format!("  MISSING: {}: {text}\n", plan.endpoint))?;
            }
        }
    }
    let (text, code) = match (damaged, missing) {
        (0, 0) if runs == 0 => ("there are no runs: nothing is compared with anything".to_owned(), 4),
        (0, 0) => ("every file is whole".to_owned(), 0),
        (0, n) => (format!("{} without a baseline", counted(n, "endpoint")), 4),
        (n, _) => (format!("{} damaged: restore from version control, or remove", counted(n, "file")), 2),
    };
    tell(&format!("{text}\n"))?;
    Ok(code)
}

pub struct PruneRequest {
    pub set: SetRequest,
    pub keep: usize,
    pub yes: bool,
}

/// Removes runs that no verdict needs any more, after showing them.
///
/// # Errors
/// If a baseline cannot be read or removed.
pub fn prune(request: &PruneRequest) -> Result<u8> {
    let library = request.set.library();
    let mut out = Vec::new();
    for feature in request.set.features(&library)? {
        out.extend(library.superfluous(&feature, request.keep)?);
    }
    if out.is_empty() {
        let kept = counted(request.keep, "instance");
        tell(&format!("nothing to remove: there are no runs beyond the newest {kept} of each endpoint\n"))?;
        return Ok(0);
    }
    for stored in &out {
        tell(&format!(
            "{}  build {}\n",
            library.told(&stored.path),
            stored.document.build.as_deref().unwrap_or("–")
        ))?;
    }
    if !request.yes && !ask(&format!("Remove {}?", counted(out.len(), "file")))? {
        tell("nothing was removed\n")?;
        return Ok(3);
    }
    for stored in &out {
        library.remove(&stored.path)?;
    }
    tell(&format!("removed {}\n", counted(out.len(), "file")))?;
    Ok(0)
}

/// Fails at once where nobody could answer.
pub fn can_ask() -> Result<()> {
    use std::io::IsTerminal as _;
    if std::io::stdin().is_terminal() {
        return Ok(());
    }
    Err(Error::usage_hint("there is no terminal to ask on", "--yes answers beforehand"))
}

/// Whether the person at the terminal says yes.
pub fn ask(question: &str) -> Result<bool> {
    can_ask()?;
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    super::signals::asking(|| std::io::stdin().read_line(&mut answer))
        .map_err(|e| Error::harness(format!("cannot read the answer: {e}")))?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
