use std::cell::RefCell;
use std::io::IsTerminal as _;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinHandle;

use super::canary::{ArmRequest, CanaryRequest, as_arm, scaled, side_by_side};
use super::notify::{keep, prepare, tell_meanwhile};
use super::report::{stored_verdict, write_reports};
use super::run::{FILES, warn_unverified};
use super::session::{Gate, Session, complain, paint, print, tell};
use crate::engine::Interrupt;
use crate::error::{Error, Result};
use crate::gate::{
    GateRequest, GateResult, TargetSpec, permit, read_record, run_gate, run_id, scenario_records_of,
};
use crate::metrics::{Repeat, SEGMENTS};
use crate::notify::{News, news};
use crate::report::{Live, ReportModel, Screen, render_closing, rollout_line, rollout_summary};
use crate::rollout::{
    Against, Ask, CommandLine, Ending, Entry, Event, Hands, Judged, Left, Load, Part, Phase, Place, Plan,
    Soak, State,
};
use crate::scenario::{Occasion, Scenario};
use crate::secrets::Secrets;
use crate::units::format_ms;
use crate::verdict::{Action, DEFAULT_IMPACT, Outcome, Verdict, without_unjudged};

/// Shorter soaks than this have no segments that tell anything.
const LEAST_SOAK: Duration = Duration::from_secs(10);
const LEAST_SMOKE: Duration = Duration::from_secs(1);
const USUAL_LENGTH: Duration = Duration::from_secs(120);
/// How long a controller that has nothing else to do waits for those who are to be told.
/// A candidate that nobody is answered by for so long is down.
const DOWN_FOR: Duration = Duration::from_secs(30);
const TELLING: Duration = Duration::from_secs(60);

/// Measures for a rollout, prints what happens, and tells who is to be told.
pub struct RolloutHands<'a> {
    plan: &'a Plan,
    session: Session,
    screen: Screen,
    telling: RefCell<Vec<JoinHandle<()>>>,
}

impl<'a> RolloutHands<'a> {
    pub fn new(plan: &'a Plan, session: &Session, screen: Screen) -> Self {
        let watching = Some(Box::new((plan.watching.clone(), plan.secrets.clone())));
        let session = Session {
            paths: plan.scenarios.clone(),
            watching,
            target: Some(plan.candidate.target.clone()),
            ..session.clone()
        };
        Self { plan, session, screen, telling: RefCell::default() }
    }

    fn arms(&self) -> [ArmRequest; 2] {
        [&self.plan.control, &self.plan.candidate].map(|arm| ArmRequest {
            target: arm.target.clone(),
            headers: arm.headers.clone(),
            vars: arm.vars.clone(),
        })
    }

    /// Prepares all that is to be measured, and throws it away: what cannot be done is told before anything is.
    pub fn examine(&self, time_scale: f64) -> Result<Vec<String>> {
        let mut told = Vec::new();
        let shifts = self.plan.phases.iter().filter_map(|phase| phase.shift.as_ref());
        for command in shifts.chain(self.plan.rollback.iter().map(|rollback| &rollback.command)) {
            runnable(command, &self.plan.path)?;
        }
        let quiet = Self {
            session: Session { quiet: true, ..self.session.clone() },
            telling: RefCell::default(),
            ..*self
        };
        for phase in &self.plan.phases {
            for part in parts(phase) {
                let ask = Ask {
                    phase,
                    part,
                    out: std::path::PathBuf::from("."),
                    run: String::new(),
                    time_scale,
                    known_good: false,
                };
                let (asked, gone) = quiet.prepared(&ask)?;
                permit(&asked)?;
                if !gone.is_empty() && phase.load.is_none() {
                    told.push(format!(
                        "{}: the soak has too few requests for {}, and no load follows that could judge them",
                        phase.name,
                        gone.join(", ")
                    ));
                }
            }
        }
        Ok(told)
    }

    /// What the gate is asked, and the rules that a soak leaves to others.
    fn prepared(&self, ask: &Ask<'_>) -> Result<(GateRequest, Vec<String>)> {
        let label = Some(format!("{} {}", ask.phase.name, ask.part.name()));
        let session = Session { out: Some(ask.out.clone()), label, ..self.session.clone() };
        match (ask.part, ask.phase.soak, ask.phase.load) {
            (Part::Soak, Some(soak), _) => self.soak(session, soak, ask),
            (Part::Load, _, Some(load)) => Ok((self.load(session, load, ask)?, Vec::new())),
            _ => Err(Error::harness("the phase has no such part")),
        }
    }

    fn soak(&self, session: Session, soak: Soak, ask: &Ask<'_>) -> Result<(GateRequest, Vec<String>)> {
        let length = soak.length.mul_f64(ask.time_scale).max(LEAST_SOAK);
        // What a low rate cannot settle is left to the load.
        let session = Session { rate: Some(soak.rate), gate: Gate::Regression, ..session };
        let mut gate = self.canary(session, length, ask)?;
        let pairing = gate.beside.as_ref().map(|beside| beside.pairing);
        let mut gone = Vec::new();
        if let Some(beside) = &mut gate.beside {
            gone = lightened(&mut gate.scenarios, pairing);
            lightened(&mut beside.scenarios, pairing);
        }
        gate.plan.repeat = Repeat::Times(SEGMENTS as u32);
        gate.passes_every = Some(soak.smoke.mul_f64(ask.time_scale).max(LEAST_SMOKE));
        Ok((gate, gone))
    }

