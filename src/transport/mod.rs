//! How one request becomes one exchange. Each transport tells the same failures by the same class; one conformance
//! suite (`tests/it/conformance.rs`) holds all of them to that.

mod any;
mod exchange;
mod failure;
mod http;
mod request;
mod streams;
mod tls;
mod wire;

use std::future::Future;
use std::path::PathBuf;

pub use any::{AnyTransport, Kind};
pub use exchange::{Exchange, ExchangeError, Headers};
pub use request::{Request, Wants};

pub use self::http::HttpTransport;
pub use crate::phases::Phases;
pub use streams::{EventParser, EventStream, Opening, SWITCHED, ServerEvent, Socket, Streams};
pub use tls::{choose_provider, client_config};
pub use wire::{Decoder, Lane, WireTransport};

/// What all requests of a worker share.
#[derive(Clone, Debug, Default)]
pub struct TransportOptions {
    pub signature: Signature,
    /// Accept any certificate.
    pub insecure: bool,
    /// HTTP/2 only: by prior knowledge without TLS. Otherwise a TLS target chooses, and HTTP/1.1 is spoken without TLS.
    pub http2: bool,
    /// Certificates (PEM) to trust beside the machine's own.
    pub ca_file: Option<PathBuf>,
    /// Certificate chain and private key (PEM) that show the target who asks.
    pub client_identity: Option<(PathBuf, PathBuf)>,
}

/// By which whoever runs the target can tell these requests from all others, and stop them.
#[derive(Clone, Debug, Default)]
pub struct Signature {
    pub user_agent: String,
    /// The run's id; empty where there is none.
    pub run: String,
}

impl Signature {
    pub const RUN: &'static str = "loadgate-run";

    /// Headers that every request bears, but for those that it has itself.
    fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [("user-agent", self.user_agent.as_str()), (Self::RUN, self.run.as_str())]
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
    }
}

/// A body larger than this is refused rather than buffered.
pub const BODY_CAP: usize = 16 << 20;

fn over_cap() -> ExchangeError {
    let message = format!("the body is over the cap of {} MiB", BODY_CAP >> 20);
    ExchangeError::new(crate::error_class::ErrorClass::Protocol, message)
}

pub trait Transport {
    /// Sends one request and reads its whole response. No retries, no redirects, no proxy.
    fn exchange(
        &self,
        lane: &Lane,
        request: &Request,
    ) -> impl Future<Output = Result<Exchange, ExchangeError>>;

    /// For what is more than a response.
    fn streams(&self) -> &Streams;
}
