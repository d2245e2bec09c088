use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use serde_json::Value;

use crate::checks::{Check, Failure, Subject};
use crate::error_class::ErrorClass;
use crate::scenario::{Action, BodyTemplate, Context, RequestTemplate, Row, Scenario, Step};
use crate::secrets::without_userinfo;
use crate::transport::{Exchange, ExchangeError, Request, Transport};

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
    pub headers: Option<HeaderMap>,
}

/// Sends one step and checks what comes back; captures are kept in `values`.
pub async fn perform<T: Transport>(
    transport: &T,
    target: &str,
    step: &Step,
    values: &mut Values<'_>,
) -> StepResult {
    let sent = Instant::now();
    let (exchanged, poll) = match &step.action {
        Action::Request(template) => (attempt(transport, target, step, template, values).await, None),
        Action::Poll { request, every_ns, within_ns, until, fail_if } => {
            let deadline = sent + Duration::from_nanos(*within_ns);
            let every = Duration::from_nanos(*every_ns);
            poll(transport, target, step, values, Polling { request, every, deadline, until, fail_if }).await
        }
    };
    let exchange = match exchanged {
        Ok(exchange) => exchange,
        Err(error) => {
            let failure = Failure { class: error.class, message: error.message };
            return StepResult {
                sent,
                done: error.done,
                failure: Some(failure),
                local: error.local,
                headers: None,
            };
        }
    };
    let failure = poll.or_else(|| examine(step, &step.checks, &exchange, sent, values).err()).or_else(|| {
        let subject = subject(&exchange, sent);
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
    });
    StepResult { sent, done: exchange.done, failure, local: false, headers: Some(exchange.headers) }
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
    transport: &T,
    target: &str,
    step: &Step,
    values: &Values<'_>,
    polling: Polling<'_>,
) -> (Result<Exchange, ExchangeError>, Option<Failure>) {
    loop {
        let asked = Instant::now();
        let exchange = match attempt(transport, target, step, polling.request, values).await {
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
    transport: &T,
    target: &str,
    step: &Step,
    template: &RequestTemplate,
    values: &Values<'_>,
) -> Result<Exchange, ExchangeError> {
    let request = build(target, step, template, &values.context()).map_err(|message| ExchangeError {
        class: ErrorClass::Protocol,
        message,
        done: Instant::now(),
        local: false,
    })?;
    transport.exchange(request).await
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
    Ok(Request {
        method: template.method.clone(),
        url,
        headers,
        body,
        timeout: Duration::from_nanos(step.timeout_ns),
    })
}

fn subject(exchange: &Exchange, sent: Instant) -> Subject<'_> {
    let service_ns = exchange.done.duration_since(sent).as_nanos() as u64;
    let now_unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64);
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
