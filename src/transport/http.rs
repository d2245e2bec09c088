use std::error::Error as _;
use std::time::Instant;

use bytes::BytesMut;

use super::failure::classify;
use super::{
    BODY_CAP, Exchange, ExchangeError, Headers, Lane, Phases, Request, Streams, Transport, TransportOptions,
    over_cap, tls,
};
use crate::error::{Error, Result};
use crate::error_class::ErrorClass;

/// reqwest, told to do nothing that was not asked for: no retries, no redirects, no proxy.
pub struct HttpTransport {
    client: reqwest::Client,
    streams: Streams,
}

impl HttpTransport {
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new(options: &TransportOptions) -> Result<Self> {
        super::tls::choose_provider();
        let signed = options.signature.headers();
        let signed = signed.filter_map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?)));
        let mut builder = reqwest::Client::builder()
            .default_headers(signed.collect())
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .pool_idle_timeout(std::time::Duration::from_secs(60))
            .tcp_nodelay(true)
            .tls_backend_preconfigured(tls::client_config(options)?);
        if options.http2 {
            builder = builder.http2_prior_knowledge();
        }
        let client = builder
            .build()
            .map_err(|e| Error::harness(format!("cannot set up the HTTP client: {}", failed(&e).message)))?;
        Ok(Self { client, streams: Streams::new(options)? })
    }
}

impl Transport for HttpTransport {
    async fn exchange(
        &self,
        _lane: &Lane,
        request: &Request,
    ) -> std::result::Result<Exchange, ExchangeError> {
        let asked = Instant::now();
        let mut builder = self
            .client
            .request(request.method.clone(), request.uri.to_string())
            .headers(request.headers.clone())
            .timeout(request.timeout);
        if let Some(body) = &request.body {
            builder = builder.body(body.clone());
        }
        let mut response = builder.send().await.map_err(|e| failed(&e))?;
        let head = Instant::now();
        if response.content_length().is_some_and(|length| length > BODY_CAP as u64) {
            return Err(over_cap());
        }
        let mut body = BytesMut::new();
        let mut length = 0;
        while let Some(chunk) = response.chunk().await.map_err(|e| failed(&e))? {
            length += chunk.len();
            if length > BODY_CAP {
                return Err(over_cap());
            }
            if request.wants.body {
                body.extend_from_slice(&chunk);
            }
        }
        let done = Instant::now();
        let phases = Phases {
            first_byte_ns: Some((head - asked).as_nanos() as u64),
            body_ns: Some((done - head).as_nanos() as u64),
            ..Phases::default()
        };
        let headers = Headers::from(std::mem::take(response.headers_mut()));
        Ok(Exchange { status: response.status().as_u16(), headers, body: body.freeze(), done, phases })
    }

    fn streams(&self) -> &Streams {
        &self.streams
    }
}

fn failed(error: &reqwest::Error) -> ExchangeError {
    let outer = if error.is_timeout() {
        ErrorClass::Timeout
    } else if error.is_connect() {
        ErrorClass::Connect
    } else if error.is_redirect() || error.is_builder() {
        ErrorClass::Protocol
    } else {
        ErrorClass::Reset
    };
    // The outermost text has the URL in it, which may carry secrets.
    let mut told = match error.source() {
        Some(source) => classify(source, outer),
        None => ExchangeError::new(outer, "the request failed"),
    };
    if outer == ErrorClass::Timeout {
        (told.class, told.message) = (outer, "timed out".into());
    }
    told
}
