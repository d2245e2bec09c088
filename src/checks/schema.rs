use std::sync::Arc;

use serde_json::Value;

/// A compiled JSON Schema for responses.
#[derive(Clone, Debug)]
pub struct ResponseSchema(Arc<jsonschema::Validator>);

const MOST_NAMED: usize = 3;

impl ResponseSchema {
    /// # Errors
    /// Where `schema` is none, or refers to another document: nothing is fetched.
    pub fn compile(schema: &Value) -> Result<Self, String> {
        jsonschema::options()
            .should_validate_formats(true)
            .build(schema)
            .map(|validator| Self(Arc::new(validator)))
            .map_err(|e| {
                let place = e.instance_path().to_string();
                if place.is_empty() { e.to_string() } else { format!("{e} (at {place})") }
            })
    }

    /// # Errors
    /// The first violations, each with its place in the body.
    pub fn judge(&self, body: &Value) -> Result<(), String> {
        let mut errors = self.0.iter_errors(body);
        let told: Vec<String> = errors
            .by_ref()
            .take(MOST_NAMED)
            .map(|e| {
                let place = e.instance_path().to_string();
                format!("{}: {e}", if place.is_empty() { "the body" } else { &place })
            })
            .collect();
        if told.is_empty() {
            return Ok(());
        }
        let more = errors.count();
        let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
        Err(told.join("; ") + &rest)
    }
}