    fn load(&self, session: Session, load: Load, ask: &Ask<'_>) -> Result<GateRequest> {
        let session = Session { rate: load.rate, gate: Gate::Safety, ..session };
        match load.against {
            Against::Control => self.canary(session, load.length.unwrap_or(USUAL_LENGTH), ask),
            Against::Baselines => {
                let [_, candidate] = self.arms();
                let mut loaded = as_arm(&session, &candidate)?;
                if loaded.scenarios.iter().all(|scenario| scenario.load.is_none()) {
                    let hint = "a phase is judged by a load";
                    return Err(Error::usage_hint("no scenario has a `load:`", hint));
                }
                if let Some(length) = load.length {
                    scaled(&mut loaded.scenarios, length)?;
                }
                let references = session.references(&loaded.scenarios)?;
                session.request(loaded, references, &run_id(), &ask.out)
            }
        }
    }

    fn canary(&self, session: Session, length: Duration, ask: &Ask<'_>) -> Result<GateRequest> {
        let [control, candidate] = self.arms();
        let pairing = self.plan.pairing;
        let request = CanaryRequest { session, control, candidate, pairing, length, calibrate: false };
        side_by_side(&request, &run_id(), &ask.out).map(|(gate, _)| gate)
    }

    /// Tells of the rollout as a whole; `None`: loadgate itself has failed.
    pub fn news(
        &self,
        left: Option<&Left>,
        state: &State,
        entries: &[Entry],
        place: &Place,
        exit_code: u8,
    ) -> Result<()> {
        let (name, occasion) = match left {
            Some(Left::Ended(Ending::Complete)) => ("complete", Occasion::Pass),
            Some(Left::Ended(Ending::RolledBack { .. } | Ending::RolledBackByHand)) => {
                ("rolled_back", Occasion::Fail)
            }
            Some(Left::Ended(Ending::RollbackFailed { .. })) => ("rollback_failed", Occasion::Fail),
            Some(Left::Ended(Ending::Stopped)) => ("stopped", Occasion::Fail),
            Some(Left::Held) => ("held", Occasion::Hold),
            Some(Left::Interrupted(_)) => return Ok(()),
            None if state.rollback.is_some() && state.ended.is_none() => ("rollback_failed", Occasion::Fail),
            None => ("failed", Occasion::Fail),
        };
        let own = News {
            id: format!("{}/{}/{}", self.plan.name, place.release, entries.len()),
            rollout: self.plan.name.clone(),
            release: place.release.clone(),
            state: name,
            occasion,
            summary: rollout_summary(state, entries),
            exit_code,
        };
        let webhooks = &self.plan.watching.webhooks;
        let all = news(webhooks, &own, &self.plan.secrets, &Timestamp::now().to_string());
        let outbox = keep(all, &place.folder(), self.session.notify)?;
        self.deliver(outbox, self.plan.secrets.clone());
        Ok(())
    }

    fn deliver(&self, outbox: Option<crate::notify::Outbox>, secrets: Secrets) {
        let Some(outbox) = outbox else { return };
        let (webhooks, transport) = (self.plan.watching.webhooks.clone(), self.session.transport.clone());
        // Beside what goes on: a rollback waits for nobody.
        let task = tokio::spawn(tell_meanwhile(outbox, webhooks, secrets, transport));
        self.telling.borrow_mut().push(task);
    }

    /// Waits until everybody was told, or that has taken too long: what was not told is in an outbox.
    pub async fn told(&self) {
        let all = futures_util::future::join_all(self.telling.take());
        let _ = tokio::time::timeout(TELLING, all).await;
    }

    /// A release that was good at less of the traffic, and that nobody is answered by any more, has gone down. An address that
    /// never answered may be a mistake, and holds.
    async fn or_down(
        &self,
        judged: Judged,
        result: &GateResult,
        ask: &Ask<'_>,
        mut interrupt: Interrupt,
    ) -> Judged {
        let record = &result.record;
        let control_is_up = record.control.as_ref().is_none_or(|control| control.not_ready.is_none());
        let TargetSpec::Url(url) = &self.plan.candidate.target else { return judged };
        if !ask.known_good || record.not_ready.is_none() || !control_is_up {
            return judged;
        }
        let within = DOWN_FOR.mul_f64(ask.time_scale.clamp(0.1, 1.0));
        self.note(&format!(
            "the candidate answers nobody; asking for {}",
            format_ms(within.as_millis() as f64)
        ));
        let begun = std::time::Instant::now();
        while begun.elapsed() < within {
            if answers(url).await || interrupt.signal().is_some() {
                return judged;
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
                () = interrupt.wait() => return judged,
            }
        }
        let why = record.not_ready.as_deref().unwrap_or_default();
        let summary = format!(
            "ROLL BACK. Down: the candidate has answered nobody for {}, and was good before: {why}.",
            format_ms(within.as_millis() as f64)
        );
        Judged { action: Action::RollBack, exit_code: 1, summary, interrupted: false }
    }

