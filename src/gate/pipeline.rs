use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::arm::Arm;
use super::clock::compare_clocks;
use super::early::Early;
#[cfg(feature = "telemetry")]
use super::figures::start_telemetry;
use super::journal::{Entry, assemble, journal_path, write_results};
use super::permitted::permit;
use super::record::{environment, scenario_records_of};
use super::request::{GateEvent, GateRequest, GateResult};
use super::soak::Soak;
use super::target::{Target, TargetSpec, wait_ready};
use super::watch::two_of_three;
use super::watching::probe_plans;
use crate::engine::{Functional, Interrupt, run_smoke};
use crate::error::{Error, Result};
use crate::metrics::{
    ControlRecord, Pairing, RECORD_FORMAT, Repeat, RunRecord, SEGMENTS, ScenarioRecord, SmokeRecord,
};
use crate::secrets::without_userinfo;
use crate::store::Journal;
#[cfg(feature = "telemetry")]
use crate::telemetry::Telemetry;
use crate::transport::{AnyTransport, Kind};
use crate::units::format_ms;
use crate::verdict::{Judgement, Outcome, decides_after, judge};

/// Where two arms are asked and one of them fails.
const SMOKE_PASSES: u64 = 3;
/// How long an arm may take to answer anything at all.
const REACHED_WITHIN: Duration = Duration::from_secs(3);
const CLOCKS_WITHIN: Duration = Duration::from_secs(8);
const RESTART_READY: Duration = Duration::from_secs(60);

