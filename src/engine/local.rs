use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::arrival::Slice;
use super::closed_model::{Ceiling, Users};
use super::examine::now_unix_ms;
use super::functional::log_in;
use super::iteration::{Ask, Prepared, StepResult, Way, perform, token_for};
use super::layout::scenario_seed;
use super::recent::Recent;
use super::sampling::Sampler;
use super::session::Session;
use super::values::Values;
use super::worker::{Report, Shared};
use crate::logging::{Level, log};
use crate::metrics::{Outcome, Recorder, Sample};
use crate::random::pick;
use crate::scenario::{Act, Scenario, SessionScope};
use crate::transport::{Lane, Transport};

/// tokio's timer goes by milliseconds, and rounds up.
const TIMER_GRAIN_NS: u64 = 2_000_000;
/// What looking up a token that is there may take.
const TOKEN_AT_HAND_NS: u64 = 50_000;
const AFTER_LOCAL_FAILURE: Duration = Duration::from_millis(100);

/// What the iterations of one worker share; nothing of it is seen by another thread.
pub struct Local<T> {
    pub shared: Arc<Shared>,
    pub transport: T,
    /// The open model's connections.
    pub lane: Lane,
    pub recorder: RefCell<Recorder>,
    pub report: RefCell<Report>,
    /// What an `abort_when` rule looks at; kept only where there is one.
    pub recent: Option<RefCell<Recent>>,
    /// Virtual users that have not ended.
    pub users: Cell<usize>,
    pub ceiling: Ceiling,
    /// Iterations that virtual users may still begin, by scenario, where their number is limited.
    pub left: Vec<Cell<Option<u64>>>,
    /// Where the next iteration of a scenario's virtual users takes its index from, and in which steps.
    pub next_index: Vec<Cell<Slice>>,
    /// Iterations of the open model that are under way.
    pub open: Cell<usize>,
    /// Nothing new may be begun.
    pub stopping: Cell<bool>,
    /// An iteration panicked: nothing here can be trusted.
    pub panicked: Cell<bool>,
    /// Told when the last virtual user has ended, and when that was.
    pub users_ended: (Notify, Cell<u64>),
    in_flight: RefCell<Flights>,
    prepared: Vec<Vec<Prepared>>,
    /// By scenario: how much its checks may cost, and the sessions that no iteration holds.
    samplers: Vec<Sampler>,
    sessions: Vec<RefCell<Vec<Rc<Session>>>>,
    seeds: Vec<u64>,
    /// What an iteration does, where every one does the same.
    fixed_acts: Vec<Option<Vec<Act>>>,
}

/// One pass through a scenario's steps.
#[derive(Clone, Copy, Debug)]
pub struct Iteration {
    pub scenario: usize,
    /// Of the measured window.
    pub stage: usize,
    pub index: u64,
    /// Nanoseconds since the load began.
    pub planned_ns: u64,
    pub warmup: bool,
}

/// A request that waits for its response.
#[derive(Clone, Copy)]
struct Flight {
    endpoint: usize,
    planned_ns: u64,
    sent_ns: u64,
    warmup: bool,
}

/// Requests in flight, so that they can be cut without each one listening for that.
#[derive(Default)]
struct Flights {
    slots: Vec<Option<Flight>>,
    free: Vec<usize>,
}

impl Flights {
    fn insert(&mut self, flight: Flight) -> usize {
        if let Some(slot) = self.free.pop() {
            self.slots[slot] = Some(flight);
            return slot;
        }
        self.slots.push(Some(flight));
        self.slots.len() - 1
    }

    fn remove(&mut self, slot: usize) {
        self.slots[slot] = None;
        self.free.push(slot);
    }

    fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

impl<T: Transport> Local<T> {
    pub fn new(shared: Arc<Shared>, transport: T, number: u64) -> Self {
        let target = |number: usize| &shared.arms[shared.arm(number)].url;
        let prepare = |(number, scenario): (usize, &Scenario)| {
            scenario.steps.iter().map(|step| Prepared::new(scenario, step, target(number))).collect()
        };
        let slice = shared.slice_of(number);
        // There may be fewer users than workers: those that have one share all iterations among them.
        let share = |scenario: &Scenario| {
            let most = scenario.load.as_ref().map_or(0, |load| u64::from(Users { plan: load }.most()));
            Slice { index: slice.index, count: slice.count.min(most.max(1)) }
        };
        let users = shared.scenarios.iter().filter_map(|scenario| scenario.load.as_ref());
        let most = users.map(|load| u64::from(Users { plan: load }.most())).max().unwrap_or(0);
        let ceiling = Ceiling::new(shared.users_most_per_s, slice.count.min(most.max(1)));
        let shares: Vec<Slice> = shared.scenarios.iter().map(share).collect();
        let limited = |scenario: &Scenario, share: &Slice| {
            let limit = scenario.load.as_ref()?.stages[0].iterations?;
            Some(if share.index < share.count { share.of(limit).count() as u64 } else { 0 })
        };
        Self {
            transport,
            lane: Lane::shared(),
            recorder: RefCell::new(Recorder::new(shared.layout.endpoints.iter().map(|e| e.grid).collect())),
            report: RefCell::default(),
            recent: shared.watches().then(|| RefCell::new(Recent::new(shared.layout.endpoints.len()))),
            users: Cell::new(0),
            ceiling,
            left: shared
                .scenarios
                .iter()
                .zip(&shares)
                .map(|(s, share)| Cell::new(limited(s, share)))
                .collect(),
            next_index: shares
                .into_iter()
                .enumerate()
                .map(|(number, share)| Cell::new(shared.rows_of(number, share)))
                .collect(),
            open: Cell::new(0),
            stopping: Cell::new(false),
            panicked: Cell::new(false),
            users_ended: (Notify::new(), Cell::new(0)),
            in_flight: RefCell::default(),
            prepared: shared.scenarios.iter().enumerate().map(prepare).collect(),
            samplers: shared.scenarios[..shared.scenarios.len() / shared.arms.len()]
                .iter()
                .map(|s| Sampler::new(s.check_sample))
                .collect(),
            sessions: shared.scenarios.iter().map(|_| RefCell::default()).collect(),
            seeds: shared.scenarios.iter().map(|s| scenario_seed(shared.seed, s)).collect(),
            fixed_acts: shared.scenarios.iter().map(|s| s.is_fixed().then(|| s.acts(0, 0))).collect(),
            shared,
        }
    }

