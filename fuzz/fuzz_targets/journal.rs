#![no_main]
//! What a run that was killed left behind.

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use loadgate::gate::read_record;
use loadgate_fuzz::{json, put, record, scratch, told};

fuzz_mutator!(|data: &mut [u8], size: usize, max: usize, seed: u32| {
    json::mutate_lines(data, size, max, seed)
});

fuzz_target!(|data: &[u8]| {
    put("killed/journal", data);
    match read_record(&scratch().join("killed")) {
        Ok(read) => record(&read),
        Err(error) => told(&error),
    }
});
