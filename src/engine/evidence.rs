use std::borrow::Cow;

use http::HeaderName;

use super::examine::other_failures;
use super::hidden::{sent_in, without_credentials};
use super::iteration::{Sent, StepResult};
use super::values::Values;
use crate::checks::{Scan, decoded};
use crate::credentials::{self, is_telling};
use crate::metrics::{Evidence, ResponseExcerpt};
use crate::scenario::{Action, BodyTemplate, PartContent, Scenario, Step};
use crate::secrets::{Secrets, cut, without_userinfo};
use crate::transport::{BODY_CAP, Exchange};

const MOST_MESSAGE: usize = 400;
const MOST_BODY: usize = 1500;
const MOST_HEADER: usize = 200;
const MOST_SENT: usize = 8 << 10;

/// Everything that a person needs to see why a step failed, and to see it again: without `secrets`, and cut.
pub fn evidence(
    scenario: &Scenario,
    step: &Step,
    result: &StepResult,
    sent: Option<&Sent>,
    values: &Values<'_>,
    secrets: &Secrets,
) -> Evidence {
    let place = result.place.unwrap_or(step.place);
    let service_ns = result.done.saturating_duration_since(result.sent).as_nanos() as u64;
    // What was never checked, since the response did not come as it should, did not fail.
    let others = match &result.exchange {
        Some(exchange) if result.place.is_some() => {
            other_failures(scenario, step, exchange, service_ns, values, result.place)
        }
        _ => Vec::new(),
    };
    let text = &scenario.source.text;
    let (line, column) = crate::error::position(text, place.start);
    let source = text.lines().nth(line.saturating_sub(1)).unwrap_or_default().to_owned();
    let width = text
        .get(place.start..place.end)
        .map_or(1, |t| t.lines().next().unwrap_or("").trim_end().chars().count());
    let scan = step.scan();
    Evidence {
        line,
        column,
        width: width.max(1),
        source: secrets.scrub(&source),
        request: sent
            .map(|sent| secrets.scrub_brief(&without_userinfo(&format!("{} {}", sent.method, sent.uri)))),
        response: result.exchange.as_ref().map(|exchange| excerpt(exchange, scan, secrets)),
        reproduce: sent.map(|sent| reproduce(step, sent, values, secrets)),
        others: others.iter().map(|other| shown(step, other, secrets)).collect(),
    }
}

/// What was sent, as a command that sends the same, and what came back: for whoever reads along.
pub fn dialogue(
    step: &Step,
    sent: Option<&Sent>,
    exchange: Option<&Exchange>,
    values: &Values<'_>,
    secrets: &Secrets,
) -> String {
    let mut lines: Vec<String> =
        sent.map(|sent| reproduce(step, sent, values, secrets)).into_iter().collect();
    if let Some(exchange) = exchange {
        let shown = excerpt(exchange, step.scan(), secrets);
        lines.push(format!("{}, {} bytes", shown.status, shown.size));
        lines.extend(shown.headers);
        lines.push(String::new());
        lines.push(shown.body);
    }
    lines.join("\n")
}

/// A message without secrets, and without the personal data that the step looks for.
pub fn shown(step: &Step, message: &str, secrets: &Secrets) -> String {
    let scrubbed = cut(&without_credentials(&secrets.scrub(message)), MOST_MESSAGE);
    step.scan().map_or_else(|| scrubbed.clone(), |scan| scan.masked(&scrubbed))
}

