//! Own HTTP/1.1 over tokio, and hyper for HTTP/2: every phase is seen, and a request costs little of this machine.

mod codec;
mod connection;
mod http1;
mod http2;
mod pool;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;

pub use codec::{Decoder, MOST_HEADERS};
use connection::Connection;
pub use connection::{Io, dial};
pub use pool::Lane;
use pool::Pool;

use super::{Exchange, ExchangeError, Request, Signature, Streams, Transport, TransportOptions, tls};
use crate::error::Result;
use crate::error_class::ErrorClass;

/// One worker's connections.
pub struct WireTransport {
    signature: Signature,
    http2: bool,
    tls: Arc<rustls::ClientConfig>,
    pool: RefCell<Pool>,
    /// What is read from any connection passes through here, so that a waiting one needs no memory of its own.
    scratch: RefCell<Box<[u8]>>,
    dialing: Semaphore,
    streams: Streams,
}

/// Connections that one worker opens at once. Many more would flood the target's queue of them, and be answered late for
/// that alone.
const MOST_DIALS: usize = 256;

impl WireTransport {
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new(options: &TransportOptions) -> Result<Self> {
        Ok(Self {
            signature: options.signature.clone(),
            http2: options.http2,
            tls: Arc::new(tls::client_config(options)?),
            pool: RefCell::default(),
            scratch: RefCell::new(vec![0; 64 << 10].into_boxed_slice()),
            dialing: Semaphore::new(MOST_DIALS),
            streams: Streams::new(options)?,
        })
    }

    fn pool<'a>(&'a self, lane: &'a Lane) -> &'a RefCell<Pool> {
        lane.own_pool().unwrap_or(&self.pool)
    }

    /// A target that ends a connection in an orderly way tells which requests it has not looked at: these go out once more,
    /// on a new one.
    async fn over_http2(
        &self,
        pool: &RefCell<Pool>,
        sender: http2::Sender,
        request: &Request,
        phases: super::Phases,
    ) -> std::result::Result<Exchange, ExchangeError> {
        match http2::exchange(sender, request, &self.signature, phases).await {
            Err(http2::Failure { unseen: true, .. }) => match self.open(pool, request).await? {
                (Line::Http2(sender), phases) => http2::exchange(sender, request, &self.signature, phases)
                    .await
                    .map_err(|failure| failure.error),
                (Line::Http1(_), _) => {
                    Err(ExchangeError::new(ErrorClass::Protocol, "the target no longer speaks HTTP/2"))
                }
            },
            other => other.map_err(|failure| failure.error),
        }
    }

    /// A connection for a request that finds none idle: a new one, or one that is given back before its turn to open
    /// one comes. Whatever the target speaks on it.
    async fn open(&self, pool: &RefCell<Pool>, request: &Request) -> Opened {
        let mut given_back = pool.borrow_mut().wait(request);
        let _permit = tokio::select! {
            biased;
            Ok(connection) = &mut given_back => return Ok((Line::Http1(*connection), super::Phases::default())),
            permit = self.dialing.acquire() => permit,
        };
        given_back.close();
        if let Ok(connection) = given_back.try_recv() {
            return Ok((Line::Http1(*connection), super::Phases::default()));
        }
        let negotiates = self.http2 || request.is_tls();
        // One request finds out what the target speaks; the others then share its HTTP/2 connection, or open their own.
        let gate =
            (negotiates && !pool.borrow().speaks_http1(request)).then(|| pool.borrow_mut().gate(request));
        let guard = match &gate {
            Some(gate) => Some(gate.lock().await),
            None => None,
        };
        // Whoever waited while another found out need not go one after the other.
        let _guard = guard.filter(|_| !pool.borrow().speaks_http1(request));
        if let Some(sender) = pool.borrow_mut().http2(request) {
            return Ok((Line::Http2(sender), super::Phases::default()));
        }
        let (connection, phases) = dial(request, &self.tls, self.http2).await?;
        if connection.is_http2 {
            let sender = http2::handshake(connection.io).await?;
            pool.borrow_mut().keep_http2(request, sender.clone());
            return Ok((Line::Http2(sender), phases));
        }
        pool.borrow_mut().note_http1(request);
        Ok((Line::Http1(connection), phases))
    }
}

type Opened = std::result::Result<(Line, super::Phases), ExchangeError>;

/// What a request goes out on.
pub enum Line {
    /// For this request alone, until it is given back.
    Http1(Connection),
    /// Shared with any number of others.
    Http2(http2::Sender),
}

fn timed_out() -> ExchangeError {
    ExchangeError::new(ErrorClass::Timeout, "timed out")
}

impl Transport for WireTransport {
    async fn exchange(&self, lane: &Lane, request: &Request) -> std::result::Result<Exchange, ExchangeError> {
        let deadline = Instant::now() + request.timeout;
        let pool = self.pool(lane);
        let kept = pool.borrow_mut().kept(request, &self.scratch);
        let (line, phases) = match kept {
            Some(line) => (line, super::Phases::default()),
            // Boxed: opening is rare, and its state large.
            None => Box::pin(tokio::time::timeout_at(deadline.into(), self.open(pool, request)))
                .await
                .map_err(|_| timed_out())??,
        };
        match line {
            Line::Http1(mut connection) => {
                let bytes = request.encoded.get_or_init(|| codec::encode(request, &self.signature));
                let (mut exchange, reusable) =
                    http1::converse(&mut connection, bytes, request, &self.scratch, deadline).await?;
                if reusable {
                    pool.borrow_mut().give(request, connection);
                }
                exchange.phases = super::Phases {
                    first_byte_ns: exchange.phases.first_byte_ns,
                    body_ns: exchange.phases.body_ns,
                    ..phases
                };
                Ok(exchange)
            }
            Line::Http2(sender) => {
                let asked = self.over_http2(pool, sender, request, phases);
                Box::pin(tokio::time::timeout_at(deadline.into(), asked)).await.map_err(|_| timed_out())?
            }
        }
    }

    fn streams(&self) -> &Streams {
        &self.streams
    }
}
