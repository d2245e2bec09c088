//! Mutations that leave a JSON document one, so that what lies behind its parser is reached.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use libfuzzer_sys::fuzzer_mutate;
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};

/// splitmix64.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// For `fuzz_mutator!`: one document.
pub fn mutate(data: &mut [u8], size: usize, max: usize, seed: u32) -> usize {
    let mut chance = Chance(u64::from(seed));
    let changed = (chance.below(4) > 0).then(|| changed(&data[..size], &mut chance)).flatten();
    match changed.filter(|text| text.len() <= max) {
        Some(text) => {
            data[..text.len()].copy_from_slice(&text);
            text.len()
        }
        None => fuzzer_mutate(data, size, max),
    }
}

/// For `fuzz_mutator!`: a document a line.
pub fn mutate_lines(data: &mut [u8], size: usize, max: usize, seed: u32) -> usize {
    let mut chance = Chance(u64::from(seed));
    let mut lines: Vec<Vec<u8>> = data[..size].split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let (at, other) = (chance.below(lines.len()), chance.below(lines.len()));
    match chance.below(8) {
        0 => {
            lines.remove(at);
        }
        1 => lines.swap(at, other),
        2 => lines.insert(other, lines[at].clone()),
        3 => return fuzzer_mutate(data, size, max),
        _ => match changed(&lines[at], &mut chance) {
            Some(line) => lines[at] = line,
            None => return fuzzer_mutate(data, size, max),
        },
    }
    let whole = lines.join(&b'\n');
    if whole.len() > max {
        return fuzzer_mutate(data, size, max);
    }
    data[..whole.len()].copy_from_slice(&whole);
    whole.len()
}

fn changed(bytes: &[u8], chance: &mut Chance) -> Option<Vec<u8>> {
    let mut value: Value = serde_json::from_slice(bytes).ok()?;
    for _ in 0..=chance.below(3) {
        let count = count(&value);
        let spliced = chance.below(count);
        let other = at(&mut value, &mut { spliced }).map(|own| own.clone()).unwrap_or(Value::Null);
        let target = chance.below(count);
        if let Some(own) = at(&mut value, &mut { target }) {
            change(own, &other, chance);
        }
    }
    serde_json::to_vec(&value).ok()
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum::<usize>(),
        _ => 0,
    }
}

/// The `left`-th node.
fn at<'a>(value: &'a mut Value, left: &mut usize) -> Option<&'a mut Value> {
    if *left == 0 {
        return Some(value);
    }
    *left -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|own| at(own, left)),
        Value::Object(fields) => fields.values_mut().find_map(|own| at(own, left)),
        _ => None,
    }
}

fn change(value: &mut Value, other: &Value, chance: &mut Chance) {
    match (chance.below(6), &mut *value) {
        (0, _) => *value = interesting(chance),
        (1, _) => *value = other.clone(),
        (_, Value::Array(items)) if !items.is_empty() => {
            let (one, two) = (chance.below(items.len()), chance.below(items.len()));
            match chance.below(4) {
                0 => {
                    items.remove(one);
                }
                1 => items.swap(one, two),
                2 => items.push(other.clone()),
                _ => items.insert(one, items[two].clone()),
            }
        }
        (_, Value::Object(fields)) if !fields.is_empty() => {
            let key = fields.keys().nth(chance.below(fields.len())).cloned().unwrap_or_default();
            match chance.below(3) {
                0 => {
                    fields.remove(&key);
                }
                1 => {
                    fields.insert(key, other.clone());
                }
                _ => {
                    if let Some(own) = fields.remove(&key) {
                        fields.insert(text(&key, chance), own);
                    }
                }
            }
        }
        (_, Value::String(own)) => *own = text(own, chance),
        (_, Value::Number(own)) => {
            let number = own.as_f64().unwrap_or_default();
            *value = match chance.below(8) {
                0 => json!(-number),
                1 => json!(number * 1e3),
                2 => json!(number / 1e3),
                3 => own.as_u64().map_or(json!(number + 1.0), |n| json!(n.wrapping_add(1))),
                4 => own.as_u64().map_or(json!(number - 1.0), |n| json!(n.wrapping_sub(1))),
                5 => json!(number * 1e12),
                _ => interesting(chance),
            };
        }
        _ => *value = interesting(chance),
    }
}

fn interesting(chance: &mut Chance) -> Value {
    let all = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(u32::MAX),
        json!(1e308),
        json!(-1e308),
        json!(5e-324),
        json!(0.1),
        json!(""),
        json!("é"),
        json!("${x}"),
        json!("{{x}}"),
        json!("9999-12-31T23:59:59Z"),
        json!("-009999-01-02T01:59:59Z"),
        json!("p50"),
        json!("p99.99"),
        json!("error_rate"),
        json!([]),
        json!({}),
    ];
    all[chance.below(all.len())].clone()
}

fn text(own: &str, chance: &mut Chance) -> String {
    if own.starts_with("HIST") && chance.below(3) > 0 {
        return histogram(own).unwrap_or_default();
    }
    match chance.below(8) {
        0 => own.repeat(2),
        1 => own.chars().rev().collect(),
        2 => own.chars().take(chance.below(own.len() + 1)).collect(),
        3 => {
            let words = [
                "${", "{{", "}}", "/", "..", "\n", "\0", "\u{feff}", "\u{202e}", "'", "\"", ": ", "#", "é",
                "%", "\\",
            ];
            let at = (0..=chance.below(own.len() + 1)).rev().find(|i| own.is_char_boundary(*i)).unwrap_or(0);
            let mut own = own.to_owned();
            own.insert_str(at, words[chance.below(words.len())]);
            own
        }
        _ => {
            let mut bytes = own.as_bytes().to_vec();
            let size = bytes.len();
            bytes.resize(size + 16, 0);
            let size = fuzzer_mutate(&mut bytes, size, size + 16);
            String::from_utf8_lossy(&bytes[..size]).into_owned()
        }
    }
}

/// A histogram whose inside was changed rather than its compressed form.
fn histogram(own: &str) -> Option<String> {
    let bytes = BASE64.decode(own).ok()?;
    let mut inside = Vec::new();
    flate2::read::ZlibDecoder::new(bytes.get(8..)?).take(1 << 20).read_to_end(&mut inside).ok()?;
    let size = inside.len();
    inside.resize(size + 8, 0);
    let size = fuzzer_mutate(&mut inside, size, size + 8);
    Some(BASE64.encode(compressed(&inside[..size])))
}

/// As `HdrHistogram`'s V2 form with deflate has it.
pub fn compressed(inside: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    let packed = encoder.write_all(inside).and_then(|()| encoder.finish()).unwrap_or_default();
    let mut bytes = 0x1c84_9314_u32.to_be_bytes().to_vec();
    bytes.extend((packed.len() as u32).to_be_bytes());
    bytes.extend(packed);
    bytes
}
