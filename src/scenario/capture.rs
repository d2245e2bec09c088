use super::check::{read_jsonpath, read_regex};
use super::fields::Reader;
use super::generate::Generator;
use super::model::Capture;
use super::node::{Key, Node, NodeValue};
use super::scope::{CaptureName, Scope};
use super::sources::header_name;
use crate::checks::Query;

pub const CAPTURE_KEYS: [&str; 5] = ["jsonpath", "header", "cookie", "body", "regex"];

const SOURCES: [&str; 4] = ["jsonpath", "header", "cookie", "body"];

pub fn read_captures(
    reader: &Reader,
    node: &Node,
    scope: &mut Scope<'_>,
    phase: (bool, bool),
) -> Vec<Capture> {
    let mut captures = Vec::new();
    for (key, value) in reader.map(node, "names and where their values are found").unwrap_or_default() {
        let what = "where the value is found, such as `{ jsonpath: $.id }`";
        let Some(fields) = reader.fields(value, what, &CAPTURE_KEYS) else { continue };
        let Some(from) = reader.exactly_one(value, &fields, "a capture", &SOURCES) else { continue };
        let Some(at) = fields.get(from) else { continue };
        let mut regex = match fields.get("regex") {
            None => None,
            Some(n) => match read_regex(reader, n) {
                Some(regex) => Some(regex),
                None => continue,
            },
        };
        let query = match from {
            "jsonpath" => read_jsonpath(reader, at),
            "cookie" => reader.text(at, "a cookie's name").map(|name| Query::Cookie(name.to_owned())),
            "header" => {
                reader.text(at, "a header name").and_then(|t| header_name(reader, at, t)).map(Query::Header)
            }
            _ => {
                regex = read_regex(reader, at);
                if regex.is_none() {
                    continue;
                }
                Some(Query::Body)
            }
        };
        if let Some(own) = regex.as_ref().filter(|regex| regex.captures_len() > 2) {
            let label = format!("this has {} groups", own.captures_len() - 1);
            let help = Some("write `(?:…)` for a group that is only there for its form".to_owned());
            let span = fields.get("regex").map_or(&at.span, |n| &n.span);
            reader.fail(span, "a capture keeps one group", label, help);
        }
        let Some(query) = query else { continue };
        let clash = scope.vars.iter().any(|(name, _)| *name == key.name);
        let generated = Generator::parse(&key.name).is_some();
        if clash || generated || key.name.contains('.') {
            let label = match (clash, generated) {
                (true, _) => "`vars` has this name too",
                (_, true) => "this is the name of a generated value",
                _ => "a name has no dot",
            };
            reader.fail(&key.span, format!("`{}` cannot be captured", key.name), label, None);
        }
        let slot = scope.captures.len();
        let (in_smoke, in_load) = phase;
        scope.captures.push(CaptureName { name: key.name.clone(), slot, in_smoke, in_load, hidden: None });
        let place = reader.place(&(key.span.start..value.end()));
        captures.push(Capture { name: key.name.clone(), slot, query, regex, place });
    }
    captures
}

/// Every name under a `capture` anywhere below a node, with its place.
pub fn declared_names(node: &Node) -> Vec<Key> {
    let mut names = Vec::new();
    collect(node, &mut names);
    names
}

fn collect(node: &Node, names: &mut Vec<Key>) {
    match &node.value {
        NodeValue::List(items) => items.iter().for_each(|item| collect(item, names)),
        NodeValue::Map(entries) => {
            for (key, value) in entries {
                match &value.value {
                    NodeValue::Map(captures) if key.name == "capture" => {
                        names.extend(captures.iter().map(|(name, _)| name.clone()));
                    }
                    _ => collect(value, names),
                }
            }
        }
        _ => {}
    }
}
