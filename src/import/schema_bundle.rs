//! A schema with all that it refers to, in itself: nothing is fetched when a response is checked.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::document::Document;
use super::draft::unique;

/// What describes and does not bind.
const WORDS: [&str; 9] = [
    "example",
    "examples",
    "xml",
    "externalDocs",
    "discriminator",
    "description",
    "title",
    "deprecated",
    "default",
];

/// A JSON Schema (draft 2020-12 of OpenAPI 3.1, draft 4 of 3.0 with `nullable` resolved) that stands alone.
pub fn bundled(document: &Document, schema: &Value) -> Value {
    let mut bundle = Bundle { document, names: BTreeMap::new(), definitions: Map::new(), open: Vec::new() };
    let mut root = bundle.inlined(schema, false);
    while let Some((reference, name)) = bundle.open.pop() {
        let own = document.at(&reference).unwrap_or(Value::Bool(true));
        let own = bundle.inlined(&own, false);
        bundle.definitions.insert(name, own);
    }
    if let Value::Object(fields) = &mut root {
        let draft = if document.is_31() {
            "https://json-schema.org/draft/2020-12/schema"
        } else {
            "http://json-schema.org/draft-04/schema#"
        };
        let mut whole = Map::new();
        whole.insert("$schema".into(), json!(draft));
        // Beside a reference draft 4 sees nothing.
        if fields.contains_key("$ref") && !bundle.definitions.is_empty() {
            whole.insert("allOf".into(), Value::Array(vec![Value::Object(std::mem::take(fields))]));
        } else {
            whole.append(fields);
        }
        if !bundle.definitions.is_empty() {
            whole.insert("definitions".into(), Value::Object(bundle.definitions));
        }
        return Value::Object(whole);
    }
    root
}

struct Bundle<'a> {
    document: &'a Document,
    /// Reference → name among the definitions.
    names: BTreeMap<String, String>,
    definitions: Map<String, Value>,
    open: Vec<(String, String)>,
}

impl Bundle<'_> {
    /// `named`: the keys are names of properties, not words of schemas.
    fn inlined(&mut self, value: &Value, named: bool) -> Value {
        match value {
            Value::Array(items) => Value::Array(items.iter().map(|own| self.inlined(own, false)).collect()),
            Value::Object(fields) if !named && fields.get("$ref").is_some_and(Value::is_string) => {
                let reference = fields["$ref"].as_str().unwrap_or_default().to_owned();
                let mut own = Map::new();
                own.insert("$ref".into(), json!(format!("#/definitions/{}", self.name(&reference))));
                // In 3.1 what stands beside a reference counts; in 3.0 it does not, but for `nullable`, which is meant.
                let nullable = fields.get("nullable") == Some(&json!(true));
                if nullable { json!({ "anyOf": [own, { "enum": [null] }] }) } else { Value::Object(own) }
            }
            Value::Object(fields) => {
                let mut own = Map::new();
                for (key, value) in fields {
                    if !named && (WORDS.contains(&key.as_str()) || key.starts_with("x-")) {
                        continue;
                    }
                    if !named && matches!(key.as_str(), "nullable" | "readOnly" | "writeOnly") {
                        continue;
                    }
                    let inner =
                        matches!(key.as_str(), "properties" | "patternProperties" | "definitions" | "$defs");
                    // Values that are compared, not described.
                    let literal = !named && matches!(key.as_str(), "enum" | "const" | "required");
                    own.insert(
                        key.clone(),
                        if literal { value.clone() } else { self.inlined(value, !named && inner) },
                    );
                }
                if named {
                    return Value::Object(own);
                }
                // What only requests have is not missing from a response.
                if let Some(Value::Array(required)) = own.get_mut("required") {
                    let properties = fields.get("properties");
                    required.retain(|name| {
                        let of = |own: &Value| self.document.resolved(own)["writeOnly"] == true;
                        !name.as_str().and_then(|name| properties?.get(name)).is_some_and(of)
                    });
                    // Draft 4 knows no empty list.
                    if required.is_empty() {
                        own.remove("required");
                    }
                }
                // Of `nullable` beside `enum` the list has the last word, which authors do not mean.
                if fields.get("nullable") == Some(&json!(true)) && !own.is_empty() {
                    return json!({ "anyOf": [own, { "enum": [null] }] });
                }
                Value::Object(own)
            }
            other => other.clone(),
        }
    }

    fn name(&mut self, reference: &str) -> String {
        if let Some(known) = self.names.get(reference) {
            return known.clone();
        }
        let last = reference.rsplit('/').next().unwrap_or(reference);
        let safe: String =
            last.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
        let name = unique(&safe, "_", |name| self.names.values().any(|own| own == name));
        self.names.insert(reference.to_owned(), name.clone());
        self.open.push((reference.to_owned(), name.clone()));
        name
    }
}
