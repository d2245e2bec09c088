use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use jiff::Timestamp;

use super::journal::{EndpointEnd, Entry, assemble, journal_path, write_results};
use super::record::{environment, scenario_records, seed};
use super::target::{Target, TargetSpec, wait_ready};
use crate::engine::{Event, Interrupt, LoadOutcome, LoadRequest, Slice, run_load, run_smoke};
use crate::error::{Error, Result};
use crate::metrics::{
    Histogram, JudgementPlan, LookRecord, RECORD_FORMAT, Repeat, RunRecord, ShardRecord, SmokeRecord,
    WarmupRecord,
};
use crate::scenario::{Identity, Scenario};
use crate::secrets::{Secrets, without_userinfo};
use crate::store::Journal;
use crate::transport::{AnyTransport, Kind, TransportOptions};
use crate::verdict::{Allow, Judgement, Reference, Verdict, judge};

const IN_FLIGHT_CAP: usize = 10_000;
/// Runtimes, timers, the journal, standard streams, the demo's pipes.
const OWN_FILES: u64 = 40;
const OWN_FILES_A_WORKER: u64 = 5;
const DRAIN: Duration = Duration::from_secs(5);
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
    pub transport: TransportOptions,
    /// One transport for everything; else reqwest for smoke and readiness, `wire` for the load.
    pub kind: Option<Kind>,
    /// Of the load, if not all of it.
    pub shard: Option<ShardRecord>,
}

impl GateRequest {
    fn slice(&self) -> Slice {
        self.shard.map_or(Slice::WHOLE, |shard| Slice { index: shard.index, count: shard.count })
    }
}

