use std::borrow::Cow;
use std::cell::OnceCell;
use std::time::Duration;

use ::http::header::AUTHORIZATION;
use ::http::{HeaderMap, HeaderValue, Method, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;

use crate::secrets::without_userinfo;
use crate::units::authority;

/// Which parts of a response must be kept. Anything else is read and let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wants {
    pub headers: bool,
    pub body: bool,
}

impl Wants {
    pub const ALL: Self = Self { headers: true, body: true };
}

/// A request ready to be sent, any number of times.
#[derive(Debug)]
pub struct Request {
    pub method: Method,
    /// Absolute.
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Option<Bytes>,
    /// From the connection's acquisition to the last byte.
    pub timeout: Duration,
    pub wants: Wants,
    /// Bytes of the HTTP/1.1 form, made on first use.
    pub(super) encoded: OnceCell<Bytes>,
}

impl Request {
    /// # Errors
    /// Where `url` is no absolute URL of http or https.
    pub fn new(
        method: Method,
        url: &str,
        mut headers: HeaderMap,
        body: Option<Bytes>,
        timeout: Duration,
    ) -> Result<Self, String> {
        // A fragment is for the client alone.
        let sent = url.split('#').next().unwrap_or(url);
        let bare = without_userinfo(sent);
        if let Some(credentials) = userinfo(sent)
            && !headers.contains_key(AUTHORIZATION)
        {
            let value = format!("Basic {}", BASE64.encode(credentials));
            let mut value = HeaderValue::try_from(value).map_err(|e| format!("user and password: {e}"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let sent = bare.as_str();
        let uri: Uri = match sent.parse() {
            Ok(uri) => uri,
            // Spaces and letters beyond ASCII are encoded as browsers do; anything else is a mistake.
            Err(_) => encoded(sent).parse().map_err(|e| format!("`{url}` is not a URL: {e}"))?,
        };
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
            return Err(format!("`{url}` is not an absolute http or https URL"));
        }
        Ok(Self { method, uri, headers, body, timeout, wants: Wants::ALL, encoded: OnceCell::new() })
    }

    /// The same, to be sent by itself.
    #[must_use]
    pub fn again(&self) -> Self {
        Self {
            method: self.method.clone(),
            uri: self.uri.clone(),
            headers: self.headers.clone(),
            body: self.body.clone(),
            timeout: self.timeout,
            wants: self.wants,
            encoded: OnceCell::new(),
        }
    }

    pub(super) fn is_tls(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    /// Host without brackets, and port.
    pub(super) fn endpoint(&self) -> (&str, u16) {
        let host = self.uri.host().unwrap_or_default();
        let port = self.uri.port_u16().unwrap_or(if self.is_tls() { 443 } else { 80 });
        (host.trim_start_matches('[').trim_end_matches(']'), port)
    }

    /// Host and port as the `host` header has them: a default port is left out.
    pub(super) fn authority(&self) -> String {
        let host = self.uri.host().unwrap_or_default();
        match self.uri.port_u16() {
            Some(port) if port != if self.is_tls() { 443 } else { 80 } => format!("{host}:{port}"),
            _ => host.to_owned(),
        }
    }

    /// Path and query.
    pub(super) fn target(&self) -> Cow<'_, str> {
        match self.uri.path_and_query().map_or("", |path| path.as_str()) {
            "" => "/".into(),
            query if query.starts_with('?') => format!("/{query}").into(),
            target => target.into(),
        }
    }
}

/// User and password in front of a URL's host, decoded.
fn userinfo(url: &str) -> Option<Vec<u8>> {
    let (given, _) = authority(url)?;
    let given = given?;
    let with_colon = if given.contains(':') { given.to_owned() } else { format!("{given}:") };
    let mut bytes = Vec::with_capacity(with_colon.len());
    let mut left = with_colon.as_bytes();
    while let Some((byte, rest)) = left.split_first() {
        let hex = rest.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        match hex.filter(|_| *byte == b'%').and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(decoded) => {
                bytes.push(decoded);
                left = &rest[2..];
            }
            None => {
                bytes.push(*byte);
                left = rest;
            }
        }
    }
    Some(bytes)
}

fn encoded(url: &str) -> String {
    use std::fmt::Write as _;
    url.bytes().fold(String::with_capacity(url.len() + 16), |mut out, byte| {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) {
            out.push(byte as char);
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_as_people_write_them() {
        for (url, target, authority) in [
            ("http://h/a?b=c#frag", "/a?b=c", "h"),
            ("http://h:80", "/", "h"),
            ("https://h:80/ä b", "/%C3%A4%20b", "h:80"),
            ("http://[::1]:8080/x", "/x", "[::1]:8080"),
            ("http://h?q=1", "/?q=1", "h"),
        ] {
            let request = Request::new(Method::GET, url, HeaderMap::new(), None, Duration::ZERO).unwrap();
            assert_eq!((&*request.target(), request.authority().as_str()), (target, authority), "{url}");
        }
        let url = "https://me:p%40ss@h/";
        let request = Request::new(Method::GET, url, HeaderMap::new(), None, Duration::ZERO).unwrap();
        assert_eq!(request.headers[AUTHORIZATION], "Basic bWU6cEBzcw==");
        assert_eq!(request.authority(), "h");
        for bad in ["h/a", "/a", "ftp://h/", "http://"] {
            assert!(Request::new(Method::GET, bad, HeaderMap::new(), None, Duration::ZERO).is_err(), "{bad}");
        }
    }
}
