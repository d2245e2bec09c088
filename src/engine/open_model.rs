use std::iter::Peekable;
use std::rc::Rc;

use super::arms::drawn;
use super::arrival::{Arrivals, Slice};
use super::layout::scenario_seed;
use super::local::{Iteration, Local, PanicWatch};
use crate::metrics::Pairing;
use crate::scenario::{LoadPlan, Scenario};
use crate::transport::Transport;

/// How long after its window's end an arrival may still be sent; what is left then was too much for this machine.
const GRACE_NS: u64 = 1_000_000_000;

/// One scenario's arrivals at one worker: those of the warm-up until the window begins, then the measured ones.
pub struct Feed {
    scenario: usize,
    warmup: Peekable<Arrivals>,
    window: Peekable<Arrivals>,
    length_ns: u64,
    seed: u64,
    beside: Option<Beside>,
}

/// How an arrival is shared by two arms.
#[derive(Clone, Copy)]
struct Beside {
    pairing: Pairing,
    /// From a scenario of the control to the same one of the candidate.
    step: usize,
}

impl Feed {
    /// The feeds of all scenarios with a `rate`. Those of one rate are shifted against each other, so that they do not
    /// arrive in bursts.
    ///
    /// Of two arms the scenarios are the control's, then the candidate's; their arrivals are the same.
    pub fn all(scenarios: &[Scenario], seed: u64, slice: Slice, pairing: Option<Pairing>) -> Vec<Self> {
        let beside = pairing.map(|pairing| Beside { pairing, step: scenarios.len() / 2 });
        let scenarios = &scenarios[..beside.map_or(scenarios.len(), |beside| beside.step)];
        let open = |scenario: &Scenario| scenario.load.as_ref().is_some_and(LoadPlan::is_open);
        let count = scenarios.iter().filter(|scenario| open(scenario)).count();
        let mut feeds: Vec<Self> = Vec::new();
        for (number, scenario) in scenarios.iter().enumerate() {
            let Some(load) = scenario.load.as_ref().filter(|load| load.is_open()) else { continue };
            let (seed, phase) = (scenario_seed(seed, scenario), feeds.len() as f64 / count as f64);
            feeds.push(Self {
                scenario: number,
                warmup: Arrivals::warmup(load, seed, phase).sliced(slice).peekable(),
                window: Arrivals::measured(load, seed, phase).sliced(slice).peekable(),
                length_ns: load.window_ns(),
                seed,
                beside,
            });
        }
        feeds
    }

    /// When the next iteration is due, nanoseconds since the load began; `None` if no more will come.
    fn peek(&mut self, window_ns: u64) -> Option<Iteration> {
        if let Some(arrival) = self.warmup.peek().filter(|arrival| arrival.at_ns < window_ns) {
            let (index, planned_ns) = (arrival.index, arrival.at_ns);
            return Some(Iteration { scenario: self.scenario, stage: 0, index, planned_ns, warmup: true });
        }
        let arrival = self.window.peek()?;
        let (index, stage, planned_ns) = (arrival.index, arrival.stage, window_ns + arrival.at_ns);
        Some(Iteration { scenario: self.scenario, stage, index, planned_ns, warmup: false })
    }

    /// The scenarios that begin an iteration at this arrival, in order.
    fn begin(&self, index: u64) -> impl Iterator<Item = usize> + use<> {
        let first = self.scenario;
        let (one, other) = match self.beside {
            None => (first, None),
            Some(Beside { pairing, step }) => {
                let arm = drawn(pairing, self.seed, index);
                let both = pairing == Pairing::Mirror;
                (first + arm * step, both.then_some(first + (1 - arm) * step))
            }
        };
        std::iter::once(one).chain(other)
    }

    fn take(&mut self, iteration: &Iteration) {
        if iteration.warmup {
            self.warmup.next()
        } else {
            self.window.next()
        };
    }
}

/// Starts every iteration that is due; returns when the next one is, or `None` if no more will come.
pub fn release_due<T: Transport + 'static>(
    local: &Rc<Local<T>>,
    feeds: &mut [Feed],
    now_ns: u64,
    window_ns: u64,
) -> Option<u64> {
    let mut next_ns = None;
    for feed in feeds {
        while let Some(iteration) = feed.peek(window_ns) {
            if iteration.planned_ns > now_ns {
                next_ns =
                    Some(next_ns.map_or(iteration.planned_ns, |next: u64| next.min(iteration.planned_ns)));
                break;
            }
            feed.take(&iteration);
            let too_late = !iteration.warmup && now_ns > window_ns + feed.length_ns + GRACE_NS;
            for scenario in feed.begin(iteration.index) {
                if too_late {
                    local.report.borrow_mut().unsent += 1;
                } else if local.is_full() {
                    local.report.borrow_mut().dropped += u64::from(!iteration.warmup);
                } else {
                    begin(local, Iteration { scenario, ..iteration });
                }
            }
        }
    }
    next_ns
}

fn begin<T: Transport + 'static>(local: &Rc<Local<T>>, iteration: Iteration) {
    let local = local.clone();
    local.open.set(local.open.get() + 1);
    tokio::task::spawn_local(async move {
        let _watch = PanicWatch(local.clone());
        local.iterate(&local.lane, iteration, None).await;
        local.open.set(local.open.get() - 1);
    });
}
