use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use super::arms::ArmTarget;
use super::arrival::Slice;
use super::event::Event;
use super::health;
use super::layout::Layout;
use super::recent::Watch;
use super::stop::{Interrupt, StopCause, StopSignal};
use super::values::Captured;
use super::window::WindowDecision;
use super::worker::{Message, Report, Shared, UNDECIDED, work};
use crate::error::{Error, Result};
use crate::metrics::{
    AbortRecord, AnsweredBy, EndpointOwn, ErrorExample, GeneratorRecord, Histogram, Pairing, PhaseHistograms,
    SlowRequest,
};
use crate::scenario::Scenario;
use crate::secrets::Secrets;
use crate::transport::{AnyTransport, Kind, TransportOptions};

/// From here until the first arrival.
pub const READY_WITHIN: Duration = Duration::from_millis(50);
const TICK: Duration = Duration::from_millis(500);
const ABORT_CHECK_NS: u64 = 1_000_000_000;

/// Everything one look needs. All scenarios have a load.
pub struct LoadRequest {
    pub scenarios: Vec<Scenario>,
    /// What the `setup` of each captured.
    pub setup: Vec<Captured>,
    /// One, or of a side-by-side load the control and the candidate; the scenarios are those of the one, then those of the other.
    pub arms: Vec<ArmTarget>,
    /// `None`: one arm.
    pub pairing: Option<Pairing>,
    pub seed: u64,
    pub secrets: Secrets,
    pub kind: Kind,
    pub transport: TransportOptions,
    /// What of the load this process sends.
    pub slice: Slice,
    /// Whether other processes send the rest of it.
    pub sharded: bool,
    /// When to begin, if not at once.
    pub begin: Option<Instant>,
    /// Whether each request carries a `traceparent` of its own.
    pub traced: bool,
    pub workers: usize,
    /// Requests in flight at once, all workers together.
    pub in_flight_cap: usize,
    /// Requests a second that all virtual users together may send, other processes' included.
    pub users_most_per_s: Option<f64>,
    pub drain: Duration,
}

/// What a look tells beside its blocks.
pub struct LoadOutcome {
    pub stop: StopCause,
    pub warmup_ms: u64,
    pub window_ms: u64,
    /// When the measured window began, if it did.
    pub window_began: Option<Instant>,
    /// What never settled, in words.
    pub unsteady: Option<String>,
    /// Whether steadiness was looked at.
    pub examined: bool,
    pub endpoints: Vec<EndpointOutcome>,
    pub generator: GeneratorRecord,
    /// How often a virtual user waited so as not to go above what all may send.
    pub held_back: u64,
    /// In the order of the request's.
    pub arms: Vec<ArmOutcome>,
}

impl LoadOutcome {
    /// Whether the measured window came to its end.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        matches!(self.stop, StopCause::Done | StopCause::DrainDeadline)
    }
}

/// What is known of one arm as a whole.
#[derive(Default)]
pub struct ArmOutcome {
    pub answered_by: AnsweredBy,
    pub examples: Vec<ErrorExample>,
    pub abort: Option<AbortRecord>,
}

/// What is known of an endpoint only at the end.
pub struct EndpointOutcome {
    /// Of an endpoint that starts an iteration.
    pub lag_p99_us: Option<f64>,
    pub phases: PhaseHistograms,
    pub slowest: Vec<SlowRequest>,
    /// How many bodies were taken apart by checks, of how many that ask for it.
    pub examined: (u64, u64),
}

