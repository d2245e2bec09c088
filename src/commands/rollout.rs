use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::report::write_deployment;
use super::rollout_hands::RolloutHands;
use super::session::{Session, Stdout, complain, print, tell};
use super::signals::{block_on, listen};
use crate::engine::Interrupt;
use crate::error::{Error, Result};
use crate::exit_code::ExitCode;
use crate::report::{
    RolloutView, Screen, render_rollout, render_rollout_ending, render_rollout_json, render_rollout_plan,
};
use crate::rollout::{
    Controller, Ending, Event, Left, Place, Plan, Rollout, State, Step, checked_name, read_plan, read_plan_as,
};
use crate::units::counted;

/// What all commands of a rollout have in common.
pub struct RolloutRequest {
    pub plan: PathBuf,
    /// Of the plan.
    pub vars: Vec<(String, String)>,
    /// Where nothing is said, what the plan says; to look and to steer, the newest.
    pub release: Option<String>,
    /// Where nothing is said, `rollouts` beside the plan.
    pub state: Option<PathBuf>,
    pub no_color: bool,
}

pub struct RolloutRunRequest {
    pub of: RolloutRequest,
    /// Of both arms and all phases.
    pub session: Session,
    /// Of the candidate's demo.
    pub faults: Vec<String>,
    pub time_scale: f64,
    /// Show what would be done.
    pub dry_run: bool,
}

const DEFAULT_RELEASE: &str = "release";

impl RolloutRequest {
    pub fn read(&self, require_secrets: bool) -> Result<Plan> {
        read_plan(&self.plan, &self.vars, require_secrets)
    }

    /// The plan, or where that cannot be read any more, its copy of when the newest rollout beside it began: whoever looks or
    /// goes back must not depend on a file that somebody is editing.
    pub fn read_or_kept(&self, require_secrets: bool) -> Result<Plan> {
        let error = match self.read(require_secrets) {
            Ok(plan) => return Ok(plan),
            Err(error) => error,
        };
        let beside = self.plan.parent().unwrap_or(Path::new("")).join("rollouts");
        let root = self.state.clone().unwrap_or(beside);
        let rollouts = std::fs::read_dir(&root).into_iter().flatten().flatten().map(|entry| entry.path());
        let newest = |root: PathBuf| {
            let place = Place::newest(&root).ok().flatten()?;
            let state = State::of(&place.entries().ok()?);
            // Of this very file: a name that is mistyped must not mean another plan.
            let own = self.plan.exists()
                && state
                    .begun
                    .as_ref()
                    .is_some_and(|begun| self.plan.file_name() == Some(OsStr::new(&begun.file)));
            own.then(|| ((state.ended.is_none(), state.since), place))
        };
        let mut places: Vec<_> = rollouts.filter(|path| path.is_dir()).filter_map(newest).collect();
        places.sort_by(|a, b| a.0.cmp(&b.0));
        let Some((_, place)) = places.pop() else { return Err(error) };
        let copy = place.folder().join("plan.yaml");
        let Ok(plan) = read_plan_as(&copy, &self.plan, &self.vars, false) else { return Err(error) };
        complain(&format!(
            "warning: {} cannot be used now; going by its copy of when the rollout of {} began\n{error}",
            self.plan.display(),
            place.release
        ));
        Ok(plan)
    }

    /// The rollout that is meant.
    pub fn place(&self, plan: &Plan) -> Result<Place> {
        let root = plan.state(self.state.as_deref());
        let found = match &self.release {
            Some(release) => Some(Place { root: root.clone(), release: release.clone() }),
            None => Place::newest(&root)?,
        };
        found.filter(|place| place.journal().exists()).ok_or_else(|| {
            let what = match &self.release {
                Some(release) => format!("there is no rollout of {release} in {}", root.display()),
                None => format!("no rollout of this plan has begun: there is none in {}", root.display()),
            };
            let hint = "`loadgate rollout run` begins one; where it runs with --state, say so here too";
            Error::usage_hint(what, hint)
        })
    }
}

