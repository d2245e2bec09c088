//! What lets in whoever has it, told by its name or by its looks.

use serde_json::Value;

/// Words behind which credentials stand.
const TELLING: [&str; 22] = [
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "auth",
    "oauth",
    "authorization",
    "authorisation",
    "signature",
    "credential",
    "credentials",
    "otp",
    "jwt",
    "csrf",
    "xsrf",
    "sessionid",
    "pwd",
    "cookie",
];
/// Ends of words likewise, as in `clientsecret`.
const ENDS: [&str; 5] = ["password", "passwd", "secret", "token", "sessionid"];
/// Pairs of words likewise.
const PAIRS: [[&str; 2]; 17] = [
    ["api", "key"],
    ["access", "key"],
    ["private", "key"],
    ["signing", "key"],
    ["session", "key"],
    ["session", "id"],
    ["subscription", "key"],
    ["license", "key"],
    ["master", "key"],
    ["functions", "key"],
    ["rapidapi", "key"],
    ["encryption", "key"],
    ["account", "key"],
    ["oauth", "code"],
    ["authorization", "code"],
    ["authorisation", "code"],
    ["otp", "code"],
];
/// Names that are these and nothing more.
const WHOLE: [&str; 3] = ["key", "sig", "pass"];
/// Names that end in these.
const LAST: [&str; 3] = ["pin", "sid", "session"];
/// What is said of a credential is none.
const HARMLESS: [&str; 16] = [
    "type", "length", "url", "uri", "method", "ttl", "count", "name", "expires", "expiry", "at", "in",
    "enabled", "required", "code", "limit",
];

/// Larger bodies are not looked through.
const MOST_SEARCHED: usize = 1 << 16;
const LEAST_UNSURE: usize = 8;

/// Whether a field, parameter or header of this name holds a credential.
#[must_use]
pub fn is_telling(name: &str) -> bool {
    let words = words(name);
    let whole = words.len() == 1 && WHOLE.contains(&words[0].as_str());
    let ends = words.last().is_some_and(|last| LAST.contains(&last.as_str()));
    whole || ends || is_said(&words)
}

/// As [`is_telling`], but a lone `key` or `session` is taken for an ordinary word.
#[must_use]
pub fn is_unmistakable(name: &str) -> bool {
    is_said(&words(name))
}

fn is_said(words: &[String]) -> bool {
    let Some(last) = words.last() else { return false };
    let telling =
        |word: &String| TELLING.contains(&word.as_str()) || ENDS.iter().any(|end| word.ends_with(end));
    let one = words.iter().any(telling);
    let two = words.windows(2).any(|pair| PAIRS.iter().any(|own| pair == own));
    let ends = PAIRS.iter().any(|pair| words.ends_with(&pair.map(str::to_owned)));
    ends || ((one || two) && (words.len() == 1 || !HARMLESS.contains(&last.as_str())))
}

/// `accessToken`, `access_token` and `Access-Token` as words.
#[must_use]
pub fn words(name: &str) -> Vec<String> {
    let (mut all, mut word, mut lower) = (Vec::new(), String::new(), false);
    for c in name.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && lower) {
            all.extend(Some(std::mem::take(&mut word)).filter(|own| !own.is_empty()));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        lower = c.is_lowercase();
    }
    all.extend(Some(word).filter(|own| !own.is_empty()));
    // `token2` is a token.
    for word in &mut all {
        let stem = word.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        word.truncate(if stem == 0 { word.len() } else { stem });
    }
    all
}

/// A JSON Web Token.
#[must_use]
pub fn is_web_token(value: &str) -> bool {
    value.starts_with("eyJ") && value.matches('.').count() == 2 && !value.contains(char::is_whitespace)
}

/// A JSON Web Token, or what looks like the keys of well-known services.
#[must_use]
pub fn looks_like_a_token(value: &str) -> bool {
    let prefixes = [
        "pk_live_",
        "pk_test_",
        "sk_live_",
        "sk_test_",
        "ghp_",
        "gho_",
        "github_pat_",
        "glpat-",
        "xoxb-",
        "xoxp-",
        "AKIA",
        "AIza",
    ];
    let known = prefixes.iter().any(|prefix| value.starts_with(prefix)) && value.len() >= 16;
    (is_web_token(value) && value.len() > 40) || (known && !value.contains(char::is_whitespace))
}

/// Parameters of a URL's query that are credentials, by their names or their looks.
#[must_use]
pub fn in_query(url: &str) -> Vec<(String, String)> {
    let Ok(url) = url::Url::parse(url) else { return Vec::new() };
    let telling = url.query_pairs().filter(|(name, value)| is_telling(name) || looks_like_a_token(value));
    telling.map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

/// What stands in these headers lets nobody in.
const PLAIN_HEADERS: [&str; 21] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "connection",
    "content-encoding",
    "content-type",
    "forwarded",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "pragma",
    "range",
    "te",
    "user-agent",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];
