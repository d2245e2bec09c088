#![no_main]
//! Histograms as records, baselines and journals hold them: the bytes as they are, and compressed first.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use libfuzzer_sys::fuzz_target;
use loadgate::metrics::Histogram;
use loadgate_fuzz::json;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    for bytes in [data.to_vec(), json::compressed(data)] {
        let Ok(mut read) = serde_json::from_value::<Histogram>(Value::String(BASE64.encode(bytes))) else {
            continue;
        };
        let text = serde_json::to_value(&read).expect("what was read can be written");
        let again: Histogram = serde_json::from_value(text).expect("what was written can be read");
        assert_eq!(again, read);
        for q in [0.0, 0.5, 0.99, 1.0] {
            assert!(read.quantile_ns(q).is_some() != read.is_empty());
        }
        let _ = (read.mean_ms(), read.max_ms(), read.share_above(1.0));
        read.merge(&again);
        assert_eq!(read.count(), 2 * again.count());
    }
});
