use regex::Regex;

use super::fields::{Fields, Reader};
use super::node::{Node, NodeValue};
use super::parse::{Scope, header_name};
use super::template::{JsonTemplate, Template};
use crate::checks::{Check, Magic, Operand, Predicate, Query, StatusSet};

const CHECK_KEYS: [&str; 13] = [
    "status",
    "header",
    "jsonpath",
    "content_type",
    "magic",
    "size",
    "max",
    "equals",
    "between",
    "count",
    "exists",
    "matches",
    "newer_than",
];
const PREDICATES: [&str; 6] = ["equals", "between", "count", "exists", "matches", "newer_than"];
const QUERIES: [&str; 7] = ["status", "header", "jsonpath", "content_type", "magic", "size", "max"];

/// Reads the parts of one step that may hold templates.
pub struct StepReader<'r, 's, 'o> {
    pub reader: &'r Reader,
    pub scope: &'s Scope<'o>,
    /// Whether the step runs in smoke and under load.
    pub phase: (bool, bool),
    /// What deferred operands of checks are made from.
    pub operands: Vec<JsonTemplate>,
}

impl StepReader<'_, '_, '_> {
    pub fn template(&self, node: &Node, text: &str) -> Option<Template> {
        self.scope.template(self.reader, node, text, self.phase)
    }

    pub fn json(&self, node: &Node) -> Option<JsonTemplate> {
        Some(match &node.value {
            NodeValue::Null => JsonTemplate::Literal(serde_json::Value::Null),
            NodeValue::Bool(flag) => JsonTemplate::Literal((*flag).into()),
            NodeValue::Number(number) => JsonTemplate::Literal(number.clone().into()),
            NodeValue::Text(text) => JsonTemplate::Text(self.template(node, text)?),
            NodeValue::List(items) => {
                JsonTemplate::List(items.iter().map(|i| self.json(i)).collect::<Option<_>>()?)
            }
            NodeValue::Map(entries) => JsonTemplate::Map(
                entries.iter().map(|(k, v)| Some((k.name.clone(), self.json(v)?))).collect::<Option<_>>()?,
            ),
        })
    }

    pub fn checks(&mut self, node: &Node) -> Vec<Check> {
        let list = self.reader.list(node, "a list of checks").unwrap_or_default();
        list.iter().filter_map(|item| self.check(item)).collect()
    }

    fn check(&mut self, node: &Node) -> Option<Check> {
        let reader = self.reader;
        let fields = reader.fields(node, "a check such as `status: 200`", &CHECK_KEYS)?;
        let queries: Vec<&str> = QUERIES.into_iter().filter(|k| fields.get(k).is_some()).collect();
        if queries.is_empty() && fields.mistyped {
            return None;
        }
        let [query] = queries.as_slice() else {
            let label = if queries.is_empty() {
                "none here".into()
            } else {
                format!("here are {}", queries.join(" and "))
            };
            reader.fail(
                &node.span,
                format!("a check has exactly one of {}", QUERIES.join(", ")),
                label,
                None,
            );
            return None;
        };
        let value = fields.get(query)?;
        if !matches!(*query, "header" | "jsonpath")
            && let Some((key, _)) = PREDICATES.iter().find_map(|p| fields.entry(p))
        {
            reader.fail(&key.span, format!("`{query}` takes no `{}`", key.name), "has no meaning here", None);
        }
        Some(match *query {
            "status" => Check::Status(self.statuses(value)?),
            "content_type" => Check::ContentType(reader.text(value, "a media type")?.to_owned()),
            "magic" => Check::Magic(reader.word(value, "format", &Magic::WORDS)?),
            "size" => {
                let (min, max) = self.range(value, "bytes")?;
                Check::Size { min, max }
            }
            "max" => Check::MaxTime { ns: reader.duration(value, "a duration such as 300ms")? },
            "header" => {
                let name = header_name(reader, value, reader.text(value, "a header name")?)?;
                Check::Value(Query::Header(name), self.predicate(node, &fields)?)
            }
            _ => Check::Value(read_jsonpath(reader, value)?, self.predicate(node, &fields)?),
        })
    }

    fn predicate(&mut self, node: &Node, fields: &Fields<'_>) -> Option<Predicate> {
        let reader = self.reader;
        let found: Vec<&str> = PREDICATES.into_iter().filter(|k| fields.get(k).is_some()).collect();
        if found.is_empty() && fields.mistyped {
            return None;
        }
        let [name] = found.as_slice() else {
            let label = if found.is_empty() {
                "none here".into()
            } else {
                format!("here are {}", found.join(" and "))
            };
            reader.fail(
                &node.span,
                format!("expected exactly one of {}", PREDICATES.join(", ")),
                label,
                None,
            );
            return None;
        };
        let value = fields.get(name)?;
        Some(match *name {
            "equals" => Predicate::Equals(self.operand(value)?),
            "exists" => Predicate::Exists(reader.flag(value, "true or false")?),
            "newer_than" => {
                Predicate::NewerThan { age_ns: reader.duration(value, "a duration such as 60s")? }
            }
            "matches" => {
                let compiled = Regex::new(reader.text(value, "a regular expression")?);
                let reason = |e: regex::Error| e.to_string().lines().last().unwrap_or("invalid").to_owned();
                Predicate::Matches(reader.take(
                    value,
                    "this is not a regular expression",
                    compiled.map_err(reason),
                )?)
            }
            "between" => match reader.list(value, "two numbers such as [0, 1]")? {
                [low, high] => {
                    let (low, high) = (reader.number(low, "a number")?, reader.number(high, "a number")?);
                    if low > high {
                        let help = Some(format!("[{high}, {low}]"));
                        reader.fail(
                            &value.span,
                            "this check can never hold",
                            "the lower bound is above the upper",
                            help,
                        );
                    }
                    Predicate::Between(low, high)
                }
                _ => {
                    reader.fail(&value.span, "expected two numbers", "such as [0, 1]", None);
                    return None;
                }
            },
            _ => {
                let (min, max) = self.range(value, "values")?;
                Predicate::Count { min, max }
            }
        })
    }

    fn operand(&mut self, node: &Node) -> Option<Operand> {
        let json = self.json(node)?;
        Some(json.constant().map_or_else(
            || {
                self.operands.push(json.clone());
                Operand::Deferred(self.operands.len() - 1)
            },
            Operand::Literal,
        ))
    }

    /// A number, or `min` and `max`.
    fn range(&self, node: &Node, of: &str) -> Option<(Option<u64>, Option<u64>)> {
        let reader = self.reader;
        let what = format!("a number of {of}, or `{{ min: 1 }}`");
        if let NodeValue::Number(_) = node.value {
            return reader.whole(node, &what).map(|n| (Some(n), Some(n)));
        }
        let fields = reader.fields(node, &what, &["min", "max"])?;
        let end = |name| fields.get(name).map_or(Some(None), |n| reader.whole(n, "a whole number").map(Some));
        let (min, max) = (end("min")?, end("max")?);
        if (min, max) == (None, None) || min.zip(max).is_some_and(|(min, max)| min > max) {
            reader.fail(&node.span, format!("expected {what}"), "nothing could satisfy or break this", None);
            return None;
        }
        Some((min, max))
    }

    fn statuses(&self, node: &Node) -> Option<StatusSet> {
        let reader = self.reader;
        let items = match &node.value {
            NodeValue::List(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        let mut ranges = Vec::new();
        for item in items {
            let text = reader.scalar(item, "a status such as 200 or 2xx")?;
            let range =
                match (text.parse::<u16>(), text.strip_suffix("xx").and_then(|d| d.parse::<u16>().ok())) {
                    (Ok(code @ 100..=599), _) => Ok(code..=code),
                    (_, Some(class @ 1..=5)) => Ok(class * 100..=class * 100 + 99),
                    _ => Err(format!("`{text}` is no HTTP status")),
                };
            ranges.push(reader.take(item, "expected a status such as 200 or 2xx", range)?);
        }
        Some(StatusSet(ranges))
    }
}

pub fn read_jsonpath(reader: &Reader, node: &Node) -> Option<Query> {
    let text = reader.text(node, "a JSONPath such as `$.id`")?;
    match serde_json_path::JsonPath::parse(text) {
        Ok(path) => Some(Query::JsonPath(path)),
        Err(error) => {
            let written = reader.source().text.get(node.span.clone()).unwrap_or_default();
            let start = node.span.start + written.find(text).unwrap_or(0) + error.position();
            reader.fail(&(start..start + 1), "this is not a JSONPath", "not understood from here on", None);
            None
        }
    }
}
