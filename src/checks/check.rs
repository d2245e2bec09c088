use super::Memory;
use super::magic::Magic;
use super::personal_data::Scan;
use super::predicate::Predicate;
use super::query::{Query, Subject};
use super::schema::ResponseSchema;
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
    /// The service time must be shorter than that of this step in the same iteration.
    FasterThan {
        step: usize,
        name: String,
    },
    JsonSchema(ResponseSchema),
    NoPersonalData(Scan),
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
        matches!(self, Self::ContentType(_))
            || matches!(self, Self::Value(query, _) if query.reads_headers())
            // Whether it is compressed.
            || self.reads_body()
    }

    /// Whether it takes the body apart, which under load is done for as many responses as this machine can spare.
    #[must_use]
    pub fn is_expensive(&self) -> bool {
        match self {
            Self::Value(query, _) => !query.reads_headers(),
            Self::JsonSchema(_) | Self::NoPersonalData(_) => true,
            _ => false,
        }
    }

    #[must_use]
    pub fn reads_body(&self) -> bool {
        self.is_expensive() || matches!(self, Self::Magic(_) | Self::Size { .. })
    }

    /// # Errors
    /// The failure, in words.
    pub fn judge(&self, subject: &Subject<'_>, memory: &dyn Memory) -> Result<(), Failure> {
        let fail = |message: String| Err(Failure { class: ErrorClass::Check, message });
        match self {
            Self::Status(accepted) if accepted.contains(subject.status) => Ok(()),
            Self::Status(accepted) => Err(Failure {
                class: ErrorClass::Status,
                message: format!("status: expected {accepted}, got {}", subject.status),
            }),
            Self::Value(query, predicate) => query
                .select(subject)
                .and_then(|values| predicate.judge(&values, subject, memory))
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
                fail(format!("magic: expected the bytes of a {} file, got {}", magic.name(), head.join(" ")))
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
            Self::FasterThan { step, name } => match memory.service_ns(*step) {
                Some(other) if subject.service_ns < other => Ok(()),
                Some(other) => fail(format!(
                    "faster_than: expected less than the {} of `{name}`, took {}",
                    format_ns(other as f64),
                    format_ns(subject.service_ns as f64)
                )),
                None => fail(format!("faster_than: `{name}` was not sent in this iteration")),
            },
            Self::JsonSchema(schema) => subject
                .json()
                .and_then(|body| schema.judge(body))
                .or_else(|message| fail(format!("json_schema: {message}"))),
            Self::NoPersonalData(scan) => {
                let body = String::from_utf8_lossy(subject.body);
                scan.judge(&body, subject.json().ok()).map_err(|message| Failure {
                    class: ErrorClass::PersonalData,
                    message: format!("no_personal_data: {message}"),
                })
            }
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
    use super::super::value::ValueType;
    use super::*;

    struct Known;

    impl Memory for Known {
        fn operand(&self, _: usize) -> Value {
            json!(0.4)
        }

        fn service_ns(&self, step: usize) -> Option<u64> {
            (step == 0).then_some(9_000_000)
        }
    }

    fn path(text: &str) -> Query {
        Query::JsonPath(serde_json_path::JsonPath::parse(text).unwrap())
    }

    #[test]
    fn each_check_accepts_and_refuses() {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/json; charset=utf-8"));
        headers.insert("x-cache", HeaderValue::from_static("HIT"));
        headers.insert("set-cookie", HeaderValue::from_static("sid=abc=; Path=/; HttpOnly"));
        let body = json!({"score": 0.4, "items": [1, 2, 3], "at": "2026-11-23T10:00:00Z", "name": "ann", "total": 6})
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
        let items = |predicate| Check::Value(path("$.items[*]"), predicate);
        let sum = |total, within| items(Predicate::Sum { total, within });
        let not = |predicate| Predicate::Not(Box::new(predicate));
        let literal = |value: Value| Operand::Literal(value);
        let schema = |schema: Value| Check::JsonSchema(ResponseSchema::compile(&schema).unwrap());
        let of = |text, kind| Check::Value(path(text), Predicate::Type(kind));
        let later = |than: &str| Check::Value(path("$.at"), Predicate::LaterThan(literal(json!(than))));
        let table = [
            (sum(literal(json!(6)), 0.0), true),
            (sum(Operand::Query(path("$.total")), 0.0), true),
            (sum(literal(json!(6.5)), 0.0), false),
            (sum(literal(json!(6.5)), 0.5), true),
            (sum(Operand::Query(path("$.absent")), 0.0), false),
            (items(not(Predicate::Equals(literal(json!(4))))), true),
            (items(not(Predicate::Equals(literal(json!(3))))), false),
            (Check::Value(path("$.absent"), not(Predicate::Equals(literal(json!(3))))), false),
            (items(Predicate::Contains(literal(json!(2)))), true),
            (items(Predicate::Contains(literal(json!(4)))), false),
            (Check::Value(path("$.items"), Predicate::Contains(literal(json!(2)))), true),
            (Check::Value(path("$.name"), Predicate::Contains(literal(json!("nn")))), true),
            (Check::Value(Query::Body, Predicate::Contains(literal(json!("\"ann\"")))), true),
            (Check::Value(Query::Body, regex("zebra")), false),
            (Check::Value(Query::Cookie("sid".into()), Predicate::Equals(literal(json!("abc=")))), true),
            (Check::Value(Query::Cookie("other".into()), Predicate::Exists(true)), false),
            (of("$.total", ValueType::Integer), true),
            (of("$.score", ValueType::Integer), false),
            (of("$.at", ValueType::Date), true),
            (of("$.name", ValueType::Date), false),
            (later("2026-11-23T09:00:00Z"), true),
            (later("2026-11-23T10:00:00Z"), false),
            (schema(json!({"required": ["name"], "properties": {"score": {"maximum": 1}}})), true),
            (schema(json!({"required": ["nmae"]})), false),
            (Check::FasterThan { step: 0, name: "a".into() }, true),
            (Check::FasterThan { step: 1, name: "b".into() }, false),
            (Check::NoPersonalData(Scan::everything()), true),
            (Check::Magic(Magic::Pdf), false),
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
            assert_eq!(check.judge(&subject, &Known).is_ok(), holds, "{check:?}");
        }
        let other = Subject::new(200, &headers, b"%PDF-1.7 ask ann.lee@example.com", 0, || 0);
        assert!(Check::Magic(Magic::Pdf).judge(&other, &Known).is_ok());
        let found = Check::NoPersonalData(Scan::everything()).judge(&other, &Known).unwrap_err();
        assert_eq!(found.class, ErrorClass::PersonalData);
    }
}
