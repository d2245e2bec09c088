use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;

use super::draft::unique;
use crate::credentials::{is_telling, looks_like_a_token, variable, words};

/// Shorter values are searched for nowhere else: they would be found in every word.
const LEAST_SEARCHED: usize = 8;

/// A name and its value as JSON, XML and forms have them.
static NAMED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r#""(?<json_name>[^"\\]+)"\s*:\s*(?:"(?<json_text>(?:[^"\\]|\\.)*)"|(?<json_number>[0-9][0-9.]*))"#,
        r"|<(?<xml_name>[A-Za-z][\w.:-]*)[^<>]*>(?<xml_value>[^<]+)</",
        r#"|(?<form_name>[A-Za-z_][\w.\[\]-]*)=(?<form_value>[^\s&"'<>;]+)"#,
    ))
    .ok()
});

const NAMED_GROUPS: [(&str, &str); 4] = [
    ("json_name", "json_text"),
    ("json_name", "json_number"),
    ("xml_name", "xml_value"),
    ("form_name", "form_value"),
];

/// Placeholders and the like: `<string>`, `xxx`, `{{token}}`.
fn is_weak(value: &str) -> bool {
    let placeholder =
        value.starts_with(['<', '{', '[', '$']) || value.chars().all(|c| c == 'x' || c == 'X' || c == '*');
    value.len() < 6 || placeholder
}

/// Takes secrets out of what is written, each under a name of its own.
#[derive(Clone, Debug, Default)]
pub struct Safe {
    /// Value → name of the environment variable.
    known: BTreeMap<String, String>,
    /// Values that earlier answers had, which are captured from them.
    pub carried: BTreeSet<String>,
}

/// Text in which `${…}` stands for something.
pub fn plain(text: &str) -> String {
    text.replace("${", "$${")
}

impl Safe {
    /// `${secret.NAME}` for a value; the same value has one name.
    pub fn secret(&mut self, name: &str, value: &str) -> String {
        let wanted = variable(name);
        // What any field may hold tells no two apart, and is looked for nowhere else.
        let value = if is_weak(value) { format!("\0{name}\0{value}") } else { value.to_owned() };
        if let Some(known) = self.known.get(&value) {
            return format!("${{secret.{known}}}");
        }
        let own = unique(&wanted, "_", |name| self.known.values().any(|own| own == name));
        self.known.insert(value, own.clone());
        format!("${{secret.{own}}}")
    }

    /// A named value: as it is, or as a secret.
    pub fn field(&mut self, name: &str, value: &str) -> String {
        if self.carried.contains(value) {
            return plain(value);
        }
        if !value.is_empty() && is_telling(name) {
            return self.secret(name, value);
        }
        if looks_like_a_token(value) {
            return self.secret("token", value);
        }
        // JSON in a field has fields of its own.
        if value.starts_with(['{', '[']) { self.text(&plain(value)) } else { plain(value) }
    }

    /// A header's value.
    pub fn header(&mut self, name: &str, value: &str) -> String {
        let name = name.to_ascii_lowercase();
        // What names a request is another for each.
        if ["idempotency-key", "x-idempotency-key", "x-request-id", "x-correlation-id"]
            .contains(&name.as_str())
        {
            return "${uuid}".to_owned();
        }
        if name.ends_with("-key") && !value.is_empty() {
            return self.secret(&name, value);
        }
        if name == "authorization" || name == "proxy-authorization" {
            return match value.split_once(' ') {
                Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                    format!("{scheme} {}", self.secret("api_token", token.trim()))
                }
                Some((scheme, token)) => format!("{scheme} {}", self.secret("authorization", token.trim())),
                None => self.secret("authorization", value),
            };
        }
        self.field(&name, value)
    }

    /// The texts of a JSON body.
    pub fn json(&mut self, name: &str, value: &mut serde_json::Value) {
        match value {
            serde_json::Value::String(text) => *text = self.field(name, text),
            serde_json::Value::Number(number) if is_telling(name) => {
                let text = number.to_string();
                *value = serde_json::Value::String(self.secret(name, &text));
            }
            serde_json::Value::Array(items) => items.iter_mut().for_each(|item| self.json(name, item)),
            serde_json::Value::Object(fields) => {
                fields.iter_mut().for_each(|(key, item)| self.json(key, item));
            }
            _ => {}
        }
    }

    /// The named values of a text of any form; what is a template in it stays.
    pub fn text(&mut self, text: &str) -> String {
        let Some(named) = NAMED.as_ref() else { return text.to_owned() };
        let (mut out, mut at) = (String::new(), 0);
        for found in named.captures_iter(text) {
            let pair = NAMED_GROUPS.iter().find_map(|(name, value)| found.name(name).zip(found.name(value)));
            let Some((name, value)) = pair else { continue };
            if value.as_str().replace("$${", "").contains("${") {
                continue;
            }
            out.push_str(&text[at..value.start()]);
            out.push_str(&self.field(name.as_str(), &value.as_str().replace("$${", "${")));
            at = value.end();
        }
        out + &text[at..]
    }

    /// Whether a value is looked for elsewhere: not one that is just the word for what it is.
    fn is_searched(&self, value: &str) -> bool {
        let word = value.to_lowercase();
        let named = |name: &String| name.to_lowercase() == word || words(name).contains(&word);
        value.len() >= LEAST_SEARCHED && !self.known.values().any(named)
    }

    /// What is known to be secret, wherever else it stands.
    pub fn sweep(&self, text: &str) -> String {
        self.replaced(text, |name| format!("${{secret.{name}}}"))
    }

    /// With something else for each known secret, by the name of its variable.
    pub fn replaced(&self, text: &str, by: impl Fn(&str) -> String) -> String {
        let mut known: Vec<_> = self.known.iter().filter(|(value, _)| self.is_searched(value)).collect();
        known.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        let mut text = text.to_owned();
        for (value, name) in known {
            for form in [value.clone(), url::form_urlencoded::byte_serialize(value.as_bytes()).collect()] {
                text = text.replace(&form, &by(name));
            }
        }
        text
    }

    /// The variables that must be set.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.known.values().cloned().collect();
        names.sort();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_one_name_wherever_it_stands() {
        let mut safe = Safe::default();
        assert_eq!(safe.header("Authorization", "Bearer abc.def"), "Bearer ${secret.API_TOKEN}");
        assert_eq!(safe.field("access_token", "abc.def"), "${secret.API_TOKEN}");
        assert_eq!(safe.field("password", "x"), "${secret.PASSWORD}");
        assert_eq!(safe.field("password", "y"), "${secret.PASSWORD_2}");
        assert_eq!(safe.field("note", "costs ${x}"), "costs $${x}");
        safe.secret("key", "a long/secret");
        assert_eq!(safe.sweep("/p?k=a+long%2Fsecret"), "/p?k=${secret.KEY}");
        assert_eq!(safe.names(), ["API_TOKEN", "KEY", "PASSWORD", "PASSWORD_2"]);
    }
}
