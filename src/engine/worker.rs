use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::arms::ArmTarget;
use super::arrival::Slice;
use super::closed_model::start_users;
use super::layout::Layout;
use super::local::Local;
use super::open_model::{Feed, release_due};
use super::pacer::Pacer;
use super::recent::Piece;
use super::stop::{StopCause, StopSignal};
use super::values::Captured;
use crate::machine;
use crate::metrics::{AnsweredBy, Block, EndpointOwn, ErrorExample, Pairing, Recorder};
use crate::scenario::Scenario;
use crate::secrets::Secrets;
use crate::transport::Transport;

/// The window has no place yet: everything is warm-up.
pub const UNDECIDED: u64 = u64::MAX;

/// How often blocks are handed out: in the warm-up often, since where it ends depends on them; in the window no more often
/// than a crash may cost, since whoever takes them wants the core too.
const FLUSH_WARMUP: Duration = Duration::from_millis(250);
const FLUSH: Duration = Duration::from_secs(1);
/// Where they may end the load.
const FLUSH_WATCHED: Duration = Duration::from_millis(500);
/// An arrival that is due is under way by then.
const UNDER_WAY_NS: u64 = 50_000_000;

/// What all workers of a look share, read-only but for the atomics, which none touches on the way of a request but to
/// read where the window begins.
pub struct Shared {
    pub scenarios: Vec<Scenario>,
    /// What the `setup` of each captured.
    pub setup: Vec<Captured>,
    pub layout: Layout,
    /// The scenarios are those of the first, then those of the second.
    pub arms: Vec<ArmTarget>,
    pub pairing: Option<Pairing>,
    pub seed: u64,
    pub secrets: Secrets,
    pub start: Instant,
    /// Nanoseconds from the start to the measured window, or [`UNDECIDED`].
    pub window_ns: AtomicU64,
    /// Of the longest scenario.
    pub length_ns: u64,
    /// What of the load this process sends.
    pub slice: Slice,
    pub traced: bool,
    /// Requests in flight at each worker.
    pub in_flight: Vec<AtomicUsize>,
    /// For each worker.
    pub in_flight_cap: usize,
    /// Requests a second that all virtual users together may send.
    pub users_most_per_s: Option<f64>,
    pub drain: Duration,
}

impl Shared {
    pub fn slice_of(&self, worker: u64) -> Slice {
        self.slice.part(worker, self.in_flight.len() as u64)
    }

    /// Whose requests those of a scenario are.
    pub fn arm(&self, scenario: usize) -> usize {
        scenario * self.arms.len() / self.scenarios.len().max(1)
    }

    /// Which data rows virtual users take: where arms must not meet, every other one each.
    pub fn rows_of(&self, scenario: usize, share: Slice) -> Slice {
        match self.pairing {
            Some(Pairing::Split) => {
                Slice { index: 2 * share.index + self.arm(scenario) as u64, count: 2 * share.count }
            }
            Some(Pairing::Mirror) | None => share,
        }
    }

    pub fn watches(&self) -> bool {
        self.scenarios.iter().any(|scenario| !scenario.abort_when.is_empty())
    }
}

pub enum Message {
    Closed(Vec<Block>),
    /// A worker's blocks that end by so many nanoseconds since the load began have all been handed out.
    Settled(usize, u64),
    Recent(Vec<Piece>),
    Finished(Box<Report>),
}

/// Who answered on one arm, and what its errors looked like.
#[derive(Default)]
pub struct ArmReport {
    pub answered_by: AnsweredBy,
    pub examples: Vec<ErrorExample>,
}

/// A worker's last words.
#[derive(Default)]
pub struct Report {
    pub blocks: Vec<Block>,
    pub own: Vec<EndpointOwn>,
    pub dropped: u64,
    pub unsent: u64,
    pub held_back: u64,
    pub local_failures: u64,
    /// CPU share of the thread within the measured window.
    pub cpu_busy: Option<f64>,
    /// Of each arm.
    pub arms: [ArmReport; 2],
    /// By endpoint: how many bodies were taken apart, of how many.
    pub examined: BTreeMap<usize, (u64, u64)>,
    /// Whose words these are.
    pub worker: usize,
    pub stop: Option<StopCause>,
    /// When nothing more was sent, since the load began.
    pub ended_ns: u64,
}

