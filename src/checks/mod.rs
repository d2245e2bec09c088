//! Assertions on one response: queries select, predicates judge, captures keep. Pure functions.

mod check;
mod predicate;
mod query;

pub use check::{Check, Failure, Magic, StatusSet};
pub use predicate::{Operand, Predicate};
pub use query::{HeaderSource, Query, Subject};
