use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use super::event::{ActEnd, ActKind, Begun, Event, JOURNAL_FORMAT, Judged, Part, Request, Shape};
use super::folder::Rollout;
use super::plan::{Phase, Plan};
use super::state::{Ending, State, Step};
use crate::engine::Interrupt;
use crate::error::{Error, Result};
use crate::gate::TargetSpec;
use crate::verdict::Action;

const TURN: Duration = Duration::from_millis(250);
/// How long after its end a rollout can be rolled back.
pub const ROLLBACK_AVAILABLE: Duration = Duration::from_secs(24 * 3600);

/// What a controller cannot do itself.
pub trait Hands {
    /// Measures one part of a phase and judges it.
    fn judge(&self, ask: &Ask<'_>, interrupt: Interrupt) -> impl Future<Output = Result<Judged>>;
    /// What a run came to whose controller was ended meanwhile; `None`: it came to nothing.
    fn came_to(&self, run: &std::path::Path) -> Option<Judged>;
    /// What has just been written down.
    fn tell(&self, state: &State, event: &Event);
    /// What is not written down.
    fn note(&self, text: &str);
}

/// What is to be measured.
pub struct Ask<'a> {
    pub phase: &'a Phase,
    pub part: Part,
    /// The run's folder and its name there.
    pub out: PathBuf,
    pub run: String,
    /// By what the length of a soak is multiplied.
    pub time_scale: f64,
}

/// How a controller ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Left {
    Ended(Ending),
    /// Somebody has to decide.
    Held,
    Interrupted(&'static str),
}

pub struct Controller<'a, H> {
    pub plan: &'a Plan,
    pub rollout: Rollout,
    pub hands: &'a H,
    pub interrupt: Interrupt,
    pub time_scale: f64,
}

