use std::time::{Duration, Instant};

use super::rollout::{RolloutRequest, directed};
use super::session::{Session, Stdout, tell};
use crate::error::{Error, Result};
use crate::exit_code::ExitCode;
use crate::report::{RolloutView, render_rollout_ending};
use crate::rollout::{
    Ending, Event, Held, Place, Plan, ROLLBACK_AVAILABLE, RequestKind, Rollout, State, request, since,
};

pub struct SteerRequest {
    pub of: RolloutRequest,
    pub kind: RequestKind,
    pub by: String,
    pub reason: Option<String>,
    /// For a rollback that no controller does.
    pub session: Session,
}

/// A controller hears what is asked for four times a second.
const HEARD_WITHIN: Duration = Duration::from_secs(20);
const TURN: Duration = Duration::from_millis(200);

/// Approves, extends or rolls back from any terminal: through the controller where one runs, else by itself. Returns the exit
/// code.
///
/// # Errors
/// If there is no such rollout, or it cannot be asked for as things stand.
pub fn steer(steer: &SteerRequest) -> Result<u8> {
    let plan = steer.of.read(false)?;
    let place = steer.of.place(&plan)?;
    let state = State::of(&place.entries()?);
    possible(steer, &state, &place)?;
    let asked = request(steer.kind, &steer.by, steer.reason.as_deref());
    let begun = Instant::now();
    let mut left = None;
    loop {
        if let Some(mut rollout) = place.clone().open()? {
            if let Some(path) = left.take() {
                let _ = std::fs::remove_file(path);
            }
            if !rollout.state.heard.contains(&asked.id) {
                possible(steer, &rollout.state, &place)?;
                rollout.record(Event::Requested(asked.clone()))?;
            }
            return alone(steer, &plan, rollout);
        }
        let path = match left.take() {
            Some(path) => path,
            None => place.request(&asked)?,
        };
        let state = State::of(&place.entries()?);
        if state.heard.contains(&asked.id) {
            return through(steer, &place);
        }
        let refused = !path.exists();
        left = Some(path);
        if refused && !State::of(&place.entries()?).heard.contains(&asked.id) {
            let why = state.refuses(steer.kind).unwrap_or_else(|| "the controller did not take it".into());
            return Err(Error::usage(format!("{}: {why}", cannot(steer))));
        }
        if begun.elapsed() > HEARD_WITHIN {
            let hint = "it is left for it; `loadgate rollout status` shows whether it is heard";
            return Err(Error::harness(format!("the controller has not heard it in 20 s; {hint}")));
        }
        std::thread::sleep(TURN);
    }
}

fn cannot(steer: &SteerRequest) -> String {
    format!("cannot {}", steer.kind.name())
}

fn possible(steer: &SteerRequest, state: &State, place: &Place) -> Result<()> {
    if let Some(why) = state.refuses(steer.kind) {
        return Err(Error::usage(format!("{}: {why}", cannot(steer))));
    }
    let overrides = state.ended.is_some()
        || state.held.as_ref().is_some_and(|hold| matches!(hold.what, Held::Verdict | Held::Shift));
    if steer.kind == RequestKind::Approve && overrides && steer.reason.is_none() {
        let what = state.held.as_ref().map_or("its rollback failed", |hold| hold.reason.as_str());
        return Err(Error::usage_hint(
            format!("this lets pass what was held, so it needs a --reason: {what}"),
            "it stands in the journal and in the deployment report, with your name",
        ));
    }
    if let (RequestKind::Rollback, Some((Ending::Complete, at))) = (steer.kind, &state.ended) {
        if since(at).is_none_or(|since| since > ROLLBACK_AVAILABLE) {
            return Err(Error::usage_hint(
                format!("{}: it was complete at {at}, more than 24 h ago", cannot(steer)),
                "what came since may rest on it; go back by a rollout of its own",
            ));
        }
        if let Some(newest) = Place::newest(&place.root)?.filter(|newest| newest.release != place.release) {
            return Err(Error::usage(format!(
                "{}: the rollout of {} has begun since",
                cannot(steer),
                newest.release
            )));
        }
    }
    Ok(())
}

/// No controller runs: what was asked for is done here, or by the next one.
fn alone(steer: &SteerRequest, plan: &Plan, rollout: Rollout) -> Result<u8> {
    if steer.kind == RequestKind::Rollback && rollout.state.rollback.is_some() {
        let scale = rollout.state.begun.as_ref().map_or(1.0, |begun| begun.time_scale);
        let screen = Stdout { no_color: steer.of.no_color }.screen();
        let plan = Plan { path: steer.of.plan.clone(), ..plan.clone() };
        let code = directed(&plan, rollout, &steer.session, scale, screen)?;
        // What was asked for was done.
        return Ok(if code == ExitCode::Fail.code() { 0 } else { code });
    }
    let path = steer.of.plan.display();
    match &rollout.state.ended {
        Some(_) => tell("noted: it was rolled back by hand\n")?,
        None => tell(&format!("noted; no controller runs: `loadgate rollout run {path}` goes on\n"))?,
    }
    Ok(0)
}

/// A controller has heard it. A rollback is waited for.
fn through(steer: &SteerRequest, place: &Place) -> Result<u8> {
    if steer.kind != RequestKind::Rollback {
        tell("heard by the controller\n")?;
        return Ok(0);
    }
    tell("heard by the controller, which rolls back\n")?;
    loop {
        let entries = place.entries()?;
        let state = State::of(&entries);
        let Some((ending, _)) = &state.ended else {
            if !place.is_controlled()? {
                return Err(Error::harness("the controller has ended before the rollback did: ask again"));
            }
            std::thread::sleep(TURN);
            continue;
        };
        let code = match ending {
            Ending::RollbackFailed { .. } => ExitCode::RollbackFailed,
            _ => ExitCode::Pass,
        };
        let view = RolloutView { state: &state, entries: &entries, controlled: false, plan: &steer.of.plan };
        let screen = Stdout { no_color: steer.of.no_color }.screen();
        super::session::print(&render_rollout_ending(&view, screen))?;
        return Ok(code.code());
    }
}
