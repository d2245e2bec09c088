/// JSON Schema (draft-07) of scenario files: for editors, which complete keys and show what they mean. The readers decide;
/// the test below holds both to the same names.
pub const SCHEMA: &str = include_str!("../../schema/scenario.json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::super::{action, auth, capture, check, parse, predicate, profile, sources, step};
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

    #[test]
    fn the_schema_is_current() {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        let words =
            |words: &[&'static str]| words.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<_>>();
        let check_keys = check::check_keys();
        let value_and: Vec<&str> = std::iter::once("value").chain(predicate::PREDICATES).collect();
        let step = "/definitions/step/properties";
        for (pointer, keys) in [
            ("/properties".to_owned(), &parse::KEYS[..]),
            (step.to_owned(), &step::STEP_KEYS[..]),
            ("/definitions/check/anyOf/1/properties".to_owned(), &check_keys),
            ("/definitions/predicate/properties".to_owned(), &predicate::PREDICATES),
            ("/definitions/predicate/properties/not/properties".to_owned(), &predicate::DENIABLE),
            ("/definitions/predicate/properties/sum/anyOf/1/properties".to_owned(), &predicate::SUM_KEYS),
            (format!("{step}/poll/properties"), &action::POLL_KEYS),
            (format!("{step}/sse/properties"), &action::SSE_KEYS),
            (format!("{step}/websocket/properties"), &action::WEBSOCKET_KEYS),
            (format!("{step}/one_of/items/properties"), &step::BRANCH_KEYS),
            (format!("{step}/repeat/properties"), &step::REPEAT_KEYS),
            (format!("{step}/capture/additionalProperties/properties"), &capture::CAPTURE_KEYS),
            (format!("{step}/when/anyOf/0/properties"), &value_and),
            (format!("{step}/multipart/additionalProperties/anyOf/1/properties"), &action::PART_KEYS),
            ("/definitions/range/anyOf/1/properties".to_owned(), &check::RANGE_KEYS),
            ("/definitions/auth/anyOf/1/properties".to_owned(), &auth::AUTH_KEYS),
            ("/definitions/auth/anyOf/1/properties/basic/properties".to_owned(), &auth::BASIC_KEYS),
            ("/definitions/auth/anyOf/1/properties/oauth2/properties".to_owned(), &auth::OAUTH2_KEYS),
            ("/definitions/limits/properties".to_owned(), &Metric::NAMES),
            ("/properties/data/additionalProperties/properties".to_owned(), &sources::DATA_KEYS),
            ("/properties/identity/properties".to_owned(), &sources::IDENTITY_KEYS),
            ("/properties/load/properties".to_owned(), &profile::LOAD_KEYS),
            ("/properties/load/properties/stages/items/properties".to_owned(), &profile::STAGE_KEYS),
            (
                "/definitions/predicate/properties/type/enum".to_owned(),
                &ValueType::WORDS.map(|(word, _)| word),
            ),
            (
                "/definitions/check/anyOf/1/properties/magic/enum".to_owned(),
                &Magic::WORDS.map(|(word, _)| word),
            ),
            (
                "/definitions/check/anyOf/1/properties/no_personal_data/anyOf/0/items/enum".to_owned(),
                &PersonalData::WORDS.map(|(word, _)| word),
            ),
        ] {
            let found = schema.pointer(&pointer).unwrap_or_else(|| panic!("{pointer} is not there"));
            assert_eq!(names(found), words(keys), "{pointer}");
        }
    }
}
