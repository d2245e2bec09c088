use std::path::Path;
use std::sync::Arc;

use super::alert::read_alerts;
use super::capture::declared_names;
use super::fields::{Fields, Reader};
use super::load::LoadOptions;
use super::model::{CheckSample, Part, Scenario, SessionScope, Step};
use super::node::{Key, Node, NodeValue};
use super::probe::read_probes;
use super::profile::{read_abort_rules, read_load};
use super::rules::read_rules;
use super::scope::{Hidden, Scope};
use super::sources::{read_data, read_identity, read_vars};
use super::step::{Position, StepDefaults, StepList, read_weight};
use crate::digest::sha256_hex;
use crate::error::{Diagnostic, SourceText};
use crate::metrics::Pairing;
use crate::units::{Metric, parse_share};

pub const KEYS: [&str; 24] = [
    "feature",
    "owner",
    "identity",
    "vars",
    "data",
    "headers",
    "auth",
    "session",
    "setup",
    "login",
    "steps",
    "finally",
    "teardown",
    "load",
    "limits",
    "limits_on",
    "regression",
    "abort_when",
    "probes",
    "alerts",
    "check_sample",
    "pairing",
    "allow_hosts",
    "weight",
];

/// A scenario and what was found on the way.
pub struct Parsed {
    pub scenario: Scenario,
    pub secrets: Vec<(String, String)>,
    /// The variables that the file defines, for `--var`.
    pub vars: Vec<String>,
    pub warnings: Vec<Diagnostic>,
}

/// Reads one file's text; its rates are multiplied by `scale`.
///
/// # Errors
/// All mistakes found, in the file's order.
pub fn parse(source: SourceText, options: &LoadOptions, scale: f64) -> Result<Parsed, Vec<Diagnostic>> {
    let source = Arc::new(source);
    let root = Node::parse(&source).map_err(|d| vec![d])?;
    let reader = Reader::new(source.clone());
    let mut scope = Scope::new(options, declared_names(&root));
    let scenario = read_scenario(&reader, &root, &mut scope, scale);
    let secrets = scope.secrets.into_inner();
    let vars = scope.vars.into_iter().map(|(name, _)| name).collect();
    let (mistakes, warnings) = reader.into_found();
    match scenario {
        Some(scenario) if mistakes.is_empty() => Ok(Parsed { scenario, secrets, vars, warnings }),
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
        let message = "a feature's name has letters and no `/`";
        reader.fail(&node.span, message, "names a folder of baselines", None);
    }
    let folder = reader.source().path.parent().unwrap_or(Path::new("")).to_owned();
    let drawn = read_vars(reader, &fields, scope);
    read_data(reader, &fields, scope, &folder);
    let identity = read_identity(reader, &fields);
    let load = fields.get("load").and_then(|node| read_load(reader, node, scale));
    let (rules, step_limits) = read_rules(reader, &fields);
    let words = [
        ("iteration", SessionScope::Iteration),
        ("user", SessionScope::User),
        ("shared", SessionScope::Shared),
    ];
    let session = fields.get("session").and_then(|n| reader.word(n, "session", &words)).unwrap_or_default();
    // In the closed model a user that thinks longer sends less.
    let closed = load.as_ref().is_some_and(|load| !load.is_open());
    let pauses = fields.get("steps").filter(|_| closed).map(thinks).unwrap_or_default();
    let defaults = StepDefaults {
        feature: feature.unwrap_or_default(),
        folder: &folder,
        headers: fields.get("headers"),
        auth: fields.get("auth"),
        rules,
        step_limits: &step_limits,
        stage: load.as_ref().map(|load| load.canonical() + &pauses),
        session: match session {
            SessionScope::Iteration => None,
            SessionScope::User => Some("user"),
            SessionScope::Shared => Some("shared"),
        },
        transport: scope.options.transport,
    };
    let list = required(reader, &fields, "steps", "a list of steps")
        .and_then(|n| reader.list(n, "a list of steps"))?;
    if list.is_empty() {
        reader.fail(&fields.entry("steps")?.0.span, "a scenario needs at least one step", "empty", None);
    }
    let mut reading = StepList::new(reader, &defaults);
    let each_time = session == SessionScope::Iteration;
    let mut part = |scope: &mut Scope<'_>, key: &str, part: Part, measured: bool| {
        let list = fields.get(key).and_then(|n| reader.list(n, "a list of steps")).unwrap_or_default();
        reading.nodes(list, scope, Position { part, measured, share: "" })
    };
    part(scope, "setup", Part::Setup, false);
    let of_setup = scope.captures.len();
    let login = part(scope, "login", Part::Login, each_time);
    let mut program = part(scope, "steps", Part::Main, true);
    if each_time {
        program.splice(0..0, login);
    }
    scope.lenient = true;
    let finally = part(scope, "finally", Part::Finally, true);
    scope.lenient = false;
    scope.hide_from(of_setup, Hidden::Iteration);
    part(scope, "teardown", Part::Teardown, false);
    let StepList { names, steps, .. } = reading;
    for own in step_limits.iter().filter(|own| !names.iter().any(|name| name == own.name)) {
        let known: Vec<&str> = Metric::NAMES.into_iter().chain(names.iter().map(String::as_str)).collect();
        reader.unknown(&own.span, "step", own.name, &known);
    }
    let weight = read_weight(reader, &fields);
    let abort_when = fields.get("abort_when").map(|n| read_abort_rules(reader, n)).unwrap_or_default();
    let probes = fields.get("probes").map(|n| read_probes(reader, n, scope)).unwrap_or_default();
    let alerts = fields.get("alerts").map(|n| read_alerts(reader, n, feature, &probes)).unwrap_or_default();
    let check_sample = fields.get("check_sample").and_then(|n| read_sample(reader, n)).unwrap_or_default();
    let pairings = [("mirror", Pairing::Mirror), ("split", Pairing::Split)];
    let pairing = fields.get("pairing").and_then(|n| reader.word(n, "pairing", &pairings));
    let hosts = fields.get("allow_hosts").and_then(|n| reader.list(n, "a list of hosts")).unwrap_or_default();
    let allow_hosts = hosts.iter().filter_map(|n| read_host(reader, n)).collect();
    let stays = |step: &Step| step.redirects == 0 && step.action.request().url.is_path();
    if let Some((key, _)) = fields.entry("allow_hosts").filter(|_| steps.iter().all(stays)) {
        let label = "no step follows `redirects` or has an address of its own";
        reader.warn(&key.span, "`allow_hosts` has no effect", label);
    }
    if reader.found_any() {
        return None;
    }
    unmatched(reader, &fields, &steps);
    unused(reader, &fields, scope);
    Some(Scenario {
        path: reader.source().path.clone(),
        source: reader.source().clone(),
        feature: feature?.to_owned(),
        owner: fields.get("owner").and_then(|n| reader.text(n, "a name")).map(str::to_owned),
        identity,
        data: std::mem::take(&mut scope.data),
        slots: scope.captures.len(),
        drawn,
        steps,
        program,
        finally,
        session,
        load,
        abort_when,
        check_sample,
        pairing,
        probes,
        alerts,
        allow_hosts,
        weight: weight?,
        digest: sha256_hex(reader.source().text.as_bytes()),
    })
}

