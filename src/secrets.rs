//! Values that must never leave the process in any output: collected once, scrubbed at every sink.

use std::sync::{Arc, PoisonError, RwLock};

use crate::units::percent_encoded;

const MOST_SHOWN: usize = 400;

/// The secrets of one invocation. Cloning shares them.
#[derive(Clone, Default)]
pub struct Secrets {
    values: Arc<RwLock<Vec<(String, String)>>>,
}

impl Secrets {
    /// `values` are pairs of name and value; values shorter than four characters are not scrubbed,
    /// since they would mangle ordinary text.
    #[must_use]
    pub fn new(values: Vec<(String, String)>) -> Self {
        let secrets = Self::default();
        secrets.add(values);
        secrets
    }

    /// A value that became known only now, such as a token that was fetched.
    pub fn learn(&self, name: &str, value: &str) {
        self.add(vec![(name.to_owned(), value.to_owned())]);
    }

    /// Those of both.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        self.and(other.values.read().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// These and more, for one output only.
    #[must_use]
    pub fn and(&self, more: Vec<(String, String)>) -> Self {
        let known = self.values.read().unwrap_or_else(PoisonError::into_inner).clone();
        let all = Self { values: Arc::new(RwLock::new(known)) };
        all.add(more);
        all
    }

    fn add(&self, new: Vec<(String, String)>) {
        let mut values = self.values.write().unwrap_or_else(PoisonError::into_inner);
        for (name, value) in new.into_iter().filter(|(_, value)| value.len() >= 4) {
            // Inside JSON text a value with quotes or backslashes looks different, in a URL any with special characters.
            let escaped = format!("{value:?}");
            for form in [escaped[1..escaped.len() - 1].to_owned(), percent_encoded(&value), value] {
                if values.iter().all(|(_, known)| *known != form) {
                    values.push((name.clone(), form));
                }
            }
        }
        values.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
    }

    /// Replaces each secret in `text` by `$NAME`.
    #[must_use]
    pub fn scrub(&self, text: &str) -> String {
        self.replace(text, |name| format!("${name}"))
    }

    /// Replaces each secret in `text` by what `sign` makes of its name.
    #[must_use]
    pub fn replace(&self, text: &str, sign: impl Fn(&str) -> String) -> String {
        let values = self.values.read().unwrap_or_else(PoisonError::into_inner);
        values
            .iter()
            .filter(|(_, value)| text.contains(value.as_str()))
            .fold(text.to_owned(), |text, (name, value)| text.replace(value, &sign(name)))
    }

    /// Scrubbed first, then cut to what a person reads, so that no part of a secret survives the cut.
    #[must_use]
    pub fn scrub_brief(&self, text: &str) -> String {
        cut(&self.scrub(text), MOST_SHOWN)
    }
}

/// The first `most` characters, and a sign that there were more.
#[must_use]
pub fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
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
        let values = self.values.read().unwrap_or_else(PoisonError::into_inner);
        write!(f, "Secrets({} values)", values.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_user() {
        assert_eq!(without_userinfo("https://me:pw@host/a@b"), "https://host/a@b");
        assert_eq!(without_userinfo("http://host/?x=a@b"), "http://host/?x=a@b");
    }

    #[test]
    fn no_form_of_a_secret_survives() {
        let long = "eyJ".repeat(200);
        let secrets = Secrets::new(vec![("T".into(), long.clone()), ("Q".into(), "a\"b\\c".into())]);
        assert_eq!(
            secrets.scrub_brief(&format!("expected {long}, found {:?} at /?q=a%22b%5Cc", "a\"b\\c")),
            "expected $T, found \"$Q\" at /?q=$Q"
        );
        let more = secrets.and(vec![("SID".into(), "s-4711".into())]);
        assert_eq!(more.scrub("s-4711 a\"b\\c"), "$SID $Q");
        assert_eq!(secrets.scrub("s-4711"), "s-4711", "the others are left as they were");
    }
}
