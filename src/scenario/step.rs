use http::{HeaderName, Method};

use super::check::{StepReader, read_jsonpath};
use super::digest::endpoint_digest;
use super::fields::{Fields, Reader};
use super::model::{Action, BodyTemplate, Capture, Only, RequestTemplate, Step};
use super::node::{Node, NodeValue};
use super::parse::{CaptureName, Scope, header_name, read_limits, required};
use super::program::{Branch, Node as ProgramNode};
use super::template::Template;
use crate::checks::{Check, Query, StatusSet};
use crate::units::Rules;

const METHODS: [&str; 7] = ["get", "post", "put", "patch", "delete", "head", "options"];
const STEP_KEYS: [&str; 19] = [
    "name", "get", "post", "put", "patch", "delete", "head", "options", "poll", "headers", "json", "body",
    "timeout", "capture", "check", "only", "limits", "think", "one_of",
];
const POLL_KEYS: [&str; 10] =
    ["get", "post", "put", "patch", "delete", "head", "every", "within", "until", "fail_if"];
const DEFAULT_TIMEOUT_NS: u64 = 10_000_000_000;

/// What the file says for all steps.
pub struct StepDefaults<'a> {
    pub feature: &'a str,
    pub headers: Vec<(HeaderName, Template)>,
    pub rules: Rules,
    /// The stage, as part of what makes measurements comparable.
    pub stage: Option<String>,
    pub transport: &'static str,
}

/// The steps of all branches, and the order in which an iteration takes them.
pub fn read_steps(
    reader: &Reader,
    list: &[Node],
    scope: &mut Scope<'_>,
    defaults: &StepDefaults<'_>,
) -> (Vec<Step>, Vec<ProgramNode>) {
    let mut reading = Reading { names: Vec::new(), steps: Vec::new() };
    let program = reading.nodes(reader, list, scope, defaults, "");
    (reading.steps, program)
}

struct Reading {
    names: Vec<String>,
    steps: Vec<Step>,
}

impl Reading {
    /// `share` names the branch that these steps stand in, as part of what makes measurements comparable.
    fn nodes(
        &mut self,
        reader: &Reader,
        list: &[Node],
        scope: &mut Scope<'_>,
        defaults: &StepDefaults<'_>,
        share: &str,
    ) -> Vec<ProgramNode> {
        let mut nodes = Vec::new();
        for node in list {
            let Some(fields) = reader.fields(node, "a step", &STEP_KEYS) else { continue };
            if let Some((key, value)) = fields.entry("think").or_else(|| fields.entry("one_of")) {
                if let NodeValue::Map(entries) = &node.value
                    && entries.len() > 1
                {
                    let label = "a step of its own, without a name";
                    reader.fail(&key.span, format!("`{}` stands alone", key.name), label, None);
                    continue;
                }
                if key.name == "think" {
                    nodes.extend(read_think(reader, value));
                } else {
                    nodes.extend(self.one_of(reader, value, scope, defaults, share));
                }
                continue;
            }
            if let Some(name) = fields.get("name").and_then(Node::scalar_text) {
                if self.names.contains(&name) {
                    let help = Some("names tell endpoints apart".into());
                    reader.fail(
                        &node.span,
                        format!("step `{name}` stands twice"),
                        "another step has this name",
                        help,
                    );
                }
                self.names.push(name);
            }
            if let Some(step) = read_step(reader, node, &fields, scope, defaults, share) {
                nodes.push(ProgramNode::Step(self.steps.len()));
                self.steps.push(step);
            }
        }
        nodes
    }

