use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, watch};

use super::command;
use super::json::Endpoint;
use super::prometheus::{Point, Prometheus};
use super::reading::{Figure, Problem, Taken, Whose};
use crate::error::{Error, Result};
use crate::machine;
use crate::remote::Remote;
use crate::scenario::{CallSource, ProbeCall};

/// After a failure that may pass, within the same turn.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// A series is whole where no gap is longer than so many of its steps, or of the usual gap between its samples.
const WHOLE_STEPS: f64 = 1.5;

/// One probe, ready to be asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub whose: Whose,
    pub call: ProbeCall,
}

/// Asks all probes, each in its turn, on a thread that only runs while no other wants to.
pub struct Prober {
    taken: mpsc::UnboundedReceiver<Taken>,
    stop: watch::Sender<Stop>,
    asks_whole: bool,
}

#[derive(Clone, Copy, Debug)]
enum Stop {
    No,
    /// What is asked as a whole is of this stretch of time; where there is none, it is not asked.
    Ended(Option<(Instant, Instant)>),
}

impl Prober {
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(remote: Remote, asked: Vec<Asked>) -> Result<Self> {
        let (sender, taken) = mpsc::unbounded_channel();
        let (stop, signal) = watch::channel(Stop::No);
        let asks_whole = asked.iter().any(|one| one.call.is_whole());
        let fail = |e| Error::harness(format!("cannot start the thread of probes: {e}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(fail)?;
        // It ends by itself once it is told to, at the latest after a timeout of what it asks; nothing waits for it.
        let thread = std::thread::Builder::new().name("probes".into()).spawn(move || {
            machine::yield_to_others();
            let local = tokio::task::LocalSet::new();
            for one in asked {
                let (remote, sender, signal) = (remote.clone(), sender.clone(), signal.clone());
                local.spawn_local(async move {
                    if one.call.is_whole() {
                        ask_whole(&remote, &one, &sender, signal).await;
                    } else {
                        ask_in_turns(&remote, &one, &sender, signal).await;
                    }
                });
            }
            drop(sender);
            runtime.block_on(local);
        });
        thread.map_err(fail)?;
        Ok(Self { taken, stop, asks_whole })
    }

    pub fn asks_whole(&self) -> bool {
        self.asks_whole
    }

    /// What came since it was last asked.
    pub fn drain(&mut self) -> Vec<Taken> {
        std::iter::from_fn(|| self.taken.try_recv().ok()).collect()
    }

    /// The last turn, and what is asked of the measured window as a whole. Where there is none, because the load was cut short,
    /// nothing more is asked; a signal ends the waiting, not what is still asked: nobody listens to that any more.
    pub async fn finish(
        mut self,
        window: Option<(Instant, Instant)>,
        signal: impl Future<Output = ()>,
    ) -> Vec<Taken> {
        let mut signal = std::pin::pin!(signal);
        self.stop.send_replace(Stop::Ended(window));
        let mut all = self.drain();
        if window.is_none() {
            return all;
        }
        loop {
            tokio::select! {
                one = self.taken.recv() => match one {
                    Some(one) => all.push(one),
                    None => return all,
                },
                () = &mut signal => {
                    self.stop.send_replace(Stop::Ended(None));
                    return all;
                }
            }
        }
    }
}

/// What cannot be read now, each with its reason.
pub async fn examine(remote: &Remote, asked: &[Asked]) -> Vec<(Whose, Problem)> {
    let problems = asked.iter().map(|one| async move {
        let now = Instant::now();
        let problem = if one.call.is_whole() {
            let from = now.checked_sub(Duration::from_secs(10)).unwrap_or(now);
            read_whole(remote, &one.call, (from, now)).await.err()
        } else {
            read(remote, &one.call).await.err()
        };
        problem.map(|problem| (one.whose, problem))
    });
    futures_util::future::join_all(problems).await.into_iter().flatten().collect()
}

async fn ask_in_turns(
    remote: &Remote,
    asked: &Asked,
    sender: &mpsc::UnboundedSender<Taken>,
    mut signal: watch::Receiver<Stop>,
) {
    let mut turns = tokio::time::interval(Duration::from_nanos(asked.call.every_ns));
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        let mut ended = tokio::select! {
            _ = turns.tick() => false,
            // Whoever would have sent it is gone: then nobody listens either.
            _ = signal.wait_for(|stop| matches!(stop, Stop::Ended(_))) => true,
        };
        if matches!(*signal.borrow(), Stop::Ended(None)) {
            return;
        }
        let mut at = Instant::now();
        let mut figure = read(remote, &asked.call).await;
        ended |= matches!(*signal.borrow(), Stop::Ended(_));
        if figure.as_ref().is_err_and(|problem| !problem.lasting) && !ended {
            tokio::time::sleep(AGAIN_AFTER).await;
            at = Instant::now();
            figure = read(remote, &asked.call).await;
        }
        if sender.send(Taken { whose: asked.whose, at, figure }).is_err() || ended {
            return;
        }
    }
}

async fn ask_whole(
    remote: &Remote,
    asked: &Asked,
    sender: &mpsc::UnboundedSender<Taken>,
    mut signal: watch::Receiver<Stop>,
) {
    let ended = signal.wait_for(|stop| matches!(stop, Stop::Ended(_))).await.map(|stop| *stop);
    let Ok(Stop::Ended(Some(window))) = ended else { return };
    let CallSource::Prometheus { late_ns: Some(late_ns), .. } = &asked.call.source else { return };
    let until = window.1 + Duration::from_nanos(*late_ns);
    let step = Duration::from_nanos(asked.call.every_ns);
    loop {
        let read = read_whole(remote, &asked.call, window).await;
        let whole = read.as_ref().is_ok_and(|figures| is_whole(figures, window, step));
        let lasting = read.as_ref().is_err_and(|problem| problem.lasting);
        let wanted = !matches!(*signal.borrow(), Stop::Ended(None)) && !sender.is_closed();
        if !whole && !lasting && wanted && Instant::now() + step < until {
            tokio::time::sleep(step).await;
            continue;
        }
        let taken = |(at, figure)| Taken { whose: asked.whose, at, figure };
        let all: Vec<Taken> = match read {
            Ok(figures) => figures.into_iter().map(|(at, figure)| taken((at, Ok(figure)))).collect(),
            Err(problem) => vec![taken((window.1, Err(problem)))],
        };
        // As above.
        all.into_iter().all(|one| sender.send(one).is_ok());
        return;
    }
}

fn is_whole(figures: &[(Instant, Figure)], (from, to): (Instant, Instant), step: Duration) -> bool {
    let mut gaps: Vec<Duration> = figures.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    gaps.sort_unstable();
    let usual = gaps.get(gaps.len() / 2).copied().unwrap_or(step).max(step);
    let mut last = from;
    for at in figures.iter().map(|(at, _)| *at).chain([to]) {
        if at.saturating_duration_since(last) > usual.mul_f64(WHOLE_STEPS) {
            return false;
        }
        last = at;
    }
    !figures.is_empty()
}

async fn read(remote: &Remote, call: &ProbeCall) -> std::result::Result<Figure, Problem> {
    let timeout = Duration::from_nanos(call.timeout_ns);
    let max_age = Duration::from_nanos(call.max_age_ns);
    match &call.source {
        CallSource::Prometheus { base, query, of, .. } => {
            let prometheus = Prometheus { remote, base, headers: &call.headers, timeout, max_age };
            prometheus.instant(query, of.as_deref()).await
        }
        CallSource::Json { url, value, of, at } => {
            let endpoint = Endpoint { remote, url, headers: &call.headers, timeout, max_age };
            endpoint.read(value, of.as_ref(), at.as_ref()).await
        }
        CallSource::Command { program, arguments, variables } => {
            command::read(program, arguments, variables, timeout).await
        }
    }
}

async fn read_whole(
    remote: &Remote,
    call: &ProbeCall,
    (from, to): (Instant, Instant),
) -> std::result::Result<Vec<(Instant, Figure)>, Problem> {
    let CallSource::Prometheus { base, query, of, .. } = &call.source else {
        return Err(Problem::lasting("only Prometheus keeps series"));
    };
    let (from_s, to_s) = (unix_s(from), unix_s(to));
    let step_s = call.every_ns as f64 / 1e9;
    let prometheus = Prometheus {
        remote,
        base,
        headers: &call.headers,
        timeout: Duration::from_nanos(call.timeout_ns),
        max_age: Duration::from_nanos(call.max_age_ns),
    };
    let values = prometheus.range(query, from_s, to_s, step_s).await?;
    let totals = match of {
        Some(of) => prometheus.range(of, from_s, to_s, step_s).await?,
        None => Vec::new(),
    };
    let beside = |at: &Point| totals.iter().find(|other| (other.at_s - at.at_s).abs() < step_s / 2.0);
    let figures = values.iter().filter_map(|one| {
        let of = beside(one).map(|other| other.value);
        let since_s = (one.at_s - from_s).max(0.0);
        (totals.is_empty() == of.is_none())
            .then(|| (from + Duration::from_secs_f64(since_s), Figure { value: one.value, of, age: None }))
    });
    Ok(figures.collect())
}

/// By this machine's clock.
fn unix_s(at: Instant) -> f64 {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    now_s - at.elapsed().as_secs_f64()
}
