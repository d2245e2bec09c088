use super::session::print;
use crate::error::Result;
use crate::project::PROJECT_SCHEMA;
use crate::rollout::PLAN_SCHEMA;
use crate::scenario::SCHEMA;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaOf {
    Scenario,
    Plan,
    Project,
}

/// Prints a JSON Schema (draft-07), for editors.
///
/// # Errors
/// If it cannot be written.
pub fn schema(of: SchemaOf) -> Result<u8> {
    print(match of {
        SchemaOf::Scenario => SCHEMA,
        SchemaOf::Plan => PLAN_SCHEMA,
        SchemaOf::Project => PROJECT_SCHEMA,
    })?;
    Ok(0)
}