/// Sends the load of one look. Closed blocks and progress go to `events` as they come, which may end it.
///
/// # Errors
/// If a worker cannot be set up, or `events` fails.
pub async fn run_load(
    request: LoadRequest,
    mut interrupt: Interrupt,
    events: &mut dyn FnMut(Event) -> Result<ControlFlow<()>>,
) -> Result<LoadOutcome> {
    let layout = Layout::new(&request.scenarios, request.seed, request.slice, request.pairing);
    // Setting up TLS takes its time; the clock starts after it.
    let transports: Vec<AnyTransport> = (0..request.workers)
        .map(|_| AnyTransport::new(request.kind, &request.transport))
        .collect::<Result<_>>()?;
    let mut window = WindowDecision::new(&request.scenarios, request.sharded);
    let longest_think_ns = request.scenarios.iter().map(Scenario::longest_think_ns).max().unwrap_or(0);
    let shared = Arc::new(Shared {
        layout,
        setup: request.setup,
        arms: request.arms,
        pairing: request.pairing,
        seed: request.seed,
        secrets: request.secrets,
        // Workers need a moment to be ready for the first arrival.
        start: (Instant::now() + READY_WITHIN).max(request.begin.unwrap_or_else(Instant::now)),
        window_ns: AtomicU64::new(window.fixed_ns().unwrap_or(UNDECIDED)),
        length_ns: window.length_ns,
        slice: request.slice,
        traced: request.traced,
        in_flight: (0..request.workers).map(|_| AtomicUsize::new(0)).collect(),
        in_flight_cap: request.in_flight_cap.div_ceil(request.workers),
        users_most_per_s: request.users_most_per_s,
        drain: request.drain + Duration::from_nanos(longest_think_ns),
        scenarios: request.scenarios,
    });
    let (stop, signal) = StopSignal::new();
    let (sender, mut messages) = mpsc::unbounded_channel();
    let mut threads = Vec::new();
    for (number, transport) in (0u64..).zip(transports) {
        threads.push(spawn(shared.clone(), transport, number, sender.clone(), signal.clone())?);
    }
    drop(sender);
    // What each worker has handed out whole.
    let mut settled = vec![0; shared.in_flight.len()];

    let mut reports: Vec<Report> = Vec::new();
    let mut guard = Guard::new(&shared);
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let heard: Result<()> = async {
        while reports.len() < shared.in_flight.len() {
            tokio::select! {
                message = messages.recv() => match message {
                    Some(Message::Closed(blocks)) => {
                        blocks.iter().filter(|b| b.warmup).for_each(|b| window.steady.add(b));
                        let _ = events(Event::Closed(blocks))?;
                    }
                    Some(Message::Settled(worker, until_ns)) => {
                        settled[worker] = until_ns;
                        let until_ns = settled.iter().min().copied().unwrap_or(0);
                        let window_ns = shared.window_ns.load(Ordering::Relaxed);
                        if let Some(window_ns) = until_ns.checked_sub(window_ns)
                            && events(Event::Settled { window_ms: window_ns / 1_000_000 })?.is_break()
                            && *stop.borrow() < StopCause::Abort
                        {
                            stop.send_replace(StopCause::Abort);
                        }
                    }
                    Some(Message::Recent(pieces)) => {
                        guard.watch.add(shared.start.elapsed().as_nanos() as u64, pieces, guard.longest_ns);
                    }
                    Some(Message::Finished(mut report)) => {
                        let _ = events(Event::Closed(std::mem::take(&mut report.blocks)))?;
                        settled[report.worker] = u64::MAX;
                        reports.push(*report);
                    }
                    None => return Err(Error::harness("a load worker ended without a report")),
                },
                () = interrupt.wait(), if *stop.borrow() != StopCause::Interrupt => {
                    stop.send_replace(StopCause::Interrupt);
                }
                _ = tick.tick() => {
                    window.decide(&shared);
                    guard.check(&shared, &stop);
                    let window_ns = shared.window_ns.load(Ordering::Relaxed);
                    let heard = events(Event::Progress {
                        elapsed_ms: shared.start.elapsed().as_millis() as u64,
                        window_ms: (window_ns != UNDECIDED)
                            .then(|| (window_ns / 1_000_000, (window_ns + window.length_ns) / 1_000_000)),
                        in_flight: shared.in_flight.iter().map(|own| own.load(Ordering::Relaxed)).sum(),
                    })?;
                    if heard.is_break() && *stop.borrow() < StopCause::Abort {
                        stop.send_replace(StopCause::Abort);
                    }
                }
            }
        }
        Ok(())
    }
    .await;
    if heard.is_err() {
        // Nobody would keep what is measured from now on.
        stop.send_replace(StopCause::Interrupt);
        while messages.recv().await.is_some() {}
    }
    // With a worker its connections end; only then are their descriptors free for the results.
    for thread in threads {
        thread.join().map_err(|_| Error::harness("a load worker panicked"))?;
    }
    heard?;
    Ok(summarise(reports, &shared, window, guard.aborts))
}

/// Of all workers.
fn slowest(all: Vec<(u64, u64, u128, bool)>) -> Vec<SlowRequest> {
    let told = |(took_ns, at_ns, trace, failed)| SlowRequest {
        trace_id: format!("{trace:032x}"),
        response_ms: took_ns as f64 / 1e6,
        at_ms: at_ns / 1_000_000,
        failed,
    };
    let mut all: Vec<SlowRequest> = all.into_iter().map(told).collect();
    SlowRequest::keep(&mut all);
    all
}

