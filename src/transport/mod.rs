//! How one request becomes one exchange. Each transport tells the same failures by the same class.

mod http;

use std::future::Future;
use std::time::{Duration, Instant};

use ::http::{HeaderMap, Method};
use bytes::Bytes;

pub use self::http::{HttpTransport, TransportOptions};
use crate::error_class::ErrorClass;

/// A request ready to be sent.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    /// Absolute.
    pub url: String,
    pub headers: HeaderMap,
    pub body: Option<Bytes>,
    /// From the connection's acquisition to the last byte.
    pub timeout: Duration,
}

/// A complete response.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// When the last byte of the body was read.
    pub done: Instant,
}

/// No complete response.
#[derive(Clone, Debug)]
pub struct ExchangeError {
    pub class: ErrorClass,
    pub message: String,
    pub done: Instant,
    /// This machine ran out of descriptors or ports: the target is not to blame.
    pub local: bool,
}

pub trait Transport {
    /// Sends one request and reads its whole response.
    fn exchange(&self, request: Request) -> impl Future<Output = Result<Exchange, ExchangeError>>;
}
