use std::path::Path;

use regex::Regex;

use super::fields::{Fields, Reader};
use super::model::{PlacedCheck, Step};
use super::node::{Node, NodeValue};
use super::predicate::PREDICATES;
use super::scope::Scope;
use super::sources::header_name;
use super::template::{JsonTemplate, Template};
use crate::checks::{Check, Magic, PersonalData, Query, ResponseSchema, Scan, StatusSet};

pub const QUERIES: [&str; 12] = [
    "status",
    "header",
    "cookie",
    "jsonpath",
    "body",
    "content_type",
    "magic",
    "size",
    "max",
    "faster_than",
    "json_schema",
    "no_personal_data",
];
pub const SCAN_KEYS: [&str; 2] = ["find", "except"];
pub const RANGE_KEYS: [&str; 2] = ["min", "max"];

/// Keys of a check: exactly one query, and its predicate.
pub fn check_keys() -> Vec<&'static str> {
    QUERIES.iter().chain(&PREDICATES).copied().collect()
}

/// Reads the parts of one step that may hold templates.
pub struct StepReader<'r, 's, 'o> {
    pub reader: &'r Reader,
    pub scope: &'s Scope<'o>,
    /// Whether the step runs in smoke and under load.
    pub phase: (bool, bool),
    /// The steps before this one.
    pub earlier: &'s [Step],
    /// What file names are relative to.
    pub folder: &'s Path,
    pub timeout_ns: u64,
    /// What deferred operands of checks are made from.
    pub operands: Vec<JsonTemplate>,
}