/// Smoke, then looks until the question is settled, then the verdict. Whatever happens, what was measured is written.
///
/// # Errors
/// If loadgate itself cannot do its work; a bad target is a verdict, not an error.
pub async fn run_gate(
    request: GateRequest,
    interrupt: Interrupt,
    observe: &mut dyn FnMut(GateEvent<'_>),
) -> Result<GateResult> {
    crate::machine::return_large_memory();
    // Certificates that cannot be read are found before anything is written.
    AnyTransport::new(Kind::Wire, &request.transport)?;
    let mut run = Run::new(request, interrupt)?;
    let went = run.go(observe).await;
    #[cfg(feature = "telemetry")]
    run.tell_last_figures(observe);
    let looked = run.looked;
    let finished = run.finish(went.is_err()).map_err(Error::after_sending);
    went.map_err(|error| if looked { error.after_sending() } else { error }).and(finished)
}

pub struct Run {
    pub request: GateRequest,
    pub interrupt: Interrupt,
    pub journal: Journal,
    pub id: String,
    /// The candidate alone, or the control and then the candidate.
    pub arms: Arc<[Arm]>,
    pub early: Option<Early>,
    pub soak: Option<Soak>,
    #[cfg(feature = "telemetry")]
    pub telemetry: Option<Telemetry>,
    /// By how much the first load missed its beginning.
    pub late: Option<Duration>,
    /// Whether a load has begun.
    looked: bool,
}

impl Run {
    fn new(request: GateRequest, interrupt: Interrupt) -> Result<Self> {
        permit(&request)?;
        if request.out.join("run.json").exists() {
            return Err(Error::usage_hint(
                format!("{} already holds a run", request.out.display()),
                "choose another --out",
            ));
        }
        if journal_path(&request.out).exists() {
            let message = format!("{} already holds a run that was cut off", request.out.display());
            return Err(Error::usage_hint(
                message,
                "choose another --out; `loadgate report` shows what it has",
            ));
        }
        let id = request.id.clone();
        let told = |target: &TargetSpec| without_userinfo(&request.secrets.scrub(&target.told()));
        let control = request.beside.iter().map(|beside| {
            Arm::new(true, &beside.target, (&beside.scenarios, &beside.probes), &request.secrets)
        });
        let own = (request.scenarios.as_slice(), request.watching.probes.as_slice());
        let candidate = Arm::new(false, &request.target, own, &request.secrets);
        let arms: Arc<[Arm]> = control.chain([candidate]).collect();
        // Before anything is written: an address that is taken must not leave a run behind that was never begun.
        #[cfg(feature = "telemetry")]
        let telemetry = start_telemetry(&request, &arms)?;
        let mut journal = Journal::create(&journal_path(&request.out))?;
        let record = RunRecord {
            format: RECORD_FORMAT,
            id: id.clone(),
            loadgate_version: env!("CARGO_PKG_VERSION").to_owned(),
            label: request.label.as_ref().map(|label| request.secrets.scrub(label)),
            service: request.service.clone(),
            started: Timestamp::now().to_string(),
            target: told(&request.target),
            env: request.env.clone(),
            plan: request.plan.clone(),
            environment: environment(),
            scenarios: if request.load { plans(&request) } else { Vec::new() },
            smoke: None,
            runs: Vec::new(),
            error_examples: Vec::new(),
            interrupted: None,
            not_ready: None,
            setup_failed: None,
            alerts: request.watching.alerts.clone(),
            probes: if request.load { probe_plans(&arms, &request.secrets) } else { Vec::new() },
            probe_failed: None,
            out_of_time: None,
            stale_baselines: request.stale_baselines.clone(),
            unverified: request.transport.insecure,
            control: request.beside.as_ref().map(|beside| {
                Box::new(ControlRecord { target: told(&beside.target), ..ControlRecord::default() })
            }),
            shard: request.shard,
            clock: None,
            merged: None,
        };
        journal.append(vec![Entry::Started(Box::new(record))])?;
        Ok(Self {
            request,
            interrupt,
            journal,
            id,
            arms,
            early: None,
            soak: None,
            #[cfg(feature = "telemetry")]
            telemetry,
            late: None,
            looked: false,
        })
    }

    async fn go(&mut self, observe: &mut dyn FnMut(GateEvent<'_>)) -> Result<()> {
        let begun = Instant::now();
        let loads = self.request.load && self.request.scenarios.iter().any(|s| s.load.is_some());
        for look in 1.. {
            let at = Instant::now();
            if look > 1 || self.request.restart_first {
                self.restart().await?;
                if self.interrupt.signal().is_some() {
                    return Ok(());
                }
            }
            let Some(mut targets) = self.start(look, observe).await? else { return Ok(()) };
            if (look == 1 && !self.smoke(&targets, observe).await?)
                || !loads
                || self.interrupt.signal().is_some()
                || (look == 1 && !self.examine_probes(&targets, observe).await?)
            {
                return Ok(());
            }
            if look == 1 {
                self.compare_clocks(&targets).await?;
            }
            let of = self.request.beside.as_ref().map(|_| SEGMENTS);
            observe(GateEvent::LookStarted { look, of });
            self.looked = true;
            let aborted = self.look(look, &targets, observe).await?;
            for target in &mut targets {
                target.stop().await;
            }
            if of.is_some() && !aborted && !decides_after(look as usize) && self.interrupt.signal().is_none()
            {
                observe(GateEvent::SegmentDone);
                continue;
            }
            let judgement = self.judge_so_far()?;
            // What is proven of a candidate beside its control stays so.
            let proven = of.is_some() && judgement.verdict.outcome == Outcome::Fail;
            let again = self.interrupt.signal().is_none()
                && !aborted
                && !proven
                && match self.request.plan.repeat {
                    Repeat::Auto => judgement.look_again,
                    Repeat::Times(times) => look < times,
                };
            let fits = |budget: Duration| begun.elapsed() + at.elapsed() <= budget;
            let again = match self.request.budget.filter(|budget| again && !fits(*budget)) {
                None => again,
                Some(budget) => {
                    let budget = format_ms(budget.as_secs_f64() * 1e3);
                    self.journal.append(vec![Entry::OutOfTime(budget)])?;
                    false
                }
            };
            observe(GateEvent::LookDone { look, verdict: &judgement.verdict, again });
            if !again {
                return Ok(());
            }
        }
        Ok(())
    }

    /// For smoke and readiness.
    pub fn functional(&self) -> Result<AnyTransport> {
        AnyTransport::new(self.request.kind.unwrap_or(Kind::Http), &self.request.transport)
    }

    pub fn passes<'a>(
        &'a self,
        transport: &'a AnyTransport,
        arm: &'a Arm,
        target: &'a Target,
    ) -> Functional<'a, AnyTransport> {
        Functional {
            transport,
            target: &target.url,
            secrets: &self.request.secrets,
            tokens: &arm.tokens,
            interrupt: self.interrupt.clone(),
            // Shards that pass over the same steps at once must not meet in their data.
            number: self.request.shard.map_or(0, |shard| shard.index),
        }
    }

    /// A shard's clock with the target's, where there is time for it.
    async fn compare_clocks(&mut self, targets: &[Target]) -> Result<()> {
        let (Some(_), Some(target)) = (self.request.shard, targets.first()) else { return Ok(()) };
        let most = match self.request.start_at {
            Some(at) => Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default(),
            None => CLOCKS_WITHIN,
        };
        let until = tokio::time::Instant::now() + most.min(CLOCKS_WITHIN);
        let clock = compare_clocks(&self.functional()?, &target.url, until, self.interrupt.clone()).await;
        self.journal.append(clock.map(Entry::Clock).into_iter().collect())
    }

    async fn restart(&mut self) -> Result<()> {
        let Some(hook) = &self.request.restart_hook else { return Ok(()) };
        let fail = |what: String| Error::harness(format!("the restart hook `{hook}` {what}"));
        // Its own process group: a Ctrl-C in the terminal is for loadgate, which ends the hook in order.
        let mut child = tokio::process::Command::new("sh")
            .args(["-c", hook])
            .stdin(std::process::Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| fail(format!("cannot be run: {e}")))?;
        tokio::select! {
            status = child.wait() => match status {
                Ok(status) if status.success() => Ok(()),
                Ok(status) => Err(fail(format!("ended with {status}"))),
                Err(e) => Err(fail(format!("cannot be waited for: {e}"))),
            },
            () = self.interrupt.wait() => Ok(()),
        }
    }

    /// What is put under load, ready to answer. `None`: it never was, which is noted, or a signal came.
    async fn start(
        &mut self,
        look: u32,
        observe: &mut dyn FnMut(GateEvent<'_>),
    ) -> Result<Option<Vec<Target>>> {
        let (arms, mut targets) = (self.arms.clone(), Vec::new());
        let restarted = (look > 1 || self.request.restart_first) && self.request.restart_hook.is_some();
        let mut ready = true;
        for arm in arms.iter() {
            let log = self.request.out.join(format!("{}.log", arm.name()));
            let mut target = Target::start(&arm.spec, &log).await?;
            // An address that nobody answers at is no candidate: a mistake in it must not roll a release back.
            let reached = (arms.len() > 1).then_some(REACHED_WITHIN);
            let given = restarted || arm.spec.is_command();
            target.any_answer = self.request.wait.is_none() && !given;
            if let Some(within) = self.request.wait.or(given.then_some(RESTART_READY)).or(reached) {
                if !target.any_answer {
                    observe(GateEvent::Waiting { arm: (arms.len() > 1).then(|| arm.name()) });
                }
                let transport = self.functional()?;
                if let Err(reason) = wait_ready(&transport, &mut target, within, self.interrupt.clone()).await
                {
                    if self.interrupt.signal().is_some() {
                        return Ok(None);
                    }
                    let reason = self.request.secrets.scrub(&reason);
                    self.journal.append(vec![arm.entry(Entry::NotReady(reason))])?;
                    ready = false;
                }
            }
            targets.push(target);
        }
        Ok(ready.then_some(targets))
    }

    /// How the arms share the load, where there are two.
    pub fn pairing(&self) -> Option<Pairing> {
        self.request.beside.as_ref().map(|beside| beside.pairing)
    }

    async fn smoke(&mut self, targets: &[Target], observe: &mut dyn FnMut(GateEvent<'_>)) -> Result<bool> {
        if !self.request.smoke {
            return Ok(true);
        }
        if let Some(watch) = self.request.watch {
            let smoke = self.watch(&targets[0], watch, observe).await?;
            let passed = smoke.passed();
            self.journal.append(vec![Entry::Smoke(smoke)])?;
            return Ok(passed);
        }
        let transport = self.functional()?;
        let (arms, mut all) = (self.arms.clone(), Vec::new());
        for (arm, target) in arms.iter().zip(targets) {
            observe(GateEvent::SmokeStarted { arm: (arms.len() > 1).then(|| arm.name()) });
            let smoke = run_smoke(&self.passes(&transport, arm, target), &arm.scenarios).await;
            observe(GateEvent::SmokeDone(&smoke));
            all.push(smoke);
        }
        // An accident on one of two arms must not look like a difference between them.
        if arms.len() > 1 && all.iter().any(|smoke| !smoke.passed()) {
            for ((arm, target), smoke) in arms.iter().zip(targets).zip(&mut all) {
                observe(GateEvent::SmokeAgain { arm: arm.name() });
                let mut passes = vec![std::mem::take(smoke)];
                for number in 1..SMOKE_PASSES {
                    let functional = Functional { number, ..self.passes(&transport, arm, target) };
                    passes.push(run_smoke(&functional, &arm.scenarios).await);
                }
                *smoke = two_of_three(&passes);
            }
        }
        let passed = all.iter().all(SmokeRecord::passed);
        self.soak = self.request.passes_every.map(|every| Soak::new(every, &all));
        let entries = arms.iter().zip(all).map(|(arm, smoke)| arm.entry(Entry::Smoke(smoke)));
        self.journal.append(entries.collect())?;
        Ok(passed)
    }

    fn assemble(&mut self) -> Result<RunRecord> {
        self.journal.sync()?;
        let mut record = assemble(&journal_path(&self.request.out))?;
        record.interrupted = self.interrupt.signal().map(str::to_owned);
        Ok(record)
    }

    fn judge_so_far(&mut self) -> Result<Judgement> {
        Ok(judge(&self.assemble()?, &self.request.references, self.request.allow))
    }

    fn finish(mut self, failed: bool) -> Result<GateResult> {
        let cause = self.interrupt.signal().or(failed.then_some("a fault of loadgate"));
        self.journal.append(vec![Entry::Ended { interrupted: cause.map(str::to_owned) }])?;
        let mut record = self.assemble()?;
        record.interrupted = cause.map(str::to_owned);
        let verdict = judge(&record, &self.request.references, self.request.allow).verdict;
        write_results(&self.request.out, &record, &verdict)?;
        self.journal.remove()?;
        let GateRequest { references, watching, secrets, .. } = self.request;
        Ok(GateResult { record, verdict, references, webhooks: watching.webhooks, secrets })
    }
}

/// What is to be sent; an address that was given on the command line may have credentials in it.
fn plans(request: &GateRequest) -> Vec<ScenarioRecord> {
    let pairing = request.beside.as_ref().map(|beside| beside.pairing);
    let mut all = scenario_records_of(&request.scenarios, request.slice(), pairing);
    for plan in all.iter_mut().flat_map(|scenario| &mut scenario.endpoints) {
        plan.request = request.secrets.scrub(&plan.request);
    }
    all
}