    fn one_of(
        &mut self,
        reader: &Reader,
        node: &Node,
        scope: &mut Scope<'_>,
        defaults: &StepDefaults<'_>,
        share: &str,
    ) -> Option<ProgramNode> {
        let what = "branches such as `[ { weight: 3, steps: [ … ] }, { weight: 1, steps: [ … ] } ]`";
        let list = reader.list(node, what)?;
        if list.len() < 2 {
            reader.fail(&node.span, "`one_of` needs at least two branches", "nothing to choose from", None);
            return None;
        }
        let mut branches = Vec::new();
        for item in list {
            let fields = reader.fields(item, "a branch with `steps` and `weight`", &["weight", "steps"])?;
            let weight = fields.get("weight").map_or(Some(1), |n| reader.whole(n, "a whole number"))?;
            if !(1..=1_000_000).contains(&weight) {
                let span = fields.get("weight").map_or(&item.span, |n| &n.span);
                reader.fail(span, "a weight is a whole number from 1", "out of range", None);
            }
            branches.push((weight as u32, required(reader, &fields, "steps", "a list of steps")?));
        }
        let total: u64 = branches.iter().map(|(weight, _)| u64::from(*weight)).sum();
        let mut read = Vec::new();
        for (weight, steps) in branches {
            let visible = scope.captures.len();
            let own = format!("{share} × {weight}/{total}");
            let nodes = self.nodes(reader, reader.list(steps, "a list of steps")?, scope, defaults, &own);
            scope.captures[visible..].iter_mut().for_each(|capture| capture.hidden = true);
            read.push(Branch { weight, nodes });
        }
        Some(ProgramNode::OneOf(read))
    }
}

/// A length, or a pair of lengths between which each pause is drawn.
fn read_think(reader: &Reader, node: &Node) -> Option<ProgramNode> {
    let what = "a pause such as 1s, or `[500ms, 2s]`";
    let (least_ns, most_ns) = match &node.value {
        NodeValue::List(pair) => {
            let [least, most] = pair.as_slice() else {
                reader.fail(&node.span, format!("expected {what}"), "two lengths", None);
                return None;
            };
            (reader.duration(least, what)?, reader.duration(most, what)?)
        }
        _ => {
            let ns = reader.duration(node, what)?;
            (ns, ns)
        }
    };
    if least_ns > most_ns {
        reader.fail(&node.span, "the shorter pause comes first", "the wrong way round", None);
        return None;
    }
    Some(ProgramNode::Think { least_ns, most_ns })
}

fn read_step(
    reader: &Reader,
    node: &Node,
    fields: &Fields<'_>,
    scope: &mut Scope<'_>,
    defaults: &StepDefaults<'_>,
    share: &str,
) -> Option<Step> {
    let name =
        required(reader, fields, "name", "a name for the endpoint").and_then(|n| reader.scalar(n, "a name"));
    let only = fields
        .get("only")
        .and_then(|n| reader.word(n, "phase", &[("smoke", Only::Smoke), ("load", Only::Load)]));
    let phase = (only != Some(Only::Load), only != Some(Only::Smoke));
    let mut builder = StepReader { reader, scope, phase, operands: Vec::new() };
    let action = builder.action(node, fields, defaults);
    let mut checks = fields.get("check").map(|n| builder.checks(n)).unwrap_or_default();
    if !checks.iter().any(|c| matches!(c, Check::Status(_))) {
        checks.insert(0, Check::Status(StatusSet::success()));
    }
    let operands = builder.operands;
    let timeout_ns = fields
        .get("timeout")
        .map_or(Some(DEFAULT_TIMEOUT_NS), |n| reader.duration(n, "a duration such as 2s"));
    let mut rules = defaults.rules.clone();
    if let Some(own) = fields.get("limits") {
        for limit in read_limits(reader, own) {
            rules.limits.retain(|l| l.metric != limit.metric);
            rules.limits.push(limit);
        }
        if !phase.1 || defaults.stage.is_none() {
            let help = Some("limits are judged under load".to_owned());
            reader.fail(
                &own.span,
                "these limits can match nothing",
                "this step does not run under load",
                help,
            );
        }
    }
    let captures = fields.get("capture").map(|n| read_captures(reader, n, scope, phase)).unwrap_or_default();
    let (name, action) = (name?, action?);
    let stage = defaults.stage.as_ref().map(|stage| format!("{stage}{share}"));
    let digest = endpoint_digest(&action, &scope.data, stage.as_deref(), defaults.transport);
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
        let Some(fields) = reader.fields(value, "`jsonpath` or `header`", &["jsonpath", "header"]) else {
            continue;
        };
        let query = match (fields.get("jsonpath"), fields.get("header")) {
            (Some(n), None) => read_jsonpath(reader, n),
            (None, Some(n)) => {
                reader.text(n, "a header name").and_then(|t| header_name(reader, n, t)).map(Query::Header)
            }
            _ => {
                reader.fail(
                    &value.span,
                    "expected exactly one of `jsonpath` and `header`",
                    "in this capture",
                    None,
                );
                None
            }
        };
        let Some(query) = query else { continue };
        let slot = scope.captures.len();
        scope.captures.push(CaptureName {
            name: key.name.clone(),
            slot,
            in_smoke: phase.0,
            in_load: phase.1,
            hidden: false,
        });
        captures.push(Capture { name: key.name.clone(), slot, query });
    }
    captures
}

