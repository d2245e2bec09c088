//! Accepted runs, one file each, as the references that a verdict compares with; and the best level among them.

mod anchor;
mod calibration;
mod document;
mod library;
mod runs;

pub use anchor::{Acceptance, AnchorDocument, EndpointAnchor, StoredLevel};
pub use calibration::{Calibration, CalibrationRun};
pub use document::{BASELINE_FORMAT, BaselineDocument, EndpointBaseline, documents_of};
pub use library::{Library, Stored};
pub use runs::{joined, references_of_runs, with_default_rules};
