use http::{HeaderName, Method};
use regex::Regex;

use super::digest::endpoint_digest;
use super::fields::{Fields, Reader};
use super::model::{Action, BodyTemplate, Capture, Only, RequestTemplate, Step};
use super::node::{Node, NodeValue};
use super::parse::{CaptureName, Scope, header_name, read_limits, required};
use super::template::{JsonTemplate, Template};
use crate::checks::{Check, Magic, Operand, Predicate, Query, StatusSet};
use crate::units::Rules;

const METHODS: [&str; 7] = ["get", "post", "put", "patch", "delete", "head", "options"];
const STEP_KEYS: [&str; 17] = [
    "name", "get", "post", "put", "patch", "delete", "head", "options", "poll", "headers", "json", "body", "timeout",
    "capture", "check", "only", "limits",
];
const POLL_KEYS: [&str; 10] =
    ["get", "post", "put", "patch", "delete", "head", "every", "within", "until", "fail_if"];
const CHECK_KEYS: [&str; 13] = [
    "status", "header", "jsonpath", "content_type", "magic", "size", "max", "equals", "between", "count", "exists",
    "matches", "newer_than",
];
const PREDICATES: [&str; 6] = ["equals", "between", "count", "exists", "matches", "newer_than"];
const QUERIES: [&str; 7] = ["status", "header", "jsonpath", "content_type", "magic", "size", "max"];
const DEFAULT_TIMEOUT_NS: u64 = 10_000_000_000;

/// What the file says for all steps.
pub struct StepDefaults<'a> {
    pub feature: &'a str,
    pub headers: Vec<(HeaderName, Template)>,
    pub rules: Rules,
    /// The stage, as part of what makes measurements comparable.
    pub stage: Option<String>,
}

pub fn read_steps(reader: &Reader, list: &[Node], scope: &mut Scope<'_>, defaults: &StepDefaults<'_>) -> Vec<Step> {
    let mut names: Vec<String> = Vec::new();
    let mut steps = Vec::new();
    for node in list {
        let Some(fields) = reader.fields(node, "a step", &STEP_KEYS) else { continue };
        if let Some(name) = fields.get("name").and_then(|n| n.scalar_text()) {
            if names.contains(&name) {
                let label = "another step has this name";
                reader.fail(&node.span, format!("step `{name}` stands twice"), label, Some("names tell endpoints apart".into()));
            }
            names.push(name);
        }
        steps.extend(read_step(reader, node, &fields, scope, defaults));
    }
    steps
}

fn read_step(
    reader: &Reader,
    node: &Node,
    fields: &Fields<'_>,
    scope: &mut Scope<'_>,
    defaults: &StepDefaults<'_>,
) -> Option<Step> {
    let name = required(reader, fields, "name", "a name for the endpoint").and_then(|n| reader.scalar(n, "a name"));
    let only = fields.get("only").and_then(|n| reader.word(n, "phase", &[("smoke", Only::Smoke), ("load", Only::Load)]));
    let phase = (only != Some(Only::Load), only != Some(Only::Smoke));
    let mut builder = ChecksBuilder { reader, scope, phase, operands: Vec::new() };
    let action = builder.action(node, fields, defaults);
    let mut checks = fields.get("check").map(|n| builder.checks(n)).unwrap_or_default();
    if !checks.iter().any(|c| matches!(c, Check::Status(_))) {
        checks.insert(0, Check::Status(StatusSet::success()));
    }
    let operands = builder.operands;
    let timeout_ns =
        fields.get("timeout").map_or(Some(DEFAULT_TIMEOUT_NS), |n| reader.duration(n, "a duration such as 2s"));
    let mut rules = defaults.rules.clone();
    if let Some(own) = fields.get("limits") {
        for limit in read_limits(reader, own) {
            rules.limits.retain(|l| l.metric != limit.metric);
            rules.limits.push(limit);
        }
        if !phase.1 || defaults.stage.is_none() {
            let help = Some("limits are judged under load".to_owned());
            reader.fail(&own.span, "these limits can match nothing", "this step does not run under load", help);
        }
    }
    let captures = fields.get("capture").map(|n| read_captures(reader, n, scope, phase)).unwrap_or_default();
    let (name, action) = (name?, action?);
    let digest = endpoint_digest(&action, &scope.data, defaults.stage.as_deref());
    Some(Step {
        endpoint: format!("{}/{name}", defaults.feature),
        name,
        line: node.line,
        only,
        action,
        timeout_ns: timeout_ns?,
        checks,
        operands,
        captures,
        rules,
        digest,
    })
}

