use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use super::event::{
    ActEnd, ActKind, Begun, Entry, Event, JOURNAL_FORMAT, Judged, Part, Request, RequestKind, Shape,
};
use super::folder::Rollout;
use super::plan::{Phase, Plan};
use super::state::{Ending, State, Step};
use crate::engine::Interrupt;
use crate::error::{Error, Result};
use crate::gate::TargetSpec;
use crate::secrets::without_userinfo;
use crate::verdict::Action;

const TURN: Duration = Duration::from_millis(250);
/// The command that takes the traffic back.
const ROLLBACK: &str = "rollback";
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
    /// Traffic was shifted to the candidate, and it was good before: that it is down is no mistake in its address.
    pub known_good: bool,
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
    /// How long to wait before the next round.
    pub pause: Option<Duration>,
}

impl<H: Hands> Controller<'_, H> {
    /// Goes on until the rollout has ended, somebody has to decide, or a signal comes.
    ///
    /// # Errors
    /// If what happens cannot be written down, or a command cannot be begun.
    pub async fn control(&mut self) -> Result<Left> {
        loop {
            self.hear();
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
                Step::RollBack => self.roll_back()?,
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
        let entry = if leads_back(&event) {
            let (entry, failed) = self.rollout.record_anyway(event);
            if let Some(error) = failed {
                self.hands.note(&format!("{error}; going back all the same"));
            }
            entry
        } else {
            self.rollout.record(event)?
        };
        self.hands.tell(&self.rollout.state, &entry.event);
        Ok(())
    }

    fn hear(&mut self) {
        heard(&mut self.rollout, self.hands);
    }

    /// Writes down that the traffic is taken back; that is done next.
    fn roll_back(&mut self) -> Result<()> {
        let Some(rollback) = &self.plan.rollback else { return Err(changed()) };
        let command = rollback.command.clone();
        let name = self.rollout.state.phase_name().to_owned();
        let why =
            self.rollout.state.rollback.as_ref().map_or(String::new(), |decision| decision.reason.clone());
        // One name: it can be begun once.
        self.act_in(ROLLBACK.into(), (ActKind::Rollback, &name, 0), &command, &[("LOADGATE_REASON", why)])
    }

    fn begin(&mut self) -> Result<()> {
        if let Some(rollback) = &self.plan.rollback {
            // The way back must not depend on what can still be written later.
            let variables = self.variables("", 0, &[]);
            self.rollout.place.act(ROLLBACK).prepare(&rollback.command, &self.plan.folder, variables)?;
        }
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
            file: self.plan.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
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

    /// What a command is told.
    fn variables(&self, phase: &str, percent: u8, more: &[(&str, String)]) -> Vec<(String, String)> {
        let address = |target: &TargetSpec| self.plan.secrets.scrub(&without_userinfo(target.address_or("")));
        let folder = self.rollout.place.folder();
        let folder = std::path::absolute(&folder).unwrap_or(folder);
        let variables = [
            ("LOADGATE_ROLLOUT", self.plan.name.clone()),
            ("LOADGATE_RELEASE", self.rollout.place.release.clone()),
            ("LOADGATE_PHASE", phase.to_owned()),
            ("LOADGATE_PERCENT", percent.to_string()),
            ("LOADGATE_PERCENT_BEFORE", self.rollout.state.percent.to_string()),
            ("LOADGATE_CONTROL_URL", address(&self.plan.control.target)),
            ("LOADGATE_CANDIDATE_URL", address(&self.plan.candidate.target)),
            ("LOADGATE_STATE", folder.display().to_string()),
        ];
        let variables = variables.into_iter().chain(more.iter().cloned());
        variables.map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Writes down what is to be run; it is run next.
    fn act_in(
        &mut self,
        act: String,
        (kind, phase, percent): (ActKind, &str, u8),
        command: &super::plan::CommandLine,
        more: &[(&str, String)],
    ) -> Result<()> {
        let variables = self.variables(phase, percent, more);
        let prepared = self.rollout.place.act(&act).prepare(command, &self.plan.folder, variables);
        if let Err(error) = prepared {
            if kind != ActKind::Rollback {
                return Err(error);
            }
            self.hands.note(&format!("{error}; the command is run as it was when the rollout began"));
        }
        let phase = self.rollout.state.phase.min(self.plan.phases.len() - 1);
        let told = self.plan.secrets.scrub(&command.told);
        self.record(Event::Acting { act, kind, phase, command: told })
    }

    async fn finish_act(&mut self, name: &str, kind: ActKind) -> Result<()> {
        let act = self.rollout.place.act(name);
        let within = self.plan.rollback.as_ref().map(|rollback| rollback.within);
        let mut late = kind != ActKind::Rollback;
        let (mut asked, mut stopped) = (false, kind == ActKind::Rollback);
        let (rollout, hands, interrupt) = (&mut self.rollout, self.hands, &self.interrupt);
        let performed = act
            .perform(&mut || {
                heard(rollout, hands);
                if interrupt.signal().is_some() && !asked {
                    asked = true;
                    hands.note("waiting for the command to end: what shifts traffic is not left half done");
                }
                if rollout.state.rollback.is_some() && !stopped {
                    stopped = true;
                    hands.note("ending the command, which shifts traffic: the way back follows");
                    if let Err(e) = act.stop("a rollback was asked for") {
                        hands.note(&format!("{e}; waiting for its own end"));
                    }
                }
                let since = rollout.state.rollback.as_ref().and_then(|decision| since(&decision.at));
                if let (Some(since), Some(within), false) = (since, within, late)
                    && since > within
                {
                    late = true;
                    hands.note("THE ROLLBACK IS OVER ITS TIME, and still running");
                }
            })
            .await;
        let end = performed.unwrap_or_else(|error| ActEnd {
            code: None,
            problem: Some(error.to_string()),
            took_ms: 0,
            unknown: false,
            said: Vec::new(),
        });
        let scrub = |text: String| self.plan.secrets.scrub_brief(&text);
        let said = if end.is_good() { Vec::new() } else { act.tail() };
        let said = said.into_iter().map(scrub).collect();
        let end = ActEnd { problem: end.problem.map(scrub), said, ..end };
        self.record(Event::Acted { act: name.to_owned(), end })
    }

    /// The way back while something else is still being cleaned up.
    async fn back(&mut self) -> Result<()> {
        if self.rollout.state.ended.is_none() {
            self.roll_back()?;
            self.finish_act(ROLLBACK, ActKind::Rollback).await?;
        }
        Ok(())
    }

    /// Waits before a further round; whatever came between is looked at first.
    async fn paused(&mut self) -> bool {
        let Some(pause) = self.pause.take() else { return false };
        self.hands.note(&format!("a further round in {}", crate::units::format_ms(pause.as_millis() as f64)));
        let (begun, step) = (std::time::Instant::now(), self.rollout.state.next());
        while begun.elapsed() < pause {
            if self.interrupt.signal().is_some() || self.rollout.state.next() != step {
                break;
            }
            tokio::time::sleep(TURN).await;
            self.hear();
        }
        true
    }

    async fn judge(&mut self, part: Part) -> Result<()> {
        if self.paused().await {
            return Ok(());
        }
        let index = self.rollout.state.phase;
        let phase = self.phase()?.clone();
        let run = format!("{:02}-{}-{}", self.rollout.state.runs + 1, slug(&phase.name), part.name());
        self.record(Event::Judging { phase: index, part, run: run.clone() })?;
        let out = self.rollout.place.run(&run);
        let good = |entry: &Entry| matches!(&entry.event, Event::Judged { outcome, .. } if outcome.action == Action::Go);
        let known_good = self.rollout.state.shifted && self.rollout.entries.iter().any(good);
        let ask = Ask { phase: &phase, part, out, run: run.clone(), time_scale: self.time_scale, known_good };
        let (sender, gate) = Interrupt::new();
        let hands = self.hands;
        let judging = hands.judge(&ask, gate);
        tokio::pin!(judging);
        let result = loop {
            tokio::select! {
                result = &mut judging => break result,
                () = tokio::time::sleep(TURN) => {
                    self.hear();
                    if self.rollout.state.rollback.is_some() {
                        sender.send_replace(Some("a request to roll back"));
                        // The way back does not wait for what is cleaned up.
                        let (result, back) = tokio::join!(judging.as_mut(), self.back());
                        back?;
                        break result;
                    }
                    if let (Some(signal), true) = (self.interrupt.signal(), sender.borrow().is_none()) {
                        sender.send_replace(Some(signal));
                    }
                }
            }
        };
        let outcome = match result {
            Ok(outcome) => outcome,
            // Whatever kept it from being measured, nothing was shown.
            Err(error) => {
                let error = self.plan.secrets.scrub_brief(&error.to_string());
                let interrupted = self.rollout.state.rollback.is_some();
                let summary = format!("HOLD. Not measured: {error}");
                Judged { action: Action::Hold, exit_code: 5, summary, interrupted }
            }
        };
        let further = outcome.action == Action::Hold && !outcome.interrupted;
        self.record(Event::Judged { phase: index, part, run, outcome })?;
        if further && matches!(self.rollout.state.next(), Step::Judge { .. }) {
            self.pause = Some(self.plan.on_hold.after.mul_f64(self.time_scale.min(1.0)));
        }
        Ok(())
    }

    async fn await_approval(&mut self) -> Result<()> {
        let phase = self.rollout.state.phase;
        if self.rollout.state.asked {
            self.hands.note("still waiting for somebody to say that the phase may begin");
        } else {
            self.record(Event::Asked { phase })?;
        }
        let within = self.phase()?.approve.unwrap_or_default();
        let begun = std::time::Instant::now();
        while self.rollout.state.next() == Step::AwaitApproval && self.interrupt.signal().is_none() {
            if begun.elapsed() >= within {
                return self.record(Event::Unanswered { phase });
            }
            tokio::time::sleep(TURN).await;
            self.hear();
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
            self.hear();
        }
        Ok(true)
    }
}

fn heard<H: Hands>(rollout: &mut Rollout, hands: &H) {
    for (request, refused) in rollout.hear() {
        match refused {
            None => hands.tell(&rollout.state, &Event::Requested(request)),
            Some(why) => {
                hands.note(&format!("`{}` by {}: refused, since {why}", request.kind.name(), request.by));
            }
        }
    }
}

/// What must happen even where nothing can be written any more.
fn leads_back(event: &Event) -> bool {
    match event {
        Event::Judged { outcome, .. } => outcome.action == Action::RollBack,
        Event::Requested(request) => request.kind == RequestKind::Rollback,
        Event::Acting { kind, .. } => *kind == ActKind::Rollback,
        Event::Acted { act, .. } => act == ROLLBACK,
        _ => false,
    }
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

/// What is asked for, as things stand.
#[must_use]
pub fn request(kind: RequestKind, state: &State, by: &str, reason: Option<&str>) -> Request {
    let id = format!("{}-{}", Timestamp::now().as_nanosecond(), std::process::id());
    Request { id, kind, by: by.to_owned(), about: state.about(), reason: reason.map(str::to_owned) }
}

fn changed() -> Error {
    Error::harness("the plan is not the one that this rollout began with")
}

fn slug(name: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let text: String = name.replace('%', "pc").chars().map(keep).take(40).collect();
    text.trim_matches('-').to_owned()
}
