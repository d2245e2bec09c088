use std::sync::atomic::Ordering;
use std::time::Duration;

use super::warmup::SteadyState;
use super::worker::Shared;
use crate::scenario::{LoadPlan, Scenario, Warmup};

/// Time between the decision that the window begins and its first arrival, so that every worker hears of it.
const NOTICE: Duration = Duration::from_millis(300);
const SHARDED_WARMUP: Duration = Duration::from_secs(10);
const WARMUP_EXTENSION: Duration = Duration::from_secs(2);

/// Decides where the measured window begins.
pub struct WindowDecision {
    pub steady: SteadyState,
    pub unsteady: Option<String>,
    /// Whether steadiness was looked at when the window began.
    pub examined: bool,
    /// The longest leading ramp: steadiness is asked of what comes after it.
    lead: Duration,
    /// Next look at the warm-up; `None` once the window is announced.
    next: Option<Duration>,
    fixed: bool,
    /// It begins at an instant that other processes know too.
    agreed: bool,
    max: Duration,
    /// The longest scenario's window.
    pub length_ns: u64,
}

impl WindowDecision {
    pub fn new(scenarios: &[Scenario], sharded: bool) -> Self {
        let loads = || scenarios.iter().filter_map(|s| s.load.as_ref());
        let least_ns = loads().map(|load| load.warmup.least_ns()).max().unwrap_or(0);
        let max_ns = loads()
            .filter_map(|load| match load.warmup {
                Warmup::Auto { max_ns } => Some(max_ns),
                Warmup::Fixed { .. } => None,
            })
            .max();
        let lead = Duration::from_nanos(loads().map(LoadPlan::lead_ns).max().unwrap_or(0));
        // Shards cannot agree on when they are steady: all begin at the same instant, and each says whether it was.
        let agreed = |max_ns: u64| (SHARDED_WARMUP.as_nanos() as u64).min(max_ns.max(least_ns));
        let (least_ns, max_ns) = match max_ns {
            Some(max_ns) if sharded => (agreed(max_ns), Some(agreed(max_ns))),
            given => (least_ns, given),
        };
        Self {
            agreed: sharded,
            steady: SteadyState::default(),
            unsteady: None,
            examined: false,
            next: Some(lead + Duration::from_nanos(least_ns)),
            lead,
            fixed: max_ns.is_none(),
            max: lead + Duration::from_nanos(max_ns.unwrap_or(least_ns).max(least_ns)),
            length_ns: loads().map(LoadPlan::window_ns).max().unwrap_or(0),
        }
    }

    /// Where the window begins, if no scenario leaves that to the run.
    pub fn fixed_ns(&mut self) -> Option<u64> {
        if self.fixed {
            return self.next.take().map(|length| length.as_nanos() as u64);
        }
        self.next.filter(|_| self.agreed).map(|length| length.as_nanos() as u64)
    }

    /// An automatic warm-up ends once it is steady, or at its longest.
    pub fn decide(&mut self, shared: &Shared) {
        let elapsed = shared.start.elapsed();
        let Some(next) = self.next.filter(|next| elapsed >= *next) else { return };
        let (from_ms, to_ms) = (self.lead.as_millis() as u64, next.as_millis() as u64);
        let half_ms = (next < self.max).then_some(self.length_ns / 2_000_000);
        let moving = self.steady.unsteady(from_ms, to_ms, half_ms);
        if let Some((endpoint, before, after)) = moving {
            if next < self.max {
                self.next = Some((next + WARMUP_EXTENSION).min(self.max));
                return;
            }
            self.unsteady = Some(format!(
                "never reached a steady state: p50 of {} still moved from {before:.1} to {after:.1} ms after {:.0} s of warm-up",
                shared.layout.endpoints[endpoint].name,
                next.saturating_sub(self.lead).as_secs_f64()
            ));
        }
        self.examined = self.steady.can_tell(from_ms, to_ms);
        self.next = None;
        if self.agreed {
            return;
        }
        shared.window_ns.store((elapsed + NOTICE).as_nanos() as u64, Ordering::Relaxed);
    }
}