impl StepReader<'_, '_, '_> {
    pub fn template(&self, node: &Node, text: &str) -> Option<Template> {
        self.scope.template(self.reader, node, text, self.phase)
    }

    pub fn scalar_template(&self, node: &Node, what: &str) -> Option<Template> {
        self.reader.scalar(node, what).and_then(|text| self.template(node, &text))
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

    pub fn checks(&mut self, node: &Node) -> Vec<PlacedCheck> {
        if let NodeValue::Map(_) = &node.value {
            let help = Some("each check begins with a hyphen: `- status: 200`".to_owned());
            self.reader.fail(&node.span, "expected a list of checks", "this is a mapping", help);
            return Vec::new();
        }
        let list = self.reader.list(node, "a list of checks").unwrap_or_default();
        let mut checks: Vec<PlacedCheck> = Vec::new();
        for item in list {
            let Some(check) = self.check(item) else { continue };
            if checks.iter().any(|earlier| contradict(&earlier.check, &check.check)) {
                let help = Some("accept several with a list: `status: [200, 404]`".to_owned());
                let label = "no status passes this one and the one above";
                self.reader.fail(&item.span, "these checks can never hold together", label, help);
            }
            checks.push(check);
        }
        checks
    }

    fn check(&mut self, node: &Node) -> Option<PlacedCheck> {
        // `no_personal_data` has a sensible default for what it looks for, so it may stand as a bare word.
        if matches!(&node.value, NodeValue::Text(text) if text == "no_personal_data") {
            let check = Check::NoPersonalData(Scan::everything());
            return Some(PlacedCheck { check, place: self.reader.place(&node.span) });
        }
        if let NodeValue::Text(text) = &node.value {
            self.reader.unknown(&node.span, "check", text, &["no_personal_data"]);
            return None;
        }
        let fields = self.reader.fields(node, "a check such as `status: 200`", &check_keys())?;
        let query = self.reader.exactly_one(node, &fields, "a check", &QUERIES)?;
        let (key, value) = fields.entry(query)?;
        let check = self.named_check(node, &fields, query, value)?;
        // From the query to the end of the check, which is what a failure points at.
        let span = key.span.start..node.end();
        Some(PlacedCheck { check, place: self.reader.place(&span) })
    }

    fn named_check(&mut self, node: &Node, fields: &Fields<'_>, query: &str, value: &Node) -> Option<Check> {
        let reader = self.reader;
        if !matches!(query, "header" | "jsonpath" | "cookie")
            && let Some((key, _)) = PREDICATES.iter().find_map(|p| fields.entry(p))
        {
            let help = (query == "body").then(|| format!("write `body: {{ {}: … }}`", key.name));
            reader.fail(&key.span, format!("`{query}` takes no `{}`", key.name), "has no meaning here", help);
        }
        Some(match query {
            "status" => Check::Status(self.statuses(value)?),
            "content_type" => Check::ContentType(reader.text(value, "a media type")?.to_owned()),
            "magic" => Check::Magic(reader.word(value, "format", &Magic::WORDS)?),
            "size" => {
                let (min, max) = self.range(value, "bytes")?;
                Check::Size { min, max }
            }
            "max" => {
                let ns = reader.duration(value, "a duration such as 300ms")?;
                if ns >= self.timeout_ns {
                    let help = Some("use a shorter one, or a longer `timeout`".to_owned());
                    reader.fail(
                        &value.span,
                        "this check can never fail",
                        "the step's timeout comes first",
                        help,
                    );
                }
                Check::MaxTime { ns }
            }
            "faster_than" => {
                let name = reader.scalar(value, "the name of an earlier step")?;
                let Some(step) = self.earlier.iter().position(|step| step.name == name) else {
                    let known: Vec<&str> = self.earlier.iter().map(|step| step.name.as_str()).collect();
                    reader.unknown(&value.span, "earlier step", &name, &known);
                    return None;
                };
                let (in_smoke, in_load) = (self.earlier[step].in_smoke(), self.earlier[step].in_load());
                if (self.phase.0 && !in_smoke) || (self.phase.1 && !in_load) {
                    let phase = if in_smoke { "load" } else { "smoke" };
                    let label = format!("`{name}` is not sent under {phase}, but this step is");
                    reader.fail(&value.span, "there is nothing to compare with", label, None);
                }
                Check::FasterThan { step, name }
            }
            "json_schema" => Check::JsonSchema(self.schema(value)?),
            "no_personal_data" => Check::NoPersonalData(self.scan(value)?),
            "body" => {
                let inner = reader.fields(value, "a predicate such as `{ contains: text }`", &PREDICATES)?;
                Check::Value(Query::Body, self.predicate(value, &inner)?)
            }
            "cookie" => {
                let name = reader.text(value, "a cookie's name")?.to_owned();
                Check::Value(Query::Cookie(name), self.predicate(node, fields)?)
            }
            "header" => {
                let name = header_name(reader, value, reader.text(value, "a header name")?)?;
                Check::Value(Query::Header(name), self.predicate(node, fields)?)
            }
            _ => {
                if let (Some((key, _)), NodeValue::Text(path)) = (fields.entry("count"), &value.value)
                    && selects_one(path)
                {
                    let help = format!(
                        "`{path}[*]` selects a list's items; `exists: true` asks whether it is there"
                    );
                    let label = "the path selects one value, whatever is in it";
                    reader.fail(&key.span, "this counts to one at most", label, Some(help));
                }
                Check::Value(read_jsonpath(reader, value)?, self.predicate(node, fields)?)
            }
        })
    }

    /// Inline, or the name of a file.
    fn schema(&self, node: &Node) -> Option<ResponseSchema> {
        let value = match &node.value {
            NodeValue::Text(name) => {
                let message = "this schema cannot be used";
                let bytes = self.read_file(node, name, message)?;
                let parsed = serde_json::from_slice(&bytes).map_err(|e| format!("{name}: {e}"));
                self.reader.take(node, message, parsed)?
            }
            NodeValue::Map(_) => plain_json(node),
            _ => {
                self.reader.map(node, "a JSON Schema, or the name of a file with one");
                return None;
            }
        };
        self.reader.take(node, "this is not a JSON Schema", ResponseSchema::compile(&value))
    }

    fn scan(&self, node: &Node) -> Option<Scan> {
        let reader = self.reader;
        let kinds = |node: &Node| -> Option<Vec<PersonalData>> {
            let list = reader.list(node, "a list such as [email, phone, ssn, iban, card]")?;
            if list.is_empty() {
                reader.fail(&node.span, "this check can never fail", "it looks for nothing", None);
            }
            list.iter().map(|item| reader.word(item, "kind of personal data", &PersonalData::WORDS)).collect()
        };
        match &node.value {
            NodeValue::Bool(true) | NodeValue::Null => Some(Scan::everything()),
            NodeValue::Map(_) => {
                let fields = reader.fields(node, "`find` and `except`", &SCAN_KEYS)?;
                let mut scan = Scan::everything();
                if let Some(find) = fields.get("find") {
                    scan.kinds = kinds(find)?;
                }
                let except =
                    fields.get("except").and_then(|n| reader.list(n, "a list of regular expressions"));
                for item in except.unwrap_or_default() {
                    scan.except.push(read_regex(reader, item)?);
                }
                Some(scan)
            }
            _ => Some(Scan { kinds: kinds(node)?, except: Vec::new() }),
        }
    }

    /// A number, or `min` and `max`.
    pub fn range(&self, node: &Node, of: &str) -> Option<(Option<u64>, Option<u64>)> {
        let reader = self.reader;
        let what = format!("a number of {of}, or `{{ min: 1 }}`");
        if let NodeValue::Number(_) = node.value {
            return reader.whole(node, &what).map(|n| (Some(n), Some(n)));
        }
        let fields = reader.fields(node, &what, &RANGE_KEYS)?;
        let end = |name| fields.get(name).map_or(Some(None), |n| reader.whole(n, "a whole number").map(Some));
        let (min, max) = (end("min")?, end("max")?);
        match (min, max) {
            (None | Some(0), None) => {
                let message = if fields.mistyped { return None } else { "this check can never fail" };
                let label = format!("any number of {of} will do");
                reader.fail(&node.span, message, label, Some(format!("give {what}")));
                None
            }
            (Some(low), Some(high)) if low > high => {
                let help = Some(format!("{{ min: {high}, max: {low} }}"));
                reader.fail(&node.span, "this check can never hold", "`min` is above `max`", help);
                None
            }
            ends => Some(ends),
        }
    }

    fn statuses(&self, node: &Node) -> Option<StatusSet> {
        let reader = self.reader;
        let mut ranges = Vec::new();
        for item in node.items() {
            let text = reader.scalar(item, "a status such as 200 or 2xx")?;
            let range =
                match (text.parse::<u16>(), text.strip_suffix("xx").and_then(|d| d.parse::<u16>().ok())) {
                    (Ok(code @ 100..=599), _) => Ok(code..=code),
                    (_, Some(class @ 1..=5)) => Ok(class * 100..=class * 100 + 99),
                    _ => Err(format!("`{text}` is no HTTP status")),
                };
            ranges.push(reader.take(item, "expected a status such as 200 or 2xx", range)?);
        }
        let all = StatusSet(ranges);
        if (200..600).all(|status| all.contains(status)) {
            reader.fail(&node.span, "this check can never fail", "every status is accepted", None);
        }
        if all.0.is_empty() {
            reader.fail(&node.span, "this check can never hold", "no status is accepted", None);
        }
        Some(all)
    }
}

