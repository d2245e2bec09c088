//! Values that a schema allows, from its examples where it has some.

use std::cell::Cell;

use serde_json::{Map, Value, json};

use super::document::Document;

const MOST_DEPTH: usize = 6;

/// Beyond it a schema is made of itself.
const MOST_NESTED: usize = 2 * MOST_DEPTH;

/// Beyond so many parts a value is no example any more: many schemas each made of themselves several times over.
const MOST_PARTS: usize = 2_000;

/// An example value of a schema.
pub fn sample(document: &Document, schema: &Value) -> Value {
    part(document, schema, 0, &Cell::new(MOST_PARTS))
}

fn part(document: &Document, schema: &Value, depth: usize, left: &Cell<usize>) -> Value {
    left.set(left.get().saturating_sub(1));
    if depth > MOST_NESTED || left.get() == 0 {
        return Value::Null;
    }
    let schema = document.resolved(schema);
    if let Some(value) = given(&schema) {
        return value;
    }
    if let Some(all) = schema["allOf"].as_array() {
        let mut whole = Map::new();
        for one in all.iter().chain(schema.get("properties").map(|_| &schema)) {
            let one = if one.get("allOf").is_some() && one.get("properties").is_some() {
                let mut own = one.clone();
                own.as_object_mut().map(|own| own.remove("allOf"));
                own
            } else {
                one.clone()
            };
            match part(document, &one, depth + 1, left) {
                Value::Object(fields) => whole.extend(fields),
                other if all.len() == 1 => return other,
                _ => {}
            }
        }
        return Value::Object(whole);
    }
    for key in ["oneOf", "anyOf"] {
        if let Some(choices) = schema[key].as_array() {
            let real = choices.iter().find(|own| document.resolved(own)["type"] != "null");
            return real.or(choices.first()).map_or(Value::Null, |own| part(document, own, depth + 1, left));
        }
    }
    let kind = match &schema["type"] {
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => {
            let real = kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null");
            real.unwrap_or("null").to_owned()
        }
        _ if schema.get("properties").is_some() => "object".to_owned(),
        _ if schema.get("items").is_some() => "array".to_owned(),
        _ => "string".to_owned(),
    };
    match kind.as_str() {
        "object" => object(document, &schema, depth, left),
        "array" if depth < MOST_DEPTH => {
            let least = schema["minItems"].as_u64().unwrap_or(1).clamp(1, 3);
            let item = part(document, &schema["items"], depth + 1, left);
            if item.is_null() { json!([]) } else { Value::Array(vec![item; least as usize]) }
        }
        "array" => json!([]),
        "integer" => json!(schema["minimum"].as_i64().unwrap_or(1)),
        "number" => schema.get("minimum").filter(|own| own.is_number()).cloned().unwrap_or(json!(1.0)),
        "boolean" => json!(true),
        "null" => Value::Null,
        _ => json!(text(&schema)),
    }
}

/// What the document itself gives.
fn given(schema: &Value) -> Option<Value> {
    let first = |own: &Value| own.as_array().and_then(|list| list.first()).cloned();
    schema
        .get("example")
        .cloned()
        .or_else(|| schema.get("examples").and_then(first))
        .or_else(|| schema.get("const").cloned())
        .or_else(|| schema.get("default").filter(|own| !own.is_null()).cloned())
        .or_else(|| schema.get("enum").and_then(first))
}

fn object(document: &Document, schema: &Value, depth: usize, left: &Cell<usize>) -> Value {
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut fields = Map::new();
    for (name, own) in schema["properties"].as_object().into_iter().flatten() {
        let needed = required.contains(&name.as_str());
        let known = document.resolved(own);
        // What the service fills in itself is not sent.
        if known["readOnly"] == true {
            continue;
        }
        if (needed && depth < MOST_DEPTH) || given(&known).is_some() || (depth == 0 && required.is_empty()) {
            fields.insert(name.clone(), part(document, own, depth + 1, left));
        }
    }
    Value::Object(fields)
}

fn text(schema: &Value) -> String {
    let least = schema["minLength"].as_u64().unwrap_or(0).min(1000) as usize;
    let own = match schema["format"].as_str().unwrap_or_default() {
        "date-time" => "2026-01-01T00:00:00Z",
        "date" => "2026-01-01",
        "time" => "12:00:00Z",
        "uuid" => "3fa85f64-5717-4562-b3fc-2c963f66afa6",
        "email" => "somebody@example.com",
        "uri" | "url" => "https://example.com",
        "ipv4" => "192.0.2.1",
        "ipv6" => "2001:db8::1",
        "hostname" => "example.com",
        "byte" => "ZXhhbXBsZQ==",
        _ => "example",
    };
    let mut own = own.to_owned();
    while own.len() < least {
        own.push('x');
    }
    match schema["maxLength"].as_u64() {
        Some(most) => own.chars().take(most as usize).collect(),
        None => own,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 20 to the sixth power of values were once made of it.
    #[test]
    fn schemas_made_of_themselves_many_times_come_to_an_end() {
        let own = json!({ "$ref": "#/s" });
        let names: Vec<String> = (0..20).map(|n| format!("p{n}")).collect();
        let properties: Map<String, Value> = names.iter().map(|name| (name.clone(), own.clone())).collect();
        for schema in
            [json!({ "required": names, "properties": properties }), json!({ "allOf": vec![own; 20] })]
        {
            let root = json!({ "openapi": "3.1.0", "s": schema });
            let document = Document::new(root).unwrap();
            assert!(sample(&document, &schema).is_object());
        }
    }
}
