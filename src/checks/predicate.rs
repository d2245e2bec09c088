use regex::Regex;
use serde_json::Value;

use super::Memory;
use super::query::{Query, Subject};
use super::value::{ValueType, brief, has, moment, number, plain_text, same};

/// What a value is compared with.
#[derive(Clone, Debug)]
pub enum Operand {
    Literal(Value),
    /// Known only at run time: an index into the step's operands.
    Deferred(usize),
    /// Found in the same response.
    Query(Query),
}

#[derive(Clone, Debug)]
pub enum Predicate {
    Equals(Operand),
    /// For each value, and for at least one, the inner one does not hold.
    Not(Box<Predicate>),
    /// One of the values is this, is a list that has it, or is text with it inside.
    Contains(Operand),
    /// Both ends belong to it.
    Between(f64, f64),
    Count {
        min: Option<u64>,
        max: Option<u64>,
    },
    Exists(bool),
    Matches(Regex),
    /// The value is a moment at most this old: RFC 3339, or a number of Unix time.
    NewerThan {
        age_ns: u64,
    },
    /// The value is a moment later than this one.
    LaterThan(Operand),
    Type(ValueType),
    /// The values are numbers that add up to this, give or take `within`.
    Sum {
        total: Operand,
        within: f64,
    },
}

impl Operand {
    /// # Errors
    /// If it is to be found in the response and is not there once.
    fn value(&self, subject: &Subject<'_>, memory: &dyn Memory) -> Result<Value, String> {
        match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::Deferred(index) => Ok(memory.operand(*index)),
            Self::Query(query) => match query.select(subject)?.as_slice() {
                [value] => Ok(value.clone()),
                found => Err(format!("{query}, to compare with, selects {} values", found.len())),
            },
        }
    }
}

