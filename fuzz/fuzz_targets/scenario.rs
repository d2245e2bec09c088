#![no_main]
//! A scenario's file, as `validate` reads it; mistakes are drawn.

use libfuzzer_sys::{Corpus, fuzz_target};
use loadgate_fuzz::{put, told, validate};

fuzz_target!(|data: &[u8]| -> Corpus {
    if std::str::from_utf8(data).is_err() {
        return Corpus::Reject;
    }
    if let Err(error) = validate(&[put("scenario.yaml", data)]) {
        told(&error);
    }
    Corpus::Keep
});
