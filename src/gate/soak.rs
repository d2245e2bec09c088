use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::arm::Arm;
use super::target::Target;
use super::watch::WatchedStep;
use crate::engine::{Functional, Interrupt, run_smoke};
use crate::metrics::{SmokeRecord, SmokeStatus, SmokeStep};
use crate::secrets::Secrets;
use crate::transport::AnyTransport;

/// Functional passes beside the load of a soak, over all of its segments.
pub struct Soak {
    every: Duration,
    begun: Instant,
    /// When the next pass is due, over all segments.
    next: Instant,
    /// Of each arm.
    steps: Vec<Vec<WatchedStep>>,
    passes: u64,
}

/// What was seen since somebody last asked: on which arm, when since the soak began, and the step that changed.
pub type Change = (&'static str, Duration, SmokeStep);

/// Further passes that settle what failed last.
const SETTLING: usize = 2;

/// What passes and the load beside them tell each other.
#[derive(Default)]
pub struct Signals {
    /// The load is over, or was ended.
    over: Cell<bool>,
    ended: Cell<bool>,
    heard: Notify,
    /// A step of the candidate fails in two of three passes: nothing more is to be learnt.
    proven: Cell<bool>,
    changes: RefCell<Vec<Change>>,
}

impl Signals {
    /// `ended`: before its time, so that nothing more is to be found out.
    pub fn load_is_over(&self, ended: bool) {
        self.over.set(true);
        self.ended.set(ended);
        self.heard.notify_one();
    }

    pub fn is_proven(&self) -> bool {
        self.proven.get()
    }

    pub fn changes(&self) -> Vec<Change> {
        self.changes.take()
    }
}

impl Soak {
    /// `first` is what the pass before the load saw of each arm.
    pub fn new(every: Duration, first: &[SmokeRecord]) -> Self {
        let watched = |smoke: &SmokeRecord| {
            let begin = |step| {
                let mut watched = WatchedStep::new(step);
                watched.add(step, Duration::ZERO);
                watched
            };
            smoke.steps.iter().map(begin).collect()
        };
        let begun = Instant::now();
        Self { every, begun, next: begun + every, steps: first.iter().map(watched).collect(), passes: 1 }
    }

    /// Passes until the load is over, and then as many as it takes to tell an accident from a fault. A pass that has begun
    /// is finished, so that what it made is cleaned up.
    pub async fn passes(
        &mut self,
        transport: &AnyTransport,
        (arms, targets): (&[Arm], &[Target]),
        secrets: &Secrets,
        mut interrupt: Interrupt,
        signals: &Signals,
    ) {
        let mut settling = 0;
        loop {
            if signals.over.get() {
                let ended = signals.ended.get() || interrupt.signal().is_some();
                if ended || settling == SETTLING || !self.is_open() {
                    return;
                }
                settling += 1;
            } else {
                tokio::select! {
                    () = tokio::time::sleep_until(self.next.into()) => {}
                    () = signals.heard.notified() => continue,
                    () = interrupt.wait() => return,
                }
            }
            let at = self.begun.elapsed();
            self.next = (self.next + self.every).max(Instant::now());
            for ((arm, target), own) in arms.iter().zip(targets).zip(&mut self.steps) {
                let functional = Functional {
                    transport,
                    target: &target.url,
                    secrets,
                    tokens: &arm.tokens,
                    interrupt: interrupt.clone(),
                    number: self.passes,
                };
                let smoke = run_smoke(&functional, &arm.scenarios).await;
                if interrupt.signal().is_some() {
                    return;
                }
                for (own, step) in own.iter_mut().zip(&smoke.steps) {
                    if own.add(step, at) {
                        signals.changes.borrow_mut().push((arm.name(), at, step.clone()));
                    }
                }
            }
            self.passes += 1;
            let candidate = self.steps.last().into_iter().flatten();
            signals.proven.set(candidate.into_iter().any(WatchedStep::fails_two_of_three));
        }
    }

    /// Whether something failed last that may have been an accident.
    fn is_open(&self) -> bool {
        let all = || self.steps.iter().flatten();
        let failed = |step: &WatchedStep| step.last.status == SmokeStatus::Failed;
        all().any(|step| failed(step) && !step.fails_two_of_three())
            && !all().any(WatchedStep::fails_two_of_three)
    }

    /// All passes of each arm as one. Where the control failed in the passes by which the candidate does, both fail.
    pub fn records(&self) -> Vec<SmokeRecord> {
        let mut all: Vec<SmokeRecord> = self
            .steps
            .iter()
            .map(|own| SmokeRecord { steps: own.iter().map(WatchedStep::settled).collect() })
            .collect();
        if let ([control, candidate], [of_control, of_candidate]) = (all.as_mut_slice(), &self.steps[..]) {
            let own = of_control.iter().zip(of_candidate);
            for ((control, candidate), (seen, beside)) in
                control.steps.iter_mut().zip(&candidate.steps).zip(own)
            {
                let alike = seen.fails_two_of_three() || (seen.failed_lately() && beside.failed_lately());
                if candidate.status == SmokeStatus::Failed && alike {
                    control.status = SmokeStatus::Failed;
                }
            }
        }
        all
    }
}
