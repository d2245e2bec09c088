#![no_main]
//! What a browser recorded.

use libfuzzer_sys::{Corpus, fuzz_mutator, fuzz_target};
use loadgate::import::import_har;
use loadgate_fuzz::{imported, json};

fuzz_mutator!(|data: &mut [u8], size: usize, max: usize, seed: u32| { json::mutate(data, size, max, seed) });

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(data) else { return Corpus::Reject };
    imported(import_har(text, None));
    Corpus::Keep
});
