use std::path::Path;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use jiff::Timestamp;

use super::publish::Outlet;
use super::report::write_reports;
use super::run::{conclude, watched};
use super::session::{LEAST_TOKEN, Session, complain, learn_credentials, learn_header, print, tell};
use crate::baseline::{Calibration, CalibrationRun};
use crate::error::{Error, Result};
use crate::gate::{BesideRequest, GateRequest, GateResult, TargetSpec, run_id};
use crate::metrics::{JudgementPlan, LookRecord, Pairing, Repeat, SEGMENTS, SideBySide};
use crate::report::ReportModel;
use crate::scenario::{LoadPlan, Loaded, Pick, Probe, Scenario, enough_unique_rows};
use crate::units::{counted, format_ms};
use crate::verdict::{Cause, DEFAULT_IMPACT, Finding, FindingKind, Outcome, Severity, spreads};

/// What makes an arm.
#[derive(Clone)]
pub struct ArmRequest {
    pub target: TargetSpec,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub vars: Vec<(String, String)>,
}

#[derive(Clone)]
pub struct CanaryRequest {
    /// What both arms have in common.
    pub session: Session,
    pub control: ArmRequest,
    pub candidate: ArmRequest,
    /// Where nothing is said the scenarios decide.
    pub pairing: Option<Pairing>,
    /// Of all segments together.
    pub length: Duration,
    /// Both arms are of one build: store by how much they differ.
    pub calibrate: bool,
}

/// More than this is no difference between instances of one build.
const MOST_OF_ONE_BUILD: f64 = 0.10;
/// Shorter segments have too few blocks to tell anything by.
const LEAST_SEGMENT: Duration = Duration::from_millis(2500);

/// Candidate and control side by side: returns the exit code.
///
/// # Errors
/// As documented for the exit codes 2 and 5.
pub fn canary(request: &CanaryRequest) -> Result<u8> {
    let session = &request.session;
    let id = run_id();
    let outlet = session.outlet(&id)?;
    let (gate, calibration) = side_by_side(request, &id, &outlet.folder)?;
    if !session.quiet {
        let (all, each) = (request.length.as_secs_f64(), request.length.as_secs_f64() / SEGMENTS as f64);
        complain(&format!(
            "{} of load at most: {SEGMENTS} segments of {}, each with a warm-up before it, after a functional pass of both arms",
            format_ms(all * 1e3),
            format_ms(each * 1e3)
        ));
    }
    let session = Session { target: Some(request.candidate.target.clone()), ..session.clone() };
    let result = watched(&session, gate)?;
    if request.calibrate {
        return keep(&session, &result, &outlet, &calibration);
    }
    conclude(&session, &result, &outlet, None)
}

/// What the gate is asked, with what is known of instances of one build.
///
/// # Errors
/// If the arms, the scenarios or the length make no sense.
pub fn side_by_side(request: &CanaryRequest, id: &str, out: &Path) -> Result<(GateRequest, Calibration)> {
    let session = &request.session;
    let one_address = told_apart(request)?;
    let segment = request.length / SEGMENTS as u32;
    if segment < LEAST_SEGMENT {
        let least = format_ms(LEAST_SEGMENT.as_secs_f64() * 1e3 * SEGMENTS as f64);
        return Err(Error::usage_hint(
            format!("--for {} is too short", format_ms(request.length.as_secs_f64() * 1e3)),
            format!("the looks at ¼, ½ and all of it need {least} at least"),
        ));
    }
    let loaded = side(session, &request.candidate, segment)?;
    let of_control = side(&Session { quiet: true, ..session.clone() }, &request.control, segment)?;
    let scenarios = &loaded.scenarios;
    if scenarios.iter().all(|scenario| scenario.load.is_none()) {
        return Err(Error::usage_hint("no scenario has a `load:`", "a canary needs one"));
    }
    let pairing = request.pairing.unwrap_or_else(|| asked_for(scenarios));
    let unique = |scenario: &Scenario| scenario.data.iter().any(|source| source.pick == Pick::Unique);
    if one_address && pairing == Pairing::Mirror && scenarios.iter().any(unique) {
        let hint = "--pairing split gives each row to one arm";
        return Err(Error::usage_hint("each of the `unique` rows would be sent twice to one address", hint));
    }
    let calibration = Calibration::read(&session.baselines, &session.env())?;
    let session = Session { target: Some(request.candidate.target.clone()), ..session.clone() };
    session.warn_of_the_unseen(&loaded, SEGMENTS);
    told_apart_by_probes(request, &loaded.watching.probes, &of_control.watching.probes)?;
    let loaded = Loaded { secrets: loaded.secrets.with(&of_control.secrets), ..loaded };
    let gate = session.request(loaded, Vec::new(), id, out)?;
    let started = request.control.target.is_started() && request.candidate.target.is_started();
    let repeat = if request.calibrate { Repeat::Times(SEGMENTS as u32) } else { Repeat::Auto };
    let gate = GateRequest {
        beside: Some(BesideRequest {
            target: request.control.target.clone(),
            scenarios: of_control.scenarios,
            probes: of_control.watching.probes,
            pairing,
        }),
        plan: JudgementPlan {
            repeat,
            restarts: started,
            side_by_side: Some(SideBySide {
                pairing,
                sigma_dep: calibration.sigma_dep(),
                calibrated_pairs: calibration.pairs(),
                one_address,
            }),
            ..gate.plan
        },
        ..gate
    };
    learn_credentials(&gate.secrets, &request.control.target);
    Ok((gate, calibration))
}