    pub fn elapsed_ns(&self) -> u64 {
        self.shared.start.elapsed().as_nanos() as u64
    }

    pub fn since_start_ns(&self, instant: Instant) -> u64 {
        instant.saturating_duration_since(self.shared.start).as_nanos() as u64
    }

    pub fn window_ns(&self) -> u64 {
        self.shared.window_ns.load(Ordering::Relaxed)
    }

    /// When the oldest request that waits was planned.
    pub fn oldest_flight_ns(&self) -> Option<u64> {
        self.in_flight.borrow().slots.iter().flatten().map(|flight| flight.planned_ns).min()
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight.borrow().len()
    }

    /// Counts iterations from when they are begun: a flood of them must not hide behind those that have not sent yet.
    pub fn is_full(&self) -> bool {
        self.open.get() >= self.shared.in_flight_cap
    }

    /// Adjusts how many responses are taken apart.
    pub fn adjust_samples(&self) {
        let now = Instant::now();
        self.samplers.iter().for_each(|sampler| sampler.adjust(now));
    }

    /// The session of an iteration: a virtual user's own, or one as the scenario says.
    fn session(&self, scenario: usize, own: Option<&Rc<Session>>) -> Rc<Session> {
        let scope = self.shared.scenarios[scenario].session;
        let mut idle = self.sessions[scenario].borrow_mut();
        match (scope, own) {
            // Where nothing is ever kept, one will do for all.
            (SessionScope::Iteration, _) if self.prepared[scenario].iter().any(|p| p.cookies) => {
                Rc::default()
            }
            (SessionScope::User, Some(own)) => own.clone(),
            (SessionScope::User, None) => idle.pop().unwrap_or_default(),
            (SessionScope::Iteration | SessionScope::Shared, _) => {
                if idle.is_empty() {
                    idle.push(Rc::default());
                }
                idle[0].clone()
            }
        }
    }

    /// Takes one iteration through its steps, as `own` if a virtual user keeps a session.
    pub async fn iterate(&self, lane: &Lane, iteration: Iteration, own: Option<&Rc<Session>>) {
        let session = self.session(iteration.scenario, own);
        self.go_through(lane, iteration, &session).await;
        if own.is_none() && self.shared.scenarios[iteration.scenario].session == SessionScope::User {
            self.sessions[iteration.scenario].borrow_mut().push(session);
        }
    }

