use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::session::Session;
use super::token::sensitive;
use crate::credentials::looks_like_a_token;
use crate::scenario::{Auth, BodyTemplate, Context, PartContent, PartTemplate, RequestTemplate, Template};
use crate::transport::{Request, Wants};
use crate::units::percent_encoded;

/// What a request is made from beside its template.
pub struct Making<'a> {
    pub target: &'a str,
    pub context: Context<'a>,
    pub timeout_ns: u64,
    pub wants: Wants,
    pub session: Option<&'a Session>,
    /// A token that was fetched for it.
    pub token: Option<HeaderValue>,
}

/// A path stands below the target; an address of its own is kept. A `WebSocket` is opened over HTTP.
pub fn absolute(target: &str, url: String) -> String {
    for (scheme, over) in [("ws://", "http://"), ("wss://", "https://")] {
        if let Some(rest) = url.strip_prefix(scheme) {
            return format!("{over}{rest}");
        }
    }
    if url.starts_with("http://") || url.starts_with("https://") {
        return url;
    }
    format!("{}/{}", target.trim_end_matches('/'), url.trim_start_matches('/'))
}

pub fn url_of(target: &str, template: &RequestTemplate, context: &Context<'_>) -> String {
    let mut url = absolute(target, template.url.render_url(context));
    for (name, value) in &template.query {
        url.push(if url.contains('?') { '&' } else { '?' });
        url.push_str(&pair(name, value, context));
    }
    url
}

fn pair(name: &str, value: &Template, context: &Context<'_>) -> String {
    format!("{}={}", percent_encoded(name), percent_encoded(&value.render(context)))
}

/// # Errors
/// In words: a URL or a header that is none.
pub fn build(template: &RequestTemplate, making: Making<'_>) -> Result<Request, String> {
    let Making { target, context, timeout_ns, wants, session, token } = making;
    let url = url_of(target, template, &context);
    let mut headers = HeaderMap::with_capacity(template.headers.len() + 2);
    for (name, value) in &template.headers {
        let text = value.render(&context);
        let mut rendered = header_value(name, &text)?;
        // A token that the target gave: no redirect takes it to another origin.
        rendered.set_sensitive(value.slots().next().is_some() && looks_like_a_token(&text));
        headers.append(name.clone(), rendered);
    }
    match &template.auth {
        None => {}
        Some(Auth::Bearer(value)) => {
            headers.insert(AUTHORIZATION, sensitive(&format!("Bearer {}", value.render(&context)))?);
        }
        Some(Auth::Basic { user, password }) => {
            let plain = format!("{}:{}", user.render(&context), password.render(&context));
            headers.insert(AUTHORIZATION, sensitive(&format!("Basic {}", BASE64.encode(plain)))?);
        }
        Some(Auth::ClientCredentials(_)) => {
            headers.extend(token.map(|value| (AUTHORIZATION, value)));
        }
    }
    let mut media = |value: &str| -> Result<(), String> {
        let value = header_value(&CONTENT_TYPE, value)?;
        headers.entry(CONTENT_TYPE).or_insert(value);
        Ok(())
    };
    let body = match &template.body {
        None => None,
        Some(BodyTemplate::Json(json)) => {
            media("application/json")?;
            Some(Bytes::from(json.render(&context).to_string()))
        }
        Some(BodyTemplate::Text(text)) => Some(Bytes::from(text.render(&context))),
        Some(BodyTemplate::Form(fields)) => {
            media("application/x-www-form-urlencoded")?;
            let pairs: Vec<String> = fields.iter().map(|(name, value)| pair(name, value, &context)).collect();
            Some(Bytes::from(pairs.join("&")))
        }
        Some(BodyTemplate::File { bytes, media_type, .. }) => {
            media(media_type)?;
            Some(bytes.clone())
        }
        Some(BodyTemplate::Multipart(parts)) => {
            let boundary = format!("loadgate-{:032x}", rand::random::<u128>());
            media(&format!("multipart/form-data; boundary={boundary}"))?;
            Some(multipart(parts, &boundary, &context))
        }
    };
    if let Some(session) = session {
        session.add_to(&url, &mut headers);
    }
    let timeout = Duration::from_nanos(timeout_ns);
    let mut request = Request::new(template.method.clone(), &url, headers, body, timeout)?;
    request.wants = wants;
    Ok(request)
}

fn header_value(name: &HeaderName, text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(text).map_err(|_| format!("header {name} has no valid value"))
}

/// RFC 7578. Quotes and line ends in names are encoded as browsers do.
fn multipart(parts: &[PartTemplate], boundary: &str, context: &Context<'_>) -> Bytes {
    let quoted = |text: &str| text.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A");
    let mut out = BytesMut::new();
    for part in parts {
        let name = quoted(&part.name);
        let head = match &part.content {
            PartContent::Text(_) => format!("content-disposition: form-data; name=\"{name}\"\r\n\r\n"),
            PartContent::File { file_name, media_type, .. } => format!(
                "content-disposition: form-data; name=\"{name}\"; filename=\"{}\"\r\ncontent-type: {media_type}\r\n\r\n",
                quoted(file_name)
            ),
        };
        out.put_slice(format!("--{boundary}\r\n{head}").as_bytes());
        match &part.content {
            PartContent::Text(text) => out.put_slice(text.render(context).as_bytes()),
            PartContent::File { bytes, .. } => out.put_slice(bytes),
        }
        out.put_slice(b"\r\n");
    }
    out.put_slice(format!("--{boundary}--\r\n").as_bytes());
    out.freeze()
}
