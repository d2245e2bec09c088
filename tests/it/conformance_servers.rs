use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::Barrier;
use tokio_rustls::TlsAcceptor;

/// How many requests the HTTP/2 server wants in flight before it answers `/together`.
pub const TOGETHER: usize = 20;

/// Servers have threads of their own: a transport that blocks its thread cannot stop them.
pub static BACKGROUND: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));

/// One step of what a server does with a connection. After the last it closes in order.
#[derive(Clone, PartialEq)]
pub enum Act {
    /// Reads one request with as much body as its content-length says.
    Request,
    /// Reads one head and leaves the body in the socket.
    Head,
    /// Reads one request and makes a WebSocket of the connection.
    Upgrade,
    /// Reads what comes first, whatever it is.
    Sip,
    /// Reads so many bytes and leaves the rest in the socket.
    Bite(usize),
    /// Reads until one more stream of HTTP/2 has begun.
    Stream,
    Send(Bytes),
    /// Sends the same over and over until the client has gone.
    Flood(Bytes),
    /// Sends pieces of so many bytes, apart in time so that each arrives alone.
    Drip(usize, Bytes),
    /// Milliseconds.
    Pause(u64),
    /// Closes its own direction only.
    Shut,
    /// Reads until the client has closed.
    Hold,
    /// The end is RST, not FIN.
    Reset,
}

#[derive(Clone)]
pub enum Serve {
    /// A script for each connection in turn; the last one for all that follow.
    Scripts(Vec<Vec<Act>>),
    Tls(Arc<ServerConfig>, Vec<Act>),
    /// HTTP/2 and nothing else: every connection that counts is one of HTTP/2.
    Http2(Option<Arc<ServerConfig>>),
    /// A port in use by a socket that does not listen, so that nobody else can come to listen there.
    Refuse,
    /// It listens and never accepts, and its queue is full: a connection is neither made nor refused.
    Full,
}

pub fn scripts(scripts: impl Into<Vec<Vec<Act>>>) -> Serve {
    Serve::Scripts(scripts.into())
}

pub fn send(bytes: impl Into<Bytes>) -> Act {
    Act::Send(bytes.into())
}

pub fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// Requests and answers in turn, as many as that; then it waits for the client to go.
pub fn answers(count: usize, body: &str) -> Vec<Act> {
    let turns = std::iter::repeat_n([Act::Request, send(ok(body))], count).flatten();
    turns.chain([Act::Hold]).collect()
}

#[derive(Clone, Default)]
struct Log {
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<Bytes>>>,
}

pub struct Server {
    pub address: SocketAddr,
    log: Log,
    _refusing: Option<TcpSocket>,
    _full: Option<(TcpListener, Vec<std::net::TcpStream>)>,
}

/// A listener that accepts nobody any more, and those who wait there.
fn full() -> (SocketAddr, TcpListener, Vec<std::net::TcpStream>) {
    let _runtime = BACKGROUND.enter();
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
    let listener = socket.listen(1).expect("listens");
    let address = listener.local_addr().expect("bound");
    let mut waiting = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        waiting.push(stream);
        assert!(waiting.len() < 64, "the queue of a listener with a backlog of 1 does not fill");
    }
    (address, listener, waiting)
}

impl Server {
    pub fn start(serve: &Serve) -> Self {
        let log = Log::default();
        if let Serve::Refuse = serve {
            let socket = TcpSocket::new_v4().expect("a socket");
            socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
            let address = socket.local_addr().expect("bound");
            return Self { address, log, _refusing: Some(socket), _full: None };
        }
        if let Serve::Full = serve {
            let (address, listener, waiting) = full();
            return Self { address, log, _refusing: None, _full: Some((listener, waiting)) };
        }
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("non-blocking");
        let address = listener.local_addr().expect("bound");
        BACKGROUND.spawn(accept(listener, serve.clone(), log.clone()));
        Self { address, log, _refusing: None, _full: None }
    }

    pub fn connections(&self) -> usize {
        self.log.connections.load(Ordering::SeqCst)
    }

