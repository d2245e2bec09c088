use std::cell::RefCell;
use std::pin::Pin;
use std::task::Poll;
use std::time::Instant;

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use super::codec::Decoder;
use super::connection::{Connection, Io};
use super::timed_out;
use crate::error_class::ErrorClass;
use crate::transport::failure::classify;
use crate::transport::{Exchange, ExchangeError, Phases, Request};

/// Sends `bytes` and reads the response, both at once: a target may answer before it has read everything. The second
/// value says whether the connection can take another request.
pub async fn converse(
    connection: &mut Connection,
    bytes: &[u8],
    request: &Request,
    scratch: &RefCell<Box<[u8]>>,
    deadline: Instant,
) -> Result<(Exchange, bool), ExchangeError> {
    let mut decoder = Decoder::new(&request.method, request.wants);
    let asked = Instant::now();
    let mut first_byte = None;
    let mut written = 0;
    let mut unflushed = matches!(connection.io, Io::Tls(_));
    let mut unwritable = None;
    let (done, clean) = std::future::poll_fn(|cx| {
        while written < bytes.len() && unwritable.is_none() {
            match Pin::new(&mut connection.io).poll_write(cx, &bytes[written..]) {
                Poll::Ready(Ok(n)) if n > 0 => written += n,
                // The answer may have come all the same; reading tells.
                Poll::Ready(Ok(_)) => unwritable = Some(std::io::ErrorKind::WriteZero.into()),
                Poll::Ready(Err(e)) => unwritable = Some(e),
                Poll::Pending => break,
            }
        }
        if unflushed && written == bytes.len() && Pin::new(&mut connection.io).poll_flush(cx).is_ready() {
            unflushed = false;
        }
        let mut scratch = scratch.borrow_mut();
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut connection.io).poll_read(cx, &mut buffer) {
                Poll::Pending => break,
                Poll::Ready(Err(e)) => {
                    let first: std::io::Error = unwritable.take().unwrap_or(e);
                    return Poll::Ready(Err(classify(&first, ErrorClass::Reset)));
                }
                Poll::Ready(Ok(())) => {
                    let now = Instant::now();
                    let data = buffer.filled();
                    if data.is_empty() {
                        return Poll::Ready(decoder.end().map(|()| (now, false)));
                    }
                    first_byte.get_or_insert(now);
                    let used = decoder.feed(data)?;
                    if decoder.is_done() {
                        return Poll::Ready(Ok((now, used == data.len() && written == bytes.len())));
                    }
                    // A peer that sends faster than this reads uses up the task's turns, and the timer gets none.
                    if now >= deadline {
                        return Poll::Ready(Err(timed_out()));
                    }
                }
            }
        }
        poll_deadline(connection, cx, deadline).map(|()| Err(timed_out()))
    })
    .await?;
    let first = first_byte.unwrap_or(done);
    let phases = Phases {
        first_byte_ns: Some((first - asked).as_nanos() as u64),
        // What came with the first bytes took no time of its own.
        body_ns: (done > first).then(|| (done - first).as_nanos() as u64),
        ..Phases::default()
    };
    let asked_to_close = |value: &http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"close");
    let closes = request.headers.get(http::header::CONNECTION).is_some_and(asked_to_close);
    let reusable = clean && decoder.keeps_alive() && !closes;
    let (status, headers, body) = decoder.finish();
    Ok((Exchange { status, headers, body, done, phases }, reusable))
}

/// A timer of its own for each request would be a large part of what a request costs.
fn poll_deadline(
    connection: &mut Connection,
    cx: &mut std::task::Context<'_>,
    deadline: Instant,
) -> Poll<()> {
    let deadline = tokio::time::Instant::from_std(deadline);
    let timer = connection.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
    if timer.deadline() > deadline {
        timer.as_mut().reset(deadline);
    }
    while timer.as_mut().poll(cx).is_ready() {
        if tokio::time::Instant::now() >= deadline {
            return Poll::Ready(());
        }
        timer.as_mut().reset(deadline);
    }
    Poll::Pending
}
