use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use http::HeaderName;

use super::data::{self, ColumnType, DataSource, Pick};
use super::fields::{Fields, Reader};
use super::load::LoadOptions;
use super::model::{Identity, Scenario, Step};
use super::node::{Node, NodeValue};
use super::profile::{read_abort_rules, read_load};
use super::step::{self, StepDefaults};
use super::template::{Meaning, Template};
use crate::digest::sha256_hex;
use crate::error::{Diagnostic, SourceText};
use crate::units::{Limit, LimitsOn, Metric, RegressionRule, Rules, parse_limit, parse_tolerance};

const KEYS: [&str; 13] = [
    "feature",
    "owner",
    "identity",
    "vars",
    "data",
    "headers",
    "steps",
    "load",
    "limits",
    "limits_on",
    "regression",
    "abort_when",
    "weight",
];
const DEFAULT_ERROR_LIMIT: Limit = Limit { metric: Metric::ErrorRate, below: 0.01 };

/// The names that templates of one file may use.
pub struct Scope<'a> {
    pub options: &'a LoadOptions,
    pub vars: Vec<(String, Meaning)>,
    pub data: Vec<DataSource>,
    pub captures: Vec<CaptureName>,
    /// Data sources that could not be read: named once, not again by every use.
    pub unread: Vec<String>,
    /// Every secret that was looked up, with its value.
    pub secrets: RefCell<Vec<(String, String)>>,
}

pub struct CaptureName {
    pub name: String,
    pub slot: usize,
    pub in_smoke: bool,
    pub in_load: bool,
    /// Captured in a branch that has ended: nothing after it can count on it.
    pub hidden: bool,
}

impl Scope<'_> {
    /// Compiles a template; an unknown name is noted at its place.
    pub fn template(&self, reader: &Reader, node: &Node, text: &str, step: (bool, bool)) -> Option<Template> {
        Template::compile(text, &|name| self.meaning(name, step))
            .map_err(|error| {
                let place = text.get(error.at).unwrap_or(text);
                let within =
                    reader.source().text.get(node.span.clone()).and_then(|t| t.find(place)).unwrap_or(0);
                let start = node.span.start + within;
                let span = start..start + place.len();
                if error
                    .name
                    .split_once('.')
                    .is_some_and(|(source, _)| self.unread.iter().any(|u| u == source))
                {
                    return;
                }
                if let Some(secret) = error.name.strip_prefix("secret.") {
                    let label = format!("the environment variable {secret} is not set");
                    reader.fail(&span, "a secret is missing", label, None);
                } else if !place.ends_with('}') {
                    reader.fail(
                        &span,
                        "`${` is never closed",
                        "expected `}`",
                        Some("`$${` stands for a plain `${`".into()),
                    );
                } else if self.captures.iter().any(|c| c.name == error.name && c.hidden) {
                    let help = Some(
                        "use it inside its branch, or capture it in a step of every iteration".to_owned(),
                    );
                    let label = "captured only in one branch of a `one_of`";
                    reader.fail(&span, format!("`{}` is not always captured", error.name), label, help);
                } else if let Some(capture) = self.captures.iter().find(|c| c.name == error.name) {
                    let phase = if capture.in_load { "load" } else { "smoke" };
                    let label = format!("captured only under {phase}, but this step runs without it too");
                    let help =
                        format!("add `only: {phase}` to this step, or take it away from the capturing one");
                    reader.fail(&span, format!("`{}` is not always captured", error.name), label, Some(help));
                } else {
                    let known = self.names();
                    reader.unknown(
                        &span,
                        "variable",
                        &error.name,
                        &known.iter().map(String::as_str).collect::<Vec<_>>(),
                    );
                }
            })
            .ok()
    }

    fn meaning(&self, name: &str, (in_smoke, in_load): (bool, bool)) -> Option<Meaning> {
        if let Some(secret) = name.strip_prefix("secret.") {
            // A trailing newline comes from `$(cat token)` in a quoted file and is never meant.
            let value = std::env::var(secret).ok().map(|v| v.trim_end_matches(['\r', '\n']).to_owned());
            let value = if self.options.require_secrets { value? } else { value.unwrap_or_default() };
            self.secrets.borrow_mut().push((secret.to_owned(), value.clone()));
            return Some(Meaning::Secret { name: secret.to_owned(), value });
        }
        if let Some(capture) = self.captures.iter().rev().find(|c| c.name == name && !c.hidden) {
            let available = (!in_smoke || capture.in_smoke) && (!in_load || capture.in_load);
            return available.then_some(Meaning::Capture { slot: capture.slot });
        }
        if let Some((source, column)) = name.split_once('.') {
            let index = self.data.iter().position(|d| d.name == source)?;
            let column = self.data[index].columns.iter().position(|c| c == column)?;
            return Some(Meaning::Data { source: index, column });
        }
        self.vars.iter().find(|(var, _)| var == name).map(|(_, meaning)| meaning.clone())
    }

    fn names(&self) -> Vec<String> {
        let columns = self.data.iter().flat_map(|d| d.columns.iter().map(move |c| format!("{}.{c}", d.name)));
        let captures = self.captures.iter().map(|c| c.name.clone());
        self.vars.iter().map(|(name, _)| name.clone()).chain(columns).chain(captures).collect()
    }
}

