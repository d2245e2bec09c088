use std::collections::BTreeMap;

use serde_json::Value;
use url::Url;

use super::carried::Carried;
use super::curl::{is_own_header, known_method, located};
use super::curl_body::{body_of, file_name};
use super::draft::{DraftBody, DraftCheck, DraftPart, DraftStep, Imported, draft_of, slug, step_name};
use super::har_file::{Entry, Har, Pair, Param};
use super::secrets::{Safe, plain};

/// What a browser recorded: each host has a file of its own, in the order of time.
///
/// # Errors
/// If it is no HAR file, or nothing in it can be sent.
pub fn import_har(text: &str, feature: Option<&str>) -> Result<Imported, String> {
    let text = text.trim_start_matches('\u{feff}');
    let mut har: Har = serde_json::from_str(text).map_err(|e| format!("it is no HAR file: {e}"))?;
    // Some recorders write in the order in which answers came.
    har.log.entries.sort_by(|a, b| a.started_date_time.cmp(&b.started_date_time));
    let (mut imported, mut safe) = (Imported::default(), Safe::default());
    let mut dropped: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut carried: BTreeMap<String, Carried> = BTreeMap::new();
    for (number, entry) in (1..).zip(&har.log.entries) {
        if let Some(why) = unwanted(entry) {
            *dropped.entry(why).or_default() += 1;
            continue;
        }
        let url =
            Url::parse(&entry.request.url).map_err(|e| format!("`{}` is no URL: {e}", entry.request.url))?;
        let mut step =
            DraftStep { method: entry.request.method.to_ascii_uppercase(), ..DraftStep::default() };
        if known_method(&step.method).is_err() {
            *dropped.entry("requests by methods that are not known here").or_default() += 1;
            continue;
        }
        let origin = url.origin().ascii_serialization();
        let known = carried.entry(origin.clone()).or_default();
        safe.carried = known.values.keys().cloned().collect();
        let target = located(&url, &mut step, &mut safe)?;
        known.use_in(&url, &mut step);
        headers(entry, &mut step, known, &mut safe);
        let mut files = Vec::new();
        let missing = body(entry, &mut step, &mut safe, (number, &mut files), &mut imported.left_out);
        step.headers.retain(|(name, value)| name != "content-type" || !step.body.brings(value));
        known.use_in_body(&mut step.body);
        step.note = missing;
        step.name = step_name(&step.method, &step.path);
        checks(entry, &mut step);
        let name = slug(target.split_once("://").map_or(target.as_str(), |(_, host)| host));
        let draft = draft_of(&mut imported.drafts, &target, &name);
        draft.files.append(&mut files);
        for file in step.body.files() {
            if !draft.files.iter().any(|(own, _)| *own == file) {
                imported.left_out.push(format!("{file}: its content was not recorded; put it beside the scenario, where an empty one stands"));
                draft.files.push((file, Vec::new()));
            }
        }
        draft.steps.push(step);
        known.learn(entry, draft.steps.len() - 1);
    }
    for (origin, known) in carried {
        if let Some(draft) = imported.drafts.iter_mut().find(|draft| draft.target == origin) {
            known.capture_in(draft);
        }
    }
    if imported.drafts.is_empty() {
        return Err("nothing is left of it: it has static files alone, or nothing at all".into());
    }
    imported.left_out.extend(dropped.into_iter().map(|(why, count)| format!("{count} {why}")));
    // The one with most steps is what was recorded; the others are what it called.
    imported.drafts.sort_by_key(|draft| std::cmp::Reverse(draft.steps.len()));
    if let (Some(name), Some(first)) = (feature, imported.drafts.first_mut()) {
        first.feature = slug(name);
    }
    for draft in &mut imported.drafts {
        draft.name_steps();
        draft.notes.push(
            "From what a browser recorded, by `loadgate import har`. Cookies are kept by the session.".into(),
        );
    }
    imported.secrets = safe.names();
    imported.safe = Some(safe);
    imported.finish();
    Ok(imported)
}

/// Why an entry is no request of a scenario's.
fn unwanted(entry: &Entry) -> Option<&'static str> {
    let url = entry.request.url.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    if url.starts_with("ws:") || url.starts_with("wss:") {
        return Some("WebSockets (write them as `websocket:` steps)");
    }
    if !url.starts_with("http") {
        return Some("addresses that are no http");
    }
    let kind = entry.response.content.mime_type.to_ascii_lowercase();
    if kind.starts_with("text/event-stream") || entry.resource_type.as_deref() == Some("eventsource") {
        return Some("event streams (write them as `sse:` steps)");
    }
    if entry.request.method.eq_ignore_ascii_case("options") {
        return Some("preflights of the browser");
    }
    let of_type = matches!(
        entry.resource_type.as_deref(),
        Some("stylesheet" | "script" | "image" | "font" | "media" | "manifest" | "texttrack" | "preflight")
    );
    let endings = [
        ".css", ".js", ".mjs", ".map", ".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".avif", ".ico",
        ".woff", ".woff2", ".ttf", ".otf", ".mp4", ".webm", ".mp3", ".wasm",
    ];
    let types = [
        "image/",
        "font/",
        "video/",
        "audio/",
        "text/css",
        "text/javascript",
        "application/javascript",
        "application/wasm",
    ];
    let fetched = entry.request.method.eq_ignore_ascii_case("get");
    if fetched
        && (of_type
            || endings.iter().any(|own| url.ends_with(own))
            || types.iter().any(|own| kind.starts_with(own)))
    {
        return Some("static files");
    }
    (entry.response.status <= 0).then_some("requests that got no answer")
}