    async fn go_through(&self, lane: &Lane, iteration: Iteration, session: &Session) {
        let Iteration { scenario, stage, index, mut planned_ns, warmup } = iteration;
        let shared = &*self.shared;
        let plan = &shared.scenarios[scenario];
        let seed = self.seeds[scenario];
        let acts = match &self.fixed_acts[scenario] {
            Some(acts) => Cow::Borrowed(acts.as_slice()),
            None => Cow::Owned(plan.acts(seed, index)),
        };
        let mut values =
            Values::new(plan, |source| source.row(seed, index), pick(seed, index), &shared.setup[scenario]);
        let arm = &shared.arms[shared.arm(scenario)];
        let way = Way {
            transport: &self.transport,
            lane,
            target: &arm.url,
            scenario: plan,
            session,
            tokens: &arm.tokens,
            // Both arms are looked at alike.
            sampler: Some(&self.samplers[scenario % self.samplers.len()]),
            traced: shared.traced,
            trace: None,
        };
        let mut refused = None;
        if plan.logs_in() {
            let before_ns = self.elapsed_ns();
            // Boxed: most iterations find their session logged in.
            refused = Box::pin(log_in(&way, &mut values)).await.err();
            // A login is nobody's response time.
            planned_ns += self.elapsed_ns() - before_ns;
        }
        let (mut first, mut ended) =
            (plan.load.as_ref().is_some_and(crate::scenario::LoadPlan::is_open), false);
        for act in acts.iter() {
            if self.stopping.get() {
                return;
            }
            let step = match act {
                Act::Step(step) => *step,
                Act::Think { ns } if !ended => {
                    // From the planned instant on: what is late stays late, but for what is the timer's own grain.
                    planned_ns += ns;
                    tokio::time::sleep_until((shared.start + Duration::from_nanos(planned_ns)).into()).await;
                    let now_ns = self.elapsed_ns();
                    if now_ns < planned_ns + TIMER_GRAIN_NS {
                        planned_ns = planned_ns.max(now_ns);
                    }
                    continue;
                }
                Act::Think { .. } => continue,
                Act::Finally => {
                    ended = false;
                    continue;
                }
            };
            let Some(endpoint) = shared.layout.endpoint(scenario, stage, step) else { continue };
            let window_ns = self.window_ns();
            let spec = &plan.steps[step];
            if ended || (refused.is_none() && !values.apply(spec, now_unix_ms)) {
                self.recorder.borrow_mut().skipped(endpoint, planned_ns, warmup, window_ns);
                continue;
            }
            let token = match refused.take() {
                Some(failure) => Err(failure),
                None if spec.action.request().auth.is_none() => Ok(None),
                None => {
                    let before_ns = self.elapsed_ns();
                    let token = token_for(&way, spec).await;
                    // Nor is the fetching of a token.
                    planned_ns += (self.elapsed_ns() - before_ns).saturating_sub(TOKEN_AT_HAND_NS);
                    token
                }
            };
            let flight = Flight { endpoint, planned_ns, sent_ns: self.elapsed_ns(), warmup };
            self.recorder.borrow_mut().started(endpoint, planned_ns, warmup, window_ns);
            let slot = self.in_flight.borrow_mut().insert(flight);
            let result = match token {
                Ok(token) => {
                    perform(&way, (step, spec), &self.prepared[scenario][step], &mut values, token).await
                }
                Err(failure) => StepResult::failed(failure),
            };
            self.in_flight.borrow_mut().remove(slot);
            let (sent_ns, done_ns) = (self.since_start_ns(result.sent), self.since_start_ns(result.done));
            let outcome =
                result.failure.as_ref().map_or(Outcome::Ok, |failure| Outcome::Failed(failure.class));
            let sample = Sample { endpoint, planned_ns, sent_ns, done_ns, outcome, warmup };
            self.recorder.borrow_mut().finished(&sample, &result.phases, window_ns);
            log(Level::Trace, "load", || {
                let name = &self.shared.layout.endpoints[endpoint].name;
                let [late_us, took_us] =
                    [sent_ns.saturating_sub(planned_ns), done_ns - sent_ns].map(|ns| ns / 1000);
                let status = result.exchange.as_ref().map_or(0, |exchange| exchange.status);
                format!(
                    "{name}: planned at {} us, sent {late_us} us late, took {took_us} us, {status}",
                    planned_ns / 1000
                )
            });
            if let Some(trace_id) = result.trace_id {
                self.recorder.borrow_mut().traced(&sample, trace_id, window_ns);
            }
            if first && !warmup {
                self.recorder.borrow_mut().lag(endpoint, sent_ns.saturating_sub(planned_ns));
            }
            if let Some(recent) = self.recent.as_ref().filter(|_| !result.local) {
                recent.borrow_mut().add(&sample);
            }
            self.note(scenario, endpoint, warmup, &result);
            if result.failure.is_some() {
                let prepared = &self.prepared[scenario][step];
                let trace_id = result.trace_id;
                let ask = Ask { way: &way, step: spec, prepared, values: &values, token: None, trace_id };
                self.keep_example(&ask, scenario, endpoint, &result);
            }
            if let Some(attempts) = shared.layout.attempts(scenario, stage, step) {
                self.note_attempts(attempts, warmup, &result);
            }
            let status = result.exchange.as_ref().map(|exchange| exchange.status);
            if status == Some(401) && outcome != Outcome::Ok && plan.logs_in() {
                session.forget();
            }
            first = false;
            ended = outcome != Outcome::Ok;
            planned_ns = done_ns;
            if result.local {
                // To ask again at once would find the same, and only burn what is short.
                tokio::time::sleep(AFTER_LOCAL_FAILURE).await;
            }
        }
    }

    /// Counts everything that still waits as cut, here and now.
    pub fn cut(&self) {
        let (now_ns, window_ns) = (self.elapsed_ns(), self.window_ns());
        let flights = self.in_flight.take();
        let mut recorder = self.recorder.borrow_mut();
        for flight in flights.slots.into_iter().flatten() {
            let Flight { endpoint, planned_ns, sent_ns, warmup } = flight;
            let outcome = Outcome::Cut;
            let sample = Sample { endpoint, planned_ns, sent_ns, done_ns: now_ns, outcome, warmup };
            recorder.finished(&sample, &crate::phases::Phases::default(), window_ns);
        }
    }
}

/// Notes a panic on its way through a task, which would else be swallowed there.
pub struct PanicWatch<T>(pub Rc<Local<T>>);

impl<T> Drop for PanicWatch<T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.panicked.set(true);
        }
    }
}
