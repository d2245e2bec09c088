use std::borrow::Cow;

use serde_json::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    String,
    Number,
    Integer,
    Boolean,
    Array,
    Object,
    Null,
    /// RFC 3339.
    Date,
    Uuid,
}

impl ValueType {
    /// As scenarios name them.
    pub const WORDS: [(&'static str, Self); 9] = [
        ("string", Self::String),
        ("number", Self::Number),
        ("integer", Self::Integer),
        ("boolean", Self::Boolean),
        ("array", Self::Array),
        ("object", Self::Object),
        ("null", Self::Null),
        ("date", Self::Date),
        ("uuid", Self::Uuid),
    ];

    /// With its article.
    pub fn described(self) -> String {
        let name = self.name();
        let article = if name.starts_with(['a', 'i', 'o']) { "an" } else { "a" };
        format!("{article} {name}")
    }

    fn name(self) -> &'static str {
        Self::WORDS.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    pub fn holds(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Number => value.is_number(),
            // 3.0 is the integer 3 in JSON Schema too.
            Self::Integer => value.as_f64().is_some_and(|n| n.fract() == 0.0),
            Self::Boolean => value.is_boolean(),
            Self::Array => value.is_array(),
            Self::Object => value.is_object(),
            Self::Null => value.is_null(),
            Self::Date => timestamp(value).is_some(),
            Self::Uuid => value.as_str().is_some_and(is_uuid),
        }
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, byte)| match i {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn timestamp(value: &Value) -> Option<jiff::Timestamp> {
    value.as_str()?.parse().ok()
}

/// A date, or a number of Unix time: by its size in s, ms, µs or ns, none of which can be another between 1973 and 5138.
pub fn moment(value: &Value) -> Option<jiff::Timestamp> {
    let Some(number) = value.as_f64() else { return timestamp(value) };
    let ns = match number {
        1e8..1e11 => number * 1e9,
        1e11..1e14 => number * 1e6,
        1e14..1e17 => number * 1e3,
        1e17..1e20 => number,
        _ => return None,
    };
    jiff::Timestamp::from_nanosecond(ns as i128).ok()
}

/// Whether it is this, is a list that has it, or is text with it inside.
pub fn has(value: &Value, expected: &Value) -> bool {
    match (value, expected) {
        (Value::Array(items), _) if items.iter().any(|item| same(item, expected)) => true,
        // Unquoted digits in YAML are a number; in text they are looked for as they stand.
        (Value::String(text), Value::String(_) | Value::Number(_)) => text.contains(&*plain_text(expected)),
        _ => same(value, expected),
    }
}

/// Text as it is, anything else as JSON writes it.
#[must_use]
pub fn plain_text(value: &Value) -> Cow<'_, str> {
    value.as_str().map_or_else(|| value.to_string().into(), Cow::from)
}

/// Numbers compare by value (1 equals 1.0); everything else exactly.
pub fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

/// Headers carry numbers as text.
pub fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|n| n.is_finite())
}

/// Short enough to keep; cut further only after secrets are taken out.
const MOST_KEPT: usize = 8192;

pub fn brief(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(MOST_KEPT) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}
