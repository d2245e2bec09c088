use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use http::HeaderName;
use jiff::{SignedDuration, Timestamp};

use super::arm::Arm;
use super::early::Early;
use super::journal::{EndpointEnd, Entry};
use super::permitted::users_ceiling;
use super::pipeline::Run;
use super::progress::Seen;
use super::record::{scenario_records_of, seed};
use super::request::GateEvent;
use super::soak::Signals;
use super::target::Target;
use super::watching::entries;
use crate::engine::{
    ArmOutcome, ArmTarget, Captured, Event, Layout, LoadOutcome, LoadRequest, READY_WITHIN, Slice, StopCause,
    run_load, run_part,
};
use crate::error::Result;
use crate::metrics::{AnsweredBy, Block, LookRecord, Pairing, WarmupRecord};
use crate::scenario::{Identity, Part, Scenario};
use crate::transport::Kind;

const IN_FLIGHT_CAP: usize = 10_000;
/// Runtimes, timers, the journal, standard streams, the demo's pipes.
const OWN_FILES: u64 = 40;
const OWN_FILES_A_WORKER: u64 = 5;
const DRAIN: Duration = Duration::from_secs(5);

impl Run {
    /// What stands before a load, on all arms. `None`: something failed, is cleaned up and noted.
    async fn set_up(&mut self, targets: &[Target]) -> Result<Option<Vec<Captured>>> {
        let transport = self.functional()?;
        let arms = self.arms.clone();
        let (mut setup, mut failed) = (Vec::new(), Vec::new());
        for (arm, target) in arms.iter().zip(targets) {
            let mut failures = Vec::new();
            for scenario in &arm.loaded() {
                let passes = self.passes(&transport, arm, target);
                let bracket = run_part(&passes, scenario, Part::Setup, &Captured::new()).await;
                failures.extend(bracket.failures);
                setup.push(bracket.captured);
            }
            failed.push(failures);
        }
        if failed.iter().all(Vec::is_empty) {
            return Ok(Some(setup));
        }
        let left = self.tear_down(targets, &setup).await?;
        for ((arm, failures), left) in arms.iter().zip(failed).zip(left) {
            let all: Vec<String> = failures.into_iter().chain(left).collect();
            if !all.is_empty() {
                let reason = self.request.secrets.scrub(&all.join("; "));
                self.journal.append(vec![arm.entry(Entry::SetupFailed(reason))])?;
            }
        }
        Ok(None)
    }

    /// What stands after a load, whatever happened; returns what failed on each arm.
    async fn tear_down(&self, targets: &[Target], setup: &[Captured]) -> Result<Vec<Vec<String>>> {
        let transport = self.functional()?;
        let mut setup = setup.iter();
        let mut all = Vec::new();
        for (arm, target) in self.arms.iter().zip(targets) {
            let mut failures = Vec::new();
            for (scenario, captured) in arm.loaded().iter().zip(&mut setup) {
                let passes = self.passes(&transport, arm, target);
                failures.extend(run_part(&passes, scenario, Part::Teardown, captured).await.failures);
            }
            all.push(failures);
        }
        Ok(all)
    }

    /// What a look is before anything is measured, one for each arm.
    fn begun(&self, look: u32) -> Vec<LookRecord> {
        let started = Timestamp::now().to_string();
        let begin = |arm: &Arm| {
            let scenarios = arm.loaded();
            let loads = || scenarios.iter().filter_map(|s| s.load.as_ref());
            LookRecord {
                look,
                arm: arm.name().into(),
                instance_id: self.request.invocation.clone(),
                seed: seed(&self.request.scenarios),
                started: started.clone(),
                window_ms: loads().map(|l| l.window_ns() / 1_000_000).max().unwrap_or(0),
                stages: scenarios
                    .iter()
                    .zip(loads())
                    .map(|(s, l)| format!("{}: {}", s.feature, l.described()))
                    .collect(),
                stop: "crash".into(),
                ..LookRecord::default()
            }
        };
        self.arms.iter().map(begin).collect()
    }