/// The loop: releases each arrival when it is due, hands out closed blocks, stops in an orderly way.
pub async fn work<T: Transport + 'static>(
    shared: Arc<Shared>,
    transport: T,
    number: u64,
    messages: mpsc::UnboundedSender<Message>,
    mut stop: StopSignal,
) {
    let pacer = Pacer::new();
    let slice = shared.slice_of(number);
    let mut feeds = Feed::all(&shared.scenarios, shared.seed, slice, shared.pairing);
    let local = Rc::new(Local::new(shared.clone(), transport, number));
    // Before it there is no time to plan by.
    pacer.wait_until(shared.start).await;
    start_users(&local, slice);
    let mut next_flush = Instant::now() + FLUSH_WARMUP;
    let mut cpu_from: Option<(f64, Instant)> = None;
    let cause = loop {
        let (now_ns, window_ns) = (local.elapsed_ns(), local.window_ns());
        if cpu_from.is_none() && now_ns >= window_ns {
            cpu_from = Some((machine::thread_cpu_s(), Instant::now()));
        }
        let next_ns = release_due(&local, &mut feeds, now_ns, window_ns);
        if Instant::now() >= next_flush {
            next_flush += if now_ns < window_ns {
                FLUSH_WARMUP
            } else if shared.pairing.is_some() {
                FLUSH_WATCHED
            } else {
                FLUSH
            };
            flush(&local, number, &messages);
            local.adjust_samples();
        }
        if local.panicked.get() {
            // Without a report the run fails as a fault of loadgate.
            return;
        }
        if next_ns.is_none() && local.users.get() == 0 {
            break StopCause::Done;
        }
        // Users begin no iteration after the window; one that is under way is waited for while it is drained.
        if next_ns.is_none() && now_ns >= window_ns.saturating_add(shared.length_ns) {
            break StopCause::Done;
        }
        let wake = next_ns.map_or(next_flush, |ns| (shared.start + Duration::from_nanos(ns)).min(next_flush));
        tokio::select! {
            biased;
            cause = stop.wait() => break cause,
            () = local.users_ended.0.notified() => {}
            () = pacer.wait_until(wake) => {}
        }
    };
    let users_ended_ns = Some(local.users_ended.1.get()).filter(|ns| *ns > 0 && feeds.is_empty());
    let ended_ns = users_ended_ns.unwrap_or_else(|| local.elapsed_ns());
    if cause == StopCause::Done {
        local.report.borrow_mut().unsent += local.left.iter().filter_map(std::cell::Cell::get).sum::<u64>();
    }
    let cpu_busy = cpu_from
        .map(|(cpu_s, from)| (machine::thread_cpu_s() - cpu_s) / from.elapsed().as_secs_f64().max(1e-3));
    let cause = drain(&local, cause, number, &messages, &mut stop).await;
    let mut report = local.report.take();
    report.worker = number as usize;
    let recorder = local.recorder.replace(Recorder::new(Vec::new()));
    (report.blocks, report.own) = recorder.finish();
    (report.stop, report.cpu_busy, report.ended_ns) = (Some(cause), cpu_busy, ended_ns);
    // A closed channel means that the whole run is being torn down.
    let _ = messages.send(Message::Finished(Box::new(report)));
}

/// Waits for responses until the drain deadline, then cuts what is left; an interrupt cuts at once.
async fn drain<T: Transport + 'static>(
    local: &Rc<Local<T>>,
    cause: StopCause,
    number: u64,
    messages: &mpsc::UnboundedSender<Message>,
    stop: &mut StopSignal,
) -> StopCause {
    let mut cause = cause;
    local.stopping.set(cause != StopCause::Done);
    let deadline = Instant::now() + local.shared.drain;
    while cause != StopCause::Interrupt && local.in_flight() + local.open.get() > 0 {
        tokio::select! {
            other = stop.wait_graver(cause) => {
                cause = other;
                local.stopping.set(true);
            }
            () = tokio::time::sleep(Duration::from_millis(5)) => {}
        }
        flush(local, number, messages);
        if Instant::now() >= deadline {
            if cause == StopCause::Done {
                cause = StopCause::DrainDeadline;
            }
            break;
        }
    }
    local.cut();
    cause
}

fn flush<T: Transport>(local: &Local<T>, number: u64, messages: &mpsc::UnboundedSender<Message>) {
    local.shared.in_flight[number as usize].store(local.in_flight(), Ordering::Relaxed);
    let closed = local.recorder.borrow_mut().close_until(local.elapsed_ns(), local.window_ns());
    // Nobody listens only while all is being torn down.
    if !closed.is_empty() {
        let _ = messages.send(Message::Closed(closed));
    }
    if local.shared.pairing.is_some() {
        let begun_ns = local.elapsed_ns().saturating_sub(UNDER_WAY_NS);
        let settled_ns = local.oldest_flight_ns().map_or(begun_ns, |planned_ns| planned_ns.min(begun_ns));
        let _ = messages.send(Message::Settled(number as usize, settled_ns));
    }
    if let Some(recent) = &local.recent {
        let _ = messages.send(Message::Recent(recent.borrow_mut().drain()));
    }
}
