#![no_main]
//! A service's description, in JSON or YAML.

use std::path::Path;

use libfuzzer_sys::{Corpus, fuzz_mutator, fuzz_target};
use loadgate::import::import_openapi;
use loadgate::scenario::value_of_yaml;
use loadgate_fuzz::{imported, json, told};

fuzz_mutator!(|data: &mut [u8], size: usize, max: usize, seed: u32| { json::mutate(data, size, max, seed) });

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(data) else { return Corpus::Reject };
    match value_of_yaml(Path::new("openapi.yaml"), text) {
        Ok(root) => imported(import_openapi(root, &[], None)),
        Err(error) => told(&error),
    }
    Corpus::Keep
});
