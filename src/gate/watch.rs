use std::time::{Duration, Instant};

use super::pipeline::{GateEvent, Run};
use super::target::Target;
use crate::engine::{Functional, run_smoke};
use crate::error::Result;
use crate::metrics::{SmokeRecord, SmokeStatus, SmokeStep};

/// A smoke pass again and again, for the minutes of a soak.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    pub length: Duration,
    /// From the beginning of one pass to the next.
    pub every: Duration,
}

/// How one step fared over all passes.
#[derive(Clone, Debug)]
pub struct WatchedStep {
    pub last: SmokeStep,
    pub passes: u64,
    pub failures: u64,
    /// Failed passes in a row, now and at most.
    pub streak: u64,
    pub longest: u64,
    /// The first failure of the longest streak.
    pub worst: Option<SmokeStep>,
    /// Since the watch began.
    pub first_failed: Option<Duration>,
    pub last_failed: Option<Duration>,
    elapsed_ms: f64,
}

/// Failed passes in a row that are no accident: each has asked twice already, where a step may be asked twice.
const PROVEN_STREAK: u64 = 2;

impl WatchedStep {
    fn new(step: &SmokeStep) -> Self {
        Self {
            last: step.clone(),
            passes: 0,
            failures: 0,
            streak: 0,
            longest: 0,
            worst: None,
            first_failed: None,
            last_failed: None,
            elapsed_ms: 0.0,
        }
    }

    /// Whether its state is another than before.
    fn add(&mut self, step: &SmokeStep, at: Duration) -> bool {
        let changed = self.passes > 0 && (self.last.status != step.status);
        if step.status == SmokeStatus::Failed {
            self.failures += 1;
            self.streak += 1;
            self.first_failed.get_or_insert(at);
            self.last_failed = Some(at);
            if self.streak > self.longest && (self.worst.is_none() || self.streak == 1) {
                self.worst = Some(step.clone());
            }
            self.longest = self.longest.max(self.streak);
        } else if step.status != SmokeStatus::Skipped {
            self.streak = 0;
        }
        self.passes += u64::from(step.status != SmokeStatus::Skipped);
        self.elapsed_ms += step.elapsed_ms;
        self.last = step.clone();
        changed
    }

    /// What is judged: a failure that lasted or is still there fails; one that passed by is a near-miss, and is told.
    fn merged(&self) -> SmokeStep {
        let mut step = self.worst.clone().unwrap_or_else(|| self.last.clone());
        let told = step.message.clone().unwrap_or_default();
        if self.failures == 0 {
            step.elapsed_ms = self.elapsed_ms / self.passes.max(1) as f64;
            return step;
        }
        let leaked = told.starts_with("no_personal_data");
        let lasted = self.longest >= PROVEN_STREAK || self.streak > 0 || leaked;
        step.status = if lasted { SmokeStatus::Failed } else { SmokeStatus::NearMiss };
        step.message = Some(format!("failed in {} of {} passes: {told}", self.failures, self.passes));
        step
    }
}

impl Run {
    /// Watches until the time is over or a signal comes. The first pass is shown whole, then what changes.
    pub async fn watch(
        &self,
        target: &Target,
        watch: Watch,
        observe: &mut dyn FnMut(GateEvent<'_>),
    ) -> Result<SmokeRecord> {
        let transport = self.functional()?;
        observe(GateEvent::WatchStarted(watch));
        let begun = Instant::now();
        let mut interrupt = self.interrupt.clone();
        let mut steps: Vec<WatchedStep> = Vec::new();
        let mut passes = 0;
        loop {
            let at = begun.elapsed();
            let functional = Functional { number: passes, ..self.passes(&transport, &target.url) };
            let smoke = run_smoke(&functional, &self.request.scenarios).await;
            if interrupt.signal().is_some() && passes > 0 {
                break;
            }
            passes += 1;
            if steps.is_empty() {
                steps = smoke.steps.iter().map(WatchedStep::new).collect();
                observe(GateEvent::SmokeDone(&smoke));
            }
            for (own, step) in steps.iter_mut().zip(&smoke.steps) {
                if own.add(step, at) {
                    observe(GateEvent::WatchChanged { at, step });
                }
            }
            let next = begun + (at + watch.every).min(watch.length);
            if begun.elapsed() >= watch.length || at + watch.every >= watch.length {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep_until(next.into()) => {}
                () = interrupt.wait() => break,
            }
        }
        observe(GateEvent::WatchDone { passes, length: begun.elapsed(), steps: &steps });
        Ok(SmokeRecord { steps: steps.iter().map(WatchedStep::merged).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(statuses: &str) -> SmokeStep {
        let step = |status| SmokeStep {
            endpoint: "f/a".into(),
            place: "f.yaml:3".into(),
            status,
            elapsed_ms: 10.0,
            request: None,
            message: (status == SmokeStatus::Failed).then(|| "status: expected 200, got 500".to_owned()),
            evidence: None,
        };
        let mut watched = WatchedStep::new(&step(SmokeStatus::Passed));
        for (i, c) in (0u64..).zip(statuses.chars()) {
            let status = match c {
                '.' => SmokeStatus::Passed,
                '-' => SmokeStatus::Skipped,
                _ => SmokeStatus::Failed,
            };
            watched.add(&step(status), Duration::from_secs(i));
        }
        watched.merged()
    }

    #[test]
    fn what_lasts_fails_and_what_passes_by_is_a_near_miss() {
        for (passes, status) in [
            ("......", SmokeStatus::Passed),
            ("..x...", SmokeStatus::NearMiss),
            (".x..x.", SmokeStatus::NearMiss),
            ("..xx..", SmokeStatus::Failed),
            (".....x", SmokeStatus::Failed),
            // Skipped behind another failure says nothing of the step itself.
            ("x-x...", SmokeStatus::Failed),
            ("------", SmokeStatus::Skipped),
        ] {
            assert_eq!(seen(passes).status, status, "{passes}");
        }
        assert_eq!(seen("..x...").message.unwrap(), "failed in 1 of 6 passes: status: expected 200, got 500");
    }
}
