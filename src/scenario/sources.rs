use std::path::Path;

use http::{HeaderName, HeaderValue};

use super::data::{self, ColumnType, Pick};
use super::fields::{Fields, Reader};
use super::model::Identity;
use super::node::{Node, NodeValue};
use super::parse::required;
use super::scope::{CaptureName, Scope};
use super::template::{Meaning, Template};
use crate::checks::plain_text;

pub const DATA_KEYS: [&str; 4] = ["csv", "json", "pick", "types"];
pub const IDENTITY_KEYS: [&str; 3] = ["build", "instance", "cohort"];

/// Reads `vars`. One with a generated value in it is drawn once an iteration; returned are these, with their slots.
pub fn read_vars(reader: &Reader, fields: &Fields<'_>, scope: &mut Scope<'_>) -> Vec<(usize, Template)> {
    let mut drawn = Vec::new();
    for (key, node) in fields.get("vars").and_then(|n| reader.map(n, "names and values")).unwrap_or_default()
    {
        let Some(own) = reader.scalar(node, "text, a number or a flag") else { continue };
        let given = scope.options.vars.iter().rev().chain(scope.options.defaults.iter().rev());
        let given = given.into_iter().find(|(name, _)| *name == key.name);
        let text = given.map_or(own, |(_, value)| value.clone());
        let meaning = match &node.value {
            // A number stays one when `--var` gives another.
            NodeValue::Number(_) | NodeValue::Bool(_) => {
                Meaning::Typed(serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text)))
            }
            _ => match scope.template(reader, node, &text, (true, true)) {
                Some(template) if template.is_generated() => {
                    let slot = scope.captures.len();
                    scope.captures.push(CaptureName {
                        name: key.name.clone(),
                        slot,
                        in_smoke: true,
                        in_load: true,
                        hidden: None,
                    });
                    drawn.push((slot, template));
                    Meaning::Capture { slot }
                }
                Some(template) => Meaning::Nested(template),
                None => continue,
            },
        };
        scope.vars.push((key.name.clone(), meaning));
    }
    drawn
}

pub fn read_data(reader: &Reader, fields: &Fields<'_>, scope: &mut Scope<'_>, folder: &Path) {
    let picks = [("random", Pick::Random), ("sequential", Pick::Sequential), ("unique", Pick::Unique)];
    for (key, node) in
        fields.get("data").and_then(|n| reader.map(n, "names and their data files")).unwrap_or_default()
    {
        scope.unread.push(key.name.clone());
        let Some(spec) = reader.fields(node, "a data source such as `{ csv: file.csv }`", &DATA_KEYS) else {
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
        if let (Some(_), Some((other, _))) = (spec.get("csv"), spec.entry("json")) {
            reader.fail(&other.span, "a data source is `csv` or `json`, not both", "the second one", None);
            continue;
        }
        if let (Some(_), Some((types, _))) = (spec.get("json"), spec.entry("types")) {
            let label = "values in JSON have their types";
            reader.fail(&types.span, "`types` are for `csv`", label, None);
            continue;
        }
        let is_json = spec.get("json").is_some();
        let Some(file) = (if is_json { spec.get("json") } else { required(reader, &spec, "csv", "a file") })
        else {
            continue;
        };
        let (Some(path), Some(pick)) = (reader.text(file, "a path"), pick) else { continue };
        let path = folder.join(path);
        let read = if is_json {
            data::read_json(&path, &key.name, pick)
        } else {
            data::read_csv(&path, &key.name, pick, &types)
        };
        if let Some(source) = reader.take(file, "this data file cannot be used", read) {
            scope.data.push(source);
            scope.unread.pop();
        }
    }
}

pub fn read_identity(reader: &Reader, fields: &Fields<'_>) -> Identity {
    let Some(node) = fields.get("identity") else { return Identity::default() };
    let Some(spec) = reader.fields(node, "`build`, `instance` or `cohort` with header names", &IDENTITY_KEYS)
    else {
        return Identity::default();
    };
    let header = |name| spec.get(name).and_then(|n| header_name(reader, n, reader.text(n, "a header name")?));
    Identity { build: header("build"), instance: header("instance"), cohort: header("cohort") }
}

pub fn header_name(reader: &Reader, node: &Node, text: &str) -> Option<HeaderName> {
    let parsed = HeaderName::try_from(text).map_err(|_| format!("`{text}` is not a header name"));
    reader.take(node, "expected a header name", parsed)
}

/// Notes a value that no header can have, where it is the same in every iteration: nobody would ever get it.
pub fn header_value(reader: &Reader, node: &Node, value: Template) -> Option<Template> {
    let fits = |text: &str| HeaderValue::from_str(text).is_ok();
    if value.constant().is_none_or(|known| fits(&plain_text(&known))) {
        return Some(value);
    }
    // A secret is told by its name alone.
    let (label, help) = match value.secrets().next() {
        Some(name) => (
            format!("the environment variable {name} holds a line break or another control character"),
            "a header is one line; line breaks at the end of a secret are left out anyway".to_owned(),
        ),
        None => (
            "a line break or another control character stands in it".to_owned(),
            "a header is one line".to_owned(),
        ),
    };
    reader.fail(&node.span, "this is no value of a header", label, Some(help));
    None
}
