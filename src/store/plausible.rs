use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Counts and times are below it, so that thousands of them can be added up.
const MOST: u64 = 1 << 50;
/// Only its bits count.
const ANY: &str = "seed";

/// What stands in a file of ours, whose whole numbers are all such as can have been counted or measured: whatever else a
/// damaged file says, nothing overflows for it.
pub struct Plausible<T>(pub T);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Plausible<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if let Some(number) = implausible(&value) {
            return Err(D::Error::custom(format!("{number} is beyond anything that can be counted")));
        }
        serde_json::from_value(value).map(Self).map_err(D::Error::custom)
    }
}

fn implausible(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) => {
            let size = number.as_i64().map(i64::unsigned_abs).or(number.as_u64())?;
            (size > MOST).then(|| number.to_string())
        }
        Value::Array(items) => items.iter().find_map(implausible),
        Value::Object(fields) => {
            fields.iter().filter(|(key, _)| *key != ANY).find_map(|(_, own)| implausible(own))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_can_have_counted_is_refused() {
        let read = |text: &str| serde_json::from_str::<Plausible<Value>>(text).map(|own| own.0);
        for fine in [r#"{"n":[1,-5,1e300,0.1],"seed":18446744073709551615}"#, "1125899906842624", "null"] {
            assert!(read(fine).is_ok(), "{fine}");
        }
        for bad in [r#"{"a":[{"n":18446744073709551615}]}"#, "[-9223372036854775808]", "1125899906842625"] {
            assert!(read(bad).unwrap_err().to_string().contains("can be counted"), "{bad}");
        }
    }
}
