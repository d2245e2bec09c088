use std::time::{Duration, Instant};

use super::report::write_deployment;
use super::rollout::{RolloutRequest, directed};
use super::session::{Session, Stdout, complain, print, tell};
use crate::error::{Error, Result};
use crate::exit_code::ExitCode;
use crate::report::{RolloutView, render_rollout_ending};
use crate::rollout::{
    Ending, Event, Place, Plan, ROLLBACK_AVAILABLE, RequestKind, Rollout, State, request, since,
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
    let plan = read(steer)?;
    let place = steer.of.place(&plan)?;
    let state = State::of(&place.entries()?);
    // It was decided, and who was to do it has ended or is at it: there is nothing to ask for.
    let decided = |state: &State| {
        steer.kind == RequestKind::Rollback && state.rollback.is_some() && state.ended.is_none()
    };
    if !decided(&state) {
        possible(steer, &state, &place)?;
    }
    let asked = request(steer.kind, &state, &steer.by, steer.reason.as_deref());
    let begun = Instant::now();
    let mut left = None;
    loop {
        if let Some(mut rollout) = place.clone().open()? {
            if let Some(path) = left.take() {
                let _ = std::fs::remove_file(path);
            }
            if !rollout.state.heard.contains(&asked.id) && !decided(&rollout.state) {
                possible(steer, &rollout.state, &place)?;
                if let Some(why) = rollout.state.refuses_request(&asked) {
                    return Err(Error::usage(format!("{}: {why}", cannot(steer))));
                }
                let event = Event::Requested(asked.clone());
                match steer.kind {
                    RequestKind::Rollback => drop(rollout.record_anyway(event)),
                    _ => drop(rollout.record(event)?),
                }
            }
            return alone(steer, &plan, rollout);
        }
        let heard = |state: &State| state.heard.contains(&asked.id) || decided(state);
        if heard(&State::of(&place.entries()?)) {
            return through(steer, &place);
        }
        let path = match left.take() {
            Some(path) => path,
            None => place.request(&asked)?,
        };
        let refused = !path.exists();
        left = Some(path);
        let state = State::of(&place.entries()?);
        if refused && !heard(&state) {
            let why =
                state.refuses_request(&asked).unwrap_or_else(|| "the controller did not take it".into());
            return Err(Error::usage(format!("{}: {why}", cannot(steer))));
        }
        if begun.elapsed() > HEARD_WITHIN {
            // Granted much later it would surprise everybody.
            if let Some(path) = left {
                let _ = std::fs::remove_file(path);
            }
            return Err(Error::harness(format!(
                "the controller has not heard it in {} s, and it was taken back",
                HEARD_WITHIN.as_secs()
            )));
        }
        std::thread::sleep(TURN);
    }
}

/// To go back the plan need not be whole, nor its secrets be there: then nobody else is told.
fn read(steer: &SteerRequest) -> Result<Plan> {
    if steer.kind != RequestKind::Rollback {
        return steer.of.read_or_kept(false);
    }
    steer.of.read(true).or_else(|error| {
        let mut plan = steer.of.read_or_kept(false)?;
        if !plan.watching.webhooks.is_empty() {
            complain(&format!("warning: webhooks are not told from here: {error}"));
            plan.watching.webhooks.clear();
        }
        Ok(plan)
    })
}

fn cannot(steer: &SteerRequest) -> String {
    format!("cannot {}", steer.kind.name())
}

fn possible(steer: &SteerRequest, state: &State, place: &Place) -> Result<()> {
    if let Some(why) = state.refuses(steer.kind) {
        return Err(Error::usage(format!("{}: {why}", cannot(steer))));
    }
    if state.wants_reason(steer.kind) && steer.reason.is_none() {
        let what = state.held.as_ref().map_or("its rollback failed", |hold| hold.reason.as_str());
        return Err(Error::usage_hint(
            format!("this decides over what was held, so it needs a --reason: {what}"),
            "it stands in the journal and in the deployment report, with your name",
        ));
    }
    if let (RequestKind::Rollback, Some((Ending::Complete, at))) = (steer.kind, &state.ended) {
        if since(at).is_some_and(|since| since > ROLLBACK_AVAILABLE) {
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
        if rollout.state.begun.as_ref().is_some_and(|begun| begun.plan != plan.digest)
            && let Some(rollback) = &plan.rollback
        {
            complain(&format!(
                "the plan has changed since it began; going back by `{}`",
                rollback.command.told
            ));
        }
        let scale = rollout.state.begun.as_ref().map_or(1.0, |begun| begun.time_scale);
        let screen = Stdout { no_color: steer.of.no_color }.screen();
        let plan = Plan { path: steer.of.plan.clone(), ..plan.clone() };
        let code = directed(&plan, rollout, &steer.session, scale, screen)?;
        // What was asked for was done.
        return Ok(if code == ExitCode::Fail.code() { 0 } else { code });
    }
    let path = steer.of.plan.display();
    match &rollout.state.ended {
        Some(_) => {
            let (place, state, entries) = rollout.close();
            let view =
                RolloutView { state: &state, entries: &entries, controlled: false, plan: &steer.of.plan };
            if let Err(e) = write_deployment(&place, &view, &steer.session.baselines) {
                complain(&format!("warning: {e}"));
            }
            tell("noted: it was rolled back by hand\n")?;
        }
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
                let text = "the controller has ended before the rollback did: `loadgate rollout rollback` once more does it";
                return Err(Error::harness(text));
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
        print(&render_rollout_ending(&view, false, screen))?;
        return Ok(code.code());
    }
}