    /// Waits until shortly before the instant that was given for the first arrival, and returns it.
    async fn await_start(&mut self, look: u32, observe: &mut dyn FnMut(GateEvent<'_>)) -> Option<Instant> {
        let at = self.request.start_at.filter(|_| look == 1)?;
        let ahead = Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default();
        if ahead <= READY_WITHIN {
            let late = Timestamp::now().duration_since(at).unsigned_abs();
            self.late = (late > READY_WITHIN).then_some(late);
            return None;
        }
        observe(GateEvent::StartAwaited(at));
        let begin = Instant::now() + ahead;
        tokio::select! {
            () = tokio::time::sleep(ahead.saturating_sub(2 * READY_WITHIN)) => {}
            () = self.interrupt.wait() => return None,
        }
        Some(begin)
    }

    /// The load of one look, on all arms at once. `true`: nothing more is to be measured.
    pub async fn look(
        &mut self,
        look: u32,
        targets: &[Target],
        observe: &mut dyn FnMut(GateEvent<'_>),
    ) -> Result<bool> {
        let Some(setup) = self.set_up(targets).await? else { return Ok(true) };
        let begin = self.await_start(look, observe).await;
        let arms = self.arms.clone();
        let mut records = self.begun(look);
        let begun = arms.iter().zip(&records).map(|(arm, r)| arm.entry(Entry::Look(Box::new(r.clone()))));
        self.journal.append(begun.collect())?;
        self.journal.sync()?;
        let pairing = self.pairing();
        let scenarios: Vec<Scenario> = arms.iter().flat_map(Arm::loaded).collect();
        let load = LoadRequest {
            scenarios: scenarios.clone(),
            setup: setup.clone(),
            arms: arms
                .iter()
                .zip(targets)
                .map(|(arm, target)| ArmTarget { url: target.url.clone(), tokens: arm.tokens.clone() })
                .collect(),
            pairing,
            seed: records[0].seed,
            secrets: self.request.secrets.clone(),
            kind: self.request.kind.unwrap_or(Kind::Wire),
            transport: self.request.transport.clone(),
            slice: self.request.slice(),
            sharded: self.request.shard.is_some(),
            begin,
            traced: self.request.traced,
            workers: crate::machine::cores(),
            in_flight_cap: in_flight_cap(),
            users_most_per_s: users_ceiling(&self.request),
            drain: DRAIN,
        };
        let candidate = arms.len() - 1;
        let plans: Vec<_> = scenario_records_of(&arms[candidate].loaded(), self.request.slice(), pairing)
            .into_iter()
            .flat_map(|s| s.endpoints)
            .collect();
        let an_arm = plans.len();
        if let (None, Some(plan)) = (&self.early, &self.request.plan.side_by_side) {
            self.early = Some(Early::new(&plans, plan.sigma_dep));
        }
        let mut seen = Seen::new(plans);
        let mut watched = self.watch_probes(targets)?;
        let secrets = self.request.secrets.clone();
        let scrub = |text: &str| secrets.scrub_brief(text);
        let signals = Signals::default();
        let mut soak = self.soak.take();
        let functional = self.functional()?;
        #[cfg(feature = "telemetry")]
        let telemetry = self.telemetry.as_ref();
        let (journal, early, interrupt) = (&mut self.journal, &mut self.early, self.interrupt.clone());
        let mut hear = |event| match event {
            Event::Closed(blocks) => {
                #[cfg(feature = "telemetry")]
                if let Some(telemetry) = telemetry {
                    telemetry.blocks(&blocks);
                }
                if let Some(early) = early {
                    early.take(&blocks);
                }
                let entry = |mut block: Block| {
                    let arm = block.endpoint / an_arm;
                    block.endpoint %= an_arm;
                    if arm == candidate {
                        seen.add(std::slice::from_ref(&block));
                    }
                    arms[arm].entry(Entry::Block(Box::new(block)))
                };
                journal.append(blocks.into_iter().map(entry).collect())?;
                Ok(ControlFlow::Continue(()))
            }
            Event::Settled { window_ms } => {
                let stop = early.as_mut().and_then(|early| early.settled(window_ms));
                Ok(if stop.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            }
            Event::Progress { elapsed_ms, window_ms, in_flight } => {
                #[cfg(feature = "telemetry")]
                if let Some(telemetry) = telemetry {
                    telemetry.in_flight(in_flight);
                }
                if let Some(watched) = &mut watched {
                    let taken = watched.progress(elapsed_ms, window_ms);
                    journal.append(entries(taken, watched.began(), &scrub))?;
                }
                observe(GateEvent::Progress(seen.progress(elapsed_ms, window_ms, in_flight)));
                for (arm, at, step) in signals.changes() {
                    observe(GateEvent::SoakChanged { arm, at, step: &step });
                }
                Ok(if signals.is_proven() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            }
        };
        let work = async {
            let outcome = run_load(load, interrupt.clone(), &mut hear).await;
            let whole = outcome.as_ref().is_ok_and(|outcome| outcome.stop < StopCause::Abort);
            signals.load_is_over(!whole);
            outcome
        };
        let outcome = match &mut soak {
            None => work.await,
            Some(soak) => {
                let passes =
                    soak.passes(&functional, (&arms, targets), &secrets, interrupt.clone(), &signals);
                tokio::join!(work, passes).0
            }
        };
        for (arm, at, step) in signals.changes() {
            observe(GateEvent::SoakChanged { arm, at, step: &step });
        }
        // What was set up is taken down, whatever became of the journal.
        let mut written = Ok(());
        if let Some(soak) = &soak {
            let entries = arms.iter().zip(soak.records()).map(|(arm, own)| arm.entry(Entry::Smoke(own)));
            written = self.journal.append(entries.collect());
        }
        self.soak = soak;
        if let Some(watched) = watched {
            let ended = outcome.as_ref().ok().filter(|_| self.interrupt.signal().is_none());
            let window_ms = ended.map_or(0, |own| own.window_ms);
            let whole = ended.is_some_and(LoadOutcome::is_whole);
            if whole && watched.awaits() {
                observe(GateEvent::ProbesAwaited);
            }
            let (taken, began) = watched.finish(window_ms, whole, self.interrupt.clone()).await;
            written = written.and(self.journal.append(entries(taken, began, &scrub)));
        }
        let left = self.tear_down(targets, &setup).await?;
        written?;
        let mut outcome = outcome?;
        let stopped = self.early.as_mut().and_then(|early| early.ended(outcome.window_ms));
        records[candidate].early_stop.clone_from(&stopped);
        let remarks = samples(&scenarios, self.request.slice(), (records[0].seed, pairing), &outcome);
        let mut ends = std::mem::take(&mut outcome.endpoints).into_iter();
        let mut aborted = stopped.is_some() || signals.is_proven();
        let mut ended = Vec::new();
        for ((number, mut record), (own, left)) in
            (0..).zip(records).zip(std::mem::take(&mut outcome.arms).into_iter().zip(left))
        {
            self.describe(&mut record, &arms[number], &outcome, &own);
            record.notes.extend(left.into_iter().map(|failure| format!("teardown failed: {failure}")));
            if number == candidate {
                record.remarks.clone_from(&remarks);
            }
            aborted |= own.abort.is_some();
            let endpoints = ends
                .by_ref()
                .take(an_arm)
                .map(|end| EndpointEnd {
                    lag_p99_us: end.lag_p99_us,
                    phases: end.phases,
                    slowest: end.slowest,
                })
                .collect();
            let (look, examples) = (Box::new(record), own.examples);
            ended.push(arms[number].entry(Entry::LookEnded { look, endpoints, examples }));
        }
        // Blocks may be written out of order among themselves, but not after the end of their look.
        self.journal.sync()?;
        self.journal.append(ended)?;
        Ok(aborted)
    }

    /// Who answered, and how the sending went.
    fn describe(&self, record: &mut LookRecord, arm: &Arm, outcome: &LoadOutcome, own: &ArmOutcome) {
        // Who answers may tell what it was asked with.
        let scrubbed =
            |names: &BTreeSet<String>| names.iter().map(|n| self.request.secrets.scrub(n)).collect();
        let answered_by = AnsweredBy {
            instances: scrubbed(&own.answered_by.instances),
            builds: scrubbed(&own.answered_by.builds),
            cohorts: scrubbed(&own.answered_by.cohorts),
            asked: own.answered_by.asked,
        };
        let joined = |names: &BTreeSet<String>| {
            (!names.is_empty()).then(|| names.iter().map(String::as_str).collect::<Vec<_>>().join("+"))
        };
        let beside = self.arms.len() > 1;
        let which = if beside { format!("-{}", arm.name()) } else { String::new() };
        let afresh = self.request.plan.restarts || (beside && arm.spec.is_started());
        let restarted = afresh.then(|| format!("{}{which}-look-{}", self.id, record.look));
        let named = joined(&answered_by.instances).map(|name| {
            // A host keeps its name over a restart; what answers there is another instance all the same.
            let hooked =
                self.request.restart_hook.as_ref().filter(|_| record.look > 1 || self.request.restart_first);
            if hooked.is_some() { format!("{name} restarted for {}-{}", self.id, record.look) } else { name }
        });
        record.instance_id =
            named.or(restarted).unwrap_or_else(|| format!("{}{which}", self.request.invocation));
        record.build_id = joined(&answered_by.builds);
        let mixed = answered_by.builds.len() > 1;
        // What the other shards met may be another build.
        let sharded = self.request.shard.is_some();
        record.answered_by = (beside || mixed || sharded).then(|| answered_by.clone());
        let asked = |pick: fn(&Identity) -> &Option<HeaderName>| {
            arm.scenarios.iter().find_map(|s| pick(&s.identity).as_ref())
        };
        let silent = [
            (asked(|i| &i.instance), answered_by.instances.is_empty()),
            (asked(|i| &i.build), answered_by.builds.is_empty()),
            (asked(|i| &i.cohort), answered_by.cohorts.is_empty()),
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
        record.window_started = outcome.window_began.map(wall_clock);
        record.warmup = WarmupRecord {
            length_ms: outcome.warmup_ms,
            unsteady: outcome.unsteady.clone(),
            examined: Some(outcome.examined),
            ..WarmupRecord::default()
        };
        if let Some(late) = self.late.filter(|_| record.look == 1) {
            record.notes.push(format!(
                "the load began {:.1} s after --start-at: what comes before it took longer",
                late.as_secs_f64()
            ));
        }
        if outcome.held_back > 0 {
            record.notes.push(format!(
                "virtual users waited {} times before an iteration, so as to send no more than {} requests a second (--max-rate)",
                outcome.held_back,
                (users_ceiling(&self.request).unwrap_or_default() * 10.0).round() / 10.0
            ));
        }
        record.generator = outcome.generator.clone();
        record.generator.few_files =
            outcome.generator.dropped_arrivals > 0 && in_flight_cap() < IN_FLIGHT_CAP;
        record.abort.clone_from(&own.abort);
    }
}

/// What the clock says of an instant of this process.
fn wall_clock(instant: Instant) -> String {
    let since = |later: Instant, earlier: Instant| {
        SignedDuration::try_from(later.saturating_duration_since(earlier)).unwrap_or_default()
    };
    let now = Instant::now();
    (Timestamp::now() - since(now, instant) + since(instant, now)).to_string()
}

/// What is to be said of checks that were made on a part of the responses only.
fn samples(
    scenarios: &[Scenario],
    slice: Slice,
    (seed, pairing): (u64, Option<Pairing>),
    outcome: &LoadOutcome,
) -> Vec<String> {
    let layout = Layout::new(scenarios, seed, slice, pairing);
    let of_control = if pairing.is_some() { layout.endpoints.len() / 2 } else { 0 };
    let part = layout
        .endpoints
        .iter()
        .zip(&outcome.endpoints)
        .skip(of_control)
        .filter(|(_, end)| end.examined.0 < end.examined.1);
    part.map(|(spec, end)| {
        let (looked, of) = end.examined;
        format!(
            "Sampled: checks of the body of {} were made on {looked} of {of} responses ({:.1}%); all others on every one.",
            spec.name,
            looked as f64 / of as f64 * 100.0
        )
    })
    .collect()
}

/// Each request in flight takes a descriptor; some are for this process itself.
fn in_flight_cap() -> usize {
    let own = OWN_FILES + OWN_FILES_A_WORKER * crate::machine::cores() as u64;
    let spare = crate::machine::raise_open_files().saturating_sub(own).max(8);
    IN_FLIGHT_CAP.min(usize::try_from(spare).unwrap_or(IN_FLIGHT_CAP))
}
