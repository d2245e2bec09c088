use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error_class::ErrorClass;
use crate::logging::{Level, log};
use crate::transport::failure::classify;
use crate::transport::{ExchangeError, Phases, Request};

/// A connection to the target.
pub struct Connection {
    pub io: Io,
    pub is_http2: bool,
    /// Kept from request to request: it is set again only when it has gone off, or is set too late.
    pub timer: Option<Pin<Box<tokio::time::Sleep>>>,
}

pub enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    /// Whether nothing has come since the last response: neither its end nor bytes that nobody asked for.
    pub fn is_quiet(&mut self, scratch: &RefCell<Box<[u8]>>) -> bool {
        let mut scratch = scratch.borrow_mut();
        let mut context = Context::from_waker(Waker::noop());
        Pin::new(&mut self.io).poll_read(&mut context, &mut ReadBuf::new(&mut scratch)).is_pending()
    }
}

/// Opens a connection; the time of each phase with it.
pub async fn dial(
    request: &Request,
    tls: &Arc<rustls::ClientConfig>,
    http2: bool,
) -> Result<(Connection, Phases), ExchangeError> {
    let dialed = open(request, tls, http2).await;
    log(Level::Debug, "connect", || {
        let (host, port) = request.endpoint();
        match &dialed {
            Ok((connection, phases)) => {
                let phases = [("DNS", phases.dns_ns), ("connect", phases.connect_ns), ("TLS", phases.tls_ns)];
                let told = phases.map(|(name, ns)| ns.map(|ns| format!("{name} {} us", ns / 1000)));
                let told: Vec<String> = told.into_iter().flatten().collect();
                let version = if connection.is_http2 { "HTTP/2" } else { "HTTP/1.1" };
                format!("{host}:{port}: {}, {version}", told.join(", "))
            }
            Err(error) => format!("{host}:{port}: {}: {}", error.class.name(), error.message),
        }
    });
    dialed
}

async fn open(
    request: &Request,
    tls: &Arc<rustls::ClientConfig>,
    http2: bool,
) -> Result<(Connection, Phases), ExchangeError> {
    let (host, port) = request.endpoint();
    let mut phases = Phases::default();
    let from = Instant::now();
    let addresses: Vec<SocketAddr> = if let Ok(ip) = host.parse::<IpAddr>() {
        vec![(ip, port).into()]
    } else {
        let found = tokio::net::lookup_host((host, port)).await;
        phases.dns_ns = Some(from.elapsed().as_nanos() as u64);
        found.map_err(|e| failed("dns", &e))?.collect()
    };
    let from = Instant::now();
    let stream = connect(&addresses).await?;
    phases.connect_ns = Some(from.elapsed().as_nanos() as u64);
    if !request.is_tls() {
        return Ok((Connection { io: Io::Plain(stream), is_http2: http2, timer: None }, phases));
    }
    let from = Instant::now();
    let name = ServerName::try_from(host.to_owned())
        .map_err(|e| ExchangeError::new(ErrorClass::Tls, format!("`{host}`: {e}")))?;
    let stream = TlsConnector::from(tls.clone())
        .connect(name, stream)
        .await
        .map_err(|e| classify(&e, ErrorClass::Connect))?;
    phases.tls_ns = Some(from.elapsed().as_nanos() as u64);
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    if http2 && !is_http2 {
        return Err(ExchangeError::new(ErrorClass::Tls, "the target does not offer HTTP/2"));
    }
    Ok((Connection { io: Io::Tls(Box::new(stream)), is_http2, timer: None }, phases))
}

const FIRST_ADDRESSES: Duration = Duration::from_millis(300);

/// The first address that answers; where none does, why the last did not.
async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, ExchangeError> {
    let mut last = ExchangeError::new(ErrorClass::Connect, "the name has no address");
    for (i, address) in addresses.iter().enumerate() {
        let connecting = TcpStream::connect(address);
        // An address that swallows packets must not use up the time of the ones after it.
        let connected = if i + 1 == addresses.len() {
            connecting.await
        } else {
            let late = || std::io::Error::from(std::io::ErrorKind::TimedOut);
            tokio::time::timeout(FIRST_ADDRESSES, connecting).await.unwrap_or_else(|_| Err(late()))
        };
        match connected.and_then(|stream| stream.set_nodelay(true).map(|()| stream)) {
            Ok(stream) => return Ok(stream),
            Err(e) => last = failed("tcp connect error", &e),
        }
    }
    Err(last)
}

fn failed(what: &str, error: &std::io::Error) -> ExchangeError {
    let mut failure = classify(error, ErrorClass::Connect);
    failure.class = ErrorClass::Connect;
    failure.message = format!("{what}: {}", failure.message);
    failure
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