fn excerpt(exchange: &Exchange, scan: Option<&Scan>, secrets: &Secrets) -> ResponseExcerpt {
    let headers = exchange.headers.map();
    let clean = |text: &str| {
        let scrubbed = without_credentials(&secrets.scrub(text));
        scan.map_or(scrubbed.clone(), |scan| scan.masked(&scrubbed))
    };
    let shown = headers
        .iter()
        .map(|(name, value)| {
            // A cookie's value is as good as a password.
            let value = String::from_utf8_lossy(value.as_bytes());
            let value = match value.split_once('=').filter(|_| *name == http::header::SET_COOKIE) {
                Some((cookie, rest)) => {
                    format!("{cookie}=…{}", rest.find(';').map_or("", |at| &rest[at..]))
                }
                None => value.into_owned(),
            };
            cut(&clean(&format!("{name}: {value}")), MOST_HEADER)
        })
        .collect();
    let body = decoded(headers, &exchange.body, BODY_CAP).unwrap_or(Cow::Borrowed(&exchange.body));
    let text = match std::str::from_utf8(&body) {
        // Formatted as people read it, where it is JSON and short enough for that.
        Ok(text) => {
            match serde_json::from_str::<serde_json::Value>(text).ok().filter(|_| text.len() < MOST_BODY) {
                Some(json) => serde_json::to_string_pretty(&json).unwrap_or_else(|_| text.to_owned()),
                None => text.to_owned(),
            }
        }
        Err(_) if clean(&String::from_utf8_lossy(&body)) != String::from_utf8_lossy(&body) => {
            "(bytes, and what is nobody's business among them)".to_owned()
        }
        Err(_) => {
            let head: Vec<String> = body.iter().take(32).map(|byte| format!("{byte:02x}")).collect();
            format!("(bytes) {}{}", head.join(" "), if body.len() > 32 { " …" } else { "" })
        }
    };
    ResponseExcerpt {
        status: exchange.status,
        size: exchange.body.len() as u64,
        headers: shown,
        body: cut(&clean(&text), MOST_BODY),
    }
}

/// A command that sends the same, with secrets as variables of the shell.
fn reproduce(step: &Step, sent: &Sent, values: &Values<'_>, secrets: &Secrets) -> String {
    let url = without_userinfo(&sent.uri.to_string());
    let quote = |text: &str| shell(text, secrets);
    let template = step.action.request().body.as_ref();
    let multipart = matches!(template, Some(BodyTemplate::Multipart(_)));
    let headers = sent
        .headers
        .iter()
        .filter(|(name, _)| !(multipart && *name == http::header::CONTENT_TYPE))
        .map(|(name, value)| quote(&header_text(name, &String::from_utf8_lossy(value.as_bytes()), secrets)))
        .flat_map(|header| ["-H".to_owned(), header]);
    if let Action::Socket { send, .. } = &step.action {
        let mut words = vec!["websocat".to_owned(), quote(&url.replacen("http", "ws", 1))];
        words.extend(headers);
        if let Some(message) = send.first() {
            let text = message.render(&values.context());
            let text = shell(&text, &secrets.and(sent_in(text.as_bytes())));
            words.splice(0..0, ["echo".to_owned(), text, "|".to_owned()]);
        }
        return words.join(" ");
    }
    let mut words: Vec<String> = ["curl", "-sS", "-i"].map(str::to_owned).to_vec();
    if matches!(step.action, Action::Events { .. }) {
        words.push("-N".to_owned());
    }
    match sent.method.as_str() {
        "GET" => {}
        "HEAD" => words.push("--head".to_owned()),
        method => words.extend(["-X".to_owned(), method.to_owned()]),
    }
    words.push(quote(&url));
    words.extend(headers);
    match (template, &sent.body) {
        // A redirect may have left the body behind.
        (_, None) => {}
        (Some(BodyTemplate::Multipart(parts)), Some(_)) => {
            for part in parts {
                let field = match &part.content {
                    PartContent::Text(_) if is_telling(&part.name) => {
                        format!("{}={}", part.name, variable(&credentials::variable(&part.name)))
                    }
                    PartContent::Text(text) => format!("{}={}", part.name, text.render(&values.context())),
                    PartContent::File { file_name, .. } => format!("{}=@{file_name}", part.name),
                };
                words.extend(["-F".to_owned(), quote(&field)]);
            }
        }
        (Some(BodyTemplate::File { name, .. }), Some(_)) => {
            words.extend(["--data-binary".to_owned(), quote(&format!("@{name}"))]);
        }
        (_, Some(body)) => match std::str::from_utf8(body).ok().filter(|text| text.len() <= MOST_SENT) {
            Some(text) => words.extend(["--data-raw".to_owned(), quote(text)]),
            None => words.extend(["--data-binary".to_owned(), "@BODY".to_owned()]),
        },
    }
    words.join(" ")
}

