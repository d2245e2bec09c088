//! Assertions on one response: queries select, predicates judge, captures keep. Pure functions.

mod check;
mod encoding;
mod magic;
mod personal_data;
mod predicate;
mod query;
mod schema;
mod value;

use serde_json::Value;

pub use check::{Check, Failure, StatusSet};
pub use encoding::decoded;
pub use magic::Magic;
pub use personal_data::{PersonalData, Scan};
pub use predicate::{Operand, Predicate};
pub use query::{HeaderSource, Query, Subject};
pub use schema::ResponseSchema;
pub use value::{ValueType, plain_text};

/// What a check may ask of the iteration that it stands in.
pub trait Memory {
    /// The value of the step's deferred operand.
    fn operand(&self, index: usize) -> Value;
    /// How long the response of a step took, if it was sent in this iteration.
    fn service_ns(&self, step: usize) -> Option<u64>;
}
