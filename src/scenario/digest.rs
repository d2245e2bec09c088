use serde_json::json;

use super::data::DataSource;
use super::model::{Action, BodyTemplate};
use crate::digest::sha256_hex;

/// SHA-256 of what decides whether two measurements of an endpoint can be compared: method, URL template, header
/// names, body template, data and stages. Not checks, limits, target or secrets.
pub fn endpoint_digest(action: &Action, data: &[DataSource], stage: Option<&str>, transport: &str) -> String {
    let request = action.request();
    let url = request.url.canonical();
    let body = request.body.as_ref().map(|body| match body {
        BodyTemplate::Json(json) => json.canonical(),
        BodyTemplate::Text(text) => text.canonical().into(),
    });
    let mut names: Vec<&str> = request.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let written = format!("{url} {}", body.as_ref().map(ToString::to_string).unwrap_or_default());
    let used: Vec<_> = data
        .iter()
        .filter(|d| written.contains(&format!("${{{}.", d.name)))
        .map(|d| json!({"name": d.name, "digest": d.digest, "pick": format!("{:?}", d.pick)}))
        .collect();
    let poll = match action {
        Action::Request(_) => None,
        Action::Poll { every_ns, .. } => Some(*every_ns),
    };
    let canonical = json!({
        "method": request.method.as_str(), "url": url, "headers": names, "body": body,
        "data": used, "poll_every_ns": poll, "stage": stage, "transport": transport,
    });
    sha256_hex(canonical.to_string().as_bytes())
}