fn read_captures(reader: &Reader, node: &Node, scope: &mut Scope<'_>, phase: (bool, bool)) -> Vec<Capture> {
    let mut captures = Vec::new();
    for (key, value) in reader.map(node, "names and where their values are found").unwrap_or_default() {
        let Some(fields) = reader.fields(value, "`jsonpath` or `header`", &["jsonpath", "header"]) else { continue };
        let query = match (fields.get("jsonpath"), fields.get("header")) {
            (Some(n), None) => read_jsonpath(reader, n),
            (None, Some(n)) => reader.text(n, "a header name").and_then(|t| header_name(reader, n, t)).map(Query::Header),
            _ => {
                reader.fail(&value.span, "expected exactly one of `jsonpath` and `header`", "in this capture", None);
                None
            }
        };
        let Some(query) = query else { continue };
        let slot = scope.captures.len();
        scope.captures.push(CaptureName { name: key.name.clone(), slot, in_smoke: phase.0, in_load: phase.1 });
        captures.push(Capture { name: key.name.clone(), slot, query });
    }
    captures
}

pub fn headers(reader: &Reader, node: &Node, scope: &Scope<'_>, phase: (bool, bool)) -> Vec<(HeaderName, Template)> {
    let entries = reader.map(node, "header names and values").unwrap_or_default();
    let mut headers = Vec::new();
    for (key, value) in entries {
        let parsed = HeaderName::try_from(key.name.as_str());
        if parsed.is_err() {
            reader.fail(&key.span, format!("`{}` is not a header name", key.name), "expected a header name", None);
        }
        let template = reader.scalar(value, "text").and_then(|text| scope.template(reader, value, &text, phase));
        if let (Ok(name), Some(template)) = (parsed, template) {
            headers.push((name, template));
        }
    }
    headers
}

fn read_jsonpath(reader: &Reader, node: &Node) -> Option<Query> {
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

struct ChecksBuilder<'r, 's, 'o> {
    reader: &'r Reader,
    scope: &'s Scope<'o>,
    /// Whether the step runs in smoke and under load.
    phase: (bool, bool),
    operands: Vec<Template>,
}