impl<H: Hands> Controller<'_, H> {
    /// Goes on until the rollout has ended, somebody has to decide, or a signal comes.
    ///
    /// # Errors
    /// If what happens cannot be written down, or a command cannot be begun.
    pub async fn control(&mut self) -> Result<Left> {
        loop {
            self.hear()?;
            let step = self.rollout.state.next();
            // On the way back nothing is left undone.
            let urgent = matches!(step, Step::FinishAct { .. } | Step::RollBack | Step::End(_));
            if let Some(signal) = self.interrupt.signal().filter(|_| !urgent) {
                self.record(Event::Stopped { cause: signal.to_owned() })?;
                return Ok(Left::Interrupted(signal));
            }
            match step {
                Step::Begin => self.begin()?,
                Step::AwaitApproval => self.await_approval().await?,
                Step::Shift => {
                    let phase = self.phase()?.clone();
                    let Some(command) = &phase.shift else { return Err(changed()) };
                    let act = format!("{:02}-shift-{}", self.rollout.state.acts + 1, slug(&phase.name));
                    self.act(act, ActKind::Shift, command, &[])?;
                }
                Step::RollBack => {
                    let Some(rollback) = &self.plan.rollback else { return Err(changed()) };
                    let state = &self.rollout.state;
                    let why =
                        state.rollback.as_ref().map_or(String::new(), |decision| decision.reason.clone());
                    let name = state.phase_name().to_owned();
                    let more = [("LOADGATE_REASON", why)];
                    // One name: it can be begun once.
                    let command = rollback.command.clone();
                    self.act_in("rollback".into(), (ActKind::Rollback, &name, 0), &command, &more)?;
                }
                Step::FinishAct { act, kind } => self.finish_act(&act, kind).await?,
                Step::FinishRun { run, part } => {
                    let phase = self.rollout.state.phase;
                    match self.hands.came_to(&self.rollout.place.run(&run)) {
                        Some(outcome) => self.record(Event::Judged { phase, part, run, outcome })?,
                        None => self.record(Event::CutOff { run })?,
                    }
                }
                Step::Judge { part } => self.judge(part).await?,
                Step::Hold => {
                    if !self.waited_for_decision().await? {
                        return Ok(Left::Held);
                    }
                }
                Step::Complete => self.record(Event::Completed)?,
                Step::End(ending) => return Ok(Left::Ended(ending)),
            }
        }
    }

    fn record(&mut self, event: Event) -> Result<()> {
        let entry = self.rollout.record(event)?;
        self.hands.tell(&self.rollout.state, &entry.event);
        Ok(())
    }

    fn hear(&mut self) -> Result<()> {
        heard(&mut self.rollout, self.hands)
    }

    fn begin(&mut self) -> Result<()> {
        let shape = |phase: &Phase| Shape {
            name: phase.name.clone(),
            percent: phase.percent,
            approve: phase.approve.is_some(),
            shift: phase.shift.is_some(),
            soak: phase.soak.is_some(),
            load: phase.load.is_some(),
        };
        self.record(Event::Begun(Begun {
            format: JOURNAL_FORMAT,
            loadgate_version: env!("CARGO_PKG_VERSION").to_owned(),
            rollout: self.plan.name.clone(),
            release: self.rollout.place.release.clone(),
            plan: self.plan.digest.clone(),
            phases: self.plan.phases.iter().map(shape).collect(),
            extend: self.plan.on_hold.extend,
            time_scale: self.time_scale,
            within_ms: self.plan.rollback.as_ref().map(|rollback| rollback.within.as_millis() as u64),
            real_users: self.plan.watching.probes.iter().any(|probe| probe.plan.compare.is_some()),
        }))?;
        self.record(Event::Controller { pid: std::process::id() })
    }

    fn phase(&self) -> Result<&Phase> {
        self.plan.phases.get(self.rollout.state.phase).ok_or_else(changed)
    }

    fn act(
        &mut self,
        act: String,
        kind: ActKind,
        command: &super::plan::CommandLine,
        more: &[(&str, String)],
    ) -> Result<()> {
        let phase = self.phase()?;
        let (name, percent) = (phase.name.clone(), phase.percent);
        self.act_in(act, (kind, &name, percent), command, more)
    }

    /// Writes down what is to be run; it is run next.
    fn act_in(
        &mut self,
        act: String,
        (kind, phase, percent): (ActKind, &str, u8),
        command: &super::plan::CommandLine,
        more: &[(&str, String)],
    ) -> Result<()> {
        let address = |target: &TargetSpec, name: &str| target.address_or(name).to_owned();
        let state = &self.rollout.state;
        let folder = self.rollout.place.folder();
        let folder = std::path::absolute(&folder).unwrap_or(folder);
        let variables = [
            ("LOADGATE_ROLLOUT", self.plan.name.clone()),
            ("LOADGATE_RELEASE", self.rollout.place.release.clone()),
            ("LOADGATE_PHASE", phase.to_owned()),
            ("LOADGATE_PERCENT", percent.to_string()),
            ("LOADGATE_PERCENT_BEFORE", state.percent.to_string()),
            ("LOADGATE_CONTROL_URL", address(&self.plan.control.target, "")),
            ("LOADGATE_CANDIDATE_URL", address(&self.plan.candidate.target, "")),
            ("LOADGATE_STATE", folder.display().to_string()),
        ];
        let variables = variables.into_iter().chain(more.iter().cloned());
        let variables = variables.map(|(name, value)| (name.to_owned(), value)).collect();
        self.rollout.place.act(&act).prepare(command, &self.plan.folder, variables)?;
        let phase = state.phase.min(self.plan.phases.len() - 1);
        let told = self.plan.secrets.scrub(&command.told);
        self.record(Event::Acting { act, kind, phase, command: told })
    }

    async fn finish_act(&mut self, name: &str, kind: ActKind) -> Result<()> {
        let act = self.rollout.place.act(name);
        let within = self.plan.rollback.as_ref().map(|rollback| rollback.within);
        let mut late = kind != ActKind::Rollback;
        let (mut asked, mut failed) = (false, None);
        let (rollout, hands, interrupt) = (&mut self.rollout, self.hands, &self.interrupt);
        let end = act
            .perform(&mut || {
                if let Err(e) = heard(rollout, hands) {
                    failed.get_or_insert(e);
                }
                if interrupt.signal().is_some() && !asked {
                    asked = true;
                    hands.note("waiting for the command to end: what shifts traffic is not left half done");
                }
                let since = rollout.state.rollback.as_ref().and_then(|decision| since(&decision.at));
                if let (Some(since), Some(within), false) = (since, within, late)
                    && since > within
                {
                    late = true;
                    hands.note("THE ROLLBACK IS OVER ITS TIME, and still running");
                }
            })
            .await?;
        if let Some(error) = failed {
            return Err(error);
        }
        let scrub = |text: String| self.plan.secrets.scrub_brief(&text);
        let said = if end.is_good() { Vec::new() } else { act.tail() };
        let said = said.into_iter().map(scrub).collect();
        let end = ActEnd { problem: end.problem.map(scrub), said, ..end };
        self.record(Event::Acted { act: name.to_owned(), end })
    }

    async fn judge(&mut self, part: Part) -> Result<()> {
        let index = self.rollout.state.phase;
        let phase = self.phase()?.clone();
        let run = format!("{:02}-{}-{}", self.rollout.state.runs + 1, slug(&phase.name), part.name());
        self.record(Event::Judging { phase: index, part, run: run.clone() })?;
        let out = self.rollout.place.run(&run);
        let ask = Ask { phase: &phase, part, out, run: run.clone(), time_scale: self.time_scale };
        let (sender, gate) = Interrupt::new();
        let hands = self.hands;
        let judging = hands.judge(&ask, gate);
        tokio::pin!(judging);
        let mut failed = None;
        let result = loop {
            tokio::select! {
                result = &mut judging => break result,
                () = tokio::time::sleep(TURN) => {
                    if let Err(e) = heard(&mut self.rollout, self.hands) {
                        failed.get_or_insert(e);
                    }
                    let cause = if failed.is_some() {
                        Some("a fault of loadgate")
                    } else if self.rollout.state.rollback.is_some() {
                        Some("a request to roll back")
                    } else {
                        self.interrupt.signal()
                    };
                    if cause.is_some() && sender.borrow().is_none() {
                        sender.send_replace(cause);
                    }
                }
            }
        };
        if let Some(error) = failed {
            return Err(error);
        }
        let outcome = match result {
            Ok(outcome) => outcome,
            Err(error) if error.is_input() => return Err(error),
            // Whatever kept it from being measured, nothing was shown.
            Err(error) => {
                let summary = format!("HOLD. Not measured: {error}");
                Judged { action: Action::Hold, exit_code: 5, summary, interrupted: false }
            }
        };
        self.record(Event::Judged { phase: index, part, run, outcome })
    }

    async fn await_approval(&mut self) -> Result<()> {
        let phase = self.rollout.state.phase;
        if !self.rollout.state.asked {
            self.record(Event::Asked { phase })?;
        }
        let within = self.phase()?.approve.unwrap_or_default();
        let begun = std::time::Instant::now();
        while self.rollout.state.next() == Step::AwaitApproval && self.interrupt.signal().is_none() {
            if begun.elapsed() >= within {
                return self.record(Event::Unanswered { phase });
            }
            tokio::time::sleep(TURN).await;
            self.hear()?;
        }
        Ok(())
    }

    /// Whether somebody has decided in the time that the plan gives.
    async fn waited_for_decision(&mut self) -> Result<bool> {
        let wait = self.plan.on_hold.wait;
        let begun = std::time::Instant::now();
        let mut told = false;
        while self.rollout.state.next() == Step::Hold {
            if begun.elapsed() >= wait {
                return Ok(false);
            }
            if self.interrupt.signal().is_some() {
                return Ok(true);
            }
            if !told {
                told = true;
                let wait = crate::units::format_ms(wait.as_millis() as f64);
                self.hands.note(&format!("waiting for a decision, at most {wait}"));
            }
            tokio::time::sleep(TURN).await;
            self.hear()?;
        }
        Ok(true)
    }
}

