#![no_main]
//! `run.json`: what can be read can be written, has a log of intervals, and can be merged or not.

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use loadgate::gate::read_record;
use loadgate_fuzz::{json, put, record, told};

fuzz_mutator!(|data: &mut [u8], size: usize, max: usize, seed: u32| { json::mutate(data, size, max, seed) });

fuzz_target!(|data: &[u8]| {
    match read_record(&put("run.json", data)) {
        Ok(read) => record(&read),
        Err(error) => told(&error),
    }
});
