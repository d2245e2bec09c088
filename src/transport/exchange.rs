use std::cell::OnceCell;
use std::time::Instant;

use ::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;

use crate::error_class::ErrorClass;
use crate::phases::Phases;

/// A complete response.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub status: u16,
    /// Empty where the request did not want them.
    pub headers: Headers,
    /// Empty where the request did not want it.
    pub body: Bytes,
    /// When the last byte of the body was read.
    pub done: Instant,
    pub phases: Phases,
}

/// No complete response.
#[derive(Clone, Debug)]
pub struct ExchangeError {
    pub class: ErrorClass,
    pub message: String,
    pub done: Instant,
    /// This machine ran out of descriptors or ports: the target is not to blame.
    pub local: bool,
}

impl ExchangeError {
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), done: Instant::now(), local: false }
    }
}

/// A response's headers, taken apart only when somebody asks.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    /// The head as it came, status line included.
    raw: Bytes,
    map: OnceCell<HeaderMap>,
}

impl Headers {
    pub(super) fn raw(raw: Bytes) -> Self {
        Self { raw, map: OnceCell::new() }
    }

    /// Whether any cookie is set: most responses set none, and then need not be taken apart.
    #[must_use]
    pub fn sets_cookies(&self) -> bool {
        match self.map.get() {
            Some(map) => map.contains_key(::http::header::SET_COOKIE),
            None => has_line(&self.raw, b"set-cookie:"),
        }
    }

    /// Whether the body is compressed, or otherwise encoded.
    #[must_use]
    pub fn encodes(&self) -> bool {
        match self.map.get() {
            Some(map) => map.contains_key(::http::header::CONTENT_ENCODING),
            None => has_line(&self.raw, b"content-encoding:"),
        }
    }

    #[must_use]
    pub fn map(&self) -> &HeaderMap {
        self.map.get_or_init(|| {
            let mut slots = [httparse::EMPTY_HEADER; super::wire::MOST_HEADERS];
            let mut response = httparse::Response::new(&mut slots);
            let mut map = HeaderMap::new();
            // It was understood once already, when the response came in.
            if response.parse(&self.raw).is_ok() {
                for header in &*response.headers {
                    let name = HeaderName::from_bytes(header.name.as_bytes());
                    if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(header.value)) {
                        map.append(name, value);
                    }
                }
            }
            map
        })
    }
}

/// Whether a line of the head begins so, in whatever case.
fn has_line(head: &[u8], begin: &[u8]) -> bool {
    head.split(|byte| *byte == b'\n')
        .any(|line| line.get(..begin.len()).is_some_and(|start| start.eq_ignore_ascii_case(begin)))
}

impl From<HeaderMap> for Headers {
    fn from(map: HeaderMap) -> Self {
        Self { raw: Bytes::new(), map: OnceCell::from(map) }
    }
}
