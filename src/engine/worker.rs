use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use super::arrival::Arrivals;
use super::iteration::{Values, perform};
use super::pacer::Pacer;
use super::stop::{Interrupt, StopCause};
use crate::machine;
use crate::metrics::{Block, BlockGrid, ErrorExample, Histogram, Outcome, Recorder, Sample};
use crate::scenario::Scenario;
use crate::secrets::Secrets;
use crate::transport::Transport;

/// The window has no place yet: everything is warm-up.
pub const UNDECIDED: u64 = u64::MAX;

const FLUSH: Duration = Duration::from_millis(250);
const EXAMPLES_A_CLASS: usize = 20;
const IDENTITIES: usize = 64;

/// What all workers of a look share, read-only but for two atomics.
pub struct Shared {
    pub scenarios: Vec<Scenario>,
    /// For each scenario and step, the endpoint's index, if the step runs under load.
    pub endpoints: Vec<Vec<Option<usize>>>,
    pub target: String,
    pub seed: u64,
    pub secrets: Secrets,
    pub start: Instant,
    /// Nanoseconds from the start to the measured window, or [`UNDECIDED`].
    pub window_ns: AtomicU64,
    pub in_flight: AtomicUsize,
    pub in_flight_cap: usize,
    pub drain: Duration,
}

pub enum Message {
    Closed(Vec<Block>),
    Finished(Box<Report>),
}

/// A worker's last words.
#[derive(Default)]
pub struct Report {
    pub blocks: Vec<Block>,
    /// Send lags of each endpoint's arrivals.
    pub lag: Vec<Histogram>,
    pub dropped: u64,
    pub local_failures: u64,
    /// CPU share of the thread within the measured window.
    pub cpu_busy: Option<f64>,
    pub instances: BTreeSet<String>,
    pub builds: BTreeSet<String>,
    pub examples: Vec<ErrorExample>,
    pub stop: Option<StopCause>,
}

/// What the iterations of one worker share.
struct Local<T> {
    shared: Arc<Shared>,
    transport: T,
    recorder: RefCell<Recorder>,
    report: RefCell<Report>,
    in_flight: Cell<usize>,
    cut: watch::Receiver<bool>,
}

/// The loop: releases each arrival when it is due, hands out closed blocks, stops in an orderly way.
pub async fn work<T: Transport + 'static>(
    shared: Arc<Shared>,
    transport: T,
    grids: Vec<BlockGrid>,
    mut arrivals: Vec<Arrivals>,
    messages: mpsc::UnboundedSender<Message>,
    mut interrupt: Interrupt,
) {
    let pacer = Pacer::new();
    let (cut_sender, cut) = watch::channel(false);
    let local = Rc::new(Local {
        shared: shared.clone(),
        transport,
        recorder: RefCell::new(Recorder::new(grids)),
        report: RefCell::default(),
        in_flight: Cell::new(0),
        cut,
    });
    let mut taken = vec![0u64; arrivals.len()];
    let mut next_flush = Instant::now() + FLUSH;
    let mut cpu_from: Option<(f64, Instant)> = None;
    let cause = loop {
        let now_ns = elapsed_ns(&shared);
        let window_ns = shared.window_ns.load(Ordering::Relaxed);
        if cpu_from.is_none() && now_ns >= window_ns {
            cpu_from = Some((machine::thread_cpu_s(), Instant::now()));
        }
        let next_ns = release_due(&local, &mut arrivals, &mut taken, now_ns, window_ns);
        if Instant::now() >= next_flush {
            next_flush += FLUSH;
            flush(&local, &messages);
        }
        let Some(next_ns) = next_ns else { break StopCause::Done };
        let wake = (shared.start + Duration::from_nanos(next_ns)).min(next_flush);
        tokio::select! {
            biased;
            () = interrupt.wait() => break StopCause::Interrupt,
            () = pacer.wait_until(wake) => {}
        }
    };
    let cause = drain(&local, cause, &cut_sender, &messages, &mut interrupt).await;
    let mut report = local.report.take();
    let recorder = local.recorder.replace(Recorder::new(Vec::new()));
    (report.blocks, report.lag) = recorder.finish();
    report.stop = Some(cause);
    report.cpu_busy = cpu_from
        .map(|(cpu_s, from)| (machine::thread_cpu_s() - cpu_s) / from.elapsed().as_secs_f64().max(1e-3));
    // A closed channel means that the whole run is being torn down.
    let _ = messages.send(Message::Finished(Box::new(report)));
}

/// Waits for responses until the drain deadline, then cuts what is left; an interrupt cuts at once.
async fn drain<T: Transport + 'static>(
    local: &Rc<Local<T>>,
    cause: StopCause,
    cut: &watch::Sender<bool>,
    messages: &mpsc::UnboundedSender<Message>,
    interrupt: &mut Interrupt,
) -> StopCause {
    let mut cause = cause;
    let deadline = Instant::now() + local.shared.drain;
    while cause == StopCause::Done && local.in_flight.get() > 0 {
        tokio::select! {
            () = interrupt.wait() => cause = StopCause::Interrupt,
            () = tokio::time::sleep(Duration::from_millis(5)) => {}
        }
        if Instant::now() >= deadline && cause == StopCause::Done {
            cause = StopCause::DrainDeadline;
        }
        flush(local, messages);
    }
    cut.send_replace(true);
    while local.in_flight.get() > 0 {
        tokio::task::yield_now().await;
    }
    cause
}