fn spawn(
    shared: Arc<Shared>,
    transport: AnyTransport,
    number: u64,
    messages: mpsc::UnboundedSender<Message>,
    stop: StopSignal,
) -> Result<JoinHandle<()>> {
    let fail = |e| Error::harness(format!("cannot start a load worker: {e}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(fail)?;
    std::thread::Builder::new()
        .name(format!("load-{number}"))
        .spawn(move || {
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, work(shared, transport, number, messages, stop));
            drop(local);
            // A resolver that waits for a name server must not be waited for.
            runtime.shutdown_background();
        })
        .map_err(fail)
}

/// Evaluates the `abort_when` rules.
struct Guard {
    watch: Watch,
    longest_ns: u64,
    next_ns: u64,
    /// Of each arm.
    aborts: [Option<AbortRecord>; 2],
}

impl Guard {
    fn new(shared: &Shared) -> Self {
        let rules = shared.scenarios.iter().flat_map(|scenario| &scenario.abort_when);
        let longest_ns = rules.map(|rule| rule.window_ns).max().unwrap_or(0);
        Self { watch: Watch::default(), longest_ns, next_ns: ABORT_CHECK_NS, aborts: [None, None] }
    }

    fn check(&mut self, shared: &Shared, stop: &watch::Sender<StopCause>) {
        let now_ns = shared.start.elapsed().as_nanos() as u64;
        let fired = self.aborts.iter().any(Option::is_some);
        if self.longest_ns == 0 || fired || now_ns < self.next_ns {
            return;
        }
        self.next_ns = now_ns + ABORT_CHECK_NS;
        for arm in 0..shared.arms.len() {
            let all = shared.layout.endpoints.iter().enumerate();
            self.aborts[arm] =
                all.filter(|(_, spec)| shared.arm(spec.scenario) == arm).find_map(|(i, spec)| {
                    let rules = &shared.scenarios[spec.scenario].abort_when;
                    rules.iter().find_map(|rule| self.watch.fires(rule, i, &spec.name, now_ns))
                });
        }
        if self.aborts.iter().any(Option::is_some) && *stop.borrow() < StopCause::Abort {
            stop.send_replace(StopCause::Abort);
        }
    }
}

fn summarise(
    reports: Vec<Report>,
    shared: &Shared,
    window: WindowDecision,
    aborts: [Option<AbortRecord>; 2],
) -> LoadOutcome {
    let window_ns = shared.window_ns.load(Ordering::Relaxed);
    let mut examined = vec![(0, 0); shared.layout.endpoints.len()];
    let mut own = vec![EndpointOwn::default(); shared.layout.endpoints.len()];
    let ended_ns = reports.iter().map(|report| report.ended_ns).max().unwrap_or(0);
    let stop = reports.iter().filter_map(|report| report.stop).max().unwrap_or(StopCause::Done);
    let mut loads = shared.scenarios.iter().filter_map(|scenario| scenario.load.as_ref());
    let ends_early = stop >= StopCause::Abort || loads.all(|load| load.stages[0].iterations.is_some());
    let measured_ns = if ends_early { ended_ns.saturating_sub(window_ns) } else { window.length_ns };
    let mut outcome = LoadOutcome {
        stop,
        warmup_ms: if window_ns == UNDECIDED { 0 } else { window_ns / 1_000_000 },
        window_began: (window_ns != UNDECIDED && ended_ns > window_ns)
            .then(|| shared.start + Duration::from_nanos(window_ns)),
        window_ms: measured_ns.min(window.length_ns).div_ceil(1_000_000),
        unsteady: window.unsteady,
        examined: window.examined,
        endpoints: Vec::new(),
        generator: GeneratorRecord { workers: reports.len(), ..GeneratorRecord::default() },
        held_back: 0,
        arms: Vec::new(),
    };
    let asked = shared.scenarios.iter().any(|scenario| scenario.identity.asks());
    let mut arms = aborts.map(|abort| ArmOutcome {
        abort,
        answered_by: AnsweredBy { asked, ..AnsweredBy::default() },
        examples: Vec::new(),
    });
    for report in reports {
        for (all, part) in own.iter_mut().zip(&report.own) {
            all.lag.merge(&part.lag);
            all.phases.merge(&part.phases);
            all.slowest.extend(part.slowest.iter().copied());
        }
        outcome.generator.dropped_arrivals += report.dropped;
        outcome.generator.unsent_arrivals += report.unsent;
        outcome.held_back += report.held_back;
        outcome.generator.local_failures += report.local_failures;
        outcome.generator.cpu_busy = health::larger(outcome.generator.cpu_busy, report.cpu_busy);
        for (all, own) in arms.iter_mut().zip(report.arms) {
            all.answered_by.instances.extend(own.answered_by.instances);
            all.answered_by.builds.extend(own.answered_by.builds);
            all.answered_by.cohorts.extend(own.answered_by.cohorts);
            all.examples.extend(own.examples);
        }
        for (endpoint, (looked, of)) in report.examined {
            examined[endpoint] = (examined[endpoint].0 + looked, examined[endpoint].1 + of);
        }
    }
    for arm in &mut arms {
        arm.examples = ErrorExample::limited(std::mem::take(&mut arm.examples));
    }
    outcome.arms = arms.into_iter().take(shared.arms.len()).collect();
    let mut all = Histogram::default();
    for endpoint in &own {
        all.merge(&endpoint.lag);
    }
    outcome.generator.send_lag_p99_us = health::p99_us(&all);
    outcome.endpoints = own
        .into_iter()
        .zip(examined)
        .map(|(endpoint, examined)| EndpointOutcome {
            lag_p99_us: health::p99_us(&endpoint.lag),
            phases: endpoint.phases,
            slowest: slowest(endpoint.slowest),
            examined,
        })
        .collect();
    outcome
}
