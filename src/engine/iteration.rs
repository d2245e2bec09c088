use std::cell::RefCell;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use super::build::{Making, build};
use super::examine::{Failed, examine, judge};
use super::hosts::permitted;
use super::redirect::follow;
use super::sampling::Sampler;
use super::session::Session;
use super::streaming::{self, Events};
use super::token::Tokens;
use super::values::Values;
use crate::checks::{Check, Failure};
use crate::error_class::ErrorClass;
use crate::scenario::{Action, Auth, Chance, Context, Place, Scenario, SessionScope, Step};
use crate::transport::{Exchange, ExchangeError, Lane, Phases, Request, Transport, Wants};

/// A step with what of it is the same in every iteration.
pub struct Prepared {
    /// The whole request, where nothing in it depends on the iteration.
    fixed: Option<Request>,
    wants: Wants,
    /// Other steps are held against how long its responses take.
    timed: bool,
    /// Some of its checks take the body apart.
    expensive: bool,
    /// Its response may set cookies that a later request sends.
    pub cookies: bool,
}

impl Prepared {
    /// For load: only what checks, captures or the scenario's `identity` look at is kept of a response.
    pub fn new(scenario: &Scenario, step: &Step, target: &str) -> Self {
        let (headers, body) = step.wants();
        let identity = &scenario.identity;
        let alone = scenario.session == SessionScope::Iteration
            && step.redirects == 0
            && scenario.steps.iter().filter(|other| other.in_load()).count() == 1;
        let headers = headers || identity.asks() || !alone;
        let wants = Wants { headers, body };
        let template = step.action.request();
        let fixed = template.is_fixed().then(|| {
            let chance = Chance::default();
            let context = Context { rows: &[], captures: &[], chance: &chance };
            let timeout_ns = step.timeout_ns;
            build(template, Making { target, context, timeout_ns, wants, session: None, token: None }).ok()
        });
        Self { fixed: fixed.flatten(), wants, cookies: !alone, ..Self::of(scenario, step) }
    }

    /// For a single pass: everything is kept.
    pub fn once(scenario: &Scenario, step: &Step) -> Self {
        Self { wants: Wants::ALL, cookies: true, ..Self::of(scenario, step) }
    }

    fn of(scenario: &Scenario, step: &Step) -> Self {
        let timed = scenario
            .steps
            .iter()
            .flat_map(|other| &other.checks)
            .any(|placed| matches!(&placed.check, Check::FasterThan { name, .. } if *name == step.name));
        let expensive = step.checks.iter().any(|placed| placed.check.is_expensive());
        Self { fixed: None, wants: Wants::ALL, timed, expensive, cookies: false }
    }
}

/// Through which transport, on which connections, where to, and as whom.
pub struct Way<'a, T> {
    pub transport: &'a T,
    pub lane: &'a Lane,
    pub target: &'a str,
    pub scenario: &'a Scenario,
    pub session: &'a Session,
    pub tokens: &'a Tokens,
    /// `None`: every check on every response.
    pub sampler: Option<&'a Sampler>,
    /// Whether each request carries a `traceparent` of its own.
    pub traced: bool,
    /// Where a single pass leaves what was sent last.
    pub trace: Option<&'a RefCell<Option<Sent>>>,
}

/// The last request of a step.
pub struct Sent {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Option<bytes::Bytes>,
}

impl Sent {
    fn of(request: &Request) -> Self {
        let (method, uri) = (request.method.clone(), request.uri.clone());
        Self { method, uri, headers: request.headers.clone(), body: request.body.clone() }
    }
}

/// How a step went.
pub struct StepResult {
    /// Before a connection was acquired, of the first attempt.
    pub sent: Instant,
    /// The last byte of the last attempt.
    pub done: Instant,
    pub failure: Option<Failure>,
    /// The check that failed.
    pub place: Option<Place>,
    /// This machine ran out of descriptors or ports.
    pub local: bool,
    /// The last complete response.
    pub exchange: Option<Exchange>,
    pub phases: Phases,
    /// Of a poll: each attempt's beginning, end and error.
    pub attempts: Vec<Attempt>,
    /// Whether the body was taken apart, if a check asks for that.
    pub examined: Option<bool>,
    /// By which it can be found in the target's traces.
    pub trace_id: Option<u128>,
}

