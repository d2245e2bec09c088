use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::model::{Environment, Places, Project, Service, Settings};
use crate::error::{Diagnostic, Error, Result, SourceText};
use crate::metrics::{Pairing, Repeat};
use crate::rollout::{ArmPlan, checked_name, read_arm};
use crate::scenario::LoadOptions;
use crate::scenario::yaml::{Fields, Key, Meaning, Node, NodeValue, Reader, Scope, read_vars, required};
use crate::secrets::Secrets;
use crate::transport::Kind;
use crate::units::parse_rate;

/// JSON Schema (draft-07) of project files, for editors; the reader decides.
pub const PROJECT_SCHEMA: &str = include_str!("../../schema/project.json");

const PROJECT_KEYS: [&str; 5] = ["vars", "services", "environments", "profiles", "defaults"];
const SERVICE_KEYS: [&str; 4] = ["scenarios", "only", "vars", "targets"];
const ENVIRONMENT_KEYS: [&str; 4] = ["target", "control", "candidate", "vars"];
const PLACE_KEYS: [&str; 3] = ["target", "control", "candidate"];
const SETTING_KEYS: [&str; 15] = [
    "gate",
    "repeat",
    "rate",
    "max_rate",
    "budget",
    "wait",
    "allow",
    "same_host",
    "instances",
    "transport",
    "restart_hook",
    "probes",
    "baselines",
    "pairing",
    "for",
];
const AN_ADDRESS: &str = "an address such as https://staging.example.com, `demo`, or `{ command: … }`";

/// Reads a project file; `vars` replace its own.
///
/// # Errors
/// All mistakes in it.
pub fn read_project(path: &Path, vars: &[(String, String)], require_secrets: bool) -> Result<Project> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::input(path, "read project", e))?;
    let options = LoadOptions { vars: vars.to_vec(), require_secrets, ..LoadOptions::default() };
    let folder = path.parent().map(Path::to_owned).unwrap_or_default();
    let source = Arc::new(SourceText { path: path.to_owned(), text });
    let project = parse(&source, &folder, &options).map_err(Error::Invalid)?;
    Ok(Project { path: path.to_owned(), ..project })
}

fn parse(
    source: &Arc<SourceText>,
    folder: &Path,
    options: &LoadOptions,
) -> std::result::Result<Project, Vec<Diagnostic>> {
    let root = Node::parse(source).map_err(|d| vec![d])?;
    let reader = Reader::new(source.clone());
    let mut scope = Scope::new(options, Vec::new());
    let what = "a project with `services`, `environments` and `profiles`";
    let project = reader.fields(&root, what, &PROJECT_KEYS).and_then(|fields| {
        read_vars(&reader, &fields, &mut scope);
        Project::read(&reader, &fields, &mut scope, folder)
    });
    let secrets = Secrets::new(scope.secrets.into_inner());
    let vars = scope.vars.into_iter().map(|(name, _)| name).filter(|name| name != "service").collect();
    let (mistakes, _) = reader.into_found();
    match project {
        Some(project) if mistakes.is_empty() => Ok(Project { secrets, vars, ..project }),
        _ => Err(mistakes),
    }
}

impl Project {
    fn read(reader: &Reader, fields: &Fields<'_>, scope: &mut Scope<'_>, folder: &Path) -> Option<Self> {
        let own = scope.vars.len();
        let services = required(reader, fields, "services", "names and their scenarios")?;
        let services = reader.map(services, "names and their scenarios")?;
        if services.is_empty() {
            reader.fail(&fields.span, "a project has services", "there is none", None);
        }
        let environments = fields.get("environments").and_then(|n| reader.map(n, "names and addresses"));
        let environments = environments.unwrap_or_default();
        let names: Vec<&str> = environments.iter().map(|(key, _)| key.name.as_str()).collect();
        let mut project = Self::default();
        for (key, node) in services {
            let at = Node { span: key.span.clone(), value: NodeValue::Text(key.name.clone()) };
            reader.take(&at, "expected a service's name", checked_name(&key.name));
            scope.vars.truncate(own);
            scope.vars.push(service_var(&key.name));
            project.services.extend(read_service(reader, &key.name, node, scope, (folder, &names)));
        }
        scope.vars.truncate(own);
        for (key, node) in environments {
            let what = "an environment such as `{ target: https://… }`";
            let known = [&ENVIRONMENT_KEYS[..], &SETTING_KEYS].concat();
            let Some(fields) = reader.fields(node, what, &known) else { continue };
            let mut environment = Environment { name: key.name.clone(), ..Environment::default() };
            for (service, _) in services {
                scope.vars.truncate(own);
                scope.vars.push(service_var(&service.name));
                // A mistake is the same for all of them.
                if !reader.found_any() {
                    let places = read_places(reader, &fields, scope);
                    environment.places.push((service.name.clone(), places));
                }
            }
            scope.vars.truncate(own);
            environment.vars = read_pairs(reader, &fields, scope);
            environment.settings = read_settings(reader, &fields, folder);
            project.environments.push(environment);
        }
        for (key, node) in
            fields.get("profiles").and_then(|n| reader.map(n, "names and settings")).unwrap_or_default()
        {
            let what = "settings such as `{ gate: safety }`";
            let Some(fields) = reader.fields(node, what, &SETTING_KEYS) else { continue };
            project.profiles.push((key.name.clone(), read_settings(reader, &fields, folder)));
        }
        if let Some(fields) = fields.get("defaults").and_then(|n| reader.fields(n, "settings", &SETTING_KEYS))
        {
            project.defaults = read_settings(reader, &fields, folder);
        }
        Some(project)
    }
}

