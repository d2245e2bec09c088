use bytes::{BufMut as _, Bytes, BytesMut};
use http::Method;

use crate::error_class::ErrorClass;
use crate::transport::{BODY_CAP, ExchangeError, Headers, Request, Signature, Wants, over_cap};

/// As hyper has it, so that both transports refuse the same.
pub const MOST_HEADERS: usize = 100;
const MOST_HEAD_BYTES: usize = 8192 + 4096 * 100;
/// Chunk extensions and trailers say nothing that anybody here wants to know.
const MOST_IGNORED_BYTES: usize = 16 << 10;

/// The whole request, head and body.
pub fn encode(request: &Request, signature: &Signature) -> Bytes {
    let body = request.body.as_deref().unwrap_or_default();
    let mut out = BytesMut::with_capacity(256 + body.len());
    out.put_slice(request.method.as_str().as_bytes());
    out.put_u8(b' ');
    out.put_slice(request.target().as_bytes());
    out.put_slice(b" HTTP/1.1\r\n");
    let has = |name: &str| request.headers.contains_key(name);
    let mut line = |name: &[u8], value: &[u8]| {
        out.put_slice(name);
        out.put_slice(b": ");
        out.put_slice(value);
        out.put_slice(b"\r\n");
    };
    if !has("host") {
        line(b"host", request.authority().as_bytes());
    }
    for (name, value) in signature.headers().filter(|(name, _)| !has(name)) {
        line(name.as_bytes(), value.as_bytes());
    }
    if !has("accept") {
        line(b"accept", b"*/*");
    }
    // The body is sent as it is, with its length: another framing would be a lie.
    for (name, value) in request.headers.iter().filter(|(name, _)| *name != http::header::TRANSFER_ENCODING) {
        line(name.as_str().as_bytes(), value.as_bytes());
    }
    let expects_body = matches!(request.method, Method::POST | Method::PUT | Method::PATCH);
    if (request.body.is_some() || expects_body) && !has("content-length") {
        line(b"content-length", body.len().to_string().as_bytes());
    }
    out.put_slice(b"\r\n");
    out.put_slice(body);
    out.freeze()
}

/// Takes a response apart as its bytes come (RFC 9112).
pub struct Decoder {
    wants: Wants,
    /// The response to a HEAD has none, whatever its headers say.
    bodyless: bool,
    state: State,
    /// A head, or trailers, that came in several pieces.
    partial: Vec<u8>,
    status: u16,
    keep_alive: bool,
    head: Bytes,
    body: BytesMut,
    length: usize,
    /// Bytes of chunk extensions so far.
    ignored: usize,
}

enum State {
    Head,
    /// So many bytes are still to come.
    Length(u64),
    Chunked(Chunk),
    UntilClose,
    Done,
}

#[derive(Clone, Copy)]
enum Chunk {
    /// Within the line that tells the next chunk's size.
    Size {
        size: u64,
        any: bool,
    },
    /// Blanks after the size.
    SizeBlank(u64),
    Extension(u64),
    /// The last byte of that line.
    SizeEnd(u64),
    Data(u64),
    DataEnd,
    DataLineFeed,
    /// Lines after the last chunk; an empty one ends the body.
    Trailer,
}

fn broken(message: impl Into<String>) -> ExchangeError {
    ExchangeError::new(ErrorClass::Protocol, message)
}

impl Decoder {
    pub fn new(method: &Method, wants: Wants) -> Self {
        Self {
            wants,
            bodyless: *method == Method::HEAD,
            state: State::Head,
            partial: Vec::new(),
            status: 0,
            keep_alive: false,
            head: Bytes::new(),
            body: BytesMut::new(),
            length: 0,
            ignored: 0,
        }
    }

    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    pub fn keeps_alive(&self) -> bool {
        self.keep_alive
    }

    pub fn finish(self) -> (u16, Headers, Bytes) {
        (self.status, Headers::raw(self.head), self.body.freeze())
    }

    /// The connection has ended.
    pub fn end(&mut self) -> Result<(), ExchangeError> {
        match self.state {
            State::UntilClose | State::Done => {
                self.state = State::Done;
                Ok(())
            }
            _ => Err(ExchangeError::new(
                ErrorClass::Reset,
                "connection closed before the response was complete",
            )),
        }
    }