impl Predicate {
    /// Judges the selected `values`. What is said of a single value must hold for each, and for at least one.
    ///
    /// # Errors
    /// What was expected and what came, as one clause.
    pub fn judge(&self, values: &[Value], subject: &Subject<'_>, memory: &dyn Memory) -> Result<(), String> {
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
                let expected = expected.value(subject, memory)?;
                let [value] = values else { return Err(one_expected(&expected, values.len())) };
                if same(value, &expected) {
                    Ok(())
                } else {
                    Err(format!("expected {}, found {}", brief(&expected), brief(value)))
                }
            }
            Self::Not(inner) => {
                each(values, |value| match inner.judge(std::slice::from_ref(value), subject, memory) {
                    Ok(()) => Err(format!("expected anything but what was found: {}", brief(value))),
                    Err(_) => Ok(()),
                })
            }
            Self::Contains(expected) => {
                let expected = expected.value(subject, memory)?;
                if values.iter().any(|value| has(value, &expected)) {
                    return Ok(());
                }
                let found = match values {
                    [] => "no value".into(),
                    [value] => brief(value),
                    [value, rest @ ..] => format!("{} and {} more", brief(value), rest.len()),
                };
                Err(format!("expected {} in it, found {found}", brief(&expected)))
            }
            Self::Between(low, high) => each(values, |value| match number(value) {
                Some(n) if (*low..=*high).contains(&n) => Ok(()),
                _ => Err(format!("expected a number between {low} and {high}, found {}", brief(value))),
            }),
            Self::Matches(pattern) => each(values, |value| {
                if pattern.is_match(&plain_text(value)) {
                    Ok(())
                } else {
                    Err(format!("expected a match for /{pattern}/, found {}", brief(value)))
                }
            }),
            Self::NewerThan { age_ns } => {
                let now_unix_ms = (subject.now_unix_ms)();
                each(values, |value| newer_than(value, *age_ns, now_unix_ms))
            }
            Self::LaterThan(than) => {
                let than = than.value(subject, memory)?;
                let least = moment(&than).ok_or_else(|| {
                    format!("cannot compare with {}: neither an RFC 3339 date nor Unix time", brief(&than))
                })?;
                each(values, |value| match moment(value) {
                    Some(found) if found > least => Ok(()),
                    _ => Err(format!("expected a timestamp after {least}, found {}", brief(value))),
                })
            }
            Self::Type(kind) => each(values, |value| {
                if kind.holds(value) {
                    return Ok(());
                }
                Err(format!("expected {}, found {}", kind.described(), brief(value)))
            }),
            Self::Sum { total, within } => {
                let expected = total.value(subject, memory)?;
                let wanted = number(&expected)
                    .ok_or_else(|| format!("cannot compare a sum with {}: not a number", brief(&expected)))?;
                let mut sum = 0.0;
                for value in values {
                    sum += number(value)
                        .ok_or_else(|| format!("expected numbers to add up, found {}", brief(value)))?;
                }
                if values.is_empty() {
                    return Err("expected numbers to add up, found none".into());
                }
                // Fractions such as 0.1 + 0.2 must not fail for what floating point makes of them.
                if (sum - wanted).abs() <= within.max(1e-9 * wanted.abs().max(1.0)) {
                    Ok(())
                } else {
                    let count = values.len();
                    Err(format!(
                        "expected a sum of {wanted}, found {sum} ({})",
                        crate::units::counted(count, "value")
                    ))
                }
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

/// Two clocks may differ by so much that a new timestamp looks as if it were to come.
const CLOCKS_DIFFER_MS: i64 = 60_000;

fn newer_than(value: &Value, age_ns: u64, now_unix_ms: i64) -> Result<(), String> {
    let duration = |ms: i64| crate::units::format_ns(ms as f64 * 1e6);
    let allowed = crate::units::format_ns(age_ns as f64);
    let found = moment(value).ok_or_else(|| {
        format!("expected an RFC 3339 timestamp (or Unix time) at most {allowed} old, found {}", brief(value))
    })?;
    let old_by_ms = now_unix_ms - found.as_millisecond();
    let expected = format!("expected a timestamp at most {allowed} old, found {found}");
    if old_by_ms as f64 * 1e6 > age_ns as f64 {
        return Err(format!("{expected}, {} old", duration(old_by_ms)));
    }
    if old_by_ms < -CLOCKS_DIFFER_MS {
        return Err(format!("{expected}, {} from now", duration(-old_by_ms)));
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

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    struct Nothing;

    impl Memory for Nothing {
        fn operand(&self, _: usize) -> Value {
            Value::Null
        }

        fn service_ns(&self, _: usize) -> Option<u64> {
            None
        }
    }

    fn holds(predicate: &Predicate, values: &[Value]) -> bool {
        let headers = HeaderMap::new();
        let subject = Subject::new(200, &headers, b"", 0, || 0);
        predicate.judge(values, &subject, &Nothing).is_ok()
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-1000i64..1000).prop_map(Value::from),
            (-100.0f64..100.0).prop_map(Value::from),
            "[a-z0-9 .:-]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(2, 8, 3, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                proptest::collection::btree_map("[a-c]", inner, 0..3).prop_map(|m| m.into_iter().collect()),
            ]
        })
    }

    proptest! {
        /// Of one value, a predicate or its denial holds, never both; of none, neither does.
        #[test]
        fn a_denial_is_the_opposite(value in value(), other in value(), low in -50.0f64..0.0, high in 0.0f64..50.0) {
            let predicates = [
                Predicate::Equals(Operand::Literal(other.clone())),
                Predicate::Contains(Operand::Literal(other)),
                Predicate::Between(low, high),
                Predicate::Matches(Regex::new("[0-4]").unwrap()),
                Predicate::Type(ValueType::Integer),
                Predicate::NewerThan { age_ns: 1_000_000_000 },
            ];
            for predicate in predicates {
                let denied = Predicate::Not(Box::new(predicate.clone()));
                let one = std::slice::from_ref(&value);
                prop_assert!(holds(&predicate, one) != holds(&denied, one), "{:?} of {}", predicate, value);
                prop_assert!(!holds(&predicate, &[]) && !holds(&denied, &[]), "{:?} of nothing", predicate);
            }
        }

        /// A moment is as new in whatever form it comes; what is long to come is not new.
        #[test]
        fn moments_come_as_text_and_as_unix_time(at_ms in 200_000_000_000i64..4_000_000_000_000, age_s in -3600i64..3600) {
            let now_ms = at_ms + age_s * 1000;
            let text = jiff::Timestamp::from_millisecond(at_ms).unwrap().to_string();
            let forms = [json!(text), json!(at_ms as f64 / 1e3), json!(at_ms), json!(at_ms * 1000), json!(at_ms * 1_000_000)];
            for form in forms {
                let new = newer_than(&form, 600_000_000_000, now_ms);
                let expected = (-60..=600).contains(&age_s);
                prop_assert!(new.is_ok() == expected || age_s == -60 || age_s == 600, "{} {}: {:?}", form, age_s, new);
            }
        }

        #[test]
        fn every_value_equals_itself_and_has_a_type(value in value()) {
            let one = std::slice::from_ref(&value);
            prop_assert!(holds(&Predicate::Equals(Operand::Literal(value.clone())), one));
            prop_assert!(holds(&Predicate::Contains(Operand::Literal(value.clone())), one));
            let types = ValueType::WORDS.iter().filter(|(_, kind)| holds(&Predicate::Type(*kind), one)).count();
            prop_assert!((1..=3).contains(&types), "{}", value);
        }

        /// In whatever order they come, and whether as numbers or as text.
        #[test]
        fn sums_are_of_all_values(numbers in proptest::collection::vec(-1_000_000i64..1_000_000, 1..20)) {
            let total: i64 = numbers.iter().sum();
            let values: Vec<Value> =
                numbers.iter().rev().enumerate().map(|(i, n)| if i % 2 == 0 { json!(n) } else { json!(n.to_string()) }).collect();
            let sum = |total: i64, within| Predicate::Sum { total: Operand::Literal(json!(total)), within };
            prop_assert!(holds(&sum(total, 0.0), &values));
            prop_assert!(!holds(&sum(total + 1, 0.5), &values));
            prop_assert!(holds(&sum(total + 1, 1.0), &values));
            let count = Some(values.len() as u64);
            let exactly = Predicate::Count { min: count, max: count };
            prop_assert!(holds(&exactly, &values));
        }
    }
}
