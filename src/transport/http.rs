use std::error::Error as _;
use std::time::Instant;

use bytes::BytesMut;

use super::{Exchange, ExchangeError, Request, Transport};
use crate::error::{Error, Result};
use crate::error_class::ErrorClass;

/// A body larger than this is refused rather than buffered.
const BODY_CAP: usize = 16 << 20;

/// What all requests of a worker share.
#[derive(Clone, Debug, Default)]
pub struct TransportOptions {
    pub user_agent: String,
}

/// reqwest, told to do nothing that was not asked for: no retries, no redirects, no proxy.
pub struct HttpTransport {
    client: reqwest::Client,
}

impl HttpTransport {
    /// # Errors
    /// If the TLS back end cannot be set up.
    pub fn new(options: &TransportOptions) -> Result<Self> {
        // A second call finds it installed, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            reqwest::Client::builder()
                .user_agent(options.user_agent.clone())
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .no_proxy()
                .pool_idle_timeout(std::time::Duration::from_secs(60))
                .tcp_nodelay(true)
        };
        // A machine without certificate authorities can still reach targets without TLS; the others then fail as TLS.
        let client = builder().build().or_else(|_| builder().tls_certs_only([]).build());
        let client =
            client.map_err(|e| Error::harness(format!("cannot set up the HTTP client: {}", chain(&e))))?;
        Ok(Self { client })
    }
}

impl Transport for HttpTransport {
    async fn exchange(&self, request: Request) -> std::result::Result<Exchange, ExchangeError> {
        let mut builder = self
            .client
            .request(request.method, &request.url)
            .headers(request.headers)
            .timeout(request.timeout);
        if let Some(body) = request.body {
            builder = builder.body(body);
        }
        let mut response = builder.send().await.map_err(|e| classify(&e))?;
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| classify(&e))? {
            if body.len() + chunk.len() > BODY_CAP {
                return Err(ExchangeError {
                    class: ErrorClass::Protocol,
                    message: format!("the body is over the cap of {} MiB", BODY_CAP >> 20),
                    done: Instant::now(),
                    local: false,
                });
            }
            body.extend_from_slice(&chunk);
        }
        let done = Instant::now();
        let status = response.status().as_u16();
        Ok(Exchange { status, headers: std::mem::take(response.headers_mut()), body: body.freeze(), done })
    }
}

fn classify(error: &reqwest::Error) -> ExchangeError {
    let done = Instant::now();
    let mut class = if error.is_timeout() {
        ErrorClass::Timeout
    } else if error.is_connect() {
        ErrorClass::Connect
    } else if error.is_redirect() || error.is_builder() {
        ErrorClass::Protocol
    } else {
        ErrorClass::Reset
    };
    let mut local = false;
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            // EADDRNOTAVAIL, EMFILE, ENFILE: this side ran out.
            local |= matches!(io.raw_os_error(), Some(99 | 24 | 23));
            if io.get_ref().is_some_and(<dyn std::error::Error + std::marker::Send + std::marker::Sync + 'static >::is::<rustls::Error>) {
                class = ErrorClass::Tls;
            }
        }
        if cause.is::<rustls::Error>() {
            class = ErrorClass::Tls;
        }
        if let Some(hyper) = cause.downcast_ref::<hyper::Error>()
            && (hyper.is_parse() || hyper.is_parse_status())
        {
            class = ErrorClass::Protocol;
        }
        source = cause.source();
    }
    ExchangeError { class, message: chain(error), done, local }
}

/// The causes from the outermost in, without the URL, which may carry secrets.
fn chain(error: &reqwest::Error) -> String {
    let mut parts = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if parts.last().is_none_or(|last: &String| !last.contains(&text)) {
            parts.push(text);
        }
        source = cause.source();
    }
    if parts.is_empty() {
        return if error.is_timeout() { "timed out".into() } else { "request failed".into() };
    }
    parts.join(": ")
}
