//! What other tools recorded or describe, as scenario files: requests, with secrets taken out, hosts kept apart.
//!
//! `draft` is what all importers make, and writes it; `secrets` decides what must not stand in a file.

mod carried;
mod collection;
mod curl;
mod curl_body;
mod document;
mod draft;
mod har;
mod har_file;
mod openapi;
mod postman;
mod sample;
mod schema_bundle;
mod secrets;
mod shell;
mod swept;

pub use curl::import_curl;
pub use draft::{Draft, Imported};
pub use har::import_har;
pub use openapi::import_openapi;
pub use postman::import_postman;
