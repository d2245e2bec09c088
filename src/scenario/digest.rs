use serde_json::{Value, json};

use super::data::DataSource;
use super::model::{Action, Message};
use super::request::{Auth, BodyTemplate, PartContent, PartTemplate};
use super::template::Template;
use crate::digest::sha256_hex;

/// SHA-256 of what decides whether two measurements of an endpoint can be compared: method, URL template, header
/// names, body template, data and stages. Not checks, limits, target or secrets.
///
/// `options` are what the file says beyond that, and only where it says something: digests of what was written before there
/// was such an option stay the same.
pub fn endpoint_digest(
    action: &Action,
    data: &[DataSource],
    stage: Option<&str>,
    transport: &str,
    options: &[(&str, Option<String>)],
) -> String {
    let request = action.request();
    let url = request.url.canonical();
    let pairs = |pairs: &[(String, Template)]| -> Value {
        pairs.iter().map(|(name, value)| json!([name, value.canonical()])).collect()
    };
    let body = request.body.as_ref().map(|body| match body {
        BodyTemplate::Json(json) => json.canonical(),
        BodyTemplate::Text(text) => text.canonical().into(),
        BodyTemplate::Form(fields) => json!({"form": pairs(fields)}),
        BodyTemplate::File { bytes, media_type, .. } => {
            json!({"file": sha256_hex(bytes), "type": media_type})
        }
        BodyTemplate::Multipart(parts) => {
            let part = |part: &PartTemplate| match &part.content {
                PartContent::Text(text) => json!([part.name, text.canonical()]),
                PartContent::File { bytes, media_type, .. } => {
                    json!([part.name, {"file": sha256_hex(bytes), "type": media_type}])
                }
            };
            json!({"multipart": parts.iter().map(part).collect::<Value>()})
        }
    });
    let mut names: Vec<&str> = request.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let mut extra = serde_json::Map::new();
    if !request.query.is_empty() {
        extra.insert("query".into(), pairs(&request.query));
    }
    if let Some(auth) = &request.auth {
        let kind = match auth {
            Auth::Bearer(_) => "bearer",
            Auth::Basic { .. } => "basic",
            Auth::ClientCredentials(_) => "oauth2",
        };
        extra.insert("auth".into(), kind.into());
    }
    match action {
        Action::Events { count, event, .. } => {
            extra.insert("events".into(), json!([count, event]));
        }
        Action::Socket { send, .. } => {
            let message = |message: &Message| match message {
                Message::Text(text) => Value::String(text.canonical()),
                Message::Json(json) => json.canonical(),
            };
            extra.insert("socket".into(), send.iter().map(message).collect());
        }
        Action::Request(_) | Action::Poll { .. } => {}
    }
    for (name, value) in options {
        extra.extend(value.clone().map(|value| ((*name).to_owned(), Value::String(value))));
    }
    let written = format!(
        "{url} {} {}",
        body.as_ref().map(ToString::to_string).unwrap_or_default(),
        Value::Object(extra.clone())
    );
    let used: Vec<_> = data
        .iter()
        .filter(|d| written.contains(&format!("${{{}.", d.name)))
        .map(|d| json!({"name": d.name, "digest": d.digest, "pick": format!("{:?}", d.pick)}))
        .collect();
    let poll = match action {
        Action::Poll { every_ns, .. } => Some(*every_ns),
        _ => None,
    };
    let mut canonical = json!({
        "method": request.method.as_str(), "url": url, "headers": names, "body": body,
        "data": used, "poll_every_ns": poll, "stage": stage, "transport": transport,
    });
    if let (false, Some(object)) = (extra.is_empty(), canonical.as_object_mut()) {
        object.insert("options".into(), Value::Object(extra));
    }
    sha256_hex(canonical.to_string().as_bytes())
}
