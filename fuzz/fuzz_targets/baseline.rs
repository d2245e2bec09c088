#![no_main]
//! Baselines and anchors: as they are, and with a checksum that fits, so that what lies behind it is reached.

use std::path::Path;

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use loadgate::baseline::{BaselineDocument, Library};
use loadgate::digest::sha256_hex;
use loadgate::store::Shelf;
use loadgate_fuzz::{json, put, scratch, told};
use serde_json::Value;

fuzz_mutator!(|data: &mut [u8], size: usize, max: usize, seed: u32| { json::mutate(data, size, max, seed) });

fn read(bytes: &[u8]) {
    let path = Path::new("baseline.json");
    let document = match BaselineDocument::from_bytes(path, bytes) {
        Ok(document) => document,
        Err(error) => return told(&error),
    };
    let written = document.to_bytes(path).expect("what was read can be written");
    let again = BaselineDocument::from_bytes(path, &written).expect("what was written can be read");
    assert!(again.to_bytes(path).expect("it can be written") == written, "it is another baseline");
    for endpoint in again.endpoints.values() {
        let reference = endpoint.as_reference(&again);
        let _ = reference.response.quantile_ms(0.5);
    }
}

fuzz_target!(|data: &[u8]| {
    read(data);
    let Ok(mut value @ Value::Object(_)) = serde_json::from_slice::<Value>(data) else { return };
    value["checksum"] = Value::String(String::new());
    value["checksum"] = Value::String(sha256_hex(value.to_string().as_bytes()));
    let bytes = value.to_string().into_bytes();
    read(&bytes);
    put("baselines/test/it/_anchor.json", &bytes);
    match Library::new(&Shelf::local(&scratch().join("baselines")), "test").anchor("it") {
        Ok(anchor) => {
            for (name, endpoint) in &anchor.endpoints {
                let _ = anchor.of(name, &endpoint.digest);
            }
        }
        Err(error) => told(&error),
    }
});
