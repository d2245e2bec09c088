//! Accepted runs, one file each, as the references that a verdict compares with.

mod document;
mod library;

pub use document::{BASELINE_FORMAT, BaselineDocument, EndpointBaseline, documents_of};
pub use library::{DEFAULT_INSTANCES, Library, Stored};
