use std::sync::LazyLock;

use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, SET_COOKIE};
use regex::{Captures, Regex};
use serde_json::Value;

use super::iteration::Sent;
use super::session::Session;
use super::values::Values;
use crate::checks::{Query, plain_text};
use crate::credentials::{in_body, is_telling, is_unmistakable, is_web_token, variable};
use crate::scenario::Scenario;
use crate::secrets::Secrets;
use crate::transport::Exchange;

/// What neither its name nor its place tells is as likely an ordinary word.
const LEAST_COOKIE: usize = 8;
const LEAST_RANDOM: usize = 32;

/// Beside what is declared to be secret: what lets in whoever has it, by its name, by its place or by its looks. `sent` and
/// `exchange` are those of the step that is to be shown.
pub fn hiding(
    scenario: &Scenario,
    values: &Values<'_>,
    session: &Session,
    sent: Option<&Sent>,
    exchange: Option<&Exchange>,
    secrets: &Secrets,
) -> Secrets {
    let mut found: Vec<(String, String)> = session.cookies();
    // What a scenario takes the value of by itself.
    let mut taken = Vec::new();
    for capture in scenario.steps.iter().flat_map(|step| &step.captures) {
        let Some(value) = values.captured()[capture.slot].as_ref() else { continue };
        let text = plain_text(value).into_owned();
        match &capture.query {
            Query::Cookie(name) => taken.push((format!("COOKIE_{name}"), text)),
            _ if is_credential(&capture.name, value) => found.push((capture.name.clone(), text)),
            _ => {}
        }
    }
    let context = values.context();
    for (source, row) in scenario.data.iter().zip(context.rows) {
        let own = source.columns.iter().zip(*row).filter(|(column, value)| is_credential(column, value));
        found.extend(own.map(|(column, value)| (column.clone(), plain_text(value).into_owned())));
    }
    found.extend(sent.iter().flat_map(|sent| in_headers(&sent.headers)));
    found.extend(sent.iter().filter_map(|sent| sent.body.as_deref()).flat_map(sent_in));
    found.extend(exchange.iter().flat_map(|exchange| in_headers(exchange.headers.map())));
    // A cookie such as `theme=dark` is none, and its value would be cut out of every text.
    found.retain(|(name, value)| match name.strip_prefix("COOKIE_") {
        Some(name) => value.len() >= LEAST_COOKIE || is_telling(name),
        None => true,
    });
    taken.extend(found);
    secrets.and(taken)
}

fn in_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (name, value) in headers {
        let Ok(text) = value.to_str() else { continue };
        if name == AUTHORIZATION || name == PROXY_AUTHORIZATION {
            let credentials = text.split_once(' ').map_or(text, |(_, credentials)| credentials);
            found.push(("CREDENTIALS".to_owned(), credentials.to_owned()));
        } else if name == COOKIE {
            let pairs = text.split("; ").filter_map(|pair| pair.split_once('='));
            found.extend(pairs.map(|(name, value)| (format!("COOKIE_{name}"), value.to_owned())));
        } else if name == SET_COOKIE {
            let pair = text.split(';').next().and_then(|pair| pair.split_once('='));
            found.extend(
                pair.map(|(name, value)| (format!("COOKIE_{}", name.trim()), value.trim().to_owned())),
            );
        } else if is_credential(name.as_str(), &Value::from(text)) {
            found.push((name.as_str().to_owned(), text.to_owned()));
        }
    }
    found
}

/// What is sent in a body, by the variables that stand for it.
pub fn sent_in(body: &[u8]) -> Vec<(String, String)> {
    in_body(body).into_iter().map(|(name, value)| (variable(&name), value)).collect()
}

static RANDOM: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("^[A-Za-z0-9+/=_.~-]+$").expect("a constant pattern"));

static UUID: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new("^(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$").expect("a constant pattern")
});

/// By its name, or since it looks like nothing else.
fn is_credential(name: &str, value: &Value) -> bool {
    let Value::String(text) = value else { return false };
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let random = text.len() >= LEAST_RANDOM
        && RANDOM.is_match(text)
        && digits > 0
        && digits < text.len()
        && !UUID.is_match(text);
    is_telling(name) || random || is_web_token(text)
}

/// Members of JSON objects, also where they stand in quoted text, and fields of forms: what is before the name, the name, what
/// is between it and the value.
static MEMBERS: LazyLock<[Regex; 2]> = LazyLock::new(|| {
    [r#"(\\?")([A-Za-z0-9_.-]+)(\\?"\s*:\s*\\?")[^"\\]+"#, r#"(\b)([A-Za-z0-9_.-]+)(=)[^&\s"';,\\]+"#]
        .map(|pattern| Regex::new(pattern).expect("a constant pattern"))
});

/// Text of the target's without what its own names call secret.
pub fn without_credentials(text: &str) -> String {
    let shown = |found: &Captures<'_>| {
        let [whole, before, name, between] = [0, 1, 2, 3].map(|n| &found[n]);
        if is_unmistakable(name) { format!("{before}{name}{between}…") } else { whole.to_owned() }
    };
    MEMBERS.iter().fold(text.to_owned(), |text, members| members.replace_all(&text, shown).into_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_and_fields_that_are_nobodys_business() {
        for (text, shown) in [
            (
                r#"{"access_token": "eyJ", "tokens": "3", "Password":"x", "note": "token: y"}"#,
                r#"{"access_token": "…", "tokens": "3", "Password":"…", "note": "token: y"}"#,
            ),
            (r#"found "{\"api_key\":\"abc\",\"n\":1}""#, r#"found "{\"api_key\":\"…\",\"n\":1}""#),
            ("a=1&refresh_token=abc&b=2", "a=1&refresh_token=…&b=2"),
            ("/cb?session_id=4711 is gone", "/cb?session_id=… is gone"),
            ("plain text, with tokens=3", "plain text, with tokens=3"),
        ] {
            assert_eq!(without_credentials(text), shown);
        }
    }

    #[test]
    fn what_is_a_credential_by_name_or_looks() {
        let long = "k9".repeat(16);
        for (name, value) in [
            ("csrf", json!("abc")),
            ("sessionId", json!("abc")),
            ("x-auth", json!("abc")),
            ("id", json!(long)),
            ("id", json!("eyJhbGciOi.eyJzdWIi.c2ln")),
        ] {
            assert!(is_credential(name, &value), "{name}");
        }
        for (name, value) in [
            ("author", json!("somebody")),
            ("pinned", json!("yes")),
            ("token", json!(3)),
            ("id", json!("f47ac10b-58cc-4372-a567-0e02b2c3d479")),
            ("note", json!("a text with 3 words and more than 32 letters")),
            ("count", json!("12345678901234567890123456789012")),
        ] {
            assert!(!is_credential(name, &value), "{name}");
        }
    }
}