/// Begins a rollout, or goes on with it: returns the exit code.
///
/// # Errors
/// As documented for the exit codes 2 and 5.
pub fn rollout(request: &RolloutRunRequest) -> Result<u8> {
    let mut plan = request.of.read(!request.dry_run)?;
    if !request.faults.is_empty() {
        let crate::gate::TargetSpec::Demo { faults } = &mut plan.candidate.target else {
            return Err(Error::usage_hint("--fault is for a candidate that is the demo", "leave it out"));
        };
        faults.extend(request.faults.iter().cloned());
    }
    let root = plan.state(request.of.state.as_deref());
    // Where nothing is said, the one that is not over is meant.
    let open = Place::newest(&root)?
        .filter(|place| place.entries().is_ok_and(|entries| State::of(&entries).ended.is_none()));
    let given = request.of.release.clone().or_else(|| open.map(|place| place.release));
    let release = given.or_else(|| plan.release.clone());
    let release = release.unwrap_or_else(|| DEFAULT_RELEASE.to_owned());
    checked_name(&release).map_err(|reason| Error::usage(format!("--release {release}: {reason}")))?;
    let place = Place { root, release };
    let screen = Stdout { no_color: request.of.no_color }.screen();
    if request.dry_run {
        let hands = RolloutHands::new(&plan, &request.session, screen);
        let told = hands.examine(request.time_scale)?;
        return print(&render_rollout_plan(&plan, &place.folder(), request.time_scale, &told, screen))
            .map(|()| 0);
    }
    let before = State::of(&place.entries()?);
    // On the way back nothing is asked that could close it.
    if before.ended.is_none() && before.rollback.is_none() {
        free_to_go(&place, &before, &plan)?;
        // Whatever is wrong is told before anything is touched.
        let hands = RolloutHands::new(&plan, &request.session, screen);
        for warning in hands.examine(request.time_scale)? {
            complain(&format!("warning: {warning}"));
        }
    }
    let Some(rollout) = place.clone().open()? else { return Err(controlled(&place)) };
    if rollout.state.ended.is_some() {
        return already_ended(&rollout, screen);
    }
    // Whoever had it until now may have ended meanwhile.
    if rollout.state.rollback.is_none() {
        free_to_go(&place, &rollout.state, &plan)?;
    }
    let time_scale = rollout.state.begun.as_ref().map_or(request.time_scale, |begun| begun.time_scale);
    let resumed = rollout.state.begun.is_some();
    keep_plan(&rollout, &plan)?;
    if !resumed && plan.watching.probes.iter().all(|probe| probe.plan.compare.is_none()) {
        tell(
            "Synthetic traffic only: no probe of this plan compares what real users of both arms see (`compare: error_rate`).\n",
        )?;
    }
    if resumed {
        tell(&format!("going on with {} {} where it was\n", plan.name, place.release))?;
    }
    directed(&plan, rollout, &request.session, time_scale, screen)
}

/// Goes on with a rollout until it has ended, somebody must decide, or a signal comes; tells and keeps what it came to.
pub fn directed(
    plan: &Plan,
    rollout: Rollout,
    session: &Session,
    time_scale: f64,
    screen: Screen,
) -> Result<u8> {
    let hands = RolloutHands::new(plan, session, screen);
    block_on(async {
        let interrupt: Interrupt = listen()?;
        let mut controller = Controller { plan, rollout, hands: &hands, interrupt, time_scale, pause: None };
        if controller.rollout.state.begun.is_some() {
            let (_, failed) = controller.rollout.record_anyway(Event::Controller { pid: std::process::id() });
            if let Some(error) = failed {
                complain(&format!("warning: {error}"));
            }
        }
        let left = controller.control().await;
        // From here on somebody else may go on with it.
        let (place, state, entries) = controller.rollout.close();
        let view = RolloutView { state: &state, entries: &entries, controlled: false, plan: &plan.path };
        let undone = state.rollback.is_some() && state.ended.is_none();
        let code = match &left {
            Ok(left) => code_of(left),
            Err(_) if undone => ExitCode::RollbackFailed.code(),
            Err(_) => ExitCode::Harness.code(),
        };
        let _ = print(&render_rollout_ending(&view, undone && left.is_err(), screen));
        if let Err(error) = hands.news(left.as_ref().ok(), &state, &entries, &place, code) {
            complain(&format!("warning: {error}"));
        }
        match write_deployment(&place, &view, &session.baselines) {
            Ok(Some(file)) => {
                let _ = tell(&format!("deployment report: {file}\n"));
            }
            Ok(None) => {}
            Err(e) => complain(&format!("warning: {e}")),
        }
        hands.told().await;
        match left {
            Err(error) if undone => {
                complain(&format!("error: {error}"));
                Ok(code)
            }
            Err(error) => Err(error),
            Ok(_) => Ok(code),
        }
    })
}

