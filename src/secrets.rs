//! Values that must never leave the process in any output: collected once, scrubbed at every sink.

use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use regex::{NoExpand, Regex};

use crate::units::{authority, percent_decoded, percent_encoded};

const MOST_SHOWN: usize = 400;
/// Shorter values are ordinary words.
const LEAST: usize = 4;

static KNOWN: LazyLock<Secrets> = LazyLock::new(Secrets::default);

/// The secrets of one invocation. Cloning shares them.
#[derive(Clone, Default)]
pub struct Secrets {
    values: Arc<RwLock<Vec<Arc<Secret>>>>,
}

/// A value that is sent and shown nowhere, not even where what holds it is printed for debugging.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(String);

impl SecretText {
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// For what sends it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// One value, in all forms in which text may carry it.
struct Secret {
    name: String,
    value: String,
    /// Any mixture of escapes, as they come where text is put into text.
    escaped: Option<Regex>,
    /// As `Basic` credentials and data URLs have it.
    base64: String,
    /// Any form has this in it.
    core: String,
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
        let both = self.and(Vec::new());
        both.keep(other.all());
        both
    }

    /// These and more, for one output only.
    #[must_use]
    pub fn and(&self, more: Vec<(String, String)>) -> Self {
        let all = Self { values: Arc::new(RwLock::new(self.all())) };
        all.keep(secrets_of(more));
        all
    }

    fn all(&self) -> Vec<Arc<Secret>> {
        self.values.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, new: Vec<(String, String)>) {
        let new = secrets_of(new);
        if new.is_empty() {
            return;
        }
        crate::machine::forbid_core_dumps();
        KNOWN.keep(new.clone());
        self.keep(new);
    }

    fn keep(&self, new: Vec<Arc<Secret>>) {
        let mut values = self.values.write().unwrap_or_else(PoisonError::into_inner);
        for secret in new {
            if values.iter().all(|known| known.value != secret.value) {
                values.push(secret);
            }
        }
        values.sort_by_key(|secret| std::cmp::Reverse(secret.value.len()));
    }

    /// Replaces each secret in `text` by `$NAME`.
    #[must_use]
    pub fn scrub(&self, text: &str) -> String {
        self.replace(text, |name| format!("${name}"))
    }

    /// Replaces each secret in `text` by what `sign` makes of its name.
    #[must_use]
    pub fn replace(&self, text: &str, sign: impl Fn(&str) -> String) -> String {
        self.all().iter().fold(text.to_owned(), |text, secret| secret.replaced(text, &sign))
    }

    /// Scrubbed first, then cut to what a person reads, so that no part of a secret survives the cut.
    #[must_use]
    pub fn scrub_brief(&self, text: &str) -> String {
        cut(&self.scrub(text), MOST_SHOWN)
    }
}

fn secrets_of(values: Vec<(String, String)>) -> Vec<Arc<Secret>> {
    let long = values.into_iter().filter(|(_, value)| value.len() >= LEAST);
    long.map(|(name, value)| Arc::new(Secret::new(name, value))).collect()
}

impl Secret {
    fn new(name: String, value: String) -> Self {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~');
        let escaped = (!value.chars().all(plain)).then(|| value.chars().map(any_form).collect::<String>());
        // A pattern that is too large stands for a value of many thousand letters: then it is found as it is.
        let escaped = escaped.and_then(|pattern| Regex::new(&pattern).ok());
        let runs = value.split(|c: char| !c.is_ascii_alphanumeric());
        let core = runs.max_by_key(|run| run.len()).unwrap_or_default().to_owned();
        Self { base64: BASE64.encode(&value), escaped, core, name, value }
    }

    fn replaced(&self, text: String, sign: &impl Fn(&str) -> String) -> String {
        let mut text = text;
        if text.contains(&self.base64) {
            text = text.replace(&self.base64, &sign(&self.name));
        }
        if text.contains(&self.core) {
            text = match &self.escaped {
                Some(forms) => forms.replace_all(&text, NoExpand(&sign(&self.name))).into_owned(),
                None => text.replace(&self.value, &sign(&self.name)),
            };
        }
        self.without_beginnings(text, sign)
    }

    /// Whoever cut a text before it came here may have left the beginning of the value in front of the sign for that.
    fn without_beginnings(&self, text: String, sign: &impl Fn(&str) -> String) -> String {
        let Some(mut at) = text.find(CUT) else { return text };
        let mut text = text;
        loop {
            let before = &text[..at];
            let from = (0..self.value.len()).rev().filter(|end| self.value.is_char_boundary(*end));
            let forms = [str::to_owned, json_text, |part: &str| json_text(&json_text(part)), percent_encoded];
            let left = from.take_while(|end| *end >= LEAST).find_map(|end| {
                let part = &self.value[..end];
                forms.iter().map(|form| form(part)).find(|form| before.ends_with(form.as_str()))
            });
            if let Some(left) = left {
                let shown = sign(&self.name);
                text.replace_range(at - left.len()..at, &shown);
                at = at - left.len() + shown.len();
            }
            match text[at + CUT.len_utf8()..].find(CUT) {
                Some(next) => at += CUT.len_utf8() + next,
                None => return text,
            }
        }
    }
}

/// Stands where a text was cut.
const CUT: char = '…';