fn contradict(one: &Check, other: &Check) -> bool {
    let (Check::Status(one), Check::Status(other)) = (one, other) else { return false };
    (100..600).all(|status| !(one.contains(status) && other.contains(status)))
}

/// Whether a `JSONPath` has neither wildcards, slices, filters nor descendants: then it selects one value or none.
fn selects_one(path: &str) -> bool {
    let mut quote = None;
    let mut plain = String::new();
    for c in path.chars() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (None, _) => plain.push(c),
            (Some(_), _) => {}
        }
    }
    !plain.contains(['*', '?', ':', ',']) && !plain.contains("..")
}

/// Without templates: `$ref` and the like are JSON Schema's own.
fn plain_json(node: &Node) -> serde_json::Value {
    match &node.value {
        NodeValue::Null => serde_json::Value::Null,
        NodeValue::Bool(flag) => (*flag).into(),
        NodeValue::Number(number) => number.clone().into(),
        NodeValue::Text(text) => text.clone().into(),
        NodeValue::List(items) => items.iter().map(plain_json).collect(),
        NodeValue::Map(entries) => entries.iter().map(|(k, v)| (k.name.clone(), plain_json(v))).collect(),
    }
}

pub fn read_regex(reader: &Reader, node: &Node) -> Option<Regex> {
    let compiled = Regex::new(reader.text(node, "a regular expression")?);
    let reason = |e: regex::Error| e.to_string().lines().last().unwrap_or("invalid").replace("error: ", "");
    reader.take(node, "this is not a regular expression", compiled.map_err(reason))
}

pub fn read_jsonpath(reader: &Reader, node: &Node) -> Option<Query> {
    let text = reader.text(node, "a JSONPath such as `$.id`")?;
    match serde_json_path::JsonPath::parse(text) {
        Ok(path) => Some(Query::JsonPath(path)),
        Err(error) => {
            let written = reader.source().text.get(node.span.clone()).unwrap_or_default();
            let start = node.span.start + written.find(text).unwrap_or(0) + error.position();
            let help = if !text.starts_with('$') {
                Some(format!("a JSONPath begins with `$`: `$.{text}`"))
            } else if text[error.position().min(text.len())..].starts_with('-') {
                Some("a name with a hyphen stands in brackets: `$['content-type']`".to_owned())
            } else {
                None
            };
            reader.fail(&(start..start + 1), "this is not a JSONPath", "not understood from here on", help);
            None
        }
    }
}