/// Rules that nothing will ever be held against.
fn unmatched(reader: &Reader, fields: &Fields<'_>, steps: &[Step]) {
    let rules = ["limits", "limits_on", "regression", "abort_when", "probes", "alerts", "check_sample"];
    if let (None, Some((key, _))) = (fields.get("load"), rules.iter().find_map(|key| fields.entry(key))) {
        let help = Some("add `load:`, or take the rule away".to_owned());
        let message = format!("`{}` can match nothing", key.name);
        reader.fail(&key.span, message, "there is no `load:` to measure", help);
    }
    if let Some((key, _)) = fields.entry("load")
        && !steps.iter().any(Step::in_load)
    {
        reader.fail(&key.span, "`load:` has nothing to send", "no step sends a request under load", None);
    }
}

/// What is defined and used nowhere: as likely a mistyped use as a leftover.
fn unused(reader: &Reader, fields: &Fields<'_>, scope: &Scope<'_>) {
    let used = scope.used.borrow();
    for (key, _) in fields.get("vars").and_then(|n| reader.map(n, "")).unwrap_or_default() {
        if !used.contains(&key.name) {
            let message = format!("variable `{}` is not used", key.name);
            reader.warn(&key.span, message, format!("no `${{{}}}` anywhere", key.name));
        }
    }
    for (key, _) in fields.get("data").and_then(|n| reader.map(n, "")).unwrap_or_default() {
        let prefix = format!("{}.", key.name);
        if !used.iter().any(|name| name.starts_with(&prefix)) {
            let message = format!("data source `{}` is not used", key.name);
            reader.warn(&key.span, message, format!("no `${{{}.…}}` anywhere", key.name));
        }
    }
    for Key { name, span } in scope.declared.iter().filter(|declared| !used.contains(&declared.name)) {
        let message = format!("captured value `{name}` is not used");
        reader.warn(span, message, format!("no `${{{name}}}` anywhere"));
    }
}

/// As it stands in addresses: in lower case, and without a port.
fn read_host(reader: &Reader, node: &Node) -> Option<String> {
    let text = reader.text(node, "a host")?;
    let six = text.trim_start_matches('[').trim_end_matches(']').parse::<std::net::Ipv6Addr>();
    let host =
        six.map(|six| six.to_string()).or_else(|_| url::Host::parse(text).map(|host| host.to_string()));
    reader.take(
        node,
        "expected a host such as cdn.example",
        host.map_err(|_| "no scheme, port or path".into()),
    )
}

fn read_sample(reader: &Reader, node: &Node) -> Option<CheckSample> {
    let text = reader.scalar(node, "`auto`, `all` or a share such as 10%")?;
    match text.as_str() {
        "auto" => Some(CheckSample::Auto),
        "all" => Some(CheckSample::Share(1.0)),
        _ => {
            let share = parse_share(&text).and_then(|share| {
                if share > 0.0 { Ok(share) } else { Err("checks on no response at all prove nothing".into()) }
            });
            reader.take(node, "expected `auto`, `all` or a share such as 10%", share).map(CheckSample::Share)
        }
    }
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
