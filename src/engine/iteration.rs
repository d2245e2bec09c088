use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use serde_json::Value;

use crate::checks::{Check, Failure, HeaderSource, Subject};
use crate::error_class::ErrorClass;
use crate::scenario::{Action, BodyTemplate, Context, RequestTemplate, Row, Scenario, Step};
use crate::secrets::without_userinfo;
use crate::transport::{Exchange, ExchangeError, Headers, Lane, Phases, Request, Transport, Wants};

/// The values that one iteration works with.
pub struct Values<'a> {
    rows: Vec<&'a [Value]>,
    captures: Vec<Option<Value>>,
}

impl<'a> Values<'a> {
    /// `pick` gives each data source's row.
    pub fn new(scenario: &'a Scenario, pick: impl Fn(&'a crate::scenario::DataSource) -> &'a Row) -> Self {
        let rows = scenario.data.iter().map(|source| pick(source).as_slice()).collect();
        Self { rows, captures: vec![None; scenario.slots] }
    }

    fn context(&self) -> Context<'_> {
        Context { rows: &self.rows, captures: &self.captures }
    }
}

/// A step with what of it is the same in every iteration.
pub struct Prepared {
    /// The whole request, where nothing in it depends on the iteration.
    fixed: Option<Request>,
    wants: Wants,
}

impl Prepared {
    /// For load: only what checks, captures or the scenario's `identity` look at is kept of a response.
    pub fn new(scenario: &Scenario, step: &Step, target: &str) -> Self {
        let (headers, body) = step.wants();
        let identity = &scenario.identity;
        let headers = headers || identity.build.is_some() || identity.instance.is_some();
        let wants = Wants { headers, body };
        let template = step.action.request();
        let fixed = template.is_fixed().then(|| {
            let nothing = Context { rows: &[], captures: &[] };
            build(target, step, template, &nothing, wants).ok()
        });
        Self { fixed: fixed.flatten(), wants }
    }

    /// For a single pass: everything is kept.
    pub fn once() -> Self {
        Self { fixed: None, wants: Wants::ALL }
    }
}

/// Through which transport, on which connections, and where to.
pub struct Way<'a, T> {
    pub transport: &'a T,
    pub lane: &'a Lane,
    pub target: &'a str,
}

/// How a step went.
pub struct StepResult {
    /// Before a connection was acquired, of the first attempt.
    pub sent: Instant,
    /// The last byte of the last attempt.
    pub done: Instant,
    pub failure: Option<Failure>,
    /// This machine ran out of descriptors or ports.
    pub local: bool,
    /// Of the last complete response.
    pub headers: Option<Headers>,
    pub phases: Phases,
}

/// Sends one step and checks what comes back; captures are kept in `values`.
pub async fn perform<T: Transport>(
    way: &Way<'_, T>,
    step: &Step,
    prepared: &Prepared,
    values: &mut Values<'_>,
) -> StepResult {
    let sent = Instant::now();
    let (exchanged, poll) = match &step.action {
        Action::Request(template) => (attempt(way, step, template, prepared, values).await, None),
        Action::Poll { request, every_ns, within_ns, until, fail_if } => {
            let deadline = sent + Duration::from_nanos(*within_ns);
            let every = Duration::from_nanos(*every_ns);
            // Boxed: few steps poll, and all iterations would hold its state.
            Box::pin(poll(way, step, prepared, values, Polling { request, every, deadline, until, fail_if }))
                .await
        }
    };
    let exchange = match exchanged {
        Ok(exchange) => exchange,
        Err(error) => {
            return StepResult {
                sent,
                done: error.done,
                failure: Some(Failure { class: error.class, message: error.message }),
                local: error.local,
                headers: None,
                phases: Phases::default(),
            };
        }
    };
    let failure = poll.or_else(|| examine(step, &step.checks, &exchange, sent, values).err());
    let failure = failure.or_else(|| capture(step, &exchange, sent, values));
    StepResult {
        sent,
        done: exchange.done,
        failure,
        local: false,
        headers: Some(exchange.headers),
        phases: exchange.phases,
    }
}

fn capture(step: &Step, exchange: &Exchange, sent: Instant, values: &mut Values<'_>) -> Option<Failure> {
    if step.captures.is_empty() {
        return None;
    }
    let subject = subject(exchange, sent);
    step.captures
        .iter()
        .find_map(|capture| match capture.query.select(&subject) {
            Ok(found) if !found.is_empty() => {
                values.captures[capture.slot] = found.into_iter().next();
                None
            }
            Ok(_) => Some(format!("capture {}: {} selects nothing", capture.name, capture.query)),
            Err(reason) => Some(format!("capture {}: {reason}", capture.name)),
        })
        .map(|message| Failure { class: ErrorClass::Check, message })
}