    /// Takes in what came; returns how much of it belongs to this response.
    pub fn feed(&mut self, data: &[u8]) -> Result<usize, ExchangeError> {
        let mut at = 0;
        while at < data.len() && !self.is_done() {
            at += match self.state {
                State::Head => self.feed_head(&data[at..])?,
                State::Length(left) => {
                    let here = left.min((data.len() - at) as u64);
                    self.keep(&data[at..at + here as usize])?;
                    self.state = if here == left { State::Done } else { State::Length(left - here) };
                    here as usize
                }
                State::UntilClose => {
                    self.keep(&data[at..])?;
                    data.len() - at
                }
                State::Chunked(chunk) => self.feed_chunk(chunk, &data[at..])?,
                State::Done => 0,
            };
        }
        Ok(at)
    }

    fn keep(&mut self, data: &[u8]) -> Result<(), ExchangeError> {
        self.length += data.len();
        if self.length > BODY_CAP {
            return Err(over_cap());
        }
        if self.wants.body {
            self.body.extend_from_slice(data);
        }
        Ok(())
    }

    fn feed_head(&mut self, data: &[u8]) -> Result<usize, ExchangeError> {
        if self.partial.is_empty() {
            return match self.read_head(data)? {
                Some(used) => Ok(used),
                None => {
                    self.partial.extend_from_slice(data);
                    Ok(data.len())
                }
            };
        }
        let before = self.partial.len();
        self.partial.extend_from_slice(data);
        // Only a line end can complete a head; reading it anew at every byte would take its time.
        if !data.contains(&b'\n') {
            return if self.partial.len() > MOST_HEAD_BYTES { Err(too_large()) } else { Ok(data.len()) };
        }
        let whole = std::mem::take(&mut self.partial);
        match self.read_head(&whole)? {
            Some(used) => Ok(used - before),
            None => {
                self.partial = whole;
                Ok(data.len())
            }
        }
    }

    /// `None` while it is not complete. An interim response is passed over.
    fn read_head(&mut self, data: &[u8]) -> Result<Option<usize>, ExchangeError> {
        let mut slots = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut response = httparse::Response::new(&mut slots);
        let used = match response.parse(data) {
            Ok(httparse::Status::Complete(used)) => used,
            Ok(httparse::Status::Partial) if data.len() > MOST_HEAD_BYTES => return Err(too_large()),
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => return Err(too_large()),
            Err(e) => return Err(broken(format!("not a valid HTTP response: {e}"))),
        };
        if used > MOST_HEAD_BYTES {
            return Err(too_large());
        }
        let status = response.code.filter(|code| *code >= 100).ok_or_else(|| broken("not a valid status"))?;
        if (100..200).contains(&status) && status != 101 {
            return Ok(Some(used));
        }
        self.status = status;
        let modern = response.version == Some(1);
        let framing = Framing::of(response.headers, modern)?;
        self.keep_alive = framing.keep_alive;
        self.state = if self.bodyless || matches!(status, 101 | 204 | 304) {
            self.keep_alive &= status != 101;
            State::Done
        } else if framing.chunked {
            State::Chunked(Chunk::Size { size: 0, any: false })
        } else if let Some(length) = framing.length {
            if length > BODY_CAP as u64 {
                return Err(over_cap());
            }
            if length == 0 { State::Done } else { State::Length(length) }
        } else {
            self.keep_alive = false;
            State::UntilClose
        };
        if self.wants.headers {
            self.head = Bytes::copy_from_slice(&data[..used]);
        }
        Ok(Some(used))
    }

