#![no_main]
//! A Postman collection; what follows a NUL is an environment.

use libfuzzer_sys::{Corpus, fuzz_mutator, fuzz_target};
use loadgate::import::import_postman;
use loadgate_fuzz::{imported, json};

fuzz_mutator!(|data: &mut [u8], size: usize, max: usize, seed: u32| { json::mutate(data, size, max, seed) });

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(data) else { return Corpus::Reject };
    let (collection, environment) = match text.split_once("\0") {
        Some((collection, environment)) => (collection, Some(environment)),
        None => (text, None),
    };
    imported(import_postman(collection, environment, None));
    Corpus::Keep
});
