use std::sync::Arc;
use std::time::Instant;

use ::http::StatusCode;
use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};

use super::failure::classify;
use super::wire::{Io, dial};
use super::{BODY_CAP, ExchangeError, Headers, Phases, Request, Signature, TransportOptions, tls};
use crate::error::Result;
use crate::error_class::ErrorClass;

/// Streams that outlast a response: server-sent events and `WebSocket`s, each on a connection of its own over HTTP/1.1.
pub struct Streams {
    tls: Arc<rustls::ClientConfig>,
    signature: Signature,
}

/// What a stream began with.
#[derive(Debug)]
pub struct Opening {
    pub status: u16,
    pub headers: Headers,
    pub phases: Phases,
}

impl Streams {
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new(options: &TransportOptions) -> Result<Self> {
        let mut config = tls::client_config(options)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { tls: Arc::new(config), signature: options.signature.clone() })
    }

    /// Asks for a stream of events. Whatever the status, what follows can be read.
    ///
    /// # Errors
    /// If there is no connection, or no response to the request.
    pub async fn events(&self, request: &Request) -> std::result::Result<EventStream, ExchangeError> {
        let (connection, mut phases) = dial(request, &self.tls, false).await?;
        let asked = Instant::now();
        let failed = |e: &hyper::Error| classify(e, ErrorClass::Reset);
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(connection.io)).await.map_err(|e| failed(&e))?;
        // What ends the connection reaches the stream that is on it.
        let task = tokio::spawn(async move { drop(connection.await) });
        let guard = Guard(task);
        let mut message = ::http::Request::new(Full::new(request.body.clone().unwrap_or_default()));
        *message.method_mut() = request.method.clone();
        *message.uri_mut() = request.target().parse().map_err(|e| {
            ExchangeError::new(ErrorClass::Protocol, format!("`{}` is not a path: {e}", request.target()))
        })?;
        *message.headers_mut() = self.headers(request)?;
        let accept = ::http::HeaderValue::from_static("text/event-stream");
        message.headers_mut().entry(::http::header::ACCEPT).or_insert(accept);
        let response = sender.send_request(message).await.map_err(|e| failed(&e))?;
        phases.first_byte_ns = Some(asked.elapsed().as_nanos() as u64);
        let (parts, incoming) = response.into_parts();
        let opening =
            Opening { status: parts.status.as_u16(), headers: Headers::from(parts.headers), phases };
        Ok(EventStream {
            opening,
            incoming,
            parser: EventParser::default(),
            ready: Vec::new(),
            _guard: guard,
        })
    }

    /// Opens a WebSocket.
    ///
    /// # Errors
    /// If there is no connection. A target that answers without switching protocols is no error: the status tells.
    pub async fn socket(
        &self,
        request: &Request,
    ) -> std::result::Result<(Opening, Option<Socket>), ExchangeError> {
        let (connection, mut phases) = dial(request, &self.tls, false).await?;
        let asked = Instant::now();
        let key = tungstenite::handshake::client::generate_key();
        // The same address under the scheme that the handshake wants to see.
        let address = request.uri.to_string().replacen("http", "ws", 1);
        let mut message = ::http::Request::builder().uri(address).body(()).map_err(|e| {
            ExchangeError::new(ErrorClass::Protocol, format!("`{}` is not a URL: {e}", request.uri))
        })?;
        *message.headers_mut() = self.headers(request)?;
        for (name, value) in [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", key.as_str()),
        ] {
            if let Ok(value) = ::http::HeaderValue::from_str(value) {
                message.headers_mut().insert(name, value);
            }
        }
        let shaken =
            tokio_tungstenite::client_async_with_config(message, connection.io, Some(capped())).await;
        phases.first_byte_ns = Some(asked.elapsed().as_nanos() as u64);
        match shaken {
            Ok((stream, response)) => {
                let headers = Headers::from(response.headers().clone());
                let opening = Opening { status: response.status().as_u16(), headers, phases };
                Ok((opening, Some(Socket(stream))))
            }
            Err(tungstenite::Error::Http(response)) => {
                let headers = Headers::from(response.headers().clone());
                Ok((Opening { status: response.status().as_u16(), headers, phases }, None))
            }
            Err(e) => Err(broken(&e)),
        }
    }

    fn headers(&self, request: &Request) -> std::result::Result<::http::HeaderMap, ExchangeError> {
        let mut headers = request.headers.clone();
        let value = |text: &str| {
            ::http::HeaderValue::from_str(text)
                .map_err(|e| ExchangeError::new(ErrorClass::Protocol, format!("`{text}`: {e}")))
        };
        headers.entry(::http::header::HOST).or_insert(value(&request.authority())?);
        for (name, own) in self.signature.headers() {
            headers.entry(name).or_insert(value(own)?);
        }
        Ok(headers)
    }
}

fn broken(error: &tungstenite::Error) -> ExchangeError {
    match error {
        tungstenite::Error::Io(e) => classify(e, ErrorClass::Reset),
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => {
            ExchangeError::new(ErrorClass::Reset, "the target closed the WebSocket")
        }
        tungstenite::Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => {
            ExchangeError::new(ErrorClass::Reset, error.to_string())
        }
        other => ExchangeError::new(ErrorClass::Protocol, other.to_string()),
    }
}

/// The connection ends with the stream.
struct Guard(tokio::task::JoinHandle<()>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub struct EventStream {
    pub opening: Opening,
    incoming: Incoming,
    parser: EventParser,
    /// Complete, not yet handed out; the next one last.
    ready: Vec<ServerEvent>,
    _guard: Guard,
}

/// One event of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerEvent {
    /// `message` where the stream names none.
    pub kind: String,
    pub data: String,
}