fn heard<H: Hands>(rollout: &mut Rollout, hands: &H) -> Result<()> {
    for (request, refused) in rollout.hear()? {
        match refused {
            None => hands.tell(&rollout.state, &Event::Requested(request)),
            Some(why) => {
                hands.note(&format!("`{}` by {}: refused, since {why}", request.kind.name(), request.by));
            }
        }
    }
    Ok(())
}

/// How long ago, by the clock of this machine.
#[must_use]
pub fn since(at: &str) -> Option<Duration> {
    let at: Timestamp = at.parse().ok()?;
    Duration::try_from(Timestamp::now().duration_since(at)).ok()
}

/// Between two moments of a journal.
#[must_use]
pub fn between(from: &str, to: &str) -> Option<Duration> {
    let (from, to): (Timestamp, Timestamp) = (from.parse().ok()?, to.parse().ok()?);
    Duration::try_from(to.duration_since(from)).ok()
}

/// A name for a new request of this moment.
#[must_use]
pub fn request_id() -> String {
    format!("{}-{}", Timestamp::now().as_nanosecond(), std::process::id())
}

/// What is asked for.
#[must_use]
pub fn request(kind: super::event::RequestKind, by: &str, reason: Option<&str>) -> Request {
    Request { id: request_id(), kind, by: by.to_owned(), reason: reason.map(str::to_owned) }
}

fn changed() -> Error {
    Error::harness("the plan is not the one that this rollout began with")
}

fn slug(name: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let text: String = name.replace('%', "pc").chars().map(keep).take(40).collect();
    text.trim_matches('-').to_owned()
}
