/// JSON Schema (draft-07) of scenario files: for editors, which complete keys and show what they mean. The readers decide;
/// the test below holds both to the same names.
pub const SCHEMA: &str = include_str!("../../schema/scenario.json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::super::{
        action, alert, auth, capture, check, parse, predicate, probe, profile, rules, sources, step,
    };
    use super::SCHEMA;
    use crate::checks::{Magic, PersonalData, ValueType};
    use crate::units::Metric;

    fn names(value: &Value) -> BTreeSet<String> {
        match value {
            Value::Object(entries) => entries.keys().cloned().collect(),
            Value::Array(items) => items.iter().map(|item| item.as_str().unwrap().to_owned()).collect(),
            other => panic!("{other} has no names"),
        }
    }

    /// Every place in the schema that names keys.
    fn places(value: &Value, pointer: &str, found: &mut Vec<String>) {
        let entries: Vec<(String, &Value)> = match value {
            Value::Object(entries) => entries.iter().map(|(key, value)| (key.clone(), value)).collect(),
            Value::Array(items) => items.iter().enumerate().map(|(i, item)| (i.to_string(), item)).collect(),
            _ => return,
        };
        for (key, value) in entries {
            let pointer = format!("{pointer}/{key}");
            if key == "properties" && value.is_object() {
                found.push(pointer.clone());
            }
            places(value, &pointer, found);
        }
    }

    #[test]
    fn the_schema_is_current() {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        let check_keys = check::check_keys();
        let value_and: Vec<&str> = std::iter::once("value").chain(predicate::PREDICATES).collect();
        // By how a pointer ends: what may be said in several places is held to the same list in each.
        let lists: [(&str, &[&'static str]); 34] = [
            ("", &parse::KEYS),
            ("/definitions/step", &step::STEP_KEYS),
            ("/definitions/check/anyOf/1", &check_keys),
            ("/definitions/predicate", &predicate::PREDICATES),
            ("/not", &predicate::DENIABLE),
            ("/sum/anyOf/1", &predicate::SUM_KEYS),
            ("/no_personal_data/anyOf/2", &check::SCAN_KEYS),
            ("/definitions/range/anyOf/1", &check::RANGE_KEYS),
            ("/poll", &action::POLL_KEYS),
            ("/sse", &action::SSE_KEYS),
            ("/websocket", &action::WEBSOCKET_KEYS),
            ("/one_of/items", &step::BRANCH_KEYS),
            ("/repeat", &step::REPEAT_KEYS),
            ("/capture/additionalProperties", &capture::CAPTURE_KEYS),
            ("/when/anyOf/0", &value_and),
            ("/when/anyOf/1/items", &value_and),
            ("/multipart/additionalProperties/anyOf/1", &action::PART_KEYS),
            ("/definitions/auth/anyOf/1", &auth::AUTH_KEYS),
            ("/basic", &auth::BASIC_KEYS),
            ("/oauth2", &auth::OAUTH2_KEYS),
            ("/limits", &Metric::NAMES),
            ("/regression/anyOf/1", &rules::REGRESSION_KEYS),
            ("/abort_when/items", &profile::ABORT_KEYS),
            ("/probes/additionalProperties", &probe::PROBE_KEYS),
            ("/arms", &probe::ARM_KEYS),
            ("/alerts/items", &alert::ALERT_KEYS),
            ("/data/additionalProperties", &sources::DATA_KEYS),
            ("/identity", &sources::IDENTITY_KEYS),
            ("/load", &profile::LOAD_KEYS),
            ("/stages/items", &profile::STAGE_KEYS),
            ("/type/enum", &ValueType::WORDS.map(|(word, _)| word)),
            ("/magic/enum", &Magic::WORDS.map(|(word, _)| word)),
            ("/no_personal_data/anyOf/0/items/enum", &PersonalData::WORDS.map(|(word, _)| word)),
            ("/pick/enum", &["random", "sequential", "unique"]),
        ];
        let mut found = Vec::new();
        places(&schema, "", &mut found);
        let words = [
            "/definitions/predicate/properties/type/enum",
            "/definitions/check/anyOf/1/properties/magic/enum",
            "/definitions/check/anyOf/1/properties/no_personal_data/anyOf/0/items/enum",
            "/properties/data/additionalProperties/properties/pick/enum",
        ];
        found.extend(words.map(str::to_owned));
        let mut used = BTreeSet::new();
        for pointer in found {
            let place = pointer.trim_end_matches("/properties");
            let fits = lists
                .iter()
                .filter(|(end, _)| if end.is_empty() { place.is_empty() } else { place.ends_with(end) });
            let (end, keys) = fits
                .max_by_key(|(end, _)| end.len())
                .unwrap_or_else(|| panic!("{pointer} is held to nothing"));
            used.insert(*end);
            let expected: BTreeSet<String> = keys.iter().map(|word| (*word).to_owned()).collect();
            let named = schema.pointer(&pointer).unwrap_or_else(|| panic!("{pointer} is not there"));
            assert_eq!(names(named), expected, "{pointer}");
        }
        for (end, _) in lists {
            assert!(used.contains(end), "{end} is nowhere in the schema");
        }
    }
}