struct Polling<'a> {
    request: &'a RequestTemplate,
    every: Duration,
    deadline: Instant,
    until: &'a [Check],
    fail_if: &'a [Check],
}

/// Asks until the condition holds. The failure, if any, is the poll's own; the exchange is the last one.
async fn poll<T: Transport>(
    way: &Way<'_, T>,
    step: &Step,
    prepared: &Prepared,
    values: &Values<'_>,
    polling: Polling<'_>,
) -> (Result<Exchange, ExchangeError>, Option<Failure>) {
    loop {
        let asked = Instant::now();
        let exchange = match attempt(way, step, polling.request, prepared, values).await {
            Ok(exchange) => exchange,
            Err(error) => return (Err(error), None),
        };
        let reached = match examine(step, polling.until, &exchange, asked, values) {
            Ok(()) => return (Ok(exchange), None),
            Err(failure) => failure,
        };
        if !polling.fail_if.is_empty() && examine(step, polling.fail_if, &exchange, asked, values).is_ok() {
            let message = "poll: the condition under `fail_if` holds".to_owned();
            return (Ok(exchange), Some(Failure { class: ErrorClass::Check, message }));
        }
        let next = asked + polling.every;
        if next >= polling.deadline {
            let message = format!("poll: not reached in time; at last, {}", reached.message);
            return (Ok(exchange), Some(Failure { class: ErrorClass::Timeout, message }));
        }
        tokio::time::sleep_until(next.into()).await;
    }
}

async fn attempt<T: Transport>(
    way: &Way<'_, T>,
    step: &Step,
    template: &RequestTemplate,
    prepared: &Prepared,
    values: &Values<'_>,
) -> Result<Exchange, ExchangeError> {
    if let Some(request) = &prepared.fixed {
        return way.transport.exchange(way.lane, request).await;
    }
    let request = build(way.target, step, template, &values.context(), prepared.wants)
        .map_err(|message| ExchangeError::new(ErrorClass::Protocol, message))?;
    way.transport.exchange(way.lane, &request).await
}

fn url_of(target: &str, template: &RequestTemplate, context: &Context<'_>) -> String {
    let path = template.url.render_url(context);
    if path.starts_with("http://") || path.starts_with("https://") {
        return path;
    }
    format!("{}/{}", target.trim_end_matches('/'), path.trim_start_matches('/'))
}

/// Method and URL as they were sent.
pub fn describe(target: &str, step: &Step, values: &Values<'_>) -> String {
    let request = step.action.request();
    let url = url_of(target, request, &values.context());
    format!("{} {}", request.method, without_userinfo(&url))
}

fn build(
    target: &str,
    step: &Step,
    template: &RequestTemplate,
    context: &Context<'_>,
    wants: Wants,
) -> Result<Request, String> {
    let url = url_of(target, template, context);
    let mut headers = HeaderMap::with_capacity(template.headers.len() + 1);
    for (name, value) in &template.headers {
        let value = HeaderValue::from_str(&value.render(context))
            .map_err(|_| format!("header {name} has no valid value"))?;
        headers.append(name.clone(), value);
    }
    let body = template.body.as_ref().map(|body| match body {
        BodyTemplate::Json(json) => {
            headers.entry(http::header::CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
            Bytes::from(json.render(context).to_string())
        }
        BodyTemplate::Text(text) => Bytes::from(text.render(context)),
    });
    let timeout = Duration::from_nanos(step.timeout_ns);
    let mut request = Request::new(template.method.clone(), &url, headers, body, timeout)?;
    request.wants = wants;
    Ok(request)
}

impl HeaderSource for Headers {
    fn map(&self) -> &HeaderMap {
        Headers::map(self)
    }
}

fn now_unix_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

fn subject(exchange: &Exchange, sent: Instant) -> Subject<'_> {
    let service_ns = exchange.done.duration_since(sent).as_nanos() as u64;
    Subject::new(exchange.status, &exchange.headers, &exchange.body, service_ns, now_unix_ms)
}

fn examine(
    step: &Step,
    checks: &[Check],
    exchange: &Exchange,
    sent: Instant,
    values: &Values<'_>,
) -> Result<(), Failure> {
    let subject = subject(exchange, sent);
    let operand = |index: usize| step.operands[index].render(&values.context());
    checks.iter().try_for_each(|check| check.judge(&subject, &operand))
}
