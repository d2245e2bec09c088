use super::session::print;
use crate::error::Result;
use crate::scenario::SCHEMA;

/// Prints the JSON Schema (draft-07) of scenario files, for editors.
///
/// # Errors
/// If it cannot be written.
pub fn schema() -> Result<u8> {
    print(SCHEMA)?;
    Ok(0)
}