pub fn headers(
    reader: &Reader,
    node: &Node,
    scope: &Scope<'_>,
    phase: (bool, bool),
) -> Vec<(HeaderName, Template)> {
    let entries = reader.map(node, "header names and values").unwrap_or_default();
    let mut headers = Vec::new();
    for (key, value) in entries {
        let parsed = HeaderName::try_from(key.name.as_str());
        if parsed.is_err() {
            reader.fail(
                &key.span,
                format!("`{}` is not a header name", key.name),
                "expected a header name",
                None,
            );
        }
        let template =
            reader.scalar(value, "text").and_then(|text| scope.template(reader, value, &text, phase));
        if let (Ok(name), Some(template)) = (parsed, template) {
            headers.push((name, template));
        }
    }
    headers
}

impl StepReader<'_, '_, '_> {
    fn action(&mut self, node: &Node, fields: &Fields<'_>, defaults: &StepDefaults<'_>) -> Option<Action> {
        let reader = self.reader;
        if let Some((key, poll)) = fields.entry("poll") {
            if let Some(method) = METHODS.iter().find(|m| fields.get(m).is_some()) {
                let help = Some("the polled request stands inside `poll`".to_owned());
                reader.fail(&key.span, format!("a step is `{method}` or `poll`, not both"), "this one", help);
            }
            let inner = reader.fields(poll, "`get`, `every`, `within`, `until`", &POLL_KEYS)?;
            let request = self.request(poll, &inner, fields, defaults);
            let every_ns = inner
                .get("every")
                .map_or(Some(500_000_000), |n| reader.duration(n, "a duration such as 500ms"));
            let within_ns = required(reader, &inner, "within", "a duration such as 30s")
                .and_then(|n| reader.duration(n, "a duration"));
            let until = required(reader, &inner, "until", "a list of checks").map(|n| self.checks(n));
            let fail_if = inner.get("fail_if").map(|n| self.checks(n)).unwrap_or_default();
            let (request, every_ns, within_ns, until) =
                (request?, every_ns?.max(1_000_000), within_ns?, until?);
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
            let label = if found.is_empty() {
                "none here".into()
            } else {
                format!("here are {}", found.join(" and "))
            };
            let start = node.span.start;
            let message = format!("expected exactly one of {} or poll", METHODS.join(", "));
            reader.fail(&(start..start + 1), message, label, None);
            return None;
        };
        let url_node = verbs.get(verb)?;
        let url = reader.scalar(url_node, "a URL or a path").and_then(|t| self.template(url_node, &t));
        let mut all = defaults.headers.clone();
        for (name, value) in
            fields.get("headers").map(|n| headers(reader, n, self.scope, self.phase)).unwrap_or_default()
        {
            all.retain(|(n, _)| *n != name);
            all.push((name, value));
        }
        let body = match (fields.get("json"), fields.get("body")) {
            (Some(n), None) => Some(BodyTemplate::Json(self.json(n)?)),
            (None, Some(n)) => {
                Some(BodyTemplate::Text(reader.scalar(n, "text").and_then(|t| self.template(n, &t))?))
            }
            (Some(_), Some(n)) => {
                reader.fail(&n.span, "a step has `json` or `body`, not both", "the second one", None);
                None
            }
            (None, None) => None,
        };
        let method = Method::from_bytes(verb.to_ascii_uppercase().as_bytes()).ok()?;
        Some(RequestTemplate { method, url: url?, headers: all, body })
    }
}