/// A scenario and the secrets it uses.
pub struct Parsed {
    pub scenario: Scenario,
    pub secrets: Vec<(String, String)>,
    /// The variables that the file defines, for `--var`.
    pub vars: Vec<String>,
}

/// Reads one file's text; its rates are multiplied by `scale`.
///
/// # Errors
/// All mistakes found, in the file's order.
pub fn parse(source: SourceText, options: &LoadOptions, scale: f64) -> Result<Parsed, Vec<Diagnostic>> {
    let source = Arc::new(source);
    let root = Node::parse(&source).map_err(|d| vec![d])?;
    let reader = Reader::new(source.clone());
    let mut scope = Scope {
        options,
        vars: Vec::new(),
        data: Vec::new(),
        captures: Vec::new(),
        unread: Vec::new(),
        secrets: RefCell::default(),
    };
    let scenario = read_scenario(&reader, &root, &mut scope, scale);
    let secrets = scope.secrets.into_inner();
    let vars = scope.vars.into_iter().map(|(name, _)| name).collect();
    let mistakes = reader.into_mistakes();
    match scenario {
        Some(scenario) if mistakes.is_empty() => Ok(Parsed { scenario, secrets, vars }),
        _ => Err(mistakes),
    }
}

fn read_scenario(reader: &Reader, root: &Node, scope: &mut Scope<'_>, scale: f64) -> Option<Scenario> {
    let fields = reader.fields(root, "a scenario: `feature`, `steps` and what belongs to them", &KEYS)?;
    let feature = required(reader, &fields, "feature", "the name of the feature")
        .and_then(|n| reader.text(n, "a name"));
    if let (Some(name), Some(node)) = (feature, fields.get("feature"))
        && (name.contains('/') || name.trim().is_empty())
    {
        reader.fail(
            &node.span,
            "a feature's name has letters and no `/`",
            "names a folder of baselines",
            None,
        );
    }
    let folder = reader.source().path.parent().unwrap_or(Path::new("")).to_owned();
    read_vars(reader, &fields, scope);
    read_data(reader, &fields, scope, &folder);
    let identity = read_identity(reader, &fields);
    let headers =
        fields.get("headers").map(|n| step::headers(reader, n, scope, (true, true))).unwrap_or_default();
    let load = fields.get("load").and_then(|node| read_load(reader, node, scale));
    let rules = read_rules(reader, &fields);
    // In the closed model a user that thinks longer sends less.
    let closed = load.as_ref().is_some_and(|load| !load.is_open());
    let pauses = fields.get("steps").filter(|_| closed).map(thinks).unwrap_or_default();
    let defaults = StepDefaults {
        feature: feature.unwrap_or_default(),
        headers,
        rules,
        stage: load.as_ref().map(|load| load.canonical() + &pauses),
        transport: scope.options.transport,
    };
    let list = required(reader, &fields, "steps", "a list of steps")
        .and_then(|n| reader.list(n, "a list of steps"))?;
    if list.is_empty() {
        reader.fail(&fields.entry("steps")?.0.span, "a scenario needs at least one step", "empty", None);
    }
    let (steps, program) = step::read_steps(reader, list, scope, &defaults);
    let weight =
        fields.get("weight").map_or(Some(1), |n| reader.whole(n, "a whole number from 1")).unwrap_or(1);
    if let Some((_, node)) = fields.entry("weight").filter(|_| !(1..=1_000_000).contains(&weight)) {
        reader.fail(&node.span, "a weight is a whole number from 1", "out of range", None);
    }
    let abort_when = fields.get("abort_when").map(|n| read_abort_rules(reader, n)).unwrap_or_default();
    if reader.found_any() {
        return None;
    }
    if let (None, Some((key, _))) = (
        fields.get("load"),
        ["limits", "limits_on", "regression", "abort_when"].iter().find_map(|key| fields.entry(key)),
    ) {
        let help = Some("add `load:`, or take the rule away".to_owned());
        reader.fail(
            &key.span,
            format!("`{}` can match nothing", key.name),
            "there is no `load:` to measure",
            help,
        );
    }
    if let Some((key, _)) = fields.entry("load")
        && !steps.iter().any(Step::in_load)
    {
        reader.fail(&key.span, "`load:` has nothing to send", "no step sends a request under load", None);
    }
    Some(Scenario {
        path: reader.source().path.clone(),
        feature: feature?.to_owned(),
        owner: fields.get("owner").and_then(|n| reader.text(n, "a name")).map(str::to_owned),
        identity,
        data: std::mem::take(&mut scope.data),
        slots: scope.captures.len(),
        steps,
        program,
        load,
        abort_when,
        weight: weight as u32,
        digest: sha256_hex(reader.source().text.as_bytes()),
    })
}

