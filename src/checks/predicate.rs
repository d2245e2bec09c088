use regex::Regex;
use serde_json::Value;

use super::query::Subject;

/// What a value is compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    Literal(Value),
    /// Known only at run time: an index into the step's operands.
    Deferred(usize),
}

#[derive(Clone, Debug)]
pub enum Predicate {
    Equals(Operand),
    /// Both ends belong to it.
    Between(f64, f64),
    Count {
        min: Option<u64>,
        max: Option<u64>,
    },
    Exists(bool),
    Matches(Regex),
    /// The value is an RFC 3339 timestamp at most this old.
    NewerThan {
        age_ns: u64,
    },
}

impl Predicate {
    /// Judges the selected `values`. Between, matches and `newer_than` must hold for each, and for at least one.
    ///
    /// # Errors
    /// What was expected and what came, as one clause.
    pub fn judge(
        &self,
        values: &[Value],
        subject: &Subject<'_>,
        operand: &dyn Fn(usize) -> Value,
    ) -> Result<(), String> {
        match self {
            Self::Exists(expected) => match (expected, values.is_empty()) {
                (true, true) => Err("expected a value, found none".into()),
                (false, false) => Err(format!("expected no value, found {}", brief(&values[0]))),
                _ => Ok(()),
            },
            Self::Count { min, max } => {
                let count = values.len() as u64;
                if min.is_some_and(|min| count < min) || max.is_some_and(|max| count > max) {
                    return Err(format!("expected {}, found {count}", count_words(*min, *max)));
                }
                Ok(())
            }
            Self::Equals(expected) => {
                let expected = match expected {
                    Operand::Literal(value) => value.clone(),
                    Operand::Deferred(index) => operand(*index),
                };
                let [value] = values else { return Err(one_expected(&expected, values.len())) };
                if same(value, &expected) {
                    Ok(())
                } else {
                    Err(format!("expected {}, found {}", brief(&expected), brief(value)))
                }
            }
            Self::Between(low, high) => each(values, |value| match number(value) {
                Some(n) if (*low..=*high).contains(&n) => Ok(()),
                _ => Err(format!("expected a number between {low} and {high}, found {}", brief(value))),
            }),
            Self::Matches(pattern) => each(values, |value| {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                if pattern.is_match(&text) {
                    Ok(())
                } else {
                    Err(format!("expected a match for /{pattern}/, found {}", brief(value)))
                }
            }),
            Self::NewerThan { age_ns } => {
                let now_unix_ms = (subject.now_unix_ms)();
                each(values, |value| newer_than(value, *age_ns, now_unix_ms))
            }
        }
    }
}

fn each(values: &[Value], judge: impl Fn(&Value) -> Result<(), String>) -> Result<(), String> {
    if values.is_empty() {
        return Err("expected a value, found none".into());
    }
    values.iter().try_for_each(judge)
}

fn newer_than(value: &Value, age_ns: u64, now_unix_ms: i64) -> Result<(), String> {
    let allowed = crate::units::format_ns(age_ns as f64);
    let unreadable =
        || format!("expected an RFC 3339 timestamp at most {allowed} old, found {}", brief(value));
    let timestamp: jiff::Timestamp =
        value.as_str().ok_or_else(unreadable)?.parse().map_err(|_| unreadable())?;
    let old_by_ms = now_unix_ms - timestamp.as_millisecond();
    if old_by_ms as f64 * 1e6 > age_ns as f64 {
        return Err(format!(
            "expected a timestamp at most {allowed} old, found {timestamp}, {} s old",
            old_by_ms / 1000
        ));
    }
    Ok(())
}

fn one_expected(expected: &Value, found: usize) -> String {
    match found {
        0 => format!("expected {}, found none", brief(expected)),
        n => format!("expected exactly one value equal to {}, found {n}", brief(expected)),
    }
}

fn count_words(min: Option<u64>, max: Option<u64>) -> String {
    match (min, max) {
        (Some(min), Some(max)) if min == max => format!("{min} values"),
        (Some(min), Some(max)) => format!("{min} to {max} values"),
        (Some(min), None) => format!("at least {min} values"),
        (None, Some(max)) => format!("at most {max} values"),
        (None, None) => "any number of values".into(),
    }
}

/// Numbers compare by value (1 equals 1.0); everything else exactly.
fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

/// Headers carry numbers as text.
fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// Short enough to keep; cut further only after secrets are taken out.
const MOST_KEPT: usize = 8192;

fn brief(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(MOST_KEPT) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}