    /// Every request read so far, as it came.
    pub fn requests(&self) -> Vec<Bytes> {
        self.log.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn accept(listener: std::net::TcpListener, serve: Serve, log: Log) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let together = Arc::new(Barrier::new(TOGETHER));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let number = log.connections.fetch_add(1, Ordering::SeqCst);
        // A client may leave whenever it likes: how a connection ended here is no finding.
        tokio::spawn(connection(stream, number, serve.clone(), log.clone(), Arc::clone(&together)));
    }
}

async fn connection(
    stream: TcpStream,
    number: usize,
    serve: Serve,
    log: Log,
    together: Arc<Barrier>,
) -> io::Result<()> {
    match serve {
        Serve::Scripts(scripts) => {
            let script = &scripts[number.min(scripts.len() - 1)];
            if script.contains(&Act::Reset) {
                stream.set_zero_linger()?;
            }
            perform(stream, script, &log).await
        }
        Serve::Tls(config, script) => {
            perform(TlsAcceptor::from(config).accept(stream).await?, &script, &log).await
        }
        Serve::Http2(None) => http2(stream, together).await,
        Serve::Http2(Some(config)) => http2(TlsAcceptor::from(config).accept(stream).await?, together).await,
        Serve::Refuse | Serve::Full => Ok(()),
    }
}

async fn perform<S>(mut stream: S, script: &[Act], log: &Log) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut read = BytesMut::new();
    for act in script {
        match act {
            Act::Request | Act::Head => {
                let request = request(&mut stream, &mut read, *act == Act::Request).await?;
                log.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
            }
            Act::Upgrade => {
                let request = request(&mut stream, &mut read, false).await?;
                put(&mut stream, upgraded(&String::from_utf8_lossy(&request)).as_bytes()).await?;
            }
            Act::Sip => drop(stream.read_buf(&mut read).await?),
            Act::Bite(size) => drop(stream.read_exact(&mut vec![0; *size]).await?),
            Act::Stream => stream_begins(&mut stream, &mut read).await?,
            Act::Send(bytes) => put(&mut stream, bytes).await?,
            Act::Flood(bytes) => loop {
                put(&mut stream, bytes).await?;
            },
            Act::Drip(size, bytes) => {
                for piece in bytes.chunks(*size) {
                    put(&mut stream, piece).await?;
                    pause(1).await;
                }
            }
            Act::Pause(milliseconds) => pause(*milliseconds).await,
            Act::Shut => stream.shutdown().await?,
            Act::Hold => while stream.read_buf(&mut read).await? > 0 {},
            Act::Reset => return Ok(()),
        }
    }
    stream.shutdown().await
}

fn upgraded(request: &str) -> String {
    let key = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim().to_owned())
    };
    let key = request.lines().find_map(key).unwrap_or_default();
    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: {accept}\r\n\r\n"
    )
}