fn elapsed_ns(shared: &Shared) -> u64 {
    shared.start.elapsed().as_nanos() as u64
}

fn flush<T>(local: &Local<T>, messages: &mpsc::UnboundedSender<Message>) {
    let window_ns = local.shared.window_ns.load(Ordering::Relaxed);
    let closed = local.recorder.borrow_mut().close_until(elapsed_ns(&local.shared), window_ns);
    if !closed.is_empty() {
        // As above: nobody listens only while all is being torn down.
        let _ = messages.send(Message::Closed(closed));
    }
}

/// Starts every iteration that is due; returns when the next one is, or `None` if no more will come.
fn release_due<T: Transport + 'static>(
    local: &Rc<Local<T>>,
    arrivals: &mut [Arrivals],
    taken: &mut [u64],
    now_ns: u64,
    window_ns: u64,
) -> Option<u64> {
    let shared = &local.shared;
    let mut next_ns = None;
    for (scenario, schedule) in arrivals.iter().enumerate() {
        let length_ns = shared.scenarios[scenario].load.as_ref().map_or(0, |load| load.window_ns);
        let end_ns = window_ns.saturating_add(length_ns);
        loop {
            let (index, planned_ns) = schedule.nth(taken[scenario]);
            if planned_ns >= end_ns {
                break;
            }
            if planned_ns > now_ns {
                next_ns = Some(next_ns.map_or(planned_ns, |next: u64| next.min(planned_ns)));
                break;
            }
            taken[scenario] += 1;
            let warmup = planned_ns < window_ns;
            if shared.in_flight.load(Ordering::Relaxed) >= shared.in_flight_cap {
                local.report.borrow_mut().dropped += u64::from(!warmup);
                continue;
            }
            local.in_flight.set(local.in_flight.get() + 1);
            shared.in_flight.fetch_add(1, Ordering::Relaxed);
            tokio::task::spawn_local(iterate(local.clone(), scenario, index, planned_ns, warmup));
        }
    }
    next_ns
}

async fn iterate<T: Transport + 'static>(
    local: Rc<Local<T>>,
    scenario: usize,
    index: u64,
    planned_ns: u64,
    warmup: bool,
) {
    let shared = local.shared.clone();
    let plan = &shared.scenarios[scenario];
    let mut values = Values::new(plan, |source| source.row(shared.seed, index));
    let mut cut = local.cut.clone();
    let mut planned_ns = planned_ns;
    let mut first = true;
    let mut ended = false;
    for (step, endpoint) in plan.steps.iter().zip(&shared.endpoints[scenario]) {
        let Some(endpoint) = *endpoint else { continue };
        let window_ns = shared.window_ns.load(Ordering::Relaxed);
        if ended {
            local.recorder.borrow_mut().skipped(endpoint, planned_ns, warmup, window_ns);
            continue;
        }
        local.recorder.borrow_mut().started(endpoint, planned_ns, warmup, window_ns);
        let asked = Instant::now();
        let result = tokio::select! {
            result = perform(&local.transport, &shared.target, step, &mut values) => Some(result),
            _ = cut.wait_for(|cut| *cut) => None,
        };
        let since_start =
            |instant: Instant| instant.saturating_duration_since(shared.start).as_nanos() as u64;
        let (sent_ns, done_ns, outcome) = match &result {
            None => (since_start(asked), elapsed_ns(&shared), Outcome::Cut),
            Some(result) => {
                let outcome =
                    result.failure.as_ref().map_or(Outcome::Ok, |failure| Outcome::Failed(failure.class));
                (since_start(result.sent), since_start(result.done), outcome)
            }
        };
        let sample = Sample { endpoint, planned_ns, sent_ns, done_ns, outcome, warmup };
        let mut recorder = local.recorder.borrow_mut();
        recorder.finished(&sample, window_ns);
        if first && !warmup {
            recorder.lag(endpoint, sent_ns.saturating_sub(planned_ns));
        }
        drop(recorder);
        if let Some(result) = result {
            local.note(plan, step.endpoint.as_str(), &result);
        }
        first = false;
        ended = outcome != Outcome::Ok;
        planned_ns = done_ns;
    }
    shared.in_flight.fetch_sub(1, Ordering::Relaxed);
    local.in_flight.set(local.in_flight.get() - 1);
}

impl<T> Local<T> {
    /// Who answered, and what an error looked like.
    fn note(&self, plan: &Scenario, endpoint: &str, result: &super::iteration::StepResult) {
        let mut report = self.report.borrow_mut();
        report.local_failures += u64::from(result.local);
        if let Some(headers) = &result.headers {
            let told = |name: &Option<http::HeaderName>| headers.get(name.as_ref()?)?.to_str().ok();
            remember(&mut report.instances, told(&plan.identity.instance));
            remember(&mut report.builds, told(&plan.identity.build));
        }
        if let Some(failure) = &result.failure
            && report.examples.iter().filter(|e| e.class == failure.class).count() < EXAMPLES_A_CLASS
        {
            let message = self.shared.secrets.scrub_brief(&failure.message);
            report.examples.push(ErrorExample {
                endpoint: endpoint.to_owned(),
                class: failure.class,
                message,
            });
        }
    }
}

fn remember(known: &mut BTreeSet<String>, told: Option<&str>) {
    if let Some(told) = told
        && !known.contains(told)
        && known.len() < IDENTITIES
    {
        known.insert(told.to_owned());
    }
}
