use super::session::print;
use crate::error::Result;
use crate::metrics::RECORD_SCHEMA;
use crate::project::PROJECT_SCHEMA;
use crate::rollout::PLAN_SCHEMA;
use crate::scenario::SCHEMA;
use crate::verdict::VERDICT_SCHEMA;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaOf {
    Scenario,
    Plan,
    Project,
    Run,
    Verdict,
}

/// Prints a JSON Schema (draft-07).
///
/// # Errors
/// If it cannot be written.
pub fn schema(of: SchemaOf) -> Result<u8> {
    print(match of {
        SchemaOf::Scenario => SCHEMA,
        SchemaOf::Plan => PLAN_SCHEMA,
        SchemaOf::Project => PROJECT_SCHEMA,
        SchemaOf::Run => RECORD_SCHEMA,
        SchemaOf::Verdict => VERDICT_SCHEMA,
    })?;
    Ok(0)
}