fn service_var(name: &str) -> (String, Meaning) {
    ("service".to_owned(), Meaning::Typed(serde_json::Value::String(name.to_owned())))
}

fn read_service(
    reader: &Reader,
    name: &str,
    node: &Node,
    scope: &Scope<'_>,
    (folder, environments): (&Path, &[&str]),
) -> Option<Service> {
    let paths = |node: &Node| -> Option<Vec<PathBuf>> {
        let one = |n: &Node| Some(folder.join(reader.text(n, "a file or folder of scenarios")?));
        node.items().iter().map(one).collect()
    };
    if !matches!(node.value, NodeValue::Map(_)) {
        return Some(Service { name: name.to_owned(), scenarios: paths(node)?, ..Service::default() });
    }
    let what = "a service such as `{ scenarios: scenarios/churn }`";
    let known = [&SERVICE_KEYS[..], &SETTING_KEYS].concat();
    let fields = reader.fields(node, what, &known)?;
    let scenarios = required(reader, &fields, "scenarios", "files, or folders of them").and_then(paths);
    let only = fields.get("only").map_or(Some(Vec::new()), |n| {
        n.items()
            .iter()
            .map(|n| Some(reader.text(n, "a feature; `*` stands for any text")?.to_owned()))
            .collect()
    });
    let mut targets = Vec::new();
    for (key, node) in
        fields.get("targets").and_then(|n| reader.map(n, "environments and addresses")).unwrap_or_default()
    {
        if !environments.contains(&key.name.as_str()) {
            reader.unknown(&key.span, "environment", &key.name, environments);
            continue;
        }
        let of_arms = entries(node).iter().any(|(key, _)| PLACE_KEYS.contains(&key.name.as_str()));
        let places = if of_arms {
            let what = "`{ target: …, control: …, candidate: … }`";
            reader.fields(node, what, &PLACE_KEYS).map(|fields| read_places(reader, &fields, scope))
        } else {
            read_address(reader, node, scope)
                .map(|target| Places { target: Some(target), ..Places::default() })
        };
        targets.extend(places.map(|places| (key.name.clone(), places)));
    }
    Some(Service {
        name: name.to_owned(),
        scenarios: scenarios?,
        only: only?,
        vars: read_pairs(reader, &fields, scope),
        targets,
        settings: read_settings(reader, &fields, folder),
    })
}

fn entries(node: &Node) -> &[(Key, Node)] {
    match &node.value {
        NodeValue::Map(entries) => entries,
        _ => &[],
    }
}

fn read_places(reader: &Reader, fields: &Fields<'_>, scope: &Scope<'_>) -> Places {
    let of = |key: &str| fields.get(key).and_then(|n| read_address(reader, n, scope));
    Places { target: of("target"), control: of("control"), candidate: of("candidate") }
}

/// An address as it is, or the long form that arms of a plan have.
fn read_address(reader: &Reader, node: &Node, scope: &Scope<'_>) -> Option<ArmPlan> {
    if matches!(node.value, NodeValue::Map(_)) {
        return read_arm(reader, node, scope);
    }
    let text = reader.scalar(node, AN_ADDRESS)?;
    let key = Key { name: "url".into(), span: node.span.clone() };
    let demo = Key { name: "demo".into(), span: node.span.clone() };
    let entry = if text == "demo" {
        (demo, Node { span: node.span.clone(), value: NodeValue::Bool(true) })
    } else {
        // Its beginning can be told even where secrets are not known.
        if !text.contains("://") && !text.contains("${") {
            reader.fail(
                &node.span,
                "expected an address that begins with http:// or https://",
                "not here",
                None,
            );
            return None;
        }
        (key, node.clone())
    };
    read_arm(reader, &Node { span: node.span.clone(), value: NodeValue::Map(vec![entry]) }, scope)
}

