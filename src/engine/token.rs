use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::Value;

use super::build::absolute;
use crate::logging::{Level, log};
use crate::scenario::{Chance, Context, Template, TokenRequest};
use crate::secrets::{Secrets, without_userinfo};
use crate::transport::{Lane, Request, Transport};
use crate::units::percent_encoded;

const TIMEOUT: Duration = Duration::from_secs(10);
/// A token endpoint that refuses is not asked again by every iteration.
const REFUSED_FOR: Duration = Duration::from_secs(1);
/// Of a token whose answer does not say how long it lasts.
const DEFAULT_LIFE: Duration = Duration::from_secs(3600);
/// However long an answer says.
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3600);

/// OAuth 2.0 tokens of one invocation: each fetched once, fetched again before it expires, and never shown.
pub struct Tokens {
    known: Mutex<HashMap<String, Token>>,
    fetching: tokio::sync::Mutex<()>,
    secrets: Secrets,
}

#[derive(Clone)]
struct Token {
    /// The header's value, or why there is none.
    value: Result<HeaderValue, String>,
    refresh_at: Instant,
}

impl Tokens {
    #[must_use]
    pub fn new(secrets: Secrets) -> Self {
        Self { known: Mutex::default(), fetching: tokio::sync::Mutex::new(()), secrets }
    }

    fn fresh(&self, key: &str) -> Option<Token> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(key).filter(|token| Instant::now() < token.refresh_at).cloned()
    }

    /// The `authorization` header. Whoever comes while it is fetched waits for it.
    ///
    /// # Errors
    /// Why there is no token, in words.
    pub async fn header<T: Transport>(
        &self,
        transport: &T,
        target: &str,
        request: &TokenRequest,
    ) -> Result<HeaderValue, String> {
        let key = request.key();
        if let Some(token) = self.fresh(&key) {
            return token.value;
        }
        let _fetching = self.fetching.lock().await;
        if let Some(token) = self.fresh(&key) {
            return token.value;
        }
        let fetched = self.fetch(transport, target, request).await;
        let (value, life) = match fetched {
            Ok((value, life)) => (Ok(value), life),
            Err(reason) => (Err(format!("oauth2: {reason}")), REFUSED_FOR),
        };
        let token = Token { value: value.clone(), refresh_at: Instant::now() + life };
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(key, token);
        value
    }

    /// The second value: for how long it is good to use.
    async fn fetch<T: Transport>(
        &self,
        transport: &T,
        target: &str,
        request: &TokenRequest,
    ) -> Result<(HeaderValue, Duration), String> {
        let url = absolute(target, constant(&request.url));
        let (id, secret) = (constant(&request.client_id), constant(&request.client_secret));
        let mut fields = vec![("grant_type", "client_credentials".to_owned())];
        fields.extend(request.parameters.iter().map(|(name, value)| (*name, constant(value))));
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        if request.in_body {
            fields.extend([("client_id", id), ("client_secret", secret)]);
        } else {
            // RFC 6749 §2.3.1: both are form-encoded before they are joined.
            let pair = format!("{}:{}", percent_encoded(&id), percent_encoded(&secret));
            let coded = BASE64.encode(pair);
            self.secrets.learn("OAUTH2_CLIENT", &coded);
            headers.insert(AUTHORIZATION, sensitive(&format!("Basic {coded}"))?);
        }
        let body: Vec<String> =
            fields.iter().map(|(name, value)| format!("{name}={}", percent_encoded(value))).collect();
        let body = Some(Bytes::from(body.join("&")));
        let request = Request::new(Method::POST, &url, headers, body, TIMEOUT)?;
        let exchange = transport
            .exchange(&Lane::shared(), &request)
            .await
            .map_err(|error| format!("the token endpoint {url} cannot be asked: {}", error.message))?;
        if exchange.status != 200 {
            // RFC 6749 §5.2: what went wrong is said in `error`.
            let told = serde_json::from_slice::<Value>(&exchange.body).ok();
            let why = told.as_ref().and_then(|body| body["error"].as_str()).unwrap_or("no reason given");
            return Err(format!("the token endpoint {url} answers {}: {why}", exchange.status));
        }
        let body: Value = serde_json::from_slice(&exchange.body)
            .map_err(|_| format!("the token endpoint {url} does not answer in JSON"))?;
        let token = body["access_token"]
            .as_str()
            .ok_or_else(|| format!("the answer of the token endpoint {url} has no `access_token`"))?;
        self.secrets.learn("OAUTH2_TOKEN", token);
        log(Level::Debug, "oauth2", || format!("a token from {}", without_userinfo(&url)));
        let life =
            body["expires_in"].as_u64().map_or(DEFAULT_LIFE, |s| Duration::from_secs(s).min(LONGEST_LIFE));
        // The last fifth, at most half a minute, is left for clocks that differ and requests under way.
        let spare = (life / 5).min(Duration::from_secs(30));
        Ok((sensitive(&format!("Bearer {token}"))?, life.saturating_sub(spare).max(REFUSED_FOR)))
    }
}

fn constant(template: &Template) -> String {
    let chance = Chance::default();
    template.render(&Context { rows: &[], captures: &[], chance: &chance })
}

pub fn sensitive(text: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(text).map_err(|_| "a token is no valid header".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}
