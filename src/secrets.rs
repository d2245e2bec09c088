//! Values that must never leave the process in any output: collected once, scrubbed at every sink.

use std::sync::Arc;

const MOST_SHOWN: usize = 400;

/// The secrets of one invocation. Cloning shares them.
#[derive(Clone, Default)]
pub struct Secrets {
    values: Arc<Vec<(String, String)>>,
}

impl Secrets {
    /// `values` are pairs of name and value; values shorter than four characters are not scrubbed,
    /// since they would mangle ordinary text.
    #[must_use]
    pub fn new(mut values: Vec<(String, String)>) -> Self {
        values.retain(|(_, value)| value.len() >= 4);
        // Inside JSON text a value with quotes or backslashes looks different.
        let escaped = |(name, value): &(String, String)| {
            let text = format!("{value:?}");
            (text[1..text.len() - 1] != *value).then(|| (name.clone(), text[1..text.len() - 1].to_owned()))
        };
        let more: Vec<_> = values.iter().filter_map(escaped).collect();
        values.extend(more);
        values.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
        values.dedup();
        Self { values: Arc::new(values) }
    }

    /// Replaces each secret in `text` by `$NAME`.
    #[must_use]
    pub fn scrub(&self, text: &str) -> String {
        self.values
            .iter()
            .fold(text.to_owned(), |text, (name, value)| text.replace(value, &format!("${name}")))
    }
}

impl Secrets {
    /// Scrubbed first, then cut to what a person reads, so that no part of a secret survives the cut.
    #[must_use]
    pub fn scrub_brief(&self, text: &str) -> String {
        let clean = self.scrub(text);
        match clean.char_indices().nth(MOST_SHOWN) {
            Some((cut, _)) => format!("{}…", &clean[..cut]),
            None => clean,
        }
    }
}

/// A URL without the user and password in front of its host.
#[must_use]
pub fn without_userinfo(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..authority].rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => url.to_owned(),
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({} values)", self.values.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_form_of_a_secret_survives() {
        let long = "eyJ".repeat(200);
        let secrets = Secrets::new(vec![("T".into(), long.clone()), ("Q".into(), "a\"b\\c".into())]);
        assert_eq!(
            secrets.scrub_brief(&format!("expected {long}, found {:?}", "a\"b\\c")),
            "expected $T, found \"$Q\""
        );
        assert_eq!(without_userinfo("https://me:pw@host/a@b"), "https://host/a@b");
        assert_eq!(without_userinfo("http://host/?x=a@b"), "http://host/?x=a@b");
    }
}