/// As JSON has it between quotes.
fn json_text(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// A pattern of the forms of one character: as it is, in JSON and Rust's strings at any depth, in URLs and forms, in HTML.
fn any_form(c: char) -> String {
    use std::fmt::Write as _;
    if c.is_ascii_alphanumeric() {
        return c.to_string();
    }
    let code = u32::from(c);
    let mut all = vec![regex::escape(&c.to_string())];
    let mut percent = String::new();
    for byte in c.encode_utf8(&mut [0; 4]).bytes() {
        let _ = write!(percent, "%(?:25)*(?i:{byte:02x})");
    }
    all.push(percent);
    all.push(format!(r"u(?i:\{{0*{code:x}\}}|{code:04x})"));
    all.push(format!("&(?:amp;)*#(?:0*{code}|(?i:x0*{code:x}));"));
    match c {
        ' ' => all.push(r"\+".into()),
        '\n' => all.push("n".into()),
        '\r' => all.push("r".into()),
        '\t' => all.push("t".into()),
        '&' => all.push("&(?:amp;)+".into()),
        '<' => all.push("&(?:amp;)*lt;".into()),
        '>' => all.push("&(?:amp;)*gt;".into()),
        '"' => all.push("&(?:amp;)*quot;".into()),
        '\'' => all.push("&(?:amp;)*apos;".into()),
        _ => {}
    }
    // The longest form first: a plain `&` is the beginning of an entity.
    all.reverse();
    // Each text within a text puts backslashes of its own in front.
    format!(r"\\*(?:{})", all.join("|"))
}

/// All secrets that this process has come to know, for what knows of no run: logs and panics.
#[must_use]
pub fn known() -> &'static Secrets {
    &KNOWN
}

/// The first `most` characters, and a sign that there were more.
#[must_use]
pub fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// What is in front of a URL's host, in the forms that let in: the password, or where there is none what stands there
/// instead, as it is written and as it is meant, and the credentials that are made of it.
#[must_use]
pub fn credentials_in(url: &str) -> Vec<String> {
    let Some((Some(given), _)) = authority(url) else { return Vec::new() };
    let (user, password) = given.split_once(':').unwrap_or((given, ""));
    let told = if password.is_empty() { user } else { password };
    let basic = BASE64.encode(format!("{}:{}", percent_decoded(user), percent_decoded(password)));
    vec![told.to_owned(), percent_decoded(told), basic]
}

/// A URL without the user and password in front of its host.
#[must_use]
pub fn without_userinfo(url: &str) -> String {
    match authority(url) {
        Some((Some(given), _)) => url.replacen(&format!("{given}@"), "", 1),
        _ => url.to_owned(),
    }
}

/// As [`without_userinfo`], of what need not be a URL: whatever is in front of an `@` may let somebody in.
#[must_use]
pub fn without_any_userinfo(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").map_or(("", text), |(scheme, rest)| (scheme, rest));
    let Some((_, host)) = rest.rsplit_once('@') else { return text.to_owned() };
    if scheme.is_empty() { format!("…@{host}") } else { format!("{scheme}://…@{host}") }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({} values)", self.all().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As it is, and as one text puts another one into itself, to any depth and in any mixture.
    #[test]
    fn no_escape_hides_a_secret() {
        let secrets = Secrets::new(vec![("S".into(), "a \"b\\c&<d>'/é+%x".into())]);
        for text in [
            "a \"b\\c&<d>'/é+%x",
            r#"a \"b\\c&<d>'/é+%x"#,
            r#"a \\\"b\\\\c\u0026\u003cd>'\/\u00e9+%x"#,
            "a%20%22b%5Cc%26%3Cd%3E%27%2F%C3%A9%2B%25x",
            "a+%22b%5cc%26%3cd%3e'/%c3%a9%2b%25x",
            "a%2520%2522b%255Cc%2526%253Cd%253E%2527%252F%25C3%25A9%252B%2525x",
            "a &quot;b\\c&amp;&lt;d&gt;&#39;/&#233;+%x",
            "YSAiYlxjJjxkPicvw6krJXg=",
        ] {
            assert_eq!(secrets.scrub(&format!("x{text}y")), "x$Sy", "{text}");
        }
    }

    #[test]
    fn half_a_secret_is_one() {
        let secrets = Secrets::new(vec![("S".into(), "tok\"en-4711-abcdef".into())]);
        for (text, shown) in [
            ("found tok\"en-4711… and more", "found $S… and more"),
            (r#"found {"a":"tok\"en-47…, {"b":"tok\\\"e…"#, r#"found {"a":"$S…, {"b":"$S…"#),
            ("tok%22en-…", "$S…"),
            ("found tok… and unknown-4711…", "found tok… and unknown-4711…"),
        ] {
            assert_eq!(secrets.scrub(text), shown);
        }
    }

    #[test]
    fn a_url_is_shown_without_its_user() {
        assert_eq!(without_userinfo("https://me:pw@host/a@b"), "https://host/a@b");
        assert_eq!(without_userinfo("http://host/?x=a@b"), "http://host/?x=a@b");
        assert_eq!(credentials_in("https://me:p%40s@host/"), ["p%40s", "p@s", "bWU6cEBz"]);
        assert_eq!(credentials_in("https://token@host/"), ["token", "token", "dG9rZW46"]);
        assert!(credentials_in("https://host/@").is_empty());
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