/// What a caller may want to show while it runs.
pub enum GateEvent<'a> {
    Waiting,
    SmokeStarted,
    SmokeDone(&'a SmokeRecord),
    LookStarted { look: u32 },
    Progress(Progress),
    LookDone { look: u32, verdict: &'a Verdict, again: bool },
}

#[derive(Clone, Copy, Debug)]
pub struct Progress {
    pub warming_up: bool,
    pub elapsed_ms: u64,
    /// To the end of the measured window, once that is known.
    pub remaining_ms: Option<u64>,
    /// Measured so far.
    pub requests: u64,
    pub errors: u64,
    pub p95_ms: Option<f64>,
    pub in_flight: usize,
}

pub struct GateResult {
    pub record: RunRecord,
    pub verdict: Verdict,
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

struct Run {
    request: GateRequest,
    interrupt: Interrupt,
    journal: Journal,
    id: String,
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
            shard: request.shard,
        };
        journal.append(vec![Entry::Started(Box::new(record))])?;
        Ok(Self { request, interrupt, journal, id })
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
    fn functional(&self) -> Result<AnyTransport> {
        AnyTransport::new(self.request.kind.unwrap_or(Kind::Http), &self.request.transport)
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
        observe(GateEvent::SmokeStarted);
        let transport = self.functional()?;
        let GateRequest { scenarios, secrets, .. } = &self.request;
        let smoke = run_smoke(&transport, &target.url, scenarios, secrets, &self.interrupt).await;
        observe(GateEvent::SmokeDone(&smoke));
        let passed = smoke.passed();
        self.journal.append(vec![Entry::Smoke(smoke)])?;
        Ok(passed)
    }

    async fn look(
        &mut self,
        look: u32,
        target: &Target,
        scenarios: &[Scenario],
        observe: &mut dyn FnMut(GateEvent<'_>),
    ) -> Result<bool> {
        let loads = || scenarios.iter().filter_map(|s| s.load.as_ref());
        let mut record = LookRecord {
            look,
            arm: "candidate".into(),
            instance_id: self.request.invocation.clone(),
            seed: seed(scenarios),
            started: Timestamp::now().to_string(),
            window_ms: loads().map(|l| l.window_ns() / 1_000_000).max().unwrap_or(0),
            stages: scenarios
                .iter()
                .zip(loads())
                .map(|(s, l)| format!("{}: {}", s.feature, l.described()))
                .collect(),
            stop: "crash".into(),
            ..LookRecord::default()
        };
        self.journal.append(vec![Entry::Look(Box::new(record.clone()))])?;
        self.journal.sync()?;
        let load = LoadRequest {
            scenarios: scenarios.to_vec(),
            target: target.url.clone(),
            seed: record.seed,
            secrets: self.request.secrets.clone(),
            kind: self.request.kind.unwrap_or(Kind::Wire),
            transport: self.request.transport.clone(),
            slice: self.request.slice(),
            workers: crate::machine::cores(),
            in_flight_cap: in_flight_cap(),
            drain: DRAIN,
        };
        let mut seen = Seen::default();
        let journal = &mut self.journal;
        let outcome = run_load(load, self.interrupt.clone(), &mut |event| match event {
            Event::Closed(blocks) => {
                for block in &blocks {
                    seen.add(block);
                }
                journal.append(blocks.into_iter().map(|b| Entry::Block(Box::new(b))).collect())
            }
            Event::Progress { elapsed_ms, window_ms, in_flight } => {
                observe(GateEvent::Progress(seen.progress(elapsed_ms, window_ms, in_flight)));
                Ok(())
            }
        })
        .await?;
        self.describe(&mut record, &outcome);
        let LoadOutcome { endpoints, examples, abort, .. } = outcome;
        let endpoints = endpoints
            .into_iter()
            .map(|end| EndpointEnd { lag_p99_us: end.lag_p99_us, phases: end.phases })
            .collect();
        // Blocks may be written out of order among themselves, but not after the end of their look.
        self.journal.sync()?;
        self.journal.append(vec![Entry::LookEnded { look: Box::new(record), endpoints, examples }])?;
        Ok(abort.is_some())
    }

    /// Who answered, and how the sending went.
    fn describe(&self, record: &mut LookRecord, outcome: &LoadOutcome) {
        let joined = |names: &std::collections::BTreeSet<String>| {
            (!names.is_empty()).then(|| names.iter().map(String::as_str).collect::<Vec<_>>().join("+"))
        };
        let restarted = self.request.plan.restarts.then(|| format!("{}-look-{}", self.id, record.look));
        let named = joined(&outcome.instances).map(|name| {
            // A host keeps its name over a restart; what answers there is another instance all the same.
            let hooked =
                self.request.restart_hook.as_ref().filter(|_| record.look > 1 || self.request.restart_first);
            if hooked.is_some() { format!("{name} restarted for {}-{}", self.id, record.look) } else { name }
        });
        record.instance_id = named.or(restarted).unwrap_or_else(|| self.request.invocation.clone());
        record.build_id = joined(&outcome.builds);
        let asked = |pick: fn(&Identity) -> &Option<HeaderName>| {
            self.request.scenarios.iter().find_map(|s| pick(&s.identity).as_ref())
        };
        let silent = [
            (asked(|i| &i.instance), outcome.instances.is_empty()),
            (asked(|i| &i.build), outcome.builds.is_empty()),
        ];
        for (header, missing) in silent {
            record.notes.extend(header.filter(|_| missing).map(|header| {
                format!(
                    "no response carried the identity header `{header}`; is its name right under `identity`?"
                )
            }));
        }
        record.stop = outcome.stop.name().into();
        record.window_ms = outcome.window_ms;
        record.warmup = WarmupRecord {
            length_ms: outcome.warmup_ms,
            unsteady: outcome.unsteady.clone(),
            ..WarmupRecord::default()
        };
        record.generator = outcome.generator.clone();
        record.abort.clone_from(&outcome.abort);
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
        Ok(GateResult { record, verdict })
    }
}

/// Each request in flight takes a descriptor; some are for this process itself.
fn in_flight_cap() -> usize {
    let own = OWN_FILES + OWN_FILES_A_WORKER * crate::machine::cores() as u64;
    let spare = crate::machine::raise_open_files().saturating_sub(own).max(8);
    IN_FLIGHT_CAP.min(usize::try_from(spare).unwrap_or(IN_FLIGHT_CAP))
}

/// Running totals for the progress line.
#[derive(Default)]
struct Seen {
    requests: u64,
    errors: u64,
    response: Histogram,
}

impl Seen {
    fn add(&mut self, block: &crate::metrics::Block) {
        if !block.warmup {
            self.requests += block.planned;
            self.errors += block.error_count();
            self.response.merge(&block.response);
        }
    }

    fn progress(&self, elapsed_ms: u64, window_ms: Option<(u64, u64)>, in_flight: usize) -> Progress {
        Progress {
            warming_up: window_ms.is_none_or(|(from, _)| elapsed_ms < from),
            elapsed_ms,
            remaining_ms: window_ms.map(|(_, to)| to.saturating_sub(elapsed_ms)),
            requests: self.requests,
            errors: self.errors,
            p95_ms: self.response.quantile_ms(0.95),
            in_flight,
        }
    }
}
