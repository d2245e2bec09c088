use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::nearest;

const OPENS: &str = "{ask.";
const LONGEST_KEY: usize = 150;
const LONGEST_VALUE: usize = 200;

/// What is asked for: the same key is the same gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    pub key: String,
    /// By name, what the command's placeholders become.
    pub values: BTreeMap<String, String>,
}

/// What Flagger sends to a webhook; fields that it has beside these say nothing here.
#[derive(Debug, Deserialize)]
pub struct FlaggerPayload {
    pub name: String,
    pub namespace: String,
    /// Of the canary's configuration: another release has another.
    pub checksum: String,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
}

/// The command of a gate, as one was given to `serve`, with `{ask.NAME}` where a question has a say.
#[derive(Clone, Debug)]
pub struct Template {
    words: Vec<String>,
    names: Vec<String>,
}

impl Template {
    /// # Errors
    /// In words, where a placeholder is none.
    pub fn new(words: Vec<String>) -> Result<Self, String> {
        let mut names = Vec::new();
        for word in &words {
            for part in word.split(OPENS).skip(1) {
                let name = part.split_once('}').map_or("", |(name, _)| name);
                let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
                if name.is_empty() || !name.chars().all(plain) {
                    return Err(format!("`{word}`: expected a placeholder such as {{ask.key}}"));
                }
                if name == "wait" {
                    return Err(
                        "`{ask.wait}`: `wait` says how long an answer may be kept back; take another name"
                            .into(),
                    );
                }
                if name != "key" && !names.iter().any(|known| known == name) {
                    names.push(name.to_owned());
                }
            }
        }
        Ok(Self { words, names })
    }

    /// Without `key`, which each question has.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The command with `values` in it; those that it has no place for are an error.
    ///
    /// # Errors
    /// In words.
    pub fn ask(&self, key: &str, values: BTreeMap<String, String>) -> Result<Ask, String> {
        checked_key(key)?;
        let known = || self.names.iter().map(String::as_str);
        if let Some(name) = values.keys().find(|name| !self.names.contains(name)) {
            let nearest = nearest(name, known()).map(|name| format!("; did you mean `{name}`?"));
            let all = if self.names.is_empty() { "none".to_owned() } else { self.names.join(", ") };
            return Err(format!(
                "`{name}`: the command has no such value{}; it has {all}",
                nearest.unwrap_or_default()
            ));
        }
        if let Some(name) = self.names.iter().find(|name| !values.contains_key(*name)) {
            return Err(format!("the command needs `{name}`"));
        }
        for (name, value) in &values {
            checked_value(value).map_err(|why| format!("`{name}`: {why}"))?;
        }
        Ok(Ask { key: key.to_owned(), values })
    }

    /// Whether a question of before says all that this command needs, and no more.
    #[must_use]
    pub fn fits(&self, ask: &Ask) -> bool {
        ask.values.len() == self.names.len() && self.names.iter().all(|name| ask.values.contains_key(name))
    }

    /// The words with `sample` for all that is asked.
    #[must_use]
    pub fn sample(&self, sample: &str) -> Vec<String> {
        let values = self.names.iter().map(|name| (name.clone(), sample.to_owned())).collect();
        self.filled(&Ask { key: sample.to_owned(), values })
    }

    /// The command's words for a question.
    #[must_use]
    pub fn filled(&self, ask: &Ask) -> Vec<String> {
        let own = ask.values.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let all: Vec<(&str, &str)> = own.chain([("key", ask.key.as_str())]).collect();
        let fill = |word: &String| {
            all.iter()
                .fold(word.clone(), |word, (name, value)| word.replace(&format!("{OPENS}{name}}}"), value))
        };
        self.words.iter().map(fill).collect()
    }
}

