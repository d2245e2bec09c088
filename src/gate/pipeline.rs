use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::journal::{Entry, assemble, journal_path, write_results};
use super::progress::Progress;
use super::record::{environment, scenario_records};
use super::target::{Target, TargetSpec, wait_ready};
use super::watch::{Watch, WatchedStep};
use crate::engine::{Functional, Interrupt, Slice, Tokens, run_smoke};
use crate::error::{Error, Result};
use crate::metrics::{JudgementPlan, RECORD_FORMAT, Repeat, RunRecord, ShardRecord, SmokeRecord, SmokeStep};
use crate::scenario::Scenario;
use crate::secrets::{Secrets, without_userinfo};
use crate::store::Journal;
use crate::transport::{AnyTransport, Kind, TransportOptions};
use crate::verdict::{Allow, Judgement, Reference, Verdict, judge};

const RESTART_READY: Duration = Duration::from_secs(60);

/// One whole run.
pub struct GateRequest {
    pub scenarios: Vec<Scenario>,
    pub secrets: Secrets,
    pub target: TargetSpec,
    /// The run's folder; must not hold another run.
    pub out: PathBuf,
    pub env: String,
    /// Of this run; sorts by time.
    pub id: String,
    /// What people call it.
    pub label: Option<String>,
    /// Stands for the target's instance where nothing else tells it.
    pub invocation: String,
    pub references: Vec<Reference>,
    pub plan: JudgementPlan,
    pub restart_hook: Option<String>,
    /// Before the first look too.
    pub restart_first: bool,
    /// How long the target may take to become ready; not asked where `None`.
    pub wait: Option<Duration>,
    pub allow: Allow,
    /// Functional checks before, or instead of, the load.
    pub smoke: bool,
    pub load: bool,
    /// Smoke passes for a while instead of one.
    pub watch: Option<Watch>,
    pub transport: TransportOptions,
    /// One transport for everything; else reqwest for smoke and readiness, `wire` for the load.
    pub kind: Option<Kind>,
    /// Of the load, if not all of it.
    pub shard: Option<ShardRecord>,
}

impl GateRequest {
    pub fn slice(&self) -> Slice {
        Slice::of_shard(self.shard)
    }
}

/// What a caller may want to show while it runs.
pub enum GateEvent<'a> {
    Waiting,
    SmokeStarted,
    WatchStarted(Watch),
    SmokeDone(&'a SmokeRecord),
    /// In a later pass of a watch a step went otherwise than in the one before.
    WatchChanged {
        at: Duration,
        step: &'a SmokeStep,
    },
    WatchDone {
        passes: u64,
        length: Duration,
        steps: &'a [WatchedStep],
    },
    LookStarted {
        look: u32,
    },
    Progress(&'a Progress),
    LookDone {
        look: u32,
        verdict: &'a Verdict,
        again: bool,
    },
}

pub struct GateResult {
    pub record: RunRecord,
    pub verdict: Verdict,
    /// What it was compared with.
    pub references: Vec<Reference>,
}

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
    let finished = run.finish(went.is_err());
    went.and(finished)
}

pub struct Run {
    pub request: GateRequest,
    pub interrupt: Interrupt,
    pub journal: Journal,
    pub id: String,
    pub tokens: Arc<Tokens>,
}

impl Run {
    fn new(request: GateRequest, interrupt: Interrupt) -> Result<Self> {
        if request.out.join("run.json").exists() {
            return Err(Error::usage_hint(
                format!("{} already holds a run", request.out.display()),
                "choose another --out",
            ));
        }
        let id = request.id.clone();
        let mut journal = Journal::create(&journal_path(&request.out))?;
        let record = RunRecord {
            format: RECORD_FORMAT,
            id: id.clone(),
            loadgate_version: env!("CARGO_PKG_VERSION").to_owned(),
            label: request.label.as_ref().map(|label| request.secrets.scrub(label)),
            started: Timestamp::now().to_string(),
            target: without_userinfo(&request.secrets.scrub(request.target.name())),
            env: request.env.clone(),
            plan: request.plan.clone(),
            environment: environment(),
            scenarios: if request.load {
                scenario_records(&request.scenarios, request.slice())
            } else {
                Vec::new()
            },
            smoke: None,
            runs: Vec::new(),
            error_examples: Vec::new(),
            interrupted: None,
            not_ready: None,
            setup_failed: None,
            shard: request.shard,
        };
        journal.append(vec![Entry::Started(Box::new(record))])?;
        let tokens = Arc::new(Tokens::new(request.secrets.clone()));
        Ok(Self { request, interrupt, journal, id, tokens })
    }

    async fn go(&mut self, observe: &mut dyn FnMut(GateEvent<'_>)) -> Result<()> {
        let loaded: Vec<Scenario> =
            self.request.scenarios.iter().filter(|s| s.load.is_some()).cloned().collect();
        for look in 1.. {
            if look > 1 || self.request.restart_first {
                self.restart().await?;
                if self.interrupt.signal().is_some() {
                    return Ok(());
                }
            }
            let target = Target::start(&self.request.target).await?;
            if !self.ready(&target, look, observe).await?
                || (look == 1 && !self.smoke(&target, observe).await?)
            {
                return Ok(());
            }
            if !self.request.load || loaded.is_empty() || self.interrupt.signal().is_some() {
                return Ok(());
            }
            observe(GateEvent::LookStarted { look });
            let aborted = self.look(look, &target, &loaded, observe).await?;
            let judgement = self.judge_so_far()?;
            let again = self.interrupt.signal().is_none()
                && !aborted
                && match self.request.plan.repeat {
                    Repeat::Auto => judgement.look_again,
                    Repeat::Times(times) => look < times,
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
        target: &'a str,
    ) -> Functional<'a, AnyTransport> {
        Functional {
            transport,
            target,
            secrets: &self.request.secrets,
            tokens: &self.tokens,
            interrupt: self.interrupt.clone(),
            number: 0,
        }
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

    async fn ready(
        &mut self,
        target: &Target,
        look: u32,
        observe: &mut dyn FnMut(GateEvent<'_>),
    ) -> Result<bool> {
        let restarted = (look > 1 || self.request.restart_first) && self.request.restart_hook.is_some();
        let Some(within) = self.request.wait.or(restarted.then_some(RESTART_READY)) else { return Ok(true) };
        observe(GateEvent::Waiting);
        let transport = self.functional()?;
        match wait_ready(&transport, &target.url, within, self.interrupt.clone()).await {
            Ok(()) => Ok(true),
            Err(_) if self.interrupt.signal().is_some() => Ok(false),
            Err(reason) => {
                self.journal.append(vec![Entry::NotReady(self.request.secrets.scrub(&reason))])?;
                Ok(false)
            }
        }
    }

    async fn smoke(&mut self, target: &Target, observe: &mut dyn FnMut(GateEvent<'_>)) -> Result<bool> {
        if !self.request.smoke {
            return Ok(true);
        }
        if let Some(watch) = self.request.watch {
            let smoke = self.watch(target, watch, observe).await?;
            let passed = smoke.passed();
            self.journal.append(vec![Entry::Smoke(smoke)])?;
            return Ok(passed);
        }
        observe(GateEvent::SmokeStarted);
        let transport = self.functional()?;
        let smoke = run_smoke(&self.passes(&transport, &target.url), &self.request.scenarios).await;
        observe(GateEvent::SmokeDone(&smoke));
        let passed = smoke.passed();
        self.journal.append(vec![Entry::Smoke(smoke)])?;
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
        Ok(GateResult { record, verdict, references: self.request.references })
    }
}
