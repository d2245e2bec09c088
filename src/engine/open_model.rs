use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::arrival::Arrivals;
use super::event::Event;
use super::health;
use super::stop::{Interrupt, StopCause};
use super::warmup::SteadyState;
use super::worker::{Message, Report, Shared, UNDECIDED, work};
use crate::error::{Error, Result};
use crate::metrics::{BlockGrid, ErrorExample, GeneratorRecord, Histogram};
use crate::scenario::{Scenario, Warmup};
use crate::secrets::Secrets;
use crate::transport::{HttpTransport, TransportOptions};

/// Time between the decision that the window begins and its first arrival, so that every worker hears of it.
const NOTICE: Duration = Duration::from_millis(300);
const WARMUP_EXTENSION: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(250);

/// Everything one look needs. All scenarios have a load.
pub struct LoadRequest {
    pub scenarios: Vec<Scenario>,
    pub target: String,
    pub seed: u64,
    pub secrets: Secrets,
    pub transport: TransportOptions,
    pub workers: usize,
    pub in_flight_cap: usize,
    pub drain: Duration,
}

/// What a look tells beside its blocks.
pub struct LoadOutcome {
    pub stop: StopCause,
    pub warmup_ms: u64,
    pub window_ms: u64,
    /// What never settled, in words.
    pub unsteady: Option<String>,
    /// Send lag p99 of each endpoint that starts an iteration.
    pub lag_p99_us: Vec<Option<f64>>,
    pub generator: GeneratorRecord,
    pub instances: BTreeSet<String>,
    pub builds: BTreeSet<String>,
    pub examples: Vec<ErrorExample>,
}

/// Sends the load of one look. Closed blocks and progress go to `events` as they come.
///
/// # Errors
/// If a worker cannot be set up, or `events` fails.
pub async fn run_load(
    request: LoadRequest,
    interrupt: Interrupt,
    events: &mut dyn FnMut(Event) -> Result<()>,
) -> Result<LoadOutcome> {
    let plan = Plan::new(&request);
    // Setting up TLS takes its time; the clock starts after it.
    let transports: Vec<HttpTransport> =
        (0..request.workers).map(|_| HttpTransport::new(&request.transport)).collect::<Result<_>>()?;
    let mut window = WindowDecision::new(&request.scenarios);
    let (names, workers) = (plan.names, request.workers);
    let shared = Arc::new(Shared {
        endpoints: plan.endpoints,
        target: request.target,
        seed: request.seed,
        secrets: request.secrets,
        // Workers need a moment to be ready for the first arrival.
        start: Instant::now() + Duration::from_millis(50),
        window_ns: AtomicU64::new(window.fixed_ns().unwrap_or(UNDECIDED)),
        in_flight: AtomicUsize::new(0),
        in_flight_cap: request.in_flight_cap,
        drain: request.drain,
        scenarios: request.scenarios,
    });
    let (sender, mut messages) = mpsc::unbounded_channel();
    for (offset, transport) in (0u64..).zip(transports) {
        let arrivals =
            plan.arrivals.iter().map(|a| Arrivals { stride: workers as u64, offset, ..*a }).collect();
        let task = WorkerTask {
            shared: shared.clone(),
            transport,
            grids: plan.grids.clone(),
            arrivals,
            messages: sender.clone(),
            interrupt: interrupt.clone(),
        };
        task.spawn(offset)?;
    }
    drop(sender);

    let mut reports: Vec<Report> = Vec::new();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    while reports.len() < workers {
        tokio::select! {
            message = messages.recv() => match message {
                Some(Message::Closed(blocks)) => {
                    blocks.iter().filter(|b| b.warmup).for_each(|b| window.steady.add(b));
                    events(Event::Closed(blocks))?;
                }
                Some(Message::Finished(mut report)) => {
                    events(Event::Closed(std::mem::take(&mut report.blocks)))?;
                    reports.push(*report);
                }
                None => return Err(Error::harness("a load worker ended without a report")),
            },
            _ = tick.tick() => {
                window.decide(&shared, &names);
                let window_ns = shared.window_ns.load(Ordering::Relaxed);
                events(Event::Progress {
                    elapsed_ms: shared.start.elapsed().as_millis() as u64,
                    window_ms: (window_ns != UNDECIDED)
                        .then(|| (window_ns / 1_000_000, (window_ns + window.length_ns) / 1_000_000)),
                    in_flight: shared.in_flight.load(Ordering::Relaxed),
                })?;
            }
        }
    }
    let window_ns = shared.window_ns.load(Ordering::Relaxed);
    Ok(summarise(reports, names.len(), window_ns, window))
}

struct WorkerTask {
    shared: Arc<Shared>,
    transport: HttpTransport,
    grids: Vec<BlockGrid>,
    arrivals: Vec<Arrivals>,
    messages: mpsc::UnboundedSender<Message>,
    interrupt: Interrupt,
}

impl WorkerTask {
    fn spawn(self, number: u64) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::harness(format!("cannot start a load worker: {e}")))?;
        std::thread::Builder::new()
            .name(format!("load-{number}"))
            .spawn(move || {
                let local = tokio::task::LocalSet::new();
                let Self { shared, transport, grids, arrivals, messages, interrupt } = self;
                local.block_on(&runtime, work(shared, transport, grids, arrivals, messages, interrupt));
            })
            .map(drop)
            .map_err(|e| Error::harness(format!("cannot start a load worker: {e}")))
    }
}