pub fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn headers(entry: &Entry, step: &mut DraftStep, known: &Carried, safe: &mut Safe) {
    let multipart = |value: &str| value.starts_with("multipart/");
    for pair in &entry.request.headers {
        let (name, value) = (pair.name.to_ascii_lowercase(), text_of(&pair.value));
        if is_own_header(&name) || step.headers.iter().any(|(own, _)| *own == name) {
            continue;
        }
        match name.as_str() {
            "cookie" => {
                // The session keeps those that the service set; others are the browser's from before.
                let own: Vec<&str> = value
                    .split(';')
                    .map(str::trim)
                    .filter(|pair| !pair.is_empty())
                    .filter(|pair| !known.cookies.iter().any(|set| pair.split('=').next() == Some(set)))
                    .collect();
                if !own.is_empty() {
                    step.headers.push((name, safe.secret("cookie", &own.join("; "))));
                }
            }
            "content-type" if multipart(&value) => {}
            "accept" if value == "*/*" || value.starts_with("text/html") => {}
            _ => {
                let own = known.in_text(&value).unwrap_or_else(|| safe.header(&name, &value));
                step.headers.push((name, own));
            }
        }
    }
}

/// Types whose text is no text.
fn is_binary(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let textual = ["json", "xml", "urlencoded", "javascript", "graphql", "yaml", "csv"];
    !kind.is_empty() && !kind.starts_with("text/") && !textual.iter().any(|own| kind.contains(own))
}

/// Sets the body; says what of it was not recorded.
fn body(
    entry: &Entry,
    step: &mut DraftStep,
    safe: &mut Safe,
    (number, files): (usize, &mut Vec<(String, Vec<u8>)>),
    left_out: &mut Vec<String>,
) -> Option<String> {
    let kind = |pair: &&Pair| pair.name.eq_ignore_ascii_case("content-type");
    let sent = entry.request.headers.iter().find(kind).map(|pair| text_of(&pair.value)).unwrap_or_default();
    let lost = "its body was not recorded: write it here";
    let Some(data) = &entry.request.post_data else {
        return sent.starts_with("multipart/").then(|| lost.to_owned());
    };
    let kind = if data.mime_type.is_empty() { sent } else { data.mime_type.clone() }.to_ascii_lowercase();
    if kind.starts_with("multipart/") {
        if data.params.is_empty() {
            return Some(lost.to_owned());
        }
        let part = |param: &Param| {
            let value = text_of(&param.value);
            let file = param.file_name.as_deref().map(file_name);
            let file =
                file.or_else(|| (value == "(binary)").then(|| format!("{}.bin", file_name(&param.name))));
            match file {
                Some(file) => (plain(&param.name), DraftPart::File(file, param.content_type.clone())),
                None => (plain(&param.name), DraftPart::Text(safe.field(&param.name, &value))),
            }
        };
        step.body = DraftBody::parts(data.params.iter().map(part).collect(), left_out);
        return None;
    }
    let text = data.text.clone().unwrap_or_default();
    if text.is_empty() && !data.params.is_empty() {
        // Without its text a JSON body stands in pieces.
        if kind.contains("json") {
            let fields = data.params.iter().map(|param| (param.name.clone(), param.value.clone()));
            let mut value = Value::Object(fields.collect());
            safe.json("", &mut value);
            step.body = DraftBody::Json(value);
            return Some("its body was recorded in pieces: look whether lists are whole".to_owned());
        }
        let field = |param: &Param| (plain(&param.name), safe.field(&param.name, &text_of(&param.value)));
        step.body = DraftBody::Form(data.params.iter().map(field).collect());
        return None;
    }
    if text.is_empty() && matches!(step.method.as_str(), "POST" | "PUT" | "PATCH") && kind.contains("json") {
        return Some(lost.to_owned());
    }
    if is_binary(&kind) {
        let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
        let name = format!("body-{number}.bin");
        step.headers.retain(|(name, _)| name != "content-type");
        step.headers.push(("content-type".into(), plain(&kind)));
        step.body = DraftBody::File(name.clone());
        return match bytes {
            // Recorders write one character a byte.
            Some(bytes) => {
                files.push((name, bytes));
                None
            }
            None => Some(lost.to_owned()),
        };
    }
    step.body = body_of(&text, kind.contains("json"), kind.contains("urlencoded"), safe);
    let bare = !matches!(step.body, DraftBody::None)
        && !step.body.brings(&kind)
        && !step.headers.iter().any(|(name, _)| name == "content-type");
    if bare && !kind.is_empty() {
        step.headers.push(("content-type".into(), plain(&kind)));
    }
    None
}

fn checks(entry: &Entry, step: &mut DraftStep) {
    // What the browser had already, somebody else gets whole.
    let status = if entry.response.status == 304 { 200 } else { entry.response.status };
    // Of an answer that never came, browsers write 0.
    if (100..600).contains(&status) {
        step.checks.push(DraftCheck::Status(status.to_string()));
    }
    let kind =
        entry.response.content.mime_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let known = kind.contains('/') && !kind.contains("x-unknown") && entry.response.status != 304;
    if known && (200..300).contains(&status) && status != 204 && step.method != "HEAD" {
        step.checks.push(DraftCheck::ContentType(kind));
    }
}