    fn feed_chunk(&mut self, chunk: Chunk, data: &[u8]) -> Result<usize, ExchangeError> {
        let bad = || broken("not a valid chunk");
        let byte = data[0];
        let next = match (chunk, byte) {
            (Chunk::Data(left), _) => {
                let here = left.min(data.len() as u64);
                self.keep(&data[..here as usize])?;
                let next = if here == left { Chunk::DataEnd } else { Chunk::Data(left - here) };
                self.state = State::Chunked(next);
                return Ok(here as usize);
            }
            (Chunk::Trailer, _) => return self.feed_trailer(data),
            (Chunk::Size { size, .. }, _) if byte.is_ascii_hexdigit() => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                let size = size.checked_mul(16).and_then(|size| size.checked_add(u64::from(digit)));
                Chunk::Size { size: size.ok_or_else(bad)?, any: true }
            }
            (Chunk::Size { size, any: true } | Chunk::SizeBlank(size), b' ' | b'\t') => {
                Chunk::SizeBlank(size)
            }
            (Chunk::Size { size, any: true } | Chunk::SizeBlank(size), b';') => Chunk::Extension(size),
            (Chunk::Size { size, any: true } | Chunk::SizeBlank(size) | Chunk::Extension(size), b'\r') => {
                Chunk::SizeEnd(size)
            }
            (Chunk::Extension(size), _) if byte != b'\n' && self.ignored < MOST_IGNORED_BYTES => {
                self.ignored += 1;
                Chunk::Extension(size)
            }
            (Chunk::SizeEnd(0), b'\n') => Chunk::Trailer,
            (Chunk::SizeEnd(size), b'\n') => Chunk::Data(size),
            (Chunk::DataEnd, b'\r') => Chunk::DataLineFeed,
            (Chunk::DataLineFeed, b'\n') => Chunk::Size { size: 0, any: false },
            _ => return Err(bad()),
        };
        self.state = State::Chunked(next);
        Ok(1)
    }

    /// Trailers are read to their end and let go.
    fn feed_trailer(&mut self, data: &[u8]) -> Result<usize, ExchangeError> {
        let before = self.partial.len();
        let Some(line_end) = data.iter().position(|byte| *byte == b'\n') else {
            self.partial.extend_from_slice(data);
            return if self.partial.len() > MOST_IGNORED_BYTES { Err(too_large()) } else { Ok(data.len()) };
        };
        self.partial.extend_from_slice(&data[..=line_end]);
        let used = self.partial.len() - before;
        let mut slots = [httparse::EMPTY_HEADER; MOST_HEADERS];
        match httparse::parse_headers(&self.partial, &mut slots) {
            Ok(httparse::Status::Complete(_)) => self.state = State::Done,
            Ok(httparse::Status::Partial) if self.partial.len() > MOST_IGNORED_BYTES => {
                return Err(too_large());
            }
            Ok(httparse::Status::Partial) => {}
            Err(e) => return Err(broken(format!("not a valid trailer: {e}"))),
        }
        Ok(used)
    }
}

fn too_large() -> ExchangeError {
    broken("the response's head is too large")
}

/// What the headers say of where the body ends, and of the connection after it.
struct Framing {
    length: Option<u64>,
    chunked: bool,
    keep_alive: bool,
}

impl Framing {
    fn of(headers: &[httparse::Header<'_>], modern: bool) -> Result<Self, ExchangeError> {
        let mut framing = Self { length: None, chunked: false, keep_alive: modern };
        let mut coded = false;
        for header in headers {
            let (name, value) = (header.name, header.value);
            if name.eq_ignore_ascii_case("content-length") {
                for part in value.split(|byte| *byte == b',') {
                    let text = std::str::from_utf8(part.trim_ascii()).unwrap_or_default();
                    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
                    let length: u64 = text.parse().ok().filter(|_| digits).ok_or_else(invalid_length)?;
                    if framing.length.is_some_and(|other| other != length) {
                        return Err(invalid_length());
                    }
                    framing.length = Some(length);
                }
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                if !modern {
                    return Err(broken("HTTP/1.0 knows no transfer-encoding"));
                }
                coded = true;
                let last = value.rsplit(|byte| *byte == b',').next().unwrap_or_default();
                framing.chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
            } else if name.eq_ignore_ascii_case("connection") {
                for token in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    if token.eq_ignore_ascii_case(b"close") {
                        framing.keep_alive = false;
                    } else if token.eq_ignore_ascii_case(b"keep-alive") && !modern {
                        framing.keep_alive = true;
                    }
                }
            }
        }
        // Any other coding than a final `chunked` ends with the connection, and a length beside it means nothing.
        if coded {
            framing.length = None;
        }
        Ok(framing)
    }
}

fn invalid_length() -> ExchangeError {
    broken("content-length is not one whole number")
}