fn code_of(left: &Left) -> u8 {
    match left {
        Left::Ended(Ending::Complete) => ExitCode::Pass,
        Left::Ended(Ending::RollbackFailed { .. }) => ExitCode::RollbackFailed,
        Left::Ended(Ending::RolledBack { .. } | Ending::RolledBackByHand | Ending::Stopped) => ExitCode::Fail,
        Left::Held => ExitCode::Hold,
        Left::Interrupted("SIGTERM") => ExitCode::Terminated,
        Left::Interrupted(_) => ExitCode::Interrupted,
    }
    .code()
}

fn controlled(place: &Place) -> Error {
    let entries = place.entries().unwrap_or_default();
    let pid = entries.iter().rev().find_map(|entry| match entry.event {
        Event::Controller { pid } => Some(format!(" (process {pid})")),
        _ => None,
    });
    Error::usage_hint(
        format!("another loadgate{} goes on with a rollout of this plan", pid.unwrap_or_default()),
        "`loadgate rollout status`, `approve`, `extend` and `rollback` speak to it from here",
    )
}

fn already_ended(rollout: &Rollout, screen: Screen) -> Result<u8> {
    let view = RolloutView {
        state: &rollout.state,
        entries: &rollout.entries,
        controlled: false,
        plan: Path::new(""),
    };
    print(&render_rollout_ending(&view, false, screen))?;
    tell(&format!(
        "Nothing was done: the rollout of {} has ended. `--release NAME` begins that of another release.\n",
        rollout.place.release
    ))?;
    let Some((ending, _)) = &rollout.state.ended else { return Ok(0) };
    Ok(code_of(&Left::Ended(ending.clone())))
}

/// Whether this rollout may go on: no other one is under way, and the plan is still the same.
fn free_to_go(place: &Place, state: &State, plan: &Plan) -> Result<()> {
    if let Some(begun) = &state.begun {
        if begun.plan != plan.digest {
            return Err(Error::input(
                &plan.path,
                "go on by",
                format!("it has changed since the rollout of {} began", begun.release),
            )
            .with_hint(format!(
                "put it back (it is kept as {}), or `loadgate rollout rollback` and begin another release",
                place.folder().join("plan.yaml").display()
            )));
        }
        return Ok(());
    }
    let Some(other) = Place::newest(&place.root)? else { return Ok(()) };
    let state = State::of(&other.entries()?);
    if matches!(
        state.next(),
        Step::End(Ending::Complete | Ending::RolledBack { .. } | Ending::RolledBackByHand | Ending::Stopped)
    ) {
        return Ok(());
    }
    let failed = matches!(state.ended, Some((Ending::RollbackFailed { .. }, _)));
    let hint = if failed {
        "its rollback failed: once it is done by hand, `loadgate rollout approve --reason …` says so"
            .to_owned()
    } else {
        format!("go on with it (`--release {}`), or roll it back first", other.release)
    };
    let (release, percent, phase) = (&other.release, state.percent, state.phase_name());
    Err(Error::usage_hint(
        format!("the rollout of {release} is not over: it stands at {percent}% in {phase}"),
        hint,
    ))
}

/// The plan as it was, for who looks later.
fn keep_plan(rollout: &Rollout, plan: &Plan) -> Result<()> {
    let path = rollout.place.folder().join("plan.yaml");
    if path.exists() {
        return Ok(());
    }
    let text = std::fs::read(&plan.path).map_err(|e| Error::input(&plan.path, "read plan", e))?;
    crate::store::write_atomic(&path, &text)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusFormat {
    Table,
    Json,
}

/// Shows where a rollout stands.
///
/// # Errors
/// If there is none, or it cannot be read.
pub fn rollout_status(request: &RolloutRequest, format: StatusFormat) -> Result<u8> {
    let plan = request.read_or_kept(false)?;
    let place = request.place(&plan)?;
    let entries = place.entries()?;
    let state = State::of(&entries);
    let view = RolloutView {
        state: &state,
        entries: &entries,
        controlled: place.is_controlled()?,
        plan: &request.plan,
    };
    let screen = Stdout { no_color: request.no_color }.screen();
    match format {
        StatusFormat::Table => {
            print(&render_rollout(&view, screen))?;
            let waiting = place.requests().len();
            if waiting > 0 {
                tell(&format!("{} not heard yet\n", counted(waiting, "request")))?;
            }
        }
        StatusFormat::Json => {
            print(&render_rollout_json(&view).map_err(|e| Error::harness(e.to_string()))?)?;
        }
    }
    Ok(0)
}
