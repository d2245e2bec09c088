use std::time::{Duration, Instant};

use super::pipeline::Run;
use super::request::GateEvent;
use super::target::Target;
use crate::engine::{Functional, run_smoke};
use crate::error::Result;
use crate::error_class::ErrorClass;
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
    /// Failed passes in a row, at most.
    pub longest: u64,
    /// Since the watch began.
    pub first_failed: Option<Duration>,
    pub last_failed: Option<Duration>,
    /// Failed passes in a row, now.
    streak: u64,
    /// The first failure of this streak, and of the longest one.
    begun: Option<SmokeStep>,
    worst: Option<SmokeStep>,
    /// A pass that found personal data: what got out once got out.
    leak: Option<SmokeStep>,
    /// The first pass in which it passed only on its second try, and how many did.
    near: Option<SmokeStep>,
    nears: u64,
    /// Whether the last three passes failed, the newest first.
    recent: [bool; 3],
    /// It failed in two of three passes in a row.
    lasts: bool,
    elapsed_ms: f64,
}

/// Failed passes in a row that are no accident: each has asked twice already, where a step may be asked twice.
const PROVEN_STREAK: u64 = 2;

impl WatchedStep {
    pub fn new(step: &SmokeStep) -> Self {
        Self {
            last: step.clone(),
            passes: 0,
            failures: 0,
            longest: 0,
            first_failed: None,
            last_failed: None,
            streak: 0,
            begun: None,
            worst: None,
            leak: None,
            near: None,
            nears: 0,
            recent: [false; 3],
            lasts: false,
            elapsed_ms: 0.0,
        }
    }

