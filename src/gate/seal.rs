use std::path::Path;

use crate::digest::sha256_hex;
use crate::error::{Error, Result};

const NAME: &str = "\"sha256\"";

/// Ends a JSON object with the SHA-256 of all before this last member.
pub fn sealed(mut object: Vec<u8>) -> Vec<u8> {
    let end = object.trim_ascii_end().len();
    // In the form that it has: on one line, or a member a line.
    let pretty = object[..end].ends_with(b"\n}");
    object.truncate(end - if pretty { 2 } else { 1 });
    let sum = sha256_hex(&object);
    let seal = if pretty { format!(",\n  {NAME}: \"{sum}\"\n}}\n") } else { format!(",{NAME}:\"{sum}\"}}") };
    object.extend_from_slice(seal.as_bytes());
    object
}

/// Whether a file is as it was written; those of earlier versions are not sealed.
///
/// # Errors
/// With its path.
pub fn unbroken(path: &Path, operation: &'static str, bytes: &[u8], value: &serde_json::Value) -> Result<()> {
    if is_whole(bytes, value) {
        return Ok(());
    }
    let reason = "it is not as it was written: its checksum does not fit";
    Err(Error::input(path, operation, reason)
        .with_hint("if it was changed on purpose, take `sha256` out of it"))
}

fn is_whole(bytes: &[u8], value: &serde_json::Value) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some(told) = value["sha256"].as_str() else {
        // What ends as a seal does is one, whatever it is called now.
        let last = text.trim_end().strip_suffix('}').and_then(|rest| rest.trim_end().strip_suffix('"'));
        let sum = last.and_then(|rest| rest.as_bytes().last_chunk::<64>());
        return !sum.is_some_and(|sum| sum.iter().all(u8::is_ascii_hexdigit));
    };
    let Some(comma) = text.rfind(NAME).and_then(|at| text[..at].rfind(',')) else { return false };
    let seal: String = text[comma..].split_ascii_whitespace().collect();
    seal == format!(",{NAME}:\"{told}\"}}") && sha256_hex(text[..comma].as_bytes()) == told
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn any_change_of_what_is_sealed_shows() {
        let object = json!({"a": [1, 2], "b": "x, \"sha256\""});
        for object in [serde_json::to_vec(&object).unwrap(), serde_json::to_vec_pretty(&object).unwrap()] {
            let whole = sealed(object);
            let value = serde_json::from_slice(&whole).unwrap();
            assert!(is_whole(&whole, &value));
            let mut read = 0;
            for at in 0..whole.len() {
                let mut changed = whole.clone();
                changed[at] ^= 1;
                if let Ok(value) = serde_json::from_slice::<serde_json::Value>(&changed) {
                    read += 1;
                    assert!(!is_whole(&changed, &value), "{}", String::from_utf8_lossy(&changed));
                }
            }
            assert!(read > 70, "{read}");
        }
        let without = br#"{"a": 1}"#;
        assert!(is_whole(without, &serde_json::from_slice(without).unwrap()));
    }
}
