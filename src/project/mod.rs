//! `loadgate.yaml`: services, where they run, and how strictly each occasion asks; so that thirty services need no glue.

mod model;
mod read;

pub use model::{Places, Project, Resolved, Settings};
pub use read::{PROJECT_SCHEMA, read_project};
