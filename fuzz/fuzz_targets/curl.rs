#![no_main]
//! Copied curl commands.

use libfuzzer_sys::{Corpus, fuzz_target};
use loadgate::import::import_curl;
use loadgate_fuzz::imported;

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(data) else { return Corpus::Reject };
    imported(import_curl(text, None));
    Corpus::Keep
});