pub async fn put(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

async fn pause(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

pub async fn request(
    stream: &mut (impl AsyncRead + Unpin),
    read: &mut BytesMut,
    with_body: bool,
) -> io::Result<Bytes> {
    let head = loop {
        if let Some(at) = read.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        more(stream, read).await?;
    };
    let text = String::from_utf8_lossy(&read[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let whole = head + if with_body { length.unwrap_or(0) } else { 0 };
    while read.len() < whole {
        more(stream, read).await?;
    }
    Ok(read.split_to(whole).freeze())
}

/// Leaves out the client's preface, and every frame before and with the next HEADERS.
async fn stream_begins(stream: &mut (impl AsyncRead + Unpin), read: &mut BytesMut) -> io::Result<()> {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const HEADERS: u8 = 1;
    loop {
        while read.len() < 9 {
            more(stream, read).await?;
        }
        if PREFACE.starts_with(&read[..9]) {
            while read.len() < PREFACE.len() {
                more(stream, read).await?;
            }
            drop(read.split_to(PREFACE.len()));
            continue;
        }
        let (length, kind) = (u32::from_be_bytes([0, read[0], read[1], read[2]]) as usize, read[3]);
        while read.len() < 9 + length {
            more(stream, read).await?;
        }
        drop(read.split_to(9 + length));
        if kind == HEADERS {
            return Ok(());
        }
    }
}

async fn more(stream: &mut (impl AsyncRead + Unpin), read: &mut BytesMut) -> io::Result<()> {
    match stream.read_buf(read).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

async fn http2<S>(stream: S, together: Arc<Barrier>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: hyper::Request<Incoming>| answer(request, Arc::clone(&together)));
    let server = http2::Builder::new(TokioExecutor::new());
    server.serve_connection(TokioIo::new(stream), service).await.map_err(io::Error::other)
}

/// Says what arrived. An error of the service or of its body becomes `RST_STREAM`.
async fn answer(
    request: hyper::Request<Incoming>,
    together: Arc<Barrier>,
) -> io::Result<hyper::Response<impl Body<Data = Bytes, Error = io::Error>>> {
    let (head, body) = request.into_parts();
    let length = body.collect().await.map_err(io::Error::other)?.to_bytes().len();
    let path = head.uri.path_and_query().map_or("", |path| path.as_str());
    let agent = head.headers.get("user-agent").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let text = format!("{} {path} {:?} {agent} {length}", head.method, head.version);
    let mut frames = vec![Ok(Frame::data(Bytes::from(text)))];
    match path {
        "/together" => {
            together.wait().await;
        }
        "/refused" => return Err(io::Error::other("as asked")),
        "/broken" => frames.push(Err(io::Error::other("as asked"))),
        _ => {}
    }
    Ok(hyper::Response::new(StreamBody::new(stream::iter(frames))))
}

/// A certificate authority that nobody trusts until told to.
pub struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn found() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Otherwise it would bear the name of the certificates it signs.
        params.distinguished_name.push(DnType::CommonName, "conformance authority");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        std::fs::write(folder.path().join("roots.pem"), certificate.pem()).expect("writes");
        Self { folder, issuer: Issuer::new(params, key) }
    }

    /// What to give as `ca_file`.
    pub fn roots(&self) -> PathBuf {
        self.folder.path().join("roots.pem")
    }

    /// A certificate and its key for a client, as files.
    pub fn client(&self) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["client".to_owned()]).expect("names");
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let paths = ["client.pem", "client-key.pem"].map(|name| self.folder.path().join(name));
        std::fs::write(&paths[0], certificate.pem()).expect("writes");
        std::fs::write(&paths[1], key.serialize_pem()).expect("writes");
        let [certificate, key] = paths;
        (certificate, key)
    }

    /// As [`Authority::certify`], and only clients with a certificate of this authority are let in.
    pub fn certify_mutual(&self, names: &[&str]) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        let pem = std::fs::read(self.roots()).expect("reads");
        roots
            .add(rustls::pki_types::pem::PemObject::from_pem_slice(&pem).expect("a certificate"))
            .expect("a root");
        let verifier =
            rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .build()
                .expect("a verifier");
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let certificate = CertificateParams::new(names)
            .expect("names")
            .signed_by(&key, &self.issuer)
            .expect("a certificate");
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(verifier)
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )
            .expect("a usable certificate");
        Arc::new(config)
    }

    /// How a server with these names is set up.
    pub fn certify(&self, names: &[&str], alpn: &[&str]) -> Arc<ServerConfig> {
        self.serve_as(&certificate_for(names), alpn)
    }

    /// The same with a certificate that was good once.
    pub fn certify_expired(&self, names: &[&str]) -> Arc<ServerConfig> {
        let mut params = certificate_for(names);
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
        self.serve_as(&params, &[])
    }

    fn serve_as(&self, params: &CertificateParams, alpn: &[&str]) -> Arc<ServerConfig> {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        serve_with(&certificate, &key, alpn)
    }
}

fn certificate_for(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    CertificateParams::new(names).expect("names")
}

/// How a server is set up whose certificate is vouched for by nobody but itself.
pub fn self_signed(names: &[&str]) -> Arc<ServerConfig> {
    let key = KeyPair::generate().expect("a key");
    let certificate = certificate_for(names).self_signed(&key).expect("a certificate");
    serve_with(&certificate, &key, &[])
}

fn serve_with(certificate: &Certificate, key: &KeyPair, alpn: &[&str]) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into())
        .expect("a usable certificate");
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}
