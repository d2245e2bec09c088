use http::HeaderName;
use jiff::Timestamp;

use super::journal::{EndpointEnd, Entry};
use super::pipeline::{GateEvent, Run};
use super::progress::Seen;
use super::record::{scenario_records, seed};
use super::target::Target;
use crate::engine::{Captured, Event, Layout, LoadOutcome, LoadRequest, Slice, run_load, run_part};
use crate::error::Result;
use crate::metrics::{LookRecord, WarmupRecord};
use crate::scenario::{Identity, Part, Scenario};
use crate::transport::Kind;

const IN_FLIGHT_CAP: usize = 10_000;
/// Runtimes, timers, the journal, standard streams, the demo's pipes.
const OWN_FILES: u64 = 40;
const OWN_FILES_A_WORKER: u64 = 5;
const DRAIN: std::time::Duration = std::time::Duration::from_secs(5);

impl Run {
    /// What stands before a load. `None`: something failed, is cleaned up and noted.
    async fn set_up(&mut self, target: &Target, scenarios: &[Scenario]) -> Result<Option<Vec<Captured>>> {
        let transport = self.functional()?;
        let (mut setup, mut failures) = (Vec::new(), Vec::new());
        for scenario in scenarios {
            let bracket =
                run_part(&self.passes(&transport, &target.url), scenario, Part::Setup, &Captured::new())
                    .await;
            failures.extend(bracket.failures);
            setup.push(bracket.captured);
        }
        if failures.is_empty() {
            return Ok(Some(setup));
        }
        failures.extend(self.tear_down(target, scenarios, &setup).await?);
        let reason = self.request.secrets.scrub(&failures.join("; "));
        self.journal.append(vec![Entry::SetupFailed(reason)])?;
        Ok(None)
    }

    /// What stands after a load, whatever happened; returns what failed.
    async fn tear_down(
        &self,
        target: &Target,
        scenarios: &[Scenario],
        setup: &[Captured],
    ) -> Result<Vec<String>> {
        let transport = self.functional()?;
        let mut failures = Vec::new();
        for (scenario, captured) in scenarios.iter().zip(setup) {
            let passes = self.passes(&transport, &target.url);
            failures.extend(run_part(&passes, scenario, Part::Teardown, captured).await.failures);
        }
        Ok(failures)
    }

    /// The load of one look. `true`: nothing more is to be measured.
    pub async fn look(
        &mut self,
        look: u32,
        target: &Target,
        scenarios: &[Scenario],
        observe: &mut dyn FnMut(GateEvent<'_>),
    ) -> Result<bool> {
        let Some(setup) = self.set_up(target, scenarios).await? else { return Ok(true) };
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
            setup: setup.clone(),
            tokens: self.tokens.clone(),
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
        let plans = scenario_records(scenarios, self.request.slice()).into_iter().flat_map(|s| s.endpoints);
        let mut seen = Seen::new(plans.collect());
        let journal = &mut self.journal;
        let outcome = run_load(load, self.interrupt.clone(), &mut |event| match event {
            Event::Closed(blocks) => {
                seen.add(&blocks);
                journal.append(blocks.into_iter().map(|b| Entry::Block(Box::new(b))).collect())
            }
            Event::Progress { elapsed_ms, window_ms, in_flight } => {
                observe(GateEvent::Progress(seen.progress(elapsed_ms, window_ms, in_flight)));
                Ok(())
            }
        })
        .await;
        let left = self.tear_down(target, scenarios, &setup).await?;
        let outcome = outcome?;
        self.describe(&mut record, &outcome);
        record.notes.extend(left.into_iter().map(|failure| format!("teardown failed: {failure}")));
        record.remarks = samples(scenarios, self.request.slice(), record.seed, &outcome);
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
            examined: Some(outcome.examined),
            ..WarmupRecord::default()
        };
        record.generator = outcome.generator.clone();
        record.abort.clone_from(&outcome.abort);
    }
}

/// What is to be said of checks that were made on a part of the responses only.
fn samples(scenarios: &[Scenario], slice: Slice, seed: u64, outcome: &LoadOutcome) -> Vec<String> {
    let layout = Layout::new(scenarios, seed, slice);
    let part =
        layout.endpoints.iter().zip(&outcome.endpoints).filter(|(_, end)| end.examined.0 < end.examined.1);
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
