use std::ops::RangeInclusive;
use std::path::Path;

use http::HeaderName;

use super::capture::read_captures;
use super::check::StepReader;
use super::digest::endpoint_digest;
use super::fields::{Fields, Reader};
use super::model::{Condition, Only, Part, PlacedCheck, Step};
use super::node::{Node, NodeValue};
use super::parse::required;
use super::predicate::PREDICATES;
use super::program::{Branch, Node as ProgramNode};
use super::rules::{StepLimits, read_limits};
use super::scope::{Hidden, Scope};
use super::sources::header_value;
use super::template::Template;
use crate::checks::{Check, StatusSet};
use crate::units::Rules;

pub const STEP_KEYS: [&str; 29] = [
    "name",
    "get",
    "post",
    "put",
    "patch",
    "delete",
    "head",
    "options",
    "poll",
    "sse",
    "websocket",
    "query",
    "headers",
    "auth",
    "json",
    "form",
    "multipart",
    "body",
    "file",
    "redirects",
    "timeout",
    "capture",
    "check",
    "only",
    "when",
    "limits",
    "think",
    "one_of",
    "repeat",
];
pub const BRANCH_KEYS: [&str; 2] = ["weight", "steps"];
pub const REPEAT_KEYS: [&str; 2] = ["times", "steps"];
/// Stand alone, without a name.
pub const CONTROLS: [&str; 3] = ["think", "one_of", "repeat"];
const DEFAULT_TIMEOUT_NS: u64 = 10_000_000_000;
const REDIRECTS: RangeInclusive<u64> = 0..=20;
const REPEATS: RangeInclusive<u64> = 1..=10_000;
const WEIGHTS: RangeInclusive<u64> = 1..=1_000_000;

/// What the file says for all steps.
pub struct StepDefaults<'a> {
    pub feature: &'a str,
    pub folder: &'a Path,
    pub headers: Option<&'a Node>,
    pub auth: Option<&'a Node>,
    pub rules: Rules,
    /// Limits that stand at the top under a step's name.
    pub step_limits: &'a [StepLimits<'a>],
    /// The stage, as part of what makes measurements comparable.
    pub stage: Option<String>,
    /// Likewise how sessions are kept, where that is not the usual way.
    pub session: Option<&'static str>,
    pub transport: &'static str,
}

/// Where a list of steps stands.
#[derive(Clone, Copy)]
pub struct Position<'a> {
    pub part: Part,
    /// Whether its steps are sent and counted under load.
    pub measured: bool,
    /// Names the branches around it, as part of what makes measurements comparable.
    pub share: &'a str,
}

/// Reads lists of steps, one part of the file after the other.
pub struct StepList<'a> {
    reader: &'a Reader,
    defaults: &'a StepDefaults<'a>,
    pub names: Vec<String>,
    pub steps: Vec<Step>,
}

impl<'a> StepList<'a> {
    pub fn new(reader: &'a Reader, defaults: &'a StepDefaults<'a>) -> Self {
        Self { reader, defaults, names: Vec::new(), steps: Vec::new() }
    }

    pub fn nodes(
        &mut self,
        list: &[Node],
        scope: &mut Scope<'_>,
        position: Position<'_>,
    ) -> Vec<ProgramNode> {
        let reader = self.reader;
        let mut nodes = Vec::new();
        for node in list {
            let what = "a step such as `{ name: list items, get: /items }`";
            let Some(fields) = reader.fields(node, what, &STEP_KEYS) else { continue };
            if let Some((key, value)) = CONTROLS.iter().find_map(|name| fields.entry(name)) {
                if let NodeValue::Map(entries) = &node.value
                    && entries.len() > 1
                {
                    let label = "a step of its own, without a name";
                    reader.fail(&key.span, format!("`{}` stands alone", key.name), label, None);
                    continue;
                }
                if let Some(part) = position.part.around() {
                    let label = format!("`{part}` is one pass over its steps");
                    let help =
                        Some("`poll` waits for something; everything else stands under `steps`".to_owned());
                    reader.fail(&key.span, format!("`{}` has no place in `{part}`", key.name), label, help);
                    continue;
                }
                nodes.extend(match key.name.as_str() {
                    "think" => read_think(reader, value),
                    "repeat" => self.repeat(value, scope, position),
                    _ => self.one_of(value, scope, position),
                });
                continue;
            }
            if let Some(name) = fields.get("name").and_then(Node::scalar_text) {
                if self.names.contains(&name) {
                    let help = Some("names tell endpoints apart".into());
                    let span = fields.get("name").map_or(&node.span, |n| &n.span);
                    let label = "another step has this name";
                    reader.fail(span, format!("step `{name}` stands twice"), label, help);
                }
                self.names.push(name);
            }
            if let Some(step) = self.step(node, &fields, scope, position) {
                nodes.push(ProgramNode::Step(self.steps.len()));
                self.steps.push(step);
            }
        }
        nodes
    }

