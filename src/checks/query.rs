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
    /// Decoded, if it was compressed.
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

    /// The body as text.
    ///
    /// # Errors
    /// Says where it stops being UTF-8.
    pub fn text(&self) -> Result<&'a str, String> {
        std::str::from_utf8(self.body)
            .map_err(|e| format!("the body is not UTF-8 text from byte {} on", e.valid_up_to()))
    }
}

/// Selects values from a response.
#[derive(Clone, Debug)]
pub enum Query {
    Header(http::HeaderName),
    /// The value that this response sets.
    Cookie(String),
    JsonPath(JsonPath),
    /// All of it, as text.
    Body,
}

impl Query {
    #[must_use]
    pub fn reads_headers(&self) -> bool {
        matches!(self, Self::Header(_) | Self::Cookie(_))
    }

    /// All values selected, in order.
    ///
    /// # Errors
    /// Where the response cannot be searched, such as a body that is not JSON.
    pub fn select(&self, subject: &Subject<'_>) -> Result<Vec<Value>, String> {
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        match self {
            Self::Header(name) => Ok(subject
                .headers
                .map()
                .get_all(name)
                .iter()
                .map(|value| Value::String(text(value)))
                .collect()),
            Self::Cookie(name) => {
                let set = subject.headers.map().get_all(http::header::SET_COOKIE).iter().map(text);
                let own = set.filter_map(|cookie| {
                    let (found, value) = cookie.split(';').next()?.split_once('=')?;
                    (found.trim() == name).then(|| Value::String(value.trim().trim_matches('"').to_owned()))
                });
                Ok(own.collect())
            }
            Self::JsonPath(path) => Ok(path.query(subject.json()?).all().into_iter().cloned().collect()),
            Self::Body => Ok(vec![Value::String(subject.text()?.to_owned())]),
        }
    }
}

impl std::fmt::Display for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header {name}"),
            Self::Cookie(name) => write!(f, "cookie {name}"),
            Self::JsonPath(path) => write!(f, "{path}"),
            Self::Body => f.write_str("body"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The compliance test suite of RFC 9535: what it selects is selected, what it calls invalid is refused.
    #[test]
    fn the_jsonpath_compliance_suite_passes() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/jsonpath/cts.json");
        let suite: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let tests = suite["tests"].as_array().unwrap();
        let mut wrong = Vec::new();
        for test in tests {
            let name = test["name"].as_str().unwrap();
            let parsed = JsonPath::parse(test["selector"].as_str().unwrap());
            let Ok(path) = parsed else {
                if test["invalid_selector"] != true {
                    wrong.push(format!("{name}: refused"));
                }
                continue;
            };
            if test["invalid_selector"] == true {
                wrong.push(format!("{name}: accepted"));
                continue;
            }
            let (headers, body) = (HeaderMap::new(), test["document"].to_string());
            let subject = Subject::new(200, &headers, body.as_bytes(), 0, || 0);
            let found = Query::JsonPath(path).select(&subject).unwrap();
            // The order of an object's members is anybody's: then any of several results will do.
            let any = test["results"].as_array().cloned().unwrap_or_else(|| vec![test["result"].clone()]);
            if !any.contains(&Value::Array(found)) {
                wrong.push(format!("{name}: another result"));
            }
        }
        assert!(tests.len() >= 700, "{}", tests.len());
        assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), tests.len());
    }
}