impl StepResult {
    /// Of a step that was not sent.
    pub fn failed(failure: Failure) -> Self {
        Self { failure: Some(failure), ..Self::begun(Instant::now()) }
    }

    fn begun(sent: Instant) -> Self {
        Self {
            sent,
            done: sent,
            failure: None,
            place: None,
            local: false,
            exchange: None,
            phases: Phases::default(),
            attempts: Vec::new(),
            examined: None,
            trace_id: None,
        }
    }
}

pub struct Attempt {
    pub sent: Instant,
    pub done: Instant,
    pub error: Option<ErrorClass>,
}

pub type Asked = Result<(Exchange, Option<Failed>), ExchangeError>;

/// One step as it is sent: by which way, and with which values.
pub struct Ask<'a, T> {
    pub way: &'a Way<'a, T>,
    pub step: &'a Step,
    pub prepared: &'a Prepared,
    pub values: &'a Values<'a>,
    pub token: Option<HeaderValue>,
    pub trace_id: Option<u128>,
}

/// Sends one step and checks what comes back; captures are kept in `values`. `step` is the `number`-th of the scenario.
pub async fn perform<T: Transport>(
    way: &Way<'_, T>,
    (number, step): (usize, &Step),
    prepared: &Prepared,
    values: &mut Values<'_>,
    token: Option<HeaderValue>,
) -> StepResult {
    let sent = Instant::now();
    let mut attempts = Vec::new();
    let trace_id = way.traced.then(rand::random::<u128>);
    let ask = Ask { way, step, prepared, values, token, trace_id };
    let asked = match &step.action {
        Action::Request(_) => ask.attempt().await.map(|exchange| (exchange, None)),
        // Boxed: few steps poll or stream, and all iterations would hold their state.
        Action::Poll { .. } => Box::pin(ask.poll(&mut attempts)).await,
        Action::Events { .. } | Action::Socket { .. } => Box::pin(ask.stream()).await,
    };
    let mut result = StepResult { attempts, trace_id, ..StepResult::begun(sent) };
    let (exchange, failed) = match asked {
        Ok(asked) => asked,
        Err(error) => {
            result.done = error.done;
            result.failure = Some(Failure { class: error.class, message: error.message });
            result.local = error.local;
            return result;
        }
    };
    (result.done, result.phases) = (exchange.done, exchange.phases);
    let service_ns = exchange.done.duration_since(sent).as_nanos() as u64;
    if prepared.timed {
        values.took(number, service_ns);
    }
    let failed = failed.or_else(|| {
        let sampler = way.sampler.filter(|_| prepared.expensive);
        let (judged, examined) = judge(step, &exchange, service_ns, sampler, values);
        result.examined = examined;
        judged.err()
    });
    if let Some((failure, place)) = failed {
        (result.failure, result.place) = (Some(failure), place);
    }
    result.exchange = Some(exchange);
    result
}