    fn one_of(&mut self, node: &Node, scope: &mut Scope<'_>, position: Position<'_>) -> Option<ProgramNode> {
        let reader = self.reader;
        let what = "branches such as `[ { weight: 3, steps: [ … ] }, { weight: 1, steps: [ … ] } ]`";
        let list = reader.list(node, what)?;
        if list.len() < 2 {
            reader.fail(&node.span, "`one_of` needs at least two branches", "nothing to choose from", None);
            return None;
        }
        let mut branches = Vec::new();
        for item in list {
            let fields = reader.fields(item, "a branch with `steps` and `weight`", &BRANCH_KEYS)?;
            let weight = read_weight(reader, &fields).unwrap_or(1);
            branches.push((weight, required(reader, &fields, "steps", "a list of steps")?));
        }
        let total: u64 = branches.iter().map(|(weight, _)| u64::from(*weight)).sum();
        let mut read = Vec::new();
        for (weight, steps) in branches {
            let visible = scope.captures.len();
            let share = format!("{} × {weight}/{total}", position.share);
            let list = reader.list(steps, "a list of steps")?;
            let nodes = self.nodes(list, scope, Position { share: &share, ..position });
            scope.hide_from(visible, Hidden::Branch);
            read.push(Branch { weight, nodes });
        }
        Some(ProgramNode::OneOf(read))
    }

    fn repeat(&mut self, node: &Node, scope: &mut Scope<'_>, position: Position<'_>) -> Option<ProgramNode> {
        let reader = self.reader;
        let fields = reader.fields(node, "`{ times: 3, steps: [ … ] }`", &REPEAT_KEYS)?;
        let times = required(reader, &fields, "times", "how often")?;
        let count = reader.whole_in(times, "a whole number", &REPEATS).unwrap_or(1);
        let steps = required(reader, &fields, "steps", "a list of steps")?;
        let share = format!("{} × {count}", position.share);
        let list = reader.list(steps, "a list of steps")?;
        let nodes = self.nodes(list, scope, Position { share: &share, ..position });
        Some(ProgramNode::Repeat { times: count as u32, nodes })
    }

    fn step(
        &self,
        node: &Node,
        fields: &Fields<'_>,
        scope: &mut Scope<'_>,
        position: Position<'_>,
    ) -> Option<Step> {
        let Self { reader, defaults, .. } = *self;
        let name_node = required(reader, fields, "name", "a name for the endpoint");
        let name = name_node.and_then(|n| reader.scalar(n, "a name"));
        let only = fields
            .get("only")
            .and_then(|n| reader.word(n, "phase", &[("smoke", Only::Smoke), ("load", Only::Load)]));
        let phase = (only != Some(Only::Load), only != Some(Only::Smoke));
        let timeout_ns = fields
            .get("timeout")
            .map_or(Some(DEFAULT_TIMEOUT_NS), |n| reader.duration(n, "a duration such as 2s"));
        scope.conditional = fields.get("when").is_some();
        let mut builder = StepReader {
            reader,
            scope,
            phase,
            earlier: &self.steps,
            folder: defaults.folder,
            timeout_ns: timeout_ns.unwrap_or(u64::MAX),
            operands: Vec::new(),
        };
        let when = fields.get("when").map(|n| builder.conditions(n)).unwrap_or_default();
        let action = builder.action(node, fields, defaults);
        let place = name_node.map_or(&node.span, |n| &n.span);
        let mut checks = fields.get("check").map(|n| builder.checks(n)).unwrap_or_default();
        if !checks.iter().any(|c| matches!(c.check, Check::Status(_))) {
            let check = Check::Status(match &action {
                Some(super::model::Action::Socket { .. }) => StatusSet(vec![101..=101]),
                _ => StatusSet::success(),
            });
            checks.insert(0, PlacedCheck { check, place: reader.place(place) });
        }
        let operands = builder.operands;
        let redirects = fields
            .get("redirects")
            .map_or(Some(0), |n| reader.whole_in(n, "a number of redirects", &REDIRECTS));
        let measured = position.measured && phase.1;
        let rules = own_rules(reader, fields, name.as_deref(), defaults, measured);
        let visible = scope.captures.len();
        let captures =
            fields.get("capture").map(|n| read_captures(reader, n, scope, phase)).unwrap_or_default();
        if scope.conditional {
            scope.hide_from(visible, Hidden::When);
        }
        scope.conditional = false;
        let (name, action, timeout_ns, redirects) = (name?, action?, timeout_ns?, redirects? as u32);
        let stage = defaults.stage.as_ref().map(|stage| format!("{stage}{}", position.share));
        let needs = action.request().slots();
        let digest = endpoint_digest(
            &action,
            &scope.data,
            stage.as_deref(),
            defaults.transport,
            &[
                ("redirects", (redirects > 0).then(|| redirects.to_string())),
                ("session", defaults.session.map(str::to_owned)),
            ],
        );
        Some(Step {
            endpoint: format!("{}/{name}", defaults.feature),
            name,
            place: reader.place(place),
            part: position.part,
            only,
            measured,
            when,
            action,
            redirects,
            timeout_ns,
            checks,
            operands,
            captures,
            needs,
            rules,
            digest,
        })
    }
}