    fn judged(verdict: &Verdict) -> Judged {
        Judged {
            action: verdict.action,
            exit_code: verdict.exit_code,
            summary: verdict.summary.clone(),
            interrupted: verdict.outcome == Outcome::Interrupted,
        }
    }
}

impl Hands for RolloutHands<'_> {
    async fn judge(&self, ask: &Ask<'_>, interrupt: Interrupt) -> Result<Judged> {
        let (request, gone) = self.prepared(ask)?;
        warn_unverified(&request);
        let quiet = self.session.quiet;
        if !gone.is_empty() && !quiet {
            complain(&format!("left to the load, since a soak has too few requests: {}", gone.join(", ")));
        }
        let mut live = Live::new(quiet, paint(self.session.no_color, std::io::stderr().is_terminal()));
        let waiting = interrupt.clone();
        let result = run_gate(request, interrupt, &mut |event| live.show(&event)).await;
        live.finish();
        let result = match result {
            Ok(result) => result,
            // What was proven before loadgate itself failed is proven.
            Err(error) => {
                let proven = self.came_to(&ask.out).filter(|judged| judged.action == Action::RollBack);
                return proven.ok_or(error);
            }
        };
        let judged = self.or_down(Self::judged(&result.verdict), &result, ask, waiting).await;
        // It is known what it came to: nothing below may hinder that.
        match prepare(&result, &ask.out, self.session.notify) {
            Ok(outbox) => self.deliver(outbox, result.secrets.clone()),
            Err(e) => complain(&format!("warning: {e}")),
        }
        let model = ReportModel::new(&result.record, &result.verdict, &result.references, DEFAULT_IMPACT);
        if let Err(e) = write_reports(&ask.out, &model) {
            complain(&format!("warning: {e}"));
        }
        let there: Vec<&str> = FILES.into_iter().filter(|name| ask.out.join(name).exists()).collect();
        let closing = render_closing(&model, &ask.out.display().to_string(), &there, self.screen, false);
        let _ = print(&format!("\n{closing}\n"));
        Ok(judged)
    }

    fn came_to(&self, run: &Path) -> Option<Judged> {
        let verdict = stored_verdict(run).ok().flatten()?;
        let record = read_record(run).ok()?;
        // Its controller may have been ended before it wrote them.
        if !run.join("report.html").exists() {
            let _ = write_reports(run, &ReportModel::new(&record, &verdict, &[], DEFAULT_IMPACT));
        }
        Some(Self::judged(&verdict))
    }

    fn tell(&self, state: &State, event: &Event) {
        if let Some(text) = rollout_line(state, event, &self.plan.path, self.screen) {
            // A reader that has gone away is no reason to stop.
            let _ = print(&format!("{text}\n"));
        }
    }

    fn note(&self, text: &str) {
        let clock = Timestamp::now().strftime("%H:%M:%S");
        let _ = tell(&format!("{clock}  {text}\n"));
    }
}

/// Whether a command that is named by its path is there: above all the way back must not be found missing when it is needed.
fn runnable(command: &CommandLine, plan: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(program) = command.words.first().filter(|program| program.contains('/')) else { return Ok(()) };
    let found = std::fs::metadata(program);
    let may = found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
    if may {
        return Ok(());
    }
    let reason = format!("`{}` cannot be run: {program} is no program", command.told);
    Err(Error::input(plan, "go by", reason).with_hint("is it there, and executable (`chmod +x`)?"))
}

/// Whether anything listens there.
async fn answers(url: &str) -> bool {
    let Ok(url) = url::Url::parse(url) else { return true };
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return true };
    let connected = tokio::net::TcpStream::connect((host.trim_matches(['[', ']']), port));
    matches!(tokio::time::timeout(Duration::from_secs(2), connected).await, Ok(Ok(_)))
}

fn parts(phase: &Phase) -> impl Iterator<Item = Part> {
    phase.soak.map(|_| Part::Soak).into_iter().chain(phase.load.map(|_| Part::Load))
}

/// Takes away what a soak cannot settle.
fn lightened(scenarios: &mut [Scenario], pairing: Option<crate::metrics::Pairing>) -> Vec<String> {
    let records = scenario_records_of(scenarios, crate::engine::Slice::of_shard(None), pairing);
    let mut gone = Vec::new();
    for (scenario, record) in scenarios.iter_mut().zip(&records) {
        for step in &mut scenario.steps {
            let plan = record.endpoints.iter().find(|plan| plan.endpoint == step.endpoint);
            if let Some(plan) = plan {
                gone.extend(without_unjudged(&mut step.rules, plan, SEGMENTS as u64));
            }
        }
    }
    gone
}
