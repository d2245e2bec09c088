use super::predicate::Predicate;
use super::query::{Query, Subject};
use crate::error_class::ErrorClass;
use crate::units::format_ns;

#[derive(Clone, Debug)]
pub enum Check {
    Status(StatusSet),
    Value(Query, Predicate),
    /// The media type, parameters aside.
    ContentType(String),
    Magic(Magic),
    Size {
        min: Option<u64>,
        max: Option<u64>,
    },
    /// The service time may not be longer.
    MaxTime {
        ns: u64,
    },
}

/// Accepted statuses: single ones and classes such as 2xx.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusSet(pub Vec<std::ops::RangeInclusive<u16>>);

impl StatusSet {
    /// What a step accepts where it names no status.
    #[must_use]
    pub fn success() -> Self {
        Self(vec![200..=399])
    }

    #[must_use]
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

/// File formats that are told by their first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Magic {
    Pdf,
    Xlsx,
    Csv,
    Png,
}

impl Magic {
    /// As scenarios name them.
    pub const WORDS: [(&'static str, Self); 4] =
        [("pdf", Self::Pdf), ("xlsx", Self::Xlsx), ("csv", Self::Csv), ("png", Self::Png)];

    fn matches(self, body: &[u8]) -> bool {
        match self {
            Self::Pdf => body.starts_with(b"%PDF-"),
            Self::Png => body.starts_with(b"\x89PNG\r\n\x1a\n"),
            Self::Xlsx => body.starts_with(b"PK\x03\x04") && contains(body, b"xl/workbook.xml"),
            Self::Csv => is_csv(body),
        }
    }
}

/// Text whose rows have equally many, at least two, fields. A comma inside quotes separates nothing.
fn is_csv(body: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(body) else { return false };
    let fields = |line: &str| {
        let mut quoted = false;
        1 + line
            .chars()
            .filter(|c| {
                quoted ^= *c == '"';
                *c == ',' && !quoted
            })
            .count()
    };
    let mut lines = text.lines().filter(|line| !line.is_empty());
    let Some(first) = lines.next().map(fields) else { return false };
    !text.contains('\0') && first >= 2 && lines.take(20).all(|line| fields(line) == first)
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// A check that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub class: ErrorClass,
    /// What was expected and what came.
    pub message: String,
}

impl Check {
    #[must_use]
    pub fn reads_headers(&self) -> bool {
        matches!(self, Self::Value(Query::Header(_), _) | Self::ContentType(_))
    }

    #[must_use]
    pub fn reads_body(&self) -> bool {
        matches!(self, Self::Value(Query::JsonPath(_), _) | Self::Magic(_) | Self::Size { .. })
    }

    /// # Errors
    /// The failure, in words.
    pub fn judge(
        &self,
        subject: &Subject<'_>,
        operand: &dyn Fn(usize) -> serde_json::Value,
    ) -> Result<(), Failure> {
        let fail = |message: String| Err(Failure { class: ErrorClass::Check, message });
        match self {
            Self::Status(accepted) if accepted.contains(subject.status) => Ok(()),
            Self::Status(accepted) => Err(Failure {
                class: ErrorClass::Status,
                message: format!("status: expected {accepted}, got {}", subject.status),
            }),
            Self::Value(query, predicate) => query
                .select(subject)
                .and_then(|values| predicate.judge(&values, subject, operand))
                .or_else(|message| fail(format!("{query}: {message}"))),
            Self::ContentType(expected) => {
                let got = subject
                    .headers
                    .map()
                    .get(http::header::CONTENT_TYPE)
                    .and_then(|v| v.to_str().ok())
                    .unwrap_or("");
                let essence = got.split(';').next().unwrap_or("").trim();
                if essence.eq_ignore_ascii_case(expected) {
                    return Ok(());
                }
                fail(format!(
                    "content_type: expected {expected}, got {}",
                    if got.is_empty() { "none" } else { got }
                ))
            }
            Self::Magic(magic) if magic.matches(subject.body) => Ok(()),
            Self::Magic(magic) => {
                let head: Vec<String> = subject.body.iter().take(8).map(|b| format!("{b:02x}")).collect();
                fail(format!("magic: expected the bytes of a {magic:?} file, got {}", head.join(" ")))
            }
            Self::Size { min, max } => {
                let size = subject.body.len() as u64;
                if min.is_some_and(|min| size < min) || max.is_some_and(|max| size > max) {
                    return fail(format!("size: expected {}, got {size} bytes", size_words(*min, *max)));
                }
                Ok(())
            }
            Self::MaxTime { ns } if subject.service_ns <= *ns => Ok(()),
            Self::MaxTime { ns } => fail(format!(
                "max: expected at most {}, took {}",
                format_ns(*ns as f64),
                format_ns(subject.service_ns as f64)
            )),
        }
    }
}

fn size_words(min: Option<u64>, max: Option<u64>) -> String {
    match (min, max) {
        (Some(min), Some(max)) => format!("{min} to {max} bytes"),
        (Some(min), None) => format!("at least {min} bytes"),
        (None, Some(max)) => format!("at most {max} bytes"),
        (None, None) => "any size".into(),
    }
}

impl std::fmt::Display for StatusSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, range) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { " or " };
            match (*range.start(), *range.end()) {
                (a, b) if a == b => write!(f, "{separator}{a}")?,
                (200, 399) => write!(f, "{separator}2xx or 3xx")?,
                (a, b) if b == a + 99 => write!(f, "{separator}{}xx", a / 100)?,
                (a, b) => write!(f, "{separator}{a}-{b}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};
    use serde_json::{Value, json};

    use super::super::predicate::Operand;
    use super::*;

    fn path(text: &str) -> Query {
        Query::JsonPath(serde_json_path::JsonPath::parse(text).unwrap())
    }

    #[test]
    fn each_check_accepts_and_refuses() {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/json; charset=utf-8"));
        headers.insert("x-cache", HeaderValue::from_static("HIT"));
        let body = json!({"score": 0.4, "items": [1, 2, 3], "at": "2026-11-23T10:00:00Z", "name": "ann"})
            .to_string();
        let now = || "2026-11-23T10:00:30Z".parse::<jiff::Timestamp>().unwrap().as_millisecond();
        let subject = Subject::new(200, &headers, body.as_bytes(), 5_000_000, now);
        let regex = |text| Predicate::Matches(regex::Regex::new(text).unwrap());
        let between = |low, high| Check::Value(path("$.score"), Predicate::Between(low, high));
        let header =
            |predicate| Check::Value(Query::Header(http::HeaderName::from_static("x-cache")), predicate);
        let age = |age_ns| Check::Value(path("$.at"), Predicate::NewerThan { age_ns });
        let count = |min, max| Check::Value(path("$.items[*]"), Predicate::Count { min, max });
        let equals = |value: Value| Check::Value(path("$.score"), Predicate::Equals(Operand::Literal(value)));
        let table = [
            (Check::Status(StatusSet::success()), true),
            (Check::Status(StatusSet(vec![201..=201])), false),
            (between(0.0, 1.0), true),
            (between(0.5, 1.0), false),
            (equals(json!(0.4)), true),
            (equals(json!("0.4")), false),
            (Check::Value(path("$.score"), Predicate::Equals(Operand::Deferred(0))), true),
            (header(Predicate::Equals(Operand::Literal(json!("HIT")))), true),
            (header(regex("^MISS$")), false),
            (age(60_000_000_000), true),
            (age(10_000_000_000), false),
            (count(Some(1), None), true),
            (count(None, Some(2)), false),
            (Check::Value(path("$.absent"), Predicate::Exists(true)), false),
            (Check::Value(path("$.absent"), Predicate::Exists(false)), true),
            (Check::Value(path("$.absent"), Predicate::Between(0.0, 1.0)), false),
            (Check::ContentType("application/json".into()), true),
            (Check::ContentType("text/html".into()), false),
            (Check::Size { min: Some(1), max: None }, true),
            (Check::Size { min: None, max: Some(3) }, false),
            (Check::MaxTime { ns: 5_000_000 }, true),
            (Check::MaxTime { ns: 4_999_999 }, false),
        ];
        for (check, holds) in table {
            assert_eq!(check.judge(&subject, &|_| json!(0.4)).is_ok(), holds, "{check:?}");
        }
    }

    #[test]
    fn magic_tells_real_files_from_lookalikes() {
        for (magic, body, holds) in [
            (Magic::Pdf, &b"%PDF-1.7\n"[..], true),
            (Magic::Pdf, b"<html>", false),
            (Magic::Csv, b"a,b\n1,2\n", true),
            (Magic::Csv, b"a,b\n\"x,y\",2\n", true),
            (Magic::Csv, b"a,b\n1\n", false),
            (Magic::Csv, b"{\"a\":1}", false),
            (Magic::Xlsx, b"PK\x03\x04 word/document.xml", false),
            (Magic::Png, b"\x89PNG\r\n\x1a\n....", true),
        ] {
            assert_eq!(magic.matches(body), holds, "{magic:?} {body:?}");
        }
    }
}
