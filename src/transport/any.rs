use super::{
    Exchange, ExchangeError, HttpTransport, Lane, Request, Streams, Transport, TransportOptions,
    WireTransport,
};
use crate::error::Result;

/// The transports by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// reqwest.
    Http,
    /// Own HTTP/1.1 over tokio, hyper for HTTP/2: phase times, least CPU.
    Wire,
}

impl Kind {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Wire => "wire",
        }
    }
}

/// Whichever transport was chosen.
pub enum AnyTransport {
    Http(HttpTransport),
    Wire(Box<WireTransport>),
}

impl AnyTransport {
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new(kind: Kind, options: &TransportOptions) -> Result<Self> {
        Ok(match kind {
            Kind::Http => Self::Http(HttpTransport::new(options)?),
            Kind::Wire => Self::Wire(Box::new(WireTransport::new(options)?)),
        })
    }
}

impl Transport for AnyTransport {
    async fn exchange(&self, lane: &Lane, request: &Request) -> std::result::Result<Exchange, ExchangeError> {
        match self {
            // Boxed: its futures are several KB, which each waiting virtual user would hold.
            Self::Http(http) => Box::pin(http.exchange(lane, request)).await,
            Self::Wire(wire) => wire.exchange(lane, request).await,
        }
    }

    fn streams(&self) -> &Streams {
        match self {
            Self::Http(http) => http.streams(),
            Self::Wire(wire) => wire.streams(),
        }
    }
}