/// The schedule and the endpoints of a look.
struct Plan {
    endpoints: Vec<Vec<Option<usize>>>,
    names: Vec<String>,
    grids: Vec<BlockGrid>,
    arrivals: Vec<Arrivals>,
}

impl Plan {
    fn new(request: &LoadRequest) -> Self {
        let mut plan =
            Self { endpoints: Vec::new(), names: Vec::new(), grids: Vec::new(), arrivals: Vec::new() };
        for (i, scenario) in request.scenarios.iter().enumerate() {
            let Some(load) = &scenario.load else { continue };
            let mut indices = vec![None; scenario.steps.len()];
            for (at, step) in scenario.load_steps() {
                indices[at] = Some(plan.names.len());
                plan.names.push(step.endpoint.clone());
                plan.grids.push(BlockGrid::new(load.rate.per_second(), load.window_ns));
            }
            plan.endpoints.push(indices);
            let phase_ns = load.rate.offset_ns(1) * i as u64 / request.scenarios.len() as u64;
            plan.arrivals.push(Arrivals { rate: load.rate, phase_ns, stride: 1, offset: 0 });
        }
        plan
    }
}

/// Decides where the measured window begins.
struct WindowDecision {
    steady: SteadyState,
    unsteady: Option<String>,
    /// Next look at the warm-up; `None` once the window is announced.
    next: Option<Duration>,
    fixed: bool,
    max: Duration,
    /// The longest scenario's window.
    length_ns: u64,
}

impl WindowDecision {
    fn new(scenarios: &[Scenario]) -> Self {
        let loads = || scenarios.iter().filter_map(|s| s.load.as_ref());
        let least_ns = loads().map(|load| load.warmup.least_ns()).max().unwrap_or(0);
        let max_ns = loads()
            .filter_map(|load| match load.warmup {
                Warmup::Auto { max_ns } => Some(max_ns),
                Warmup::Fixed { .. } => None,
            })
            .max();
        Self {
            steady: SteadyState::default(),
            unsteady: None,
            next: Some(Duration::from_nanos(least_ns)),
            fixed: max_ns.is_none(),
            max: Duration::from_nanos(max_ns.unwrap_or(least_ns).max(least_ns)),
            length_ns: loads().map(|load| load.window_ns).max().unwrap_or(0),
        }
    }

    /// Where the window begins, if no scenario leaves that to the run.
    fn fixed_ns(&mut self) -> Option<u64> {
        if !self.fixed {
            return None;
        }
        self.next.take().map(|length| length.as_nanos() as u64)
    }

    /// An automatic warm-up ends once it is steady, or at its longest.
    fn decide(&mut self, shared: &Shared, names: &[String]) {
        let elapsed = shared.start.elapsed();
        let Some(next) = self.next.filter(|next| elapsed >= *next) else { return };
        let moving = self.steady.unsteady(next.as_millis() as u64);
        if let Some((endpoint, before, after)) = moving {
            if next < self.max {
                self.next = Some((next + WARMUP_EXTENSION).min(self.max));
                return;
            }
            self.unsteady = Some(format!(
                "never reached a steady state: p50 of {} still moved from {before:.1} to {after:.1} ms after {:.0} s of warm-up",
                names[endpoint],
                next.as_secs_f64()
            ));
        }
        self.next = None;
        shared.window_ns.store((elapsed + NOTICE).as_nanos() as u64, Ordering::Relaxed);
    }
}

fn summarise(reports: Vec<Report>, endpoints: usize, window_ns: u64, window: WindowDecision) -> LoadOutcome {
    let mut lag = vec![Histogram::default(); endpoints];
    let mut outcome = LoadOutcome {
        stop: StopCause::Done,
        warmup_ms: if window_ns == UNDECIDED { 0 } else { window_ns / 1_000_000 },
        window_ms: window.length_ns / 1_000_000,
        unsteady: window.unsteady,
        lag_p99_us: Vec::new(),
        generator: GeneratorRecord { workers: reports.len(), ..GeneratorRecord::default() },
        instances: BTreeSet::new(),
        builds: BTreeSet::new(),
        examples: Vec::new(),
    };
    for report in reports {
        lag.iter_mut().zip(&report.lag).for_each(|(all, own)| all.merge(own));
        outcome.generator.dropped_arrivals += report.dropped;
        outcome.generator.local_failures += report.local_failures;
        outcome.generator.cpu_busy = health::larger(outcome.generator.cpu_busy, report.cpu_busy);
        outcome.instances.extend(report.instances);
        outcome.builds.extend(report.builds);
        outcome.examples.extend(report.examples);
        outcome.stop = health::graver(outcome.stop, report.stop);
    }
    outcome.examples = health::limited(std::mem::take(&mut outcome.examples));
    outcome.lag_p99_us = lag.iter().map(health::p99_us).collect();
    let mut all = Histogram::default();
    for own in &lag {
        all.merge(own);
    }
    outcome.generator.send_lag_p99_us = health::p99_us(&all);
    outcome
}