/// A key names a folder.
///
/// # Errors
/// In words.
pub fn checked_key(key: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let fine = !key.is_empty()
        && key.len() <= LONGEST_KEY
        && key.chars().all(plain)
        && !key.starts_with(['.', '-'])
        && !key.contains("..");
    if fine {
        return Ok(());
    }
    Err(format!(
        "`{key}` is no key: a key is up to {LONGEST_KEY} letters, digits, `.`, `_` and `-`, and begins with none of the last three"
    ))
}

/// A value becomes a part of a word of a command, and maybe of a path or of a line of shell: nothing that is more than itself there.
fn checked_value(value: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-:/@%+=,".contains(c);
    if value.is_empty() || value.len() > LONGEST_VALUE || value.starts_with('-') || value.contains("..") {
        return Err(format!(
            "a value is 1 to {LONGEST_VALUE} characters, begins with no `-` and has no `..`"
        ));
    }
    match value.chars().find(|c| !plain(*c)) {
        None => Ok(()),
        Some(odd) => {
            Err(format!("a value has letters, digits and ._-:/@%+=, but no `{}`", odd.escape_default()))
        }
    }
}

impl FlaggerPayload {
    /// The gate of this release; where the webhook's metadata has a `gate`, one of several.
    #[must_use]
    pub fn key(&self) -> String {
        let release = format!("{}.{}.{}", self.namespace, self.name, self.checksum);
        self.metadata().get("gate").map_or(release.clone(), |gate| format!("{release}.{gate}"))
    }

    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.metadata.as_ref().unwrap_or(&NONE)
    }

    /// The metadata but for what is not the command's, and whose release it is, as far as the command asks.
    #[must_use]
    pub fn values(&self, template: &Template) -> BTreeMap<String, String> {
        let mut values = self.metadata().clone();
        values.retain(|name, _| !["gate", "token"].contains(&name.as_str()));
        for (name, value) in
            [("name", &self.name), ("namespace", &self.namespace), ("checksum", &self.checksum)]
        {
            if template.names().iter().any(|own| own == name) {
                values.insert(name.to_owned(), value.clone());
            }
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(words: &[&str]) -> Template {
        Template::new(words.iter().map(|word| (*word).to_owned()).collect()).unwrap()
    }

    fn values(all: &[(&str, &str)]) -> BTreeMap<String, String> {
        all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_question_becomes_words_and_never_more_of_them() {
        let own =
            template(&["canary", "--label", "{ask.key} of {ask.tag}", "--candidate-cmd", "app {port} {tag}"]);
        assert_eq!(own.names(), ["tag"]);
        let ask = own.ask("a.b-1", values(&[("tag", "v1:2")])).unwrap();
        let expected = ["canary", "--label", "a.b-1 of v1:2", "--candidate-cmd", "app {port} {tag}"];
        assert_eq!(own.filled(&ask), expected);
        for (key, given, why) in [
            ("a/b", &[("tag", "v1")][..], "a key is"),
            ("..", &[("tag", "v1")], "a key is"),
            ("-a", &[("tag", "v1")], "a key is"),
            ("", &[("tag", "v1")], "a key is"),
            ("a", &[], "the command needs `tag`"),
            ("a", &[("tga", "v1"), ("tag", "v1")], "did you mean `tag`?"),
            ("a", &[("tag", "")], "a value is"),
            ("a", &[("tag", "--insecure")], "begins with no `-`"),
            ("a", &[("tag", "../../etc")], "no `..`"),
            ("a", &[("tag", "v1; reboot")], "but no `;`"),
            ("a", &[("tag", "v1 --insecure")], "but no ` `"),
            ("a", &[("tag", "$(id)")], "but no `$`"),
            ("a", &[("tag", "a\nb")], "but no `\\n`"),
        ] {
            let error = own.ask(key, values(given)).unwrap_err();
            assert!(error.contains(why), "{key} {given:?}: {error}");
        }
        for wrong in ["{ask.}", "{ask.a b}", "{ask.tag"] {
            assert!(Template::new(vec![wrong.to_owned()]).is_err(), "{wrong}");
        }
    }
}