    /// Whether its state is another than before.
    pub fn add(&mut self, step: &SmokeStep, at: Duration) -> bool {
        let changed = self.passes > 0 && self.last.status != step.status;
        if step.status == SmokeStatus::NearMiss {
            self.near.get_or_insert_with(|| step.clone());
            self.nears += 1;
        }
        if step.status != SmokeStatus::Skipped {
            let failed = step.status == SmokeStatus::Failed;
            self.lasts |= failed && self.recent[..2].contains(&true);
            self.recent = [failed, self.recent[0], self.recent[1]];
        }
        if step.status == SmokeStatus::Failed {
            self.failures += 1;
            self.streak += 1;
            self.first_failed.get_or_insert(at);
            self.last_failed = Some(at);
            if self.streak == 1 {
                self.begun = Some(step.clone());
            }
            if self.streak > self.longest {
                self.longest = self.streak;
                self.worst.clone_from(&self.begun);
            }
            if self.leak.is_none() && step.class == Some(ErrorClass::PersonalData) {
                self.leak = Some(step.clone());
            }
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
        self.told(self.longest >= PROVEN_STREAK || self.streak > 0 || self.leak.is_some())
    }

    /// The same where passes go on until an accident is told from a fault.
    pub fn settled(&self) -> SmokeStep {
        self.told(self.fails_two_of_three())
    }

    /// Of passes in a row; a leak is one at once.
    pub fn fails_two_of_three(&self) -> bool {
        self.lasts || self.leak.is_some()
    }

    /// In one of the last three passes.
    pub fn failed_lately(&self) -> bool {
        self.recent.contains(&true)
    }

    fn told(&self, lasted: bool) -> SmokeStep {
        let mut step = self.leak.as_ref().or(self.worst.as_ref()).unwrap_or(&self.last).clone();
        if self.failures == 0 {
            if let Some(near) = &self.near {
                step = near.clone();
                let told = near.message.clone().unwrap_or_default();
                step.message = Some(format!(
                    "passed on its second try in {} of {} passes: {told}",
                    self.nears, self.passes
                ));
            }
            step.elapsed_ms = self.elapsed_ms / self.passes.max(1) as f64;
            return step;
        }
        let told = step.message.clone().unwrap_or_default();
        step.status = if lasted { SmokeStatus::Failed } else { SmokeStatus::NearMiss };
        step.message = Some(format!("failed in {} of {} passes: {told}", self.failures, self.passes));
        step
    }
}

/// Three passes as one: what failed in two of them fails, what failed once is a near-miss. A leak is one at once.
pub fn two_of_three(passes: &[SmokeRecord]) -> SmokeRecord {
    let Some(first) = passes.first() else { return SmokeRecord::default() };
    let merged = first.steps.iter().enumerate().map(|(at, own)| {
        let all = || passes.iter().filter_map(|pass| pass.steps.get(at));
        let failed: Vec<&SmokeStep> = all().filter(|step| step.status == SmokeStatus::Failed).collect();
        let leak = failed.iter().find(|step| step.class == Some(ErrorClass::PersonalData));
        let Some(one) = leak.or(failed.first()) else {
            let better = |step: &&SmokeStep| step.status != SmokeStatus::Skipped;
            return all().find(better).unwrap_or(own).clone();
        };
        let told = one.message.clone().unwrap_or_default();
        let lasts = failed.len() >= 2 || leak.is_some();
        SmokeStep {
            status: if lasts { SmokeStatus::Failed } else { SmokeStatus::NearMiss },
            message: Some(format!("failed in {} of {} passes: {told}", failed.len(), passes.len())),
            ..(*one).clone()
        }
    });
    SmokeRecord { steps: merged.collect() }
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
            let functional = Functional { number: passes, ..self.passes(&transport, &self.arms[0], target) };
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

    /// A pass, a skip, a leak, a timeout, or any other failure.
    fn step_of(sign: char) -> SmokeStep {
        let (status, failure) = match sign {
            '.' => (SmokeStatus::Passed, None),
            '-' => (SmokeStatus::Skipped, None),
            'n' => (SmokeStatus::NearMiss, Some((ErrorClass::Status, "first try: a status"))),
            'l' => (SmokeStatus::Failed, Some((ErrorClass::PersonalData, "a leak"))),
            't' => (SmokeStatus::Failed, Some((ErrorClass::Timeout, "a timeout"))),
            _ => (SmokeStatus::Failed, Some((ErrorClass::Status, "a status"))),
        };
        SmokeStep {
            endpoint: "f/a".into(),
            place: "f.yaml:3".into(),
            status,
            elapsed_ms: 10.0,
            request: None,
            message: failure.map(|(_, message)| message.to_owned()),
            class: failure.map(|(class, _)| class),
            evidence: None,
        }
    }

    fn watched(statuses: &str) -> WatchedStep {
        let mut watched = WatchedStep::new(&step_of('.'));
        for (i, sign) in (0u64..).zip(statuses.chars()) {
            watched.add(&step_of(sign), Duration::from_secs(i));
        }
        watched
    }

    fn seen(statuses: &str) -> SmokeStep {
        watched(statuses).merged()
    }

    /// In a soak nothing that failed once rolls a release back, and what fails again soon does.
    #[test]
    fn two_of_three_passes_in_a_row_act() {
        for (passes, status) in [
            ("......", SmokeStatus::Passed),
            ("..x...", SmokeStatus::NearMiss),
            (".x..x.", SmokeStatus::NearMiss),
            ("....x", SmokeStatus::NearMiss),
            ("..n...", SmokeStatus::NearMiss),
            ("..x.x.", SmokeStatus::Failed),
            ("..xx..", SmokeStatus::Failed),
            ("x--x..", SmokeStatus::Failed),
            ("..l...", SmokeStatus::Failed),
        ] {
            let step = watched(passes).settled();
            assert_eq!(step.status, status, "{passes}");
        }
        let told = watched("..n.n.").settled().message.unwrap();
        assert_eq!(told, "passed on its second try in 2 of 6 passes: first try: a status");
    }

    #[test]
    fn two_passes_of_three_are_no_accident() {
        for (passes, status) in [
            ("...", SmokeStatus::Passed),
            ("x..", SmokeStatus::NearMiss),
            ("x.x", SmokeStatus::Failed),
            ("l..", SmokeStatus::Failed),
            // Skipped behind another failure, and passed once that was over.
            ("-..", SmokeStatus::Passed),
            ("---", SmokeStatus::Skipped),
            ("x-x", SmokeStatus::Failed),
        ] {
            let all: Vec<SmokeRecord> =
                passes.chars().map(|c| SmokeRecord { steps: vec![step_of(c)] }).collect();
            assert_eq!(two_of_three(&all).steps[0].status, status, "{passes}");
        }
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
            // A leak behind another accident was once no more than a near-miss.
            ("x..l..", SmokeStatus::Failed),
        ] {
            assert_eq!(seen(passes).status, status, "{passes}");
        }
        for (passes, message) in [
            ("..x...", "failed in 1 of 6 passes: a status"),
            ("x..tt.", "failed in 3 of 6 passes: a timeout"),
            ("x..ltt", "failed in 4 of 6 passes: a leak"),
        ] {
            assert_eq!(seen(passes).message.as_deref(), Some(message), "{passes}");
        }
    }
}