/// All scenarios of a load share one pairing: one of them that must not be sent twice decides for all.
fn asked_for(scenarios: &[Scenario]) -> Pairing {
    let split = scenarios.iter().any(|scenario| scenario.pairing == Some(Pairing::Split));
    if split { Pairing::Split } else { Pairing::Mirror }
}

/// Whether both arms have one address; then something that is sent must differ.
fn told_apart(request: &CanaryRequest) -> Result<bool> {
    let (TargetSpec::Url(control), TargetSpec::Url(candidate)) =
        (&request.control.target, &request.candidate.target)
    else {
        return Ok(false);
    };
    if control.trim_end_matches('/') != candidate.trim_end_matches('/') {
        return Ok(false);
    }
    let same = request.control.headers == request.candidate.headers
        && request.control.vars == request.candidate.vars;
    if same {
        return Err(Error::usage_hint(
            "both arms are the same: one address, and nothing that is sent differs",
            "give each its own URL, or tell them apart by --candidate-header, --candidate-var and the like",
        ));
    }
    Ok(true)
}

/// What compares real users must ask for each arm's by itself.
fn told_apart_by_probes(request: &CanaryRequest, candidate: &[Probe], control: &[Probe]) -> Result<()> {
    let (of_candidate, of_control) = (&request.candidate.target, &request.control.target);
    let (of_candidate, of_control) = (of_candidate.address_or("candidate"), of_control.address_or("control"));
    let same = candidate.iter().zip(control).find(|(own, other)| {
        own.plan.compare.is_some()
            && own.call(of_candidate, false).key() == other.call(of_control, true).key()
    });
    let Some((probe, _)) = same else { return Ok(()) };
    let (name, place) = (&probe.plan.name, &probe.plan.place);
    Err(Error::usage_hint(
        format!("probe `{name}` ({place}) asks the same of both arms, so that there is nothing to compare"),
        "put `${arm}` into its query; `arms: { control: …, candidate: … }` says what that stands for",
    ))
}

/// The scenarios as one arm gets them, with stages of one segment's length.
fn side(session: &Session, arm: &ArmRequest, segment: Duration) -> Result<Loaded> {
    let mut loaded = as_arm(session, arm)?;
    scaled(&mut loaded.scenarios, segment)?;
    Ok(loaded)
}

/// Stretches or shortens the stages, so that the longest load is measured for so long.
///
/// # Errors
/// If a stage has no length, or data cannot last.
pub fn scaled(scenarios: &mut [Scenario], length: Duration) -> Result<()> {
    let longest_ns = scenarios.iter().filter_map(|s| s.load.as_ref()).map(LoadPlan::window_ns).max();
    for scenario in scenarios.iter_mut() {
        let path = scenario.path.clone();
        let Some(load) = &mut scenario.load else { continue };
        if load.stages.iter().any(|stage| stage.iterations.is_some()) {
            let reason = "a stage with `iterations` has no length that a canary could set";
            return Err(Error::input(&path, "run side by side", reason).with_hint("give its stages a `for`"));
        }
        load.scale(length.as_nanos() as f64 / longest_ns.unwrap_or(1).max(1) as f64);
    }
    enough_unique_rows(scenarios)
}