fn read_pairs(reader: &Reader, fields: &Fields<'_>, scope: &Scope<'_>) -> Vec<(String, String)> {
    let pairs = fields.get("vars").and_then(|n| reader.map(n, "names and values")).unwrap_or_default();
    let value = |node: &Node| {
        let text = reader.scalar(node, "text")?;
        match scope.outer_template(reader, node, &text, &[])?.constant()? {
            serde_json::Value::String(text) => Some(text),
            other => Some(other.to_string()),
        }
    };
    pairs.iter().filter_map(|(key, node)| Some((key.name.clone(), value(node)?))).collect()
}

fn read_settings(reader: &Reader, fields: &Fields<'_>, folder: &Path) -> Settings {
    let duration = |key: &str| {
        let ns = fields.get(key).and_then(|n| reader.duration(n, "a duration such as 4m"));
        ns.map(Duration::from_nanos)
    };
    let text = |key: &str, what: &str| fields.get(key).and_then(|n| Some(reader.text(n, what)?.to_owned()));
    let gates = [("regression", "regression"), ("safety", "safety")];
    let pairings = [("mirror", Pairing::Mirror), ("split", Pairing::Split)];
    let transports = [("http", Kind::Http), ("wire", Kind::Wire)];
    let repeat = fields.get("repeat").and_then(|n| match &n.value {
        NodeValue::Text(text) if text == "auto" => Some(Repeat::Auto),
        _ => {
            let times = reader.whole_in(n, "`auto`, or how many looks", &(1..=100))?;
            Some(Repeat::Times(times as u32))
        }
    });
    let rate = |key: &str| {
        let node = fields.get(key)?;
        let text = reader.scalar(node, "a rate such as 50/s")?;
        reader.take(node, "expected a rate", parse_rate(&text))
    };
    let allow: Option<Vec<&str>> = fields.get("allow").map(|n| {
        let words = [("no-baseline", "no-baseline"), ("unresolved", "unresolved")];
        n.items().iter().filter_map(|n| reader.word(n, "what is allowed", &words)).collect()
    });
    let within =
        |text: String| if text.contains("://") { text } else { folder.join(text).display().to_string() };
    Settings {
        gate: fields.get("gate").and_then(|n| reader.word(n, "gate", &gates)),
        repeat,
        rate: rate("rate"),
        max_rate: rate("max_rate"),
        budget: duration("budget"),
        wait: duration("wait"),
        allow_no_baseline: allow.as_ref().map(|words| words.contains(&"no-baseline")),
        allow_unresolved: allow.as_ref().map(|words| words.contains(&"unresolved")),
        same_host: fields.get("same_host").and_then(|n| reader.flag(n, "`true` or `false`")),
        instances: fields
            .get("instances")
            .and_then(|n| reader.whole_in(n, "how many baseline instances", &(1..=10)))
            .map(|n| n as usize),
        transport: fields.get("transport").and_then(|n| reader.word(n, "transport", &transports)),
        restart_hook: text("restart_hook", "a shell command"),
        probes: text("probes", "a file of probes").map(|file| folder.join(file)),
        baselines: text("baselines", "a folder, or a URL").map(within),
        pairing: fields.get("pairing").and_then(|n| reader.word(n, "pairing", &pairings)),
        length: duration("for"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_schema_of_projects_is_current() {
        let schema: Value = serde_json::from_str(PROJECT_SCHEMA).unwrap();
        for (place, keys) in [
            ("", PROJECT_KEYS.to_vec()),
            ("/definitions/settings", SETTING_KEYS.to_vec()),
            ("/definitions/service", [&SERVICE_KEYS[..], &SETTING_KEYS].concat()),
            ("/definitions/environment", [&ENVIRONMENT_KEYS[..], &SETTING_KEYS].concat()),
            ("/definitions/places", PLACE_KEYS.to_vec()),
        ] {
            let named = schema.pointer(&format!("{place}/properties")).and_then(Value::as_object);
            let mut named: Vec<&str> =
                named.unwrap_or_else(|| panic!("{place}")).keys().map(String::as_str).collect();
            let mut keys = keys;
            named.sort_unstable();
            keys.sort_unstable();
            assert_eq!(named, keys, "{place}");
        }
        let plan: Value = serde_json::from_str(crate::rollout::PLAN_SCHEMA).unwrap();
        assert_eq!(schema["definitions"]["arm"], plan["definitions"]["arm"]);
    }
}