impl StepReader<'_, '_, '_> {
    /// One condition, or a list of which all must hold.
    fn conditions(&mut self, node: &Node) -> Vec<Condition> {
        if node.items().is_empty() {
            self.reader.fail(&node.span, "this `when` always holds", "no condition is in it", None);
        }
        node.items().iter().filter_map(|item| self.condition(item)).collect()
    }

    fn condition(&mut self, node: &Node) -> Option<Condition> {
        let keys: Vec<&str> = std::iter::once("value").chain(PREDICATES).collect();
        let what = "a condition such as `{ value: \"${state}\", equals: open }`";
        let fields = self.reader.fields(node, what, &keys)?;
        let at = required(self.reader, &fields, "value", "what to look at, such as `\"${state}\"`")?;
        let value = self.scalar_template(at, "what to look at")?;
        if value.constant().is_some() {
            let label = "this is the same in every iteration";
            self.reader.fail(&at.span, "`when` looks at a captured value", label, None);
        }
        Some(Condition { value, predicate: self.predicate(node, &fields)? })
    }
}

fn own_rules(
    reader: &Reader,
    fields: &Fields<'_>,
    name: Option<&str>,
    defaults: &StepDefaults<'_>,
    measured: bool,
) -> Rules {
    let mut rules = defaults.rules.clone();
    let at_top = defaults.step_limits.iter().filter(|own| Some(own.name) == name);
    let mut given: Vec<_> = at_top.map(|own| (own.span.clone(), own.limits.clone())).collect();
    if let Some((key, own)) = fields.entry("limits") {
        given.push((key.span.clone(), read_limits(reader, own, false).0));
    }
    for (span, limits) in given {
        for limit in limits {
            rules.limits.retain(|l| l.metric != limit.metric);
            rules.limits.push(limit);
        }
        if !measured || defaults.stage.is_none() {
            let help = Some("limits are judged under load".to_owned());
            let label = "this step does not run under load";
            reader.fail(&span, "these limits can match nothing", label, help);
        }
    }
    rules
}

/// Of a branch, or of a scenario; 1 where none is given.
pub fn read_weight(reader: &Reader, fields: &Fields<'_>) -> Option<u32> {
    let weight = fields.get("weight").map_or(Some(1), |n| reader.whole_in(n, "a weight", &WEIGHTS))?;
    Some(weight as u32)
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

/// With `shared`, a header that uses what is not captured yet is left out.
pub fn headers(
    reader: &Reader,
    node: &Node,
    scope: &Scope<'_>,
    phase: (bool, bool),
    shared: bool,
) -> Vec<(HeaderName, Template)> {
    let entries = reader.map(node, "header names and values").unwrap_or_default();
    let mut headers = Vec::new();
    for (key, value) in entries {
        let parsed = HeaderName::try_from(key.name.as_str());
        if parsed.is_err() {
            let message = format!("`{}` is not a header name", key.name);
            reader.fail(&key.span, message, "expected a header name", None);
        }
        let template = reader.scalar(value, "text").and_then(|text| {
            if shared {
                scope.shared_template(reader, value, &text, phase)
            } else {
                scope.template(reader, value, &text, phase)
            }
        });
        let template = template.and_then(|template| header_value(reader, value, template));
        if let (Ok(name), Some(template)) = (parsed, template) {
            headers.push((name, template));
        }
    }
    headers
}
