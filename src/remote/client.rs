use std::error::Error as _;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::error::{Error, Result};
use crate::logging::{Level, log};
use crate::transport::{TransportOptions, client_config};

/// More than this is no answer to a probe.
const BODY_CAP: usize = 4 << 20;

/// Cloning shares its connections.
#[derive(Clone)]
pub struct Remote {
    client: reqwest::Client,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Unanswered {
    /// In words, without the address, which may hold secrets.
    pub reason: String,
    /// Nothing was sent, and never will be.
    pub lasting: bool,
}

/// A whole response.
pub struct Answer {
    pub status: u16,
    /// Seconds that it asks to wait before the next try.
    pub retry_after: Option<Duration>,
    pub body: Vec<u8>,
}

impl Answer {
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// What it says, on one line: whoever shows it scrubs it first and cuts it then.
    #[must_use]
    pub fn excerpt(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

impl Remote {
    /// Of `options` it takes the name and the certificates to trust beside the machine's own: what a target is forgiven, whoever
    /// is given credentials is not.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new(options: &TransportOptions) -> Result<Self> {
        let trusted = TransportOptions {
            signature: options.signature.clone(),
            ca_file: options.ca_file.clone(),
            ..TransportOptions::default()
        };
        let client = reqwest::Client::builder()
            .user_agent(trusted.signature.user_agent.clone())
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .tls_backend_preconfigured(client_config(&trusted)?)
            .build()
            .map_err(|e| Error::harness(format!("cannot set up the client for probes: {}", failed(&e))))?;
        Ok(Self { client })
    }

    /// # Errors
    /// Where nothing came back.
    pub async fn get(
        &self,
        url: &str,
        headers: &[(HeaderName, String)],
        timeout: Duration,
    ) -> std::result::Result<Answer, Unanswered> {
        self.send(Method::GET, url, headers, Vec::new(), None, timeout).await
    }

    /// # Errors
    /// As [`Remote::get`].
    pub async fn post_json(
        &self,
        url: &str,
        headers: &[(HeaderName, String)],
        body: String,
        timeout: Duration,
    ) -> std::result::Result<Answer, Unanswered> {
        self.send(Method::POST, url, headers, body.into_bytes(), Some("application/json"), timeout).await
    }

    /// # Errors
    /// As [`Remote::get`].
    pub async fn post_protobuf(
        &self,
        url: &str,
        headers: &[(HeaderName, String)],
        body: Vec<u8>,
        timeout: Duration,
    ) -> std::result::Result<Answer, Unanswered> {
        self.send(Method::POST, url, headers, body, Some("application/x-protobuf"), timeout).await
    }

    async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(HeaderName, String)],
        body: Vec<u8>,
        media_type: Option<&'static str>,
        timeout: Duration,
    ) -> std::result::Result<Answer, Unanswered> {
        if !url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https")) {
            return Err(never("its address does not begin with http:// or https://".to_owned()));
        }
        let mut all = HeaderMap::new();
        if let Some(media_type) = media_type {
            all.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        }
        for (name, value) in headers {
            let mut value = HeaderValue::from_str(value)
                .map_err(|_| never(format!("the value of header `{name}` cannot be sent")))?;
            value.set_sensitive(true);
            all.insert(name.clone(), value);
        }
        let asked = format!("{method} {}", place(url));
        let mut request = self.client.request(method, url).headers(all).timeout(timeout);
        if media_type.is_some() {
            request = request.body(body);
        }
        let answered = request.send().await;
        log(Level::Debug, "remote", || match &answered {
            Ok(response) => format!("{asked} -> {}", response.status().as_u16()),
            Err(e) => format!("{asked}: {}", failed(e)),
        });
        let mut response = answered.map_err(|e| passing(&e))?;
        let status = response.status().as_u16();
        let retry_after = response
            .headers()
            .get(http::header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| passing(&e))? {
            if body.len() + chunk.len() > BODY_CAP {
                return Err(never(format!("the answer is over the cap of {} MiB", BODY_CAP >> 20)));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, retry_after, body })
    }
}

/// Scheme, host and port of an address: the paths and queries of webhooks are as good as passwords.
fn place(url: &str) -> String {
    url::Url::parse(url).map_or_else(|_| "an address".to_owned(), |url| url.origin().ascii_serialization())
}

fn never(reason: String) -> Unanswered {
    Unanswered { reason, lasting: true }
}

fn passing(error: &reqwest::Error) -> Unanswered {
    Unanswered { reason: failed(error), lasting: error.is_builder() }
}

/// The innermost cause: the outermost text has the URL in it.
fn failed(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "timed out".to_owned();
    }
    let mut cause = error.source();
    while let Some(inner) = cause.and_then(std::error::Error::source) {
        cause = Some(inner);
    }
    let reason = cause.map_or_else(|| "the address cannot be asked".to_owned(), ToString::to_string);
    if error.is_connect() { format!("cannot connect: {reason}") } else { reason }
}