impl ChecksBuilder<'_, '_, '_> {
    fn action(&mut self, node: &Node, fields: &Fields<'_>, defaults: &StepDefaults<'_>) -> Option<Action> {
        let reader = self.reader;
        if let Some((key, poll)) = fields.entry("poll") {
            if let Some(method) = METHODS.iter().find(|m| fields.get(m).is_some()) {
                let help = Some("the polled request stands inside `poll`".to_owned());
                reader.fail(&key.span, format!("a step is `{method}` or `poll`, not both"), "this one", help);
            }
            let inner = reader.fields(poll, "`get`, `every`, `within`, `until`", &POLL_KEYS)?;
            let request = self.request(poll, &inner, fields, defaults);
            let every_ns = inner.get("every").map_or(Some(500_000_000), |n| reader.duration(n, "a duration such as 500ms"));
            let within_ns =
                required(reader, &inner, "within", "a duration such as 30s").and_then(|n| reader.duration(n, "a duration"));
            let until = required(reader, &inner, "until", "a list of checks").map(|n| self.checks(n));
            let fail_if = inner.get("fail_if").map(|n| self.checks(n)).unwrap_or_default();
            let (request, every_ns, within_ns, until) = (request?, every_ns?.max(1_000_000), within_ns?, until?);
            return Some(Action::Poll { request, every_ns, within_ns, until, fail_if });
        }
        self.request(node, fields, fields, defaults).map(Action::Request)
    }

    /// `verbs` holds the method and the URL, `fields` the rest.
    fn request(
        &mut self,
        node: &Node,
        verbs: &Fields<'_>,
        fields: &Fields<'_>,
        defaults: &StepDefaults<'_>,
    ) -> Option<RequestTemplate> {
        let reader = self.reader;
        let found: Vec<&str> = METHODS.into_iter().filter(|m| verbs.get(m).is_some()).collect();
        if found.is_empty() && verbs.mistyped {
            return None;
        }
        let [verb] = found.as_slice() else {
            let label = if found.is_empty() { "none here".into() } else { format!("here are {}", found.join(" and ")) };
            let start = node.span.start;
            let message = format!("expected exactly one of {} or poll", METHODS.join(", "));
            reader.fail(&(start..start + 1), message, label, None);
            return None;
        };
        let url_node = verbs.get(verb)?;
        let url = reader.scalar(url_node, "a URL or a path").and_then(|t| self.template(url_node, &t));
        let mut all = defaults.headers.clone();
        for (name, value) in fields.get("headers").map(|n| headers(reader, n, self.scope, self.phase)).unwrap_or_default() {
            all.retain(|(n, _)| *n != name);
            all.push((name, value));
        }
        let body = match (fields.get("json"), fields.get("body")) {
            (Some(n), None) => Some(BodyTemplate::Json(self.json(n)?)),
            (None, Some(n)) => Some(BodyTemplate::Text(reader.scalar(n, "text").and_then(|t| self.template(n, &t))?)),
            (Some(_), Some(n)) => {
                reader.fail(&n.span, "a step has `json` or `body`, not both", "the second one", None);
                None
            }
            (None, None) => None,
        };
        let method = Method::from_bytes(verb.to_ascii_uppercase().as_bytes()).ok()?;
        Some(RequestTemplate { method, url: url?, headers: all, body })
    }

    fn template(&self, node: &Node, text: &str) -> Option<Template> {
        self.scope.template(self.reader, node, text, self.phase)
    }

    fn json(&self, node: &Node) -> Option<JsonTemplate> {
        Some(match &node.value {
            NodeValue::Null => JsonTemplate::Literal(serde_json::Value::Null),
            NodeValue::Bool(flag) => JsonTemplate::Literal((*flag).into()),
            NodeValue::Number(number) => JsonTemplate::Literal(number.clone().into()),
            NodeValue::Text(text) => JsonTemplate::Text(self.template(node, text)?),
            NodeValue::List(items) => JsonTemplate::List(items.iter().map(|i| self.json(i)).collect::<Option<_>>()?),
            NodeValue::Map(entries) => JsonTemplate::Map(
                entries.iter().map(|(k, v)| Some((k.name.clone(), self.json(v)?))).collect::<Option<_>>()?,
            ),
        })
    }

    fn checks(&mut self, node: &Node) -> Vec<Check> {
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
            let label = if queries.is_empty() { "none here".into() } else { format!("here are {}", queries.join(" and ")) };
            reader.fail(&node.span, format!("a check has exactly one of {}", QUERIES.join(", ")), label, None);
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
            "magic" => {
                let words = [("pdf", Magic::Pdf), ("xlsx", Magic::Xlsx), ("csv", Magic::Csv), ("png", Magic::Png)];
                Check::Magic(reader.word(value, "format", &words)?)
            }
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
            let label = if found.is_empty() { "none here".into() } else { format!("here are {}", found.join(" and ")) };
            reader.fail(&node.span, format!("expected exactly one of {}", PREDICATES.join(", ")), label, None);
            return None;
        };
        let value = fields.get(name)?;
        Some(match *name {
            "equals" => Predicate::Equals(self.operand(value)?),
            "exists" => Predicate::Exists(reader.flag(value, "true or false")?),
            "newer_than" => Predicate::NewerThan { age_ns: reader.duration(value, "a duration such as 60s")? },
            "matches" => {
                let compiled = Regex::new(reader.text(value, "a regular expression")?);
                let reason = |e: regex::Error| e.to_string().lines().last().unwrap_or("invalid").to_owned();
                Predicate::Matches(reader.take(value, "this is not a regular expression", compiled.map_err(reason))?)
            }
            "between" => match reader.list(value, "two numbers such as [0, 1]")? {
                [low, high] => {
                    let (low, high) = (reader.number(low, "a number")?, reader.number(high, "a number")?);
                    if low > high {
                        let help = Some(format!("[{high}, {low}]"));
                        reader.fail(&value.span, "this check can never hold", "the lower bound is above the upper", help);
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
        Some(match self.json(node)? {
            JsonTemplate::Text(template) => match template.constant() {
                Some(text) => Operand::Literal(text.into()),
                None => {
                    self.operands.push(template);
                    Operand::Deferred(self.operands.len() - 1)
                }
            },
            constant => Operand::Literal(constant.canonical()),
        })
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
            let range = match (text.parse::<u16>(), text.strip_suffix("xx").and_then(|d| d.parse::<u16>().ok())) {
                (Ok(code @ 100..=599), _) => Ok(code..=code),
                (_, Some(class @ 1..=5)) => Ok(class * 100..=class * 100 + 99),
                _ => Err(format!("`{text}` is no HTTP status")),
            };
            ranges.push(reader.take(item, "expected a status such as 200 or 2xx", range)?);
        }
        Some(StatusSet(ranges))
    }
}