/// What somebody gives by a flag is more likely a token than a word.
const LEAST_OF_FLAGS: usize = 8;

/// Whether a header that somebody gives by a flag may hold a credential.
#[must_use]
pub fn may_hold_one(name: &str, value: &str) -> bool {
    let plain = PLAIN_HEADERS.iter().any(|own| own.eq_ignore_ascii_case(name));
    let long = || value.split_whitespace().any(|part| part.len() >= LEAST_OF_FLAGS);
    is_telling(name) || looks_like_a_token(value) || (!plain && long())
}

/// Members of JSON and fields of forms that are credentials by their names, with their values.
#[must_use]
pub fn in_body(body: &[u8]) -> Vec<(String, String)> {
    fn members(name: Option<&str>, value: &Value, found: &mut Vec<(String, String)>) {
        match value {
            Value::Object(all) => all.iter().for_each(|(own, value)| members(Some(own), value, found)),
            Value::Array(all) => all.iter().for_each(|value| members(name, value, found)),
            Value::String(text) => found.extend(name.filter(|name| fits(name, text)).map(pair(text))),
            Value::Number(number) => {
                let text = number.to_string();
                found.extend(name.filter(|name| fits(name, &text)).map(pair(&text)));
            }
            Value::Null | Value::Bool(_) => {}
        }
    }
    fn pair(value: &str) -> impl Fn(&str) -> (String, String) {
        move |name| (name.to_owned(), value.to_owned())
    }
    // What a lone `key` or `pass` holds may be any word.
    fn fits(name: &str, value: &str) -> bool {
        is_unmistakable(name) || (is_telling(name) && value.len() >= LEAST_UNSURE)
    }
    let mut found = Vec::new();
    if body.len() > MOST_SEARCHED {
        return found;
    }
    match serde_json::from_slice::<Value>(body) {
        Ok(value) => members(None, &value, &mut found),
        Err(_) => {
            let fields = url::form_urlencoded::parse(body).filter(|(name, value)| fits(name, value));
            found.extend(fields.map(|(name, value)| (name.into_owned(), value.into_owned())));
        }
    }
    found
}

/// Credentials and the environment variables that they are expected in.
#[derive(Default)]
pub struct Expected(Vec<(String, String)>);

impl Expected {
    /// The variable of a credential: its own, unless another one of the same name has it already.
    pub fn name(&mut self, name: &str, value: &str) -> String {
        let own = variable(name);
        for turn in 1.. {
            let own = if turn == 1 { own.clone() } else { format!("{own}_{turn}") };
            match self.0.iter().find(|(taken, _)| *taken == own) {
                None => {
                    self.0.push((own.clone(), value.to_owned()));
                    return own;
                }
                Some((_, same)) if same == value => return own,
                Some(_) => {}
            }
        }
        own
    }

    /// Variables and values, in the order in which they were met.
    #[must_use]
    pub fn all(&self) -> &[(String, String)] {
        &self.0
    }
}

/// The environment variable in which a credential of this name is expected.
#[must_use]
pub fn variable(name: &str) -> String {
    let own: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    let own = own.trim_matches('_');
    if own.starts_with(|c: char| c.is_ascii_alphabetic()) { own.to_owned() } else { format!("SECRET_{own}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_must_not_be_written() {
        for name in [
            "password",
            "X-Api-Key",
            "access_token",
            "clientSecret",
            "clientsecret",
            "accesstoken",
            "sig",
            "Authorization",
            "csrfToken",
            "otp",
            "apikey",
            "session_id",
            "session",
            "X-XSRF-TOKEN",
            "key",
            "user[password]",
            "JSESSIONID",
            "session_key",
            "user_session",
            "user_pin",
            "connect.sid",
            "authorization_code",
            "oauth_code",
            "token2",
            "ocp-apim-subscription-key",
        ] {
            assert!(is_telling(name), "{name}");
        }
        for name in [
            "author",
            "audioAuthor",
            "q",
            "token_type",
            "api_key_name",
            "tokens",
            "monkey",
            "designation",
            "keyword",
            "totp",
            "totpCodeLength",
            "sort_key",
            "session_start",
            "id",
            "deauthorizeCallbackUrl",
            "passenger",
        ] {
            assert!(!is_telling(name), "{name}");
        }
        assert!(is_unmistakable("api_key") && !is_unmistakable("key") && !is_unmistakable("session"));
    }
}