/// The scenarios with the variables and headers of one arm.
///
/// # Errors
/// If they cannot be read.
pub fn as_arm(session: &Session, arm: &ArmRequest) -> Result<Loaded> {
    let vars = session.vars.iter().chain(&arm.vars).cloned().collect();
    let mut loaded = Session { vars, ..session.clone() }.loaded()?;
    loaded.scenarios.iter_mut().for_each(|scenario| scenario.add_headers(&arm.headers));
    for (name, value) in &arm.headers {
        if let Ok(value) = value.to_str() {
            learn_header(&loaded.secrets, name.as_str(), value, LEAST_TOKEN);
        }
    }
    Ok(loaded)
}

/// Stores how much the instances of one build differed, whatever the verdict would have said of them.
fn keep(session: &Session, result: &GateResult, outlet: &Outlet, calibration: &Calibration) -> Result<u8> {
    let out = outlet.folder.as_path();
    let (record, verdict) = (&result.record, &result.verdict);
    let found = spreads(record);
    let control = record.control.as_deref().map_or(&[][..], |control| &control.runs);
    let builds =
        |runs: &[LookRecord]| runs.iter().filter_map(|look| look.build_id.clone()).collect::<Vec<_>>();
    // Instances of one build may differ so much that chance alone is ruled out: that is what is measured here. But what fails
    // otherwise, or differs as releases do, is not one build.
    let small =
        |f: &Finding| f.kind == FindingKind::Regression && f.change.is_none_or(|c| c < MOST_OF_ONE_BUILD);
    let other = verdict.findings.iter().any(|f| f.severity == Severity::Fail && !small(f))
        || record.runs.iter().any(|look| look.early_stop.is_some())
        || builds(&record.runs) != builds(control);
    let invalid = verdict.cause == Some(Cause::Invalid) || verdict.outcome == Outcome::Interrupted;
    if !invalid && !other && found.is_empty() {
        write_reports(out, &ReportModel::new(record, verdict, &[], DEFAULT_IMPACT))?;
        tell(&format!(
            "NOT CALIBRATED. A segment has too few requests to tell instances apart: each needs ten blocks (of ¼ s or 50 requests, whichever is longer) and 100 requests an arm.\n→ use a longer `--for` or a higher rate; the run is in {}\n",
            out.display()
        ))?;
        return Ok(crate::exit_code::ExitCode::Hold.code());
    }
    if invalid || other {
        print("NOT CALIBRATED: this run says nothing of how much instances of one build differ.\n\n")?;
        let code = conclude(session, result, outlet, None)?;
        return Ok(if code == 0 { crate::exit_code::ExitCode::Hold.code() } else { code });
    }
    let of = |runs: &[LookRecord]| runs.first().map_or_else(String::new, |look| look.instance_id.clone());
    let instances = format!("{} beside {}", of(&record.runs), of(control));
    // The same two instances again say no more of others.
    let anew = calibration.runs.iter().all(|known| known.instances != instances);
    let run = CalibrationRun {
        run_id: record.id.clone(),
        recorded: Timestamp::now().to_string(),
        build: record.runs.first().and_then(|look| look.build_id.clone()),
        pairs: if record.plan.restarts { record.runs.len() } else { usize::from(anew) },
        instances,
        spreads: found.iter().map(|spread| [spread.squared, spread.explained]).collect(),
    };
    let (calibration, path) = Calibration::add(&session.baselines, &session.env(), &run)?;
    write_reports(out, &ReportModel::new(record, verdict, &[], DEFAULT_IMPACT))?;
    let pairs = calibration.pairs();
    let told = calibration.estimate() * 100.0;
    let by = calibration.sigma_dep() * 100.0;
    tell(&format!(
        "CALIBRATED. In {} of instances of one build, these differed by {told:.2}%; canaries of `{}` are judged by {by:.2}%.\n",
        counted(pairs, "pair"),
        session.env(),
    ))?;
    tell(&format!("Stored in {}; the run is in {}\n", path, out.display()))?;
    outlet.publish()?;
    Ok(0)
}
