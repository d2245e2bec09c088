use std::future::Future;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::examine::examine;
use super::iteration::{Ask, Asked};
use crate::checks::Failure;
use crate::error_class::ErrorClass;
use crate::scenario::{Message, PlacedCheck};
use crate::transport::{Exchange, ExchangeError, Request, SWITCHED, Transport};

const GOODBYE: Duration = Duration::from_millis(500);
const EVENT_STREAM: &str = "text/event-stream";

/// What is waited for on a stream of events.
pub struct Events<'a> {
    pub within_ns: u64,
    pub count: u64,
    pub event: Option<&'a str>,
    pub each: &'a [PlacedCheck],
}

/// How a wait ends that the target does not end.
fn timed_out(what: String) -> ExchangeError {
    ExchangeError::new(ErrorClass::Timeout, what)
}

async fn until<T>(
    deadline: Instant,
    what: impl FnOnce() -> String,
    work: impl Future<Output = Result<T, ExchangeError>>,
) -> Result<T, ExchangeError> {
    tokio::time::timeout_at(deadline.into(), work).await.unwrap_or_else(|_| Err(timed_out(what())))
}

/// Opens a stream and waits for its events. The exchange is the response's head with the last event as its body.
pub async fn events<T: Transport>(ask: &Ask<'_, T>, request: &Request, wanted: Events<'_>) -> Asked {
    let Ask { way, step, values, .. } = ask;
    let asked = Instant::now();
    let whole = asked + Duration::from_nanos(step.timeout_ns);
    let first = whole.min(asked + Duration::from_nanos(wanted.within_ns));
    let mut stream =
        until(first, || "sse: no response in time".into(), way.transport.streams().events(request)).await?;
    let exchange = |stream: &crate::transport::EventStream, body: Bytes| Exchange {
        status: stream.opening.status,
        headers: stream.opening.headers.clone(),
        body,
        done: Instant::now(),
        phases: stream.opening.phases,
    };
    let content_type = stream.opening.headers.map().get(http::header::CONTENT_TYPE);
    let is_stream = content_type
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.split(';').next().is_some_and(|essence| essence.trim() == EVENT_STREAM));
    if !is_stream || stream.opening.status != 200 {
        let got = content_type
            .map_or("none".to_owned(), |value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let body = until(whole, || "timed out".into(), stream.body()).await?;
        let failure = (stream.opening.status == 200).then(|| Failure {
            class: ErrorClass::Check,
            message: format!("sse: expected content-type {EVENT_STREAM}, got {got}"),
        });
        return Ok((exchange(&stream, body), failure.map(|failure| (failure, None))));
    }
    let mut seen = 0;
    loop {
        let (deadline, after) = if seen == 0 {
            (first, format!("sse: no event within {}", crate::units::format_ns(wanted.within_ns as f64)))
        } else {
            (whole, format!("sse: {seen} of {} events before the timeout", wanted.count))
        };
        let Some(event) = until(deadline, || after, stream.next()).await? else {
            let message = format!("sse: the stream ended after {seen} of {} events", wanted.count);
            return Err(ExchangeError::new(ErrorClass::Reset, message));
        };
        if wanted.event.is_some_and(|kind| kind != event.kind) {
            continue;
        }
        seen += 1;
        let exchange = exchange(&stream, Bytes::from(event.data));
        let examined = examine(step, wanted.each, &exchange, asked, values);
        if let Err((mut failure, place)) = examined {
            failure.message = format!("event {seen}: {}", failure.message);
            return Ok((exchange, Some((failure, place))));
        }
        if seen >= wanted.count {
            return Ok((exchange, None));
        }
    }
}

/// Opens a WebSocket, sends, and waits for a message for which all that is expected holds.
pub async fn socket<T: Transport>(
    ask: &Ask<'_, T>,
    request: &Request,
    (send, within_ns, expect): (&[Message], u64, &[PlacedCheck]),
) -> Asked {
    let Ask { way, step, values, .. } = ask;
    let asked = Instant::now();
    let whole = asked + Duration::from_nanos(step.timeout_ns);
    let deadline = whole.min(asked + Duration::from_nanos(within_ns));
    let opened =
        until(deadline, || "websocket: no response in time".into(), way.transport.streams().socket(request))
            .await?;
    let (opening, socket) = opened;
    let exchange = |body: Bytes| Exchange {
        status: opening.status,
        headers: opening.headers.clone(),
        body,
        done: Instant::now(),
        phases: opening.phases,
    };
    let Some(mut socket) = socket.filter(|_| opening.status == SWITCHED) else {
        return Ok((exchange(Bytes::new()), None));
    };
    for message in send {
        let text = message.render(&values.context());
        until(deadline, || "websocket: sending took too long".into(), socket.send(text)).await?;
    }
    let (mut seen, mut last) = (0, None);
    loop {
        let after = || match (&last, seen) {
            (None, _) => "websocket: no message in time".to_owned(),
            (Some(reason), n) => {
                format!("websocket: none of {n} messages is what is expected; of the last, {reason}")
            }
        };
        let Some(body) = until(deadline, after, socket.next()).await? else {
            let message = format!("websocket: the target closed it after {seen} messages");
            return Err(ExchangeError::new(ErrorClass::Reset, message));
        };
        seen += 1;
        let exchange = exchange(body);
        match examine(step, expect, &exchange, asked, values) {
            Ok(()) => {
                // A target that does not read must not hold up the iteration.
                let _ = tokio::time::timeout(GOODBYE, socket.close()).await;
                return Ok((exchange, None));
            }
            Err((failure, _)) => last = Some(failure.message),
        }
    }
}
