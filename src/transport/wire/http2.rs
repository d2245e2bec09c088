use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::connection::Io;
use crate::error_class::ErrorClass;
use crate::transport::failure::classify;
use crate::transport::{BODY_CAP, Exchange, ExchangeError, Headers, Phases, Request, Signature, over_cap};

pub type Sender = http2::SendRequest<Full<Bytes>>;

/// Begins HTTP/2 on a new connection, which then serves any number of requests at once.
pub async fn handshake(io: Io) -> Result<Sender, ExchangeError> {
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .handshake(TokioIo::new(io))
        .await
        .map_err(|e| classify(&e, ErrorClass::Reset))?;
    // What ends the connection reaches every request that is on it.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

pub struct Failure {
    pub error: ExchangeError,
    /// The target says that it has not looked at the request.
    pub unseen: bool,
}

fn failed(error: &hyper::Error) -> Failure {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut unseen = error.is_canceled();
    while let Some(current) = cause {
        if let Some(h2) = current.downcast_ref::<h2::Error>() {
            let orderly = h2.is_go_away() && h2.reason() == Some(h2::Reason::NO_ERROR);
            unseen |= h2.is_remote() && (orderly || h2.reason() == Some(h2::Reason::REFUSED_STREAM));
        }
        cause = current.source();
    }
    Failure { error: classify(error, ErrorClass::Reset), unseen }
}

pub async fn exchange(
    mut sender: Sender,
    request: &Request,
    signature: &Signature,
    opened: Phases,
) -> Result<Exchange, Failure> {
    let asked = Instant::now();
    sender.ready().await.map_err(|e| failed(&e))?;
    let response = sender.send_request(message(request, signature)).await.map_err(|e| failed(&e))?;
    let head = Instant::now();
    let (parts, mut incoming) = response.into_parts();
    let announced = hyper::body::Body::size_hint(&incoming).lower();
    if announced > BODY_CAP as u64 {
        return Err(Failure { error: over_cap(), unseen: false });
    }
    let mut body = BytesMut::new();
    let mut length = 0;
    while let Some(frame) = incoming.frame().await {
        let Ok(data) = frame.map_err(|e| failed(&e))?.into_data() else { continue };
        length += data.len();
        if length > BODY_CAP {
            return Err(Failure { error: over_cap(), unseen: false });
        }
        if request.wants.body {
            body.extend_from_slice(&data);
        }
    }
    let done = Instant::now();
    let phases = Phases {
        first_byte_ns: Some((head - asked).as_nanos() as u64),
        body_ns: Some((done - head).as_nanos() as u64),
        ..opened
    };
    let headers = Headers::from(parts.headers);
    Ok(Exchange { status: parts.status.as_u16(), headers, body: body.freeze(), done, phases })
}

fn message(request: &Request, signature: &Signature) -> http::Request<Full<Bytes>> {
    let mut message = http::Request::new(Full::new(request.body.clone().unwrap_or_default()));
    *message.method_mut() = request.method.clone();
    *message.uri_mut() = request.uri.clone();
    let headers = message.headers_mut();
    *headers = request.headers.clone();
    // HTTP/2 has the host in `:authority`, and forbids the headers of a single connection.
    for name in [HOST, CONNECTION, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    for (name, value) in signature.headers() {
        if let (false, Ok(value)) = (headers.contains_key(name), value.parse()) {
            headers.insert(name, value);
        }
    }
    headers.entry(http::header::ACCEPT).or_insert(http::HeaderValue::from_static("*/*"));
    message
}