impl EventStream {
    /// `None` at the end of the stream.
    ///
    /// # Errors
    /// If the connection ends in the middle, or an event is over the cap.
    pub async fn next(&mut self) -> std::result::Result<Option<ServerEvent>, ExchangeError> {
        loop {
            if let Some(event) = self.ready.pop() {
                return Ok(Some(event));
            }
            let Some(data) = self.chunk().await? else { return Ok(None) };
            let mut found = self.parser.feed(&data)?;
            found.reverse();
            self.ready = found;
        }
    }

    /// The rest of a response that is no stream of events.
    ///
    /// # Errors
    /// As [`EventStream::next`].
    pub async fn body(&mut self) -> std::result::Result<Bytes, ExchangeError> {
        let mut body = BytesMut::new();
        while let Some(data) = self.chunk().await? {
            body.extend_from_slice(&data);
            if body.len() > BODY_CAP {
                return Err(super::over_cap());
            }
        }
        Ok(body.freeze())
    }

    async fn chunk(&mut self) -> std::result::Result<Option<Bytes>, ExchangeError> {
        while let Some(frame) = self.incoming.frame().await {
            let frame = frame.map_err(|e| classify(&e, ErrorClass::Reset))?;
            if let Ok(mut data) = frame.into_data() {
                return Ok(Some(data.copy_to_bytes(data.remaining())));
            }
        }
        Ok(None)
    }
}

/// Takes a stream of events apart as its bytes come (HTML standard, §9.2.6).
#[derive(Default)]
pub struct EventParser {
    line: Vec<u8>,
    /// The last byte was a carriage return, so that a line feed now ends nothing.
    after_return: bool,
    begun: bool,
    kind: String,
    data: String,
}

impl EventParser {
    /// The events that these bytes complete.
    ///
    /// # Errors
    /// If one is over the cap.
    pub fn feed(&mut self, bytes: &[u8]) -> std::result::Result<Vec<ServerEvent>, ExchangeError> {
        let mut events = Vec::new();
        for byte in bytes {
            let after_return = std::mem::replace(&mut self.after_return, *byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => events.extend(self.end_line()),
                _ => self.line.push(*byte),
            }
            if self.line.len() + self.data.len() > BODY_CAP {
                let message = format!("an event is over the cap of {} MiB", BODY_CAP >> 20);
                return Err(ExchangeError::new(ErrorClass::Protocol, message));
            }
        }
        Ok(events)
    }

    fn end_line(&mut self) -> Option<ServerEvent> {
        let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
        let first = !std::mem::replace(&mut self.begun, true);
        let line = if first { line.trim_start_matches('\u{feff}') } else { &line };
        if line.is_empty() {
            let (kind, data) = (std::mem::take(&mut self.kind), std::mem::take(&mut self.data));
            if data.is_empty() {
                return None;
            }
            let kind = if kind.is_empty() { "message".to_owned() } else { kind };
            return Some(ServerEvent { kind, data: data.strip_suffix('\n').unwrap_or(&data).to_owned() });
        }
        // A line that begins with a colon is a comment: its field has no name.
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.kind),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            _ => {}
        }
        None
    }
}

fn capped() -> WebSocketConfig {
    WebSocketConfig::default().max_message_size(Some(BODY_CAP)).max_frame_size(Some(BODY_CAP))
}

pub struct Socket<S = Io>(WebSocketStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// On a stream whose handshake is done.
    pub async fn over(stream: S) -> Self {
        Self(WebSocketStream::from_raw_socket(stream, Role::Client, Some(capped())).await)
    }

    /// # Errors
    /// If the connection has ended.
    pub async fn send(&mut self, text: String) -> std::result::Result<(), ExchangeError> {
        self.0.send(Message::text(text)).await.map_err(|e| broken(&e))
    }

    /// The next message's bytes; pings are answered on the way. `None` once the target has closed.
    ///
    /// # Errors
    /// If the connection ends in the middle, or a message is over the cap.
    pub async fn next(&mut self) -> std::result::Result<Option<Bytes>, ExchangeError> {
        while let Some(message) = self.0.next().await {
            match message.map_err(|e| broken(&e))? {
                Message::Text(text) => return Ok(Some(Bytes::copy_from_slice(text.as_bytes()))),
                Message::Binary(bytes) => return Ok(Some(bytes)),
                Message::Close(_) => return Ok(None),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
        Ok(None)
    }

    /// Says goodbye and does not wait for an answer.
    pub async fn close(mut self) {
        let _ = self.0.close(None).await;
    }
}

/// That the target switched protocols, as a check has it.
pub const SWITCHED: u16 = StatusCode::SWITCHING_PROTOCOLS.as_u16();

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STREAM: &str = "\u{feff}: a comment\r\nretry: 100\r\n\r\nevent: risk\ndata: {\"a\":\ndata: 1}\nid: 7\n\n\
                          data\n\ndata:no space\rdata:  two\r\revent: lost without data\n\nevent: last\ndata: x";

    fn event(kind: &str, data: &str) -> ServerEvent {
        ServerEvent { kind: kind.into(), data: data.into() }
    }

    proptest! {
        /// However the stream is cut, the same events come out; what no empty line ends is none.
        #[test]
        fn events_are_the_same_in_any_pieces(cuts in proptest::collection::vec(1usize..40, 0..40)) {
            let (mut parser, mut events, mut rest) = (EventParser::default(), Vec::new(), STREAM.as_bytes());
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let (piece, left) = rest.split_at(cut.min(rest.len()));
                events.extend(parser.feed(piece).unwrap());
                rest = left;
            }
            let expected =
                vec![event("risk", "{\"a\":\n1}"), event("message", ""), event("message", "no space\n two")];
            prop_assert_eq!(events, expected);
        }
    }
}