impl<T: Transport> Ask<'_, T> {
    async fn attempt(&self) -> Result<Exchange, ExchangeError> {
        let Self { way, step, prepared, .. } = self;
        let own;
        let request = match prepared.fixed.as_ref().filter(|_| !(way.session.has_cookies() || way.traced)) {
            Some(request) => request,
            None => {
                own = self.request()?;
                note(way, &own);
                &own
            }
        };
        let exchange = way.transport.exchange(way.lane, request).await?;
        if prepared.cookies {
            way.session.store(&request.uri, &exchange.headers);
        }
        if step.redirects == 0 {
            return Ok(exchange);
        }
        Box::pin(follow(way, step, request.again(), exchange)).await
    }

    /// Asks until the condition holds. The failure, if any, is the poll's own; the exchange is the last one.
    async fn poll(&self, attempts: &mut Vec<Attempt>) -> Asked {
        let Self { step, values, .. } = self;
        let Action::Poll { every_ns, within_ns, until, fail_if, .. } = &step.action else {
            return Err(ExchangeError::new(ErrorClass::Protocol, "not a poll"));
        };
        let (begun, every) = (Instant::now(), Duration::from_nanos(*every_ns));
        let deadline = begun + Duration::from_nanos(*within_ns);
        loop {
            let asked = Instant::now();
            let exchange = match self.attempt().await {
                Ok(exchange) => exchange,
                Err(error) => {
                    attempts.push(Attempt { sent: asked, done: error.done, error: Some(error.class) });
                    return Err(error);
                }
            };
            let error = (exchange.status >= 500).then_some(ErrorClass::Status);
            attempts.push(Attempt { sent: asked, done: exchange.done, error });
            let (reached, place) = match examine(step, until, &exchange, asked, values) {
                Ok(()) => return Ok((exchange, None)),
                Err(failed) => failed,
            };
            if !fail_if.is_empty() && examine(step, fail_if, &exchange, asked, values).is_ok() {
                let message = "poll: the condition under `fail_if` holds".to_owned();
                let place = fail_if.first().map(|placed| placed.place);
                return Ok((exchange, Some((Failure { class: ErrorClass::Check, message }, place))));
            }
            let next = asked + every;
            if next >= deadline {
                let message = format!("poll: not reached in time; at last, {}", reached.message);
                return Ok((exchange, Some((Failure { class: ErrorClass::Timeout, message }, place))));
            }
            tokio::time::sleep_until(next.into()).await;
        }
    }

    async fn stream(&self) -> Asked {
        let request = self.request()?;
        note(self.way, &request);
        let asked = match &self.step.action {
            Action::Events { within_ns, count, event, each, .. } => {
                let (within_ns, count, event) = (*within_ns, *count, event.as_deref());
                streaming::events(self, &request, Events { within_ns, count, event, each }).await
            }
            Action::Socket { send, within_ns, expect, .. } => {
                streaming::socket(self, &request, (send, *within_ns, expect)).await
            }
            _ => Err(ExchangeError::new(ErrorClass::Protocol, "not a stream")),
        }?;
        self.way.session.store(&request.uri, &asked.0.headers);
        Ok(asked)
    }
}

impl<T> Ask<'_, T> {
    fn request(&self) -> Result<Request, ExchangeError> {
        let making = Making {
            target: self.way.target,
            context: self.values.context(),
            timeout_ns: self.step.timeout_ns,
            wants: self.prepared.wants,
            session: Some(self.way.session),
            token: self.token.clone(),
        };
        let mut request = build(self.step.action.request(), making)
            .map_err(|message| ExchangeError::new(ErrorClass::Protocol, message))?;
        let host = request.uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        if !permitted(self.way.scenario, self.way.target, host) {
            let message =
                format!("not sent: `{host}` is another host; list it under `allow_hosts` to go there");
            return Err(ExchangeError::new(ErrorClass::Check, message));
        }
        if let Some(trace_id) = self.trace_id {
            // W3C Trace Context; the flag asks for it to be kept.
            let parent = format!("00-{trace_id:032x}-{:016x}-01", rand::random::<u64>().max(1));
            if let Ok(value) = HeaderValue::try_from(parent) {
                request.headers.insert(HeaderName::from_static("traceparent"), value);
            }
        }
        Ok(request)
    }

    /// What was sent, made again from the same values: only values that are generated anew differ.
    pub fn sent(&self) -> Option<Sent> {
        match &self.prepared.fixed {
            Some(request) => Some(Sent::of(request)),
            None => self.request().ok().map(|request| Sent::of(&request)),
        }
    }
}

pub fn note<T>(way: &Way<'_, T>, request: &Request) {
    if let Some(trace) = way.trace {
        *trace.borrow_mut() = Some(Sent::of(request));
    }
}

/// The token that a step's request needs, fetched before its time is taken.
pub async fn token_for<T: Transport>(way: &Way<'_, T>, step: &Step) -> Result<Option<HeaderValue>, Failure> {
    let Some(Auth::ClientCredentials(request)) = &step.action.request().auth else { return Ok(None) };
    let header = way.tokens.header(way.transport, way.target, request).await;
    header.map(Some).map_err(|message| Failure { class: ErrorClass::Check, message })
}
