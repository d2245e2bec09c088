use serde_json::{Map, Value};

use crate::units::percent_decoded;

/// References that lead on to references.
pub const MOST_HOPS: usize = 32;

/// A description of a service, with what it refers to.
pub struct Document {
    pub root: Value,
}

impl Document {
    /// # Errors
    /// If it is no OpenAPI 3 document.
    pub fn new(root: Value) -> Result<Self, String> {
        let version = match &root["openapi"] {
            Value::String(version) => version.clone(),
            Value::Number(version) => version.to_string(),
            _ => {
                return Err(match root.get("swagger") {
                    Some(version) => format!("it is of Swagger {version}: convert it to OpenAPI 3 first"),
                    None => "it is no OpenAPI document: it has no `openapi`".into(),
                });
            }
        };
        if !version.starts_with('3') {
            return Err(format!("OpenAPI {version} is not known; 3.0 and 3.1 are"));
        }
        Ok(Self { root })
    }

    pub fn is_31(&self) -> bool {
        self.root["openapi"].as_str().is_some_and(|version| !version.starts_with("3.0"))
    }

    /// What a reference within the document leads to.
    pub fn at(&self, reference: &str) -> Option<Value> {
        let pointer = reference.strip_prefix('#')?;
        let pointer = percent_decoded(pointer);
        self.root.pointer(&pointer).cloned()
    }

    /// The value, or what it refers to.
    pub fn resolved(&self, value: &Value) -> Value {
        let mut own = value.clone();
        for _ in 0..MOST_HOPS {
            let Some(reference) = own.get("$ref").and_then(Value::as_str) else { return own };
            let Some(next) = self.at(reference) else { return Value::Object(Map::new()) };
            own = next;
        }
        Value::Object(Map::new())
    }
}