const BEGIN: char = '\u{e000}';
const END: char = '\u{e001}';

/// Stands for a variable of the shell until the word around it is quoted.
fn variable(name: &str) -> String {
    format!("{BEGIN}{name}{END}")
}

/// Credentials that came from the target are as good as secrets: they too become variables.
fn header_text(name: &HeaderName, value: &str, secrets: &Secrets) -> String {
    // What has a name of its own keeps it.
    let named = |text: &str| secrets.scrub(text) != text;
    let value = match name.as_str() {
        "authorization" | "proxy-authorization" => match value.split_once(' ') {
            _ if named(value) => value.to_owned(),
            Some((scheme, _)) => format!("{scheme} {}", variable("CREDENTIALS")),
            None => variable("CREDENTIALS"),
        },
        "cookie" => {
            let names = value.split("; ").filter_map(|pair| pair.split_once('='));
            let hidden = |(name, value): (&str, &str)| {
                let own = || variable(&format!("COOKIE_{name}"));
                format!("{name}={}", if named(value) { value.to_owned() } else { own() })
            };
            names.map(hidden).collect::<Vec<_>>().join("; ")
        }
        _ => value.to_owned(),
    };
    format!("{name}: {value}")
}

/// One word for a POSIX shell. Secrets become variables, which only double quotes let through.
fn shell(text: &str, secrets: &Secrets) -> String {
    let marked = secrets.replace(text, variable);
    if !marked.contains(BEGIN) {
        return format!("'{}'", marked.replace('\'', "'\\''"));
    }
    let mut out = String::from("\"");
    let mut rest = marked.as_str();
    while let Some(at) = rest.find(BEGIN) {
        out.push_str(&escaped(&rest[..at]));
        let after = &rest[at + BEGIN.len_utf8()..];
        let end = after.find(END).unwrap_or(after.len());
        let name: String =
            after[..end].chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        out.push_str("${");
        out.push_str(&name);
        out.push('}');
        rest = after.get(end + END.len_utf8()..).unwrap_or_default();
    }
    out.push_str(&escaped(rest));
    out.push('"');
    out
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        if matches!(c, '"' | '\\' | '$' | '`') {
            out.push('\\');
        }
        out.push(c);
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_a_shell_keep_secrets_out_and_the_shell_away() {
        let secrets = Secrets::new(vec![("API_TOKEN".into(), "s3cr3t$`x".into())]);
        for (text, expected) in [
            ("plain", "'plain'"),
            ("it's $HOME", r"'it'\''s $HOME'"),
            ("authorization: Bearer s3cr3t$`x", "\"authorization: Bearer ${API_TOKEN}\""),
            ("{\"a\":\"s3cr3t$`x\",\"b\":\"$5\"}", r#""{\"a\":\"${API_TOKEN}\",\"b\":\"\$5\"}""#),
        ] {
            assert_eq!(shell(text, &secrets), expected);
        }
        for (name, value, expected) in [
            ("cookie", "sid=abc; b=c=d", r#""cookie: sid=${COOKIE_sid}; b=${COOKIE_b}""#),
            ("authorization", "Bearer eyJhbGciOi", r#""authorization: Bearer ${CREDENTIALS}""#),
            ("authorization", "Bearer s3cr3t$`x", r#""authorization: Bearer ${API_TOKEN}""#),
            ("accept", "text/html", "'accept: text/html'"),
        ] {
            let text = header_text(&HeaderName::from_static(name), value, &secrets);
            assert_eq!(shell(&text, &secrets), expected);
        }
    }
}