/// Every `think` below a node, as it is written.
fn thinks(node: &Node) -> String {
    match &node.value {
        NodeValue::List(items) => items.iter().map(thinks).collect(),
        NodeValue::Map(entries) => entries
            .iter()
            .map(|(key, value)| match (key.name.as_str(), &value.value) {
                ("think", NodeValue::List(pair)) => {
                    let ends: Vec<String> = pair.iter().filter_map(Node::scalar_text).collect();
                    format!(" think {}", ends.join(" to "))
                }
                ("think", _) => value.scalar_text().map(|text| format!(" think {text}")).unwrap_or_default(),
                _ => thinks(value),
            })
            .collect(),
        _ => String::new(),
    }
}

pub fn required<'a>(reader: &Reader, fields: &Fields<'a>, key: &str, what: &str) -> Option<&'a Node> {
    let node = fields.get(key);
    if node.is_none() && !fields.mistyped {
        let start = fields.span.start;
        reader.fail(
            &(start..start + 1),
            format!("`{key}` is missing"),
            format!("expected `{key}:` with {what}"),
            None,
        );
    }
    node
}

fn read_vars(reader: &Reader, fields: &Fields<'_>, scope: &mut Scope<'_>) {
    for (key, node) in fields.get("vars").and_then(|n| reader.map(n, "names and values")).unwrap_or_default()
    {
        let Some(own) = reader.scalar(node, "text, a number or a flag") else { continue };
        let given = scope
            .options
            .vars
            .iter()
            .rev()
            .find(|(name, _)| *name == key.name)
            .map(|(_, value)| value.clone());
        let text = given.unwrap_or(own);
        let meaning = match &node.value {
            // A number stays one when `--var` gives another.
            NodeValue::Number(_) | NodeValue::Bool(_) => {
                Meaning::Typed(serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text)))
            }
            _ => match scope.template(reader, node, &text, (true, true)) {
                Some(template) => Meaning::Nested(template),
                None => continue,
            },
        };
        scope.vars.push((key.name.clone(), meaning));
    }
}

