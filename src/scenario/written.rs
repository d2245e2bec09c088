use std::fmt::Write as _;

use serde_json::Value;

use crate::credentials::{Expected, is_telling, looks_like_a_token, may_hold_one};
use crate::units::percent_decoded;

/// Text in which no placeholder is read.
#[must_use]
pub fn literal(text: &str) -> String {
    text.replace("${", "$${")
}

/// As [`literal`], without the credentials that are known already, as far as they stand there letter by letter and are of
/// `least` bytes: shorter ones may be words of any text.
#[must_use]
pub fn literal_without(text: &str, expected: &Expected, least: usize) -> String {
    let (mut out, mut rest) = (String::new(), text);
    let found = |rest: &str| {
        let places = expected.all().iter().filter(|(_, value)| value.len() >= least);
        let places = places.filter_map(|(name, value)| Some((rest.find(value.as_str())?, value.len(), name)));
        // The longest of those that begin first.
        places
            .min_by_key(|(at, length, _)| (*at, usize::MAX - length))
            .map(|(at, n, name)| (at, n, name.clone()))
    };
    while let Some((at, length, name)) = found(rest) {
        let (before, behind) = (&rest[..at], &rest[at + length..]);
        out += &literal(before);
        // Behind a `$` a placeholder would be none.
        out += &if before.ends_with('$') { literal(&rest[at..at + length]) } else { placeholder(&name) };
        rest = behind;
    }
    out + &literal(rest)
}

/// As JSON, which is YAML too.
#[must_use]
pub fn in_quotes(text: &str) -> String {
    in_yaml(&Value::from(text))
}

/// The same of any value. JSON has letters as they are that YAML has not, or takes for the end of a line.
#[must_use]
pub fn in_yaml(value: &Value) -> String {
    value.to_string().chars().fold(String::new(), |mut out, letter| {
        if is_printable(letter) {
            out.push(letter);
        } else {
            let _ = write!(out, "\\u{:04x}", u32::from(letter));
        }
        out
    })
}

/// A comment of one line.
#[must_use]
pub fn in_comment(text: &str) -> String {
    text.chars().map(|letter| if is_printable(letter) { letter } else { ' ' }).collect()
}

/// By YAML 1.2 §5.1, without line ends of YAML 1.1.
fn is_printable(letter: char) -> bool {
    !letter.is_control() && !matches!(letter, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// A mapping in one line, of names and templates. What stands several times is a list, in the place of the first.
#[must_use]
pub fn mapping(pairs: &[(String, String)], written: impl Fn(&str) -> String) -> String {
    let mut names: Vec<&String> = Vec::new();
    for (name, _) in pairs {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let one = |name: &&String| {
        let values: Vec<String> =
            pairs.iter().filter(|(own, _)| own == *name).map(|(_, value)| written(value)).collect();
        match values.as_slice() {
            [one] => format!("{}: {one}", written(name)),
            many => format!("{}: [{}]", written(name), many.join(", ")),
        }
    };
    format!("{{ {} }}", names.iter().map(one).collect::<Vec<_>>().join(", "))
}

/// Templates for what stands in an address: a credential comes from the environment.
#[must_use]
pub fn without_credentials(pairs: &[(String, String)], expected: &mut Expected) -> Vec<(String, String)> {
    kept(pairs, expected, |name, value| is_telling(name) || looks_like_a_token(value))
}

/// The same for headers.
#[must_use]
pub fn headers_without(pairs: &[(String, String)], expected: &mut Expected) -> Vec<(String, String)> {
    kept(pairs, expected, may_hold_one)
}

fn kept(
    pairs: &[(String, String)],
    expected: &mut Expected,
    told: impl Fn(&str, &str) -> bool,
) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| {
            // Where only the value tells, the name may be that of anybody's variable, such as `USER`.
            let own = || if is_telling(name) { name.clone() } else { format!("token {name}") };
            let hidden = !value.is_empty() && told(name, value);
            let kept = if hidden { placeholder(&expected.name(&own(), value)) } else { literal(value) };
            (name.clone(), kept)
        })
        .collect()
}

/// The `auth` that stands for the user and password in front of a host, if there are any.
#[must_use]
pub fn basic_auth(url: &url::Url, expected: &mut Expected) -> Option<String> {
    let (user, password) = (percent_decoded(url.username()), percent_decoded(url.password().unwrap_or("")));
    let (user, password) = match (user.is_empty(), password.is_empty()) {
        (true, true) => return None,
        // A user alone is a token, and some are with a word beside them.
        (false, false) if looks_like_a_token(&user) => (
            placeholder(&expected.name("api token", &user)),
            placeholder(&expected.name("password", &password)),
        ),
        (false, true) => (placeholder(&expected.name("api token", &user)), String::new()),
        _ => (literal(&user), placeholder(&expected.name("password", &password))),
    };
    Some(format!("auth: {{ basic: {{ user: {}, password: {} }} }}", in_quotes(&user), in_quotes(&password)))
}

/// The `auth` of whoever has a token that is not known here.
#[must_use]
pub fn bearer_auth(expected: &mut Expected) -> String {
    format!("auth: {{ bearer: {} }}", in_quotes(&placeholder(&expected.name("api token", ""))))
}

fn placeholder(variable: &str) -> String {
    format!("${{secret.{variable}}}")
}
