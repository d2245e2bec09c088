use std::cell::OnceCell;

use http::HeaderMap;
use serde_json::Value;
use serde_json_path::JsonPath;

/// A response's headers, which may be taken apart only when a check asks for them.
pub trait HeaderSource {
    fn map(&self) -> &HeaderMap;
}

impl HeaderSource for HeaderMap {
    fn map(&self) -> &HeaderMap {
        self
    }
}

/// A complete response under examination. The body is parsed at most once.
pub struct Subject<'a> {
    pub status: u16,
    pub headers: &'a dyn HeaderSource,
    pub body: &'a [u8],
    /// From sending to the last byte.
    pub service_ns: u64,
    /// Wall clock, for the age of timestamps.
    pub now_unix_ms: fn() -> i64,
    json: OnceCell<Result<Value, String>>,
}

impl<'a> Subject<'a> {
    #[must_use]
    pub fn new(
        status: u16,
        headers: &'a dyn HeaderSource,
        body: &'a [u8],
        service_ns: u64,
        now_unix_ms: fn() -> i64,
    ) -> Self {
        Self { status, headers, body, service_ns, now_unix_ms, json: OnceCell::new() }
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// Says where the body stops being JSON.
    pub fn json(&self) -> Result<&Value, String> {
        self.json
            .get_or_init(|| {
                serde_json::from_slice(self.body).map_err(|e| format!("the body is not JSON: {e}"))
            })
            .as_ref()
            .map_err(Clone::clone)
    }
}

/// Selects values from a response.
#[derive(Clone, Debug)]
pub enum Query {
    Header(http::HeaderName),
    JsonPath(JsonPath),
}

impl Query {
    /// All values selected, in order.
    ///
    /// # Errors
    /// Where the response cannot be searched, such as a body that is not JSON.
    pub fn select(&self, subject: &Subject<'_>) -> Result<Vec<Value>, String> {
        match self {
            Self::Header(name) => Ok(subject
                .headers
                .map()
                .get_all(name)
                .iter()
                .map(|value| Value::String(String::from_utf8_lossy(value.as_bytes()).into_owned()))
                .collect()),
            Self::JsonPath(path) => Ok(path.query(subject.json()?).all().into_iter().cloned().collect()),
        }
    }
}

impl std::fmt::Display for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header {name}"),
            Self::JsonPath(path) => write!(f, "{path}"),
        }
    }
}
