use std::path::Path;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::plan::{ArmPlan, CommandLine};
use crate::demo::Fault;
use crate::gate::TargetSpec;
use crate::scenario::yaml::{Node, NodeValue, Reader, Scope, header_name, required};

pub const ARM_KEYS: [&str; 6] = ["url", "demo", "command", "ready", "headers", "vars"];
pub const COMMAND_KEYS: [&str; 2] = ["command", "timeout"];
pub const A_COMMAND: &str = "a command: a list such as `[./flags.sh, 25]`, or a text for `sh -c`";

pub fn text(reader: &Reader, node: &Node, scope: &Scope<'_>) -> Option<String> {
    let text = reader.scalar(node, "text")?;
    match scope.outer_template(reader, node, &text, &[])?.constant()? {
        serde_json::Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

pub fn read_arm(reader: &Reader, node: &Node, scope: &Scope<'_>) -> Option<ArmPlan> {
    let fields = reader.fields(node, "an arm such as `{ url: https://green.example }`", &ARM_KEYS)?;
    let kind = reader.exactly_one(node, &fields, "an arm", &["url", "demo", "command"])?;
    let at = fields.get(kind)?;
    if let (Some((key, _)), true) = (fields.entry("ready"), kind != "command") {
        reader.fail(&key.span, "`ready` is for a `command`", "not here", None);
    }
    let target = match kind {
        "url" => {
            let url = text(reader, at, scope)?;
            let http = url::Url::parse(&url)
                .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
            // Without its secrets it need not be one.
            if !http && scope.options.require_secrets {
                reader.fail(
                    &at.span,
                    "expected an address that begins with http:// or https://",
                    "not here",
                    None,
                );
                return None;
            }
            TargetSpec::Url(url)
        }
        "demo" => TargetSpec::Demo { faults: read_faults(reader, at)? },
        _ => {
            let command = text(reader, at, scope)?;
            if !(command.contains("{port}") || command.contains("$PORT")) {
                let help = Some("such as `./server --port {port}`; $PORT has it too".to_owned());
                reader.fail(
                    &at.span,
                    "the command does not say where it serves",
                    "`{port}` is missing",
                    help,
                );
                return None;
            }
            let ready = fields.get("ready").map(|n| text(reader, n, scope));
            TargetSpec::Command { command, ready: ready.map_or(Some(None), |ready| ready.map(Some))? }
        }
    };
    let headers =
        fields.get("headers").and_then(|n| reader.map(n, "header names and values")).unwrap_or_default();
    let headers = headers.iter().map(|(key, value)| {
        let at = Node { span: key.span.clone(), value: NodeValue::Text(key.name.clone()) };
        Some((header_name(reader, &at, &key.name)?, header_value(reader, value, scope)?))
    });
    let vars = fields.get("vars").and_then(|n| reader.map(n, "names and values")).unwrap_or_default();
    let vars = vars.iter().map(|(key, value)| Some((key.name.clone(), text(reader, value, scope)?)));
    Some(ArmPlan {
        target,
        headers: headers.collect::<Option<Vec<(HeaderName, HeaderValue)>>>()?,
        vars: vars.collect::<Option<Vec<_>>>()?,
    })
}

fn header_value(reader: &Reader, node: &Node, scope: &Scope<'_>) -> Option<HeaderValue> {
    let value = text(reader, node, scope)?;
    let parsed = HeaderValue::try_from(value).ok().filter(|value| value.to_str().is_ok());
    reader.take(
        node,
        "expected a header's value",
        parsed.ok_or_else(|| "it is of visible ASCII characters".into()),
    )
}

fn read_faults(reader: &Reader, node: &Node) -> Option<Vec<String>> {
    if let NodeValue::Bool(true) = node.value {
        return Some(Vec::new());
    }
    let list = reader.list(node, "`true`, or a list of faults")?;
    let fault = |n: &Node| {
        let text = reader.text(n, "a fault such as `slow:churn-prediction:+10%`")?;
        reader.take(n, "expected a fault of the demo", text.parse::<Fault>().map(|_| text.to_owned()))
    };
    list.iter().map(fault).collect()
}

pub fn duration(reader: &Reader, node: &Node) -> Option<Duration> {
    reader.duration(node, "a duration such as 30m").map(Duration::from_nanos)
}

pub fn command(reader: &Reader, node: &Node, folder: &Path, timeout: Duration) -> Option<CommandLine> {
    match &node.value {
        NodeValue::Map(_) => {
            let fields = reader.fields(node, A_COMMAND, &COMMAND_KEYS)?;
            let timeout = fields.get("timeout").map_or(Some(timeout), |n| duration(reader, n))?;
            let at = required(reader, &fields, "command", A_COMMAND)?;
            if let NodeValue::Map(_) = at.value {
                reader.fail(&at.span, format!("expected {A_COMMAND}"), "this is a mapping", None);
                return None;
            }
            command(reader, at, folder, timeout)
        }
        NodeValue::List(items) => {
            let words =
                items.iter().map(|n| reader.scalar(n, "a word of a command")).collect::<Option<Vec<_>>>()?;
            let told = words.join(" ");
            let program = words.first().map(|word| resolved(word, folder)).unwrap_or_default();
            if program.is_empty() {
                reader.fail(&node.span, "a command has a program", "this is empty", None);
                return None;
            }
            let words = std::iter::once(program).chain(words.into_iter().skip(1)).collect();
            Some(CommandLine { words, told, timeout })
        }
        _ => {
            let told = reader.text(node, A_COMMAND)?.to_owned();
            if told.trim().is_empty() {
                reader.fail(&node.span, "a command has a program", "this is empty", None);
                return None;
            }
            Some(CommandLine { words: vec!["sh".into(), "-c".into(), told.clone()], told, timeout })
        }
    }
}

/// Commands run in the plan's folder, and are found there.
fn resolved(program: &str, folder: &Path) -> String {
    if !program.contains('/') || program.starts_with('/') {
        return program.to_owned();
    }
    let path = folder.join(program);
    std::path::absolute(&path).unwrap_or(path).display().to_string()
}