fn read_data(reader: &Reader, fields: &Fields<'_>, scope: &mut Scope<'_>, folder: &Path) {
    let picks = [("random", Pick::Random), ("sequential", Pick::Sequential), ("unique", Pick::Unique)];
    for (key, node) in
        fields.get("data").and_then(|n| reader.map(n, "names and their data files")).unwrap_or_default()
    {
        scope.unread.push(key.name.clone());
        let Some(spec) =
            reader.fields(node, "a data source such as `{ csv: file.csv }`", &["csv", "pick", "types"])
        else {
            continue;
        };
        let pick = spec.get("pick").map_or(Some(Pick::Random), |n| reader.word(n, "pick", &picks));
        let types: Vec<(String, ColumnType)> = spec
            .get("types")
            .and_then(|n| reader.map(n, "columns and their types"))
            .unwrap_or_default()
            .iter()
            .filter_map(|(column, n)| {
                Some((column.name.clone(), reader.word(n, "type", &ColumnType::WORDS)?))
            })
            .collect();
        let Some(file) = required(reader, &spec, "csv", "a file") else { continue };
        let (Some(path), Some(pick)) = (reader.text(file, "a path"), pick) else { continue };
        let read = data::read_csv(&folder.join(path), &key.name, pick, &types);
        if let Some(source) = reader.take(file, "this data file cannot be used", read) {
            scope.data.push(source);
            scope.unread.pop();
        }
    }
}

fn read_identity(reader: &Reader, fields: &Fields<'_>) -> Identity {
    let Some(node) = fields.get("identity") else { return Identity::default() };
    let Some(spec) = reader.fields(node, "`build` and `instance` with header names", &["build", "instance"])
    else {
        return Identity::default();
    };
    let header = |name| spec.get(name).and_then(|n| header_name(reader, n, reader.text(n, "a header name")?));
    Identity { build: header("build"), instance: header("instance") }
}

pub fn header_name(reader: &Reader, node: &Node, text: &str) -> Option<HeaderName> {
    let parsed = HeaderName::try_from(text).map_err(|_| format!("`{text}` is not a header name"));
    reader.take(node, "expected a header name", parsed)
}

fn read_rules(reader: &Reader, fields: &Fields<'_>) -> Rules {
    let mut limits = fields.get("limits").map(|n| read_limits(reader, n)).unwrap_or_default();
    if !limits.iter().any(|l| l.metric == Metric::ErrorRate) {
        limits.push(DEFAULT_ERROR_LIMIT);
    }
    let words = [("proven", LimitsOn::Proven), ("observed", LimitsOn::Observed)];
    let limits_on =
        fields.get("limits_on").and_then(|n| reader.word(n, "limits_on", &words)).unwrap_or_default();
    let mut rules = Rules { limits, limits_on, regression: Vec::new(), ignore: None };
    let Some(node) = fields.get("regression") else { return rules };
    if matches!(&node.value, NodeValue::Text(text) if text == "default") {
        rules.regression = Rules::default_regression();
        return rules;
    }
    for (key, value) in reader.map(node, "`default`, or metrics and their tolerances").unwrap_or_default() {
        let Some(text) = reader.text(value, "a tolerance such as `10% and 5ms`") else { continue };
        if key.name == "ignore" {
            rules.ignore = reader.take(value, "expected a tolerance", parse_tolerance(Metric::P50, text));
            continue;
        }
        let judged = ["p50", "p95", "p99", "error_rate", "ignore"];
        if !judged.contains(&key.name.as_str()) {
            reader.unknown(&key.span, "regression metric", &key.name, &judged);
            continue;
        }
        let Ok(metric) = key.name.parse::<Metric>() else { continue };
        let delta = reader.take(value, "expected a tolerance", parse_tolerance(metric, text));
        rules.regression.extend(delta.map(|delta| RegressionRule { metric, delta, explicit: true }));
    }
    rules
}

pub fn read_limits(reader: &Reader, node: &Node) -> Vec<Limit> {
    let mut limits = Vec::new();
    for (key, value) in
        reader.map(node, "metrics and their limits, such as `{ p95: < 400ms }`").unwrap_or_default()
    {
        let Ok(metric) = key.name.parse::<Metric>() else {
            reader.unknown(&key.span, "metric", &key.name, &Metric::NAMES);
            continue;
        };
        let Some(text) = reader.text(value, "a limit such as `< 400ms`") else { continue };
        limits.extend(reader.take(value, "expected a limit", parse_limit(metric, text)));
    }
    limits
}
