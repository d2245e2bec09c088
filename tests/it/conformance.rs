//! The same misbehaving servers before both transports: the same exchange, or the same error class.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue, Method};
use loadgate::error_class::ErrorClass;
use loadgate::transport::{
    Exchange, ExchangeError, HttpTransport, Lane, Phases, Request, Signature, Transport, TransportOptions,
    WireTransport,
};
use tokio::task::LocalSet;

use crate::conformance_servers::Act::{Drip, Head, Hold, Pause, Reset, Sip};
use crate::conformance_servers::{Act, Authority, Serve, Server, TOGETHER, answers, ok, scripts, send};

const CAP: usize = 16 << 20;
const AGENT: &str = "conformance/1";
const RUN: &str = "run-1";
/// Long enough to leave a deadline out of the matter.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone)]
struct Ask {
    method: Method,
    path: &'static str,
    body: Option<Bytes>,
    timeout: Duration,
    /// A pause before it. Never none: a client may hand a connection back a moment after the exchange.
    after: Duration,
    /// How many at once.
    times: usize,
}

fn ask(method: Method, path: &'static str) -> Ask {
    Ask { method, path, body: None, timeout: PATIENCE, after: Duration::from_millis(20), times: 1 }
}

fn get() -> Ask {
    ask(Method::GET, "/")
}

#[derive(Clone)]
enum Expect {
    Same(u16, Bytes),
    Class(ErrorClass),
}

fn same(status: u16, body: impl Into<Bytes>) -> Expect {
    Expect::Same(status, body.into())
}

const CONNECT: Expect = Expect::Class(ErrorClass::Connect);
const TLS: Expect = Expect::Class(ErrorClass::Tls);
const TIMEOUT: Expect = Expect::Class(ErrorClass::Timeout);
const RESET: Expect = Expect::Class(ErrorClass::Reset);
const PROTOCOL: Expect = Expect::Class(ErrorClass::Protocol);

impl Expect {
    fn met_by(&self, got: &Result<Exchange, ExchangeError>) -> bool {
        match (self, got) {
            (Self::Same(status, body), Ok(got)) => got.status == *status && got.body == *body,
            // No case exhausts this machine, whatever the class.
            (Self::Class(class), Err(got)) => got.class == *class && !got.local,
            _ => false,
        }
    }

    fn tell(&self) -> String {
        match self {
            Self::Same(status, body) => shown(*status, body),
            Self::Class(class) => format!("{class:?}"),
        }
    }
}

fn shown(status: u16, body: &[u8]) -> String {
    format!("{status} with {} bytes {:?}", body.len(), String::from_utf8_lossy(&body[..body.len().min(40)]))
}

fn tell(got: &Result<Exchange, ExchangeError>) -> String {
    match got {
        Ok(exchange) => shown(exchange.status, &exchange.body),
        Err(e) => format!("{:?}{} ({})", e.class, if e.local { ", local" } else { "" }, e.message),
    }
}

fn options() -> TransportOptions {
    let signature = Signature { user_agent: AGENT.into(), run: RUN.into() };
    TransportOptions { signature, ..TransportOptions::default() }
}

struct Case {
    name: &'static str,
    serve: Serve,
    /// Scheme and host; the server's port follows.
    base: &'static str,
    options: TransportOptions,
    asks: Vec<(Ask, Expect)>,
    connections: Option<usize>,
}

impl Case {
    fn new(name: &'static str, serve: Serve, asks: Vec<(Ask, Expect)>) -> Self {
        Self { name, serve, base: "http://127.0.0.1", options: options(), asks, connections: None }
    }

    /// What the server does with the only connection it should see.
    fn script(name: &'static str, script: impl Into<Vec<Act>>, expect: Expect) -> Self {
        Self::new(name, scripts([script.into()]), vec![(get(), expect)]).counts(1)
    }

    /// How the server answers the only request.
    fn answer(name: &'static str, acts: impl Into<Vec<Act>>, expect: Expect) -> Self {
        Self::script(name, [vec![Act::Request], acts.into()].concat(), expect)
    }

    /// The same, and another request has to find the connection fit for use.
    fn kept(name: &'static str, first: Ask, acts: impl Into<Vec<Act>>, expect: Expect) -> Self {
        let script = [vec![Act::Request], acts.into(), vec![Act::Request, send(ok("next")), Hold]].concat();
        Self::new(name, scripts([script]), vec![(first, expect), (get(), same(200, "next"))]).counts(1)
    }

    fn within(mut self, milliseconds: u64) -> Self {
        self.asks[0].0.timeout = Duration::from_millis(milliseconds);
        self
    }

    fn counts(self, connections: usize) -> Self {
        Self { connections: Some(connections), ..self }
    }

    fn at(self, base: &'static str) -> Self {
        Self { base, ..self }
    }
}

fn framing() -> Vec<Case> {
    let split = "HTTP/1.1 200 OK\r\ncontent-length: 11\r\nx-split: a, b\r\n\r\nhello world";
    let (head, body) = split.split_at(split.len() - 11);
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
                   5;name=value\r\nhello\r\n6;alone\r\n world\r\n0\r\nx-sum: 1\r\nx-more: 2\r\n\r\n";
    let old = "HTTP/1.0 200 OK\r\nserver: old\r\n\r\nhello";
    // The server would go on: it is the client who has to leave.
    let leave = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 4\r\n\r\nbye!";
    let untold = "HTTP/1.1 304 Not Modified\r\ncontent-length: 10\r\n\r\n";
    let many = "HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig";
    let upload = Ask { body: Some(vec![b'u'; 4 << 20].into()), ..ask(Method::POST, "/upload") };
    let idle = Ask { after: Duration::from_millis(100), ..get() };
    let bytewise = |bytes: &'static str| Drip(1, bytes.into());
    let told = || send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n");
    let hints = send(format!("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n{}", ok("late")));
    let world = || same(200, "hello world");
    vec![
        Case::kept("keep-alive", get(), [send(ok("first"))], same(200, "first")),
        Case::new(
            "connection: close",
            scripts([vec![Act::Request, send(leave), Hold]]),
            vec![(get(), same(200, "bye!")), (get(), same(200, "bye!"))],
        )
        .counts(2),
        Case::answer("HTTP/1.0 without length", [send(old), Pause(20), send(" world")], world()),
        Case::kept("body byte by byte", get(), [send(head), bytewise(body)], world()),
        Case::kept("all byte by byte", get(), [bytewise(split)], world()),
        Case::kept("empty body", get(), [send(ok(""))], same(200, "")),
        Case::kept("chunked", get(), [send(chunked)], world()),
        Case::kept("chunked in threes", get(), [Drip(3, chunked.into())], world()),
        Case::kept("chunked byte by byte", get(), [bytewise(chunked)], world()),
        Case::kept("204", get(), [send("HTTP/1.1 204 No Content\r\n\r\n")], same(204, "")),
        Case::kept("304", get(), [send("HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n")], same(304, "")),
        Case::kept("304 with a length all the same", get(), [send(untold)], same(304, "")),
        Case::kept("HEAD", ask(Method::HEAD, "/"), [told()], same(200, "")),
        Case::kept(
            "100, then 200",
            get(),
            [send("HTTP/1.1 100 Continue\r\n\r\n"), Pause(20), send(ok("late"))],
            same(200, "late"),
        ),
        Case::kept("103, and 200 with it", get(), [hints], same(200, "late")),
        Case::new(
            "answer before the body is read",
            scripts([vec![Head, send(many), Pause(1000)]]),
            vec![(upload, same(413, "big"))],
        )
        .counts(1),
        Case::new(
            "kept connection closed while idle",
            scripts([vec![Act::Request, send(ok("one"))], vec![Act::Request, send(ok("two")), Hold]]),
            vec![(get(), same(200, "one")), (idle, same(200, "two"))],
        )
        .counts(2),
    ]
}

fn limits() -> Vec<Case> {
    let plain = |head: &str| send(format!("HTTP/1.1 200 OK\r\n{head}content-length: 2\r\n\r\nok"));
    // The length is one of them.
    let headers = |count: usize| (1..count).map(|n| format!("x-{n}: {n}\r\n")).collect::<Vec<_>>().concat();
    let large = |size: usize| format!("x-large-{size}: {}\r\n", "v".repeat(size));
    // hyper looks at the size only while a head is incomplete: one read may bring the end of a larger one.
    let endless = (0..30).fold("HTTP/1.1 200 OK\r\n".to_owned(), |head, n| head + &large((16 << 10) + n));
    let full = |size: usize| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n");
        send([head.into_bytes(), vec![b'x'; size]].concat())
    };
    let over = [b"100000\r\n".to_vec(), vec![b'x'; 1 << 20], b"\r\n".to_vec()].concat().repeat(17);
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let size = |text: &str| [send(format!("{chunked}{text}")), Hold];
    vec![
        Case::kept("header of 64 KiB", get(), [plain(&large(64 << 10))], same(200, "ok")),
        Case::answer("head of 480 KiB", [send(endless), Hold], PROTOCOL),
        Case::kept("100 headers", get(), [plain(&headers(100))], same(200, "ok")),
        Case::answer("101 headers", [plain(&headers(101)), Hold], PROTOCOL),
        Case::kept("body as large as the cap", get(), [full(CAP)], same(200, vec![b'x'; CAP])),
        Case::answer("body over the cap, by length", [full(CAP + 1), Hold], PROTOCOL),
        Case::answer("body over the cap, by chunks", [send(chunked), send(over), Hold], PROTOCOL),
        Case::answer("two lengths", [plain("content-length: 3\r\n"), Hold], PROTOCOL),
        Case::answer("no status line", [send("SSH-2.0-OpenSSH_9.9\r\n\r\n"), Hold], PROTOCOL),
        Case::answer("chunk size that is none", size("xyz\r\nhello\r\n"), PROTOCOL),
        Case::answer("chunk size over 64 bits", size("fffffffffffffffff\r\nhello\r\n"), PROTOCOL),
        Case::answer("chunk longer than its size", size("2\r\nhello\r\n0\r\n\r\n"), PROTOCOL),
    ]
}

fn failures() -> Vec<Case> {
    let partial = "HTTP/1.1 200 OK\r\ncontent-le";
    let short = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello";
    let chunk = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\nhello";
    let endless = "HTTP/1.0 200 OK\r\n\r\nhello";
    // The client has read what came before the end; RST would throw it away.
    let cut = |text: &'static str| [send(text), Pause(30), Reset];
    vec![
        Case::new("refused", Serve::Refuse, vec![(get(), CONNECT)]),
        Case::new("no such name", Serve::Refuse, vec![(get(), CONNECT)]).at("http://no-such-host.invalid"),
        Case::answer("reset before the answer", [Reset], RESET),
        Case::answer("reset in the head", cut(partial), RESET),
        Case::answer("reset in the body", cut(short), RESET),
        Case::answer("reset in a chunk", cut(chunk), RESET),
        Case::answer("reset in a body without length", cut(endless), RESET),
        Case::answer("closed before the answer", [], RESET),
        Case::answer("closed in the head", [send(partial)], RESET),
        Case::answer("closed in the body", [send(short)], RESET),
        Case::answer("closed in a chunk", [send(chunk)], RESET),
        Case::new(
            "kept connection closed instead of the second answer",
            scripts([vec![Act::Request, send(ok("one")), Act::Request]]),
            vec![(get(), same(200, "one")), (get(), RESET)],
        )
        .counts(1),
        Case::answer("stuck before the answer", [Hold], TIMEOUT).within(300),
        Case::answer("stuck in the head", [send(partial), Hold], TIMEOUT).within(300),
        Case::answer("stuck in the body", [send(short), Hold], TIMEOUT).within(300),
        Case::answer("stuck in a chunk", [send(chunk), Hold], TIMEOUT).within(300),
        Case::script("stuck in the TLS handshake", [Hold], TIMEOUT).at("https://127.0.0.1").within(300),
    ]
}

fn tls(authority: &Authority) -> Vec<Case> {
    let names = ["localhost", "127.0.0.1"];
    let secure = |name, names: &[&str], asks| {
        Case::new(name, Serve::Tls(authority.certify(names, &[]), answers(2, "safe")), asks)
            .at("https://localhost")
    };
    let trusting = |mut case: Case| {
        case.options.ca_file = Some(authority.roots());
        case
    };
    let insecure = |mut case: Case| {
        case.options.insecure = true;
        case
    };
    let good = || vec![(get(), same(200, "safe")), (get(), same(200, "safe"))];
    let mut short = secure("TLS, closed in the body", &names, vec![(get(), RESET)]);
    let cut = vec![Act::Request, send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello")];
    short.serve = Serve::Tls(authority.certify(&names, &[]), cut);
    vec![
        trusting(secure("TLS", &names, good()).counts(1)),
        trusting(secure("TLS to an address", &names, good()).at("https://127.0.0.1")),
        secure("TLS, nobody vouches", &names, vec![(get(), TLS)]),
        trusting(secure("TLS, another's name", &["other.example"], vec![(get(), TLS)])),
        insecure(secure("TLS, another's name, insecure", &["other.example"], good())),
        Case::script("TLS, plain answer", [Sip, send(ok("plain")), Hold], TLS).at("https://127.0.0.1"),
        Case::script("TLS, closed in the handshake", [Sip], TLS).at("https://127.0.0.1"),
        trusting(short),
    ]
}

fn http2(authority: &Authority) -> Vec<Case> {
    let case = |name, config, base| {
        let upload = Ask { body: Some(vec![b'u'; 100_000].into()), ..ask(Method::POST, "/upload") };
        // By then it is known which protocol the server speaks.
        let many = Ask { times: TOGETHER, ..ask(Method::GET, "/together") };
        let asks = vec![
            (ask(Method::GET, "/a?b=c"), same(200, "GET /a?b=c HTTP/2.0 conformance/1 0")),
            (upload, same(200, "POST /upload HTTP/2.0 conformance/1 100000")),
            (many, same(200, "GET /together HTTP/2.0 conformance/1 0")),
            (ask(Method::GET, "/refused"), RESET),
            (ask(Method::GET, "/broken"), RESET),
            (ask(Method::GET, "/after"), same(200, "GET /after HTTP/2.0 conformance/1 0")),
        ];
        let mut case = Case::new(name, Serve::Http2(config), asks).at(base).counts(1);
        case.options.ca_file = Some(authority.roots());
        case
    };
    let only = |mut case: Case| {
        case.options.http2 = true;
        case
    };
    let secure = || Some(authority.certify(&["localhost"], &["h2", "http/1.1"]));
    vec![
        case("HTTP/2 by ALPN", secure(), "https://localhost"),
        only(case("HTTP/2 only, by ALPN", secure(), "https://localhost")),
        only(case("HTTP/2 in clear", None, "http://127.0.0.1")),
    ]
}

type Fields = Vec<(String, HeaderValue)>;

/// What was different, and the headers of every exchange.
async fn observe(case: &Case, name: &str, transport: impl Transport) -> (Vec<String>, Vec<Fields>) {
    let (server, lane) = (Server::start(&case.serve), Lane::shared());
    let (mut differences, mut heads) = (Vec::new(), Vec::new());
    for (n, (ask, expect)) in case.asks.iter().enumerate() {
        tokio::time::sleep(ask.after).await;
        let which = format!("{}: {name}, request {}", case.name, n + 1);
        let url = format!("{}:{}{}", case.base, server.address.port(), ask.path);
        let request = Request::new(ask.method.clone(), &url, HeaderMap::new(), ask.body.clone(), ask.timeout);
        let request = request.expect("a request");
        let exchanges = join_all((0..ask.times).map(|_| transport.exchange(&lane, &request)));
        let Ok(all) = tokio::time::timeout(ask.timeout + Duration::from_secs(3), exchanges).await else {
            differences.push(format!("{which}: does not keep its timeout"));
            break;
        };
        if let Some(got) = all.iter().find(|got| !expect.met_by(got)) {
            differences.push(format!("{which}: {} expected, {}", expect.tell(), tell(got)));
        }
        heads.extend(all.iter().flatten().map(headers));
    }
    let connections = server.connections();
    if let Some(expected) = case.connections.filter(|expected| *expected != connections) {
        differences.push(format!("{}: {name}: {expected} connections expected, {connections}", case.name));
    }
    (differences, heads)
}

/// Those of the message, not of the connection, in a definite order.
fn headers(exchange: &Exchange) -> Fields {
    let mut headers: Vec<_> = (exchange.headers.map().iter())
        .map(|(name, value)| (name.to_string(), value.clone()))
        .filter(|(name, _)| !["connection", "transfer-encoding", "date"].contains(&name.as_str()))
        .collect();
    headers.sort_by(|a, b| a.0.cmp(&b.0));
    headers
}

async fn compare(case: &Case) -> Vec<String> {
    let ((mut differences, http), (more, wire)) = tokio::join!(
        observe(case, "http", HttpTransport::new(&case.options).expect("a transport")),
        observe(case, "wire", WireTransport::new(&case.options).expect("a transport")),
    );
    differences.extend(more);
    if differences.is_empty() && http != wire {
        let [http, wire] =
            [http, wire].map(|heads| format!("{heads:?}").chars().take(400).collect::<String>());
        differences.push(format!("{}: headers differ:\n  http {http}\n  wire {wire}", case.name));
    }
    differences
}

#[tokio::test]
async fn both_transports_tell_the_same() {
    let authority = Authority::found();
    let cases = [framing(), limits(), failures(), tls(&authority), http2(&authority)];
    let cases: Vec<Case> = cases.into_iter().flatten().collect();
    let differences = LocalSet::new().run_until(join_all(cases.iter().map(compare))).await.concat();
    assert!(differences.is_empty(), "of {} cases:\n{}", cases.len(), differences.join("\n"));
}

#[tokio::test]
async fn the_server_sees_what_was_asked() {
    let run = async {
        see("http", HttpTransport::new(&options()).expect("a transport")).await;
        see("wire", WireTransport::new(&options()).expect("a transport")).await;
    };
    LocalSet::new().run_until(run).await;
}

async fn see(name: &str, transport: impl Transport) {
    let server = Server::start(&scripts([answers(2, "seen")]));
    let lane = Lane::shared();
    let url = format!("http://{}/a%2Fb/c?d=e%20f&g=", server.address);
    let mut headers = HeaderMap::new();
    for (name, value) in [("x-twice", "one"), ("x-twice", "two"), ("content-type", "application/json")] {
        headers.append(name, HeaderValue::from_static(value));
    }
    let body = Bytes::from((0..5000u32).map(|n| (n % 251) as u8).collect::<Vec<u8>>());
    for (method, headers, body) in
        [(Method::PUT, headers, Some(body.clone())), (Method::POST, HeaderMap::new(), None)]
    {
        let request = Request::new(method, &url, headers, body, PATIENCE).expect("a request");
        let exchange = transport.exchange(&lane, &request).await;
        assert_eq!(exchange.map(|exchange| exchange.status).ok(), Some(200), "{name}");
    }
    let seen = server.requests();
    let [put, post] = seen.as_slice() else { panic!("{name}: {} requests", seen.len()) };
    let (head, rest) = put.split_at(put.windows(4).position(|w| w == b"\r\n\r\n").expect("a head") + 4);
    assert!(rest == body, "{name}: the body is not what was sent");
    let (put, post) = (String::from_utf8_lossy(head), String::from_utf8_lossy(post));
    assert_eq!(put.lines().next(), Some("PUT /a%2Fb/c?d=e%20f&g= HTTP/1.1"), "{name}");
    assert_eq!(post.lines().next(), Some("POST /a%2Fb/c?d=e%20f&g= HTTP/1.1"), "{name}");
    let (host, length) = (server.address.to_string(), body.len().to_string());
    for (header, expected) in [
        ("host", vec![host.as_str()]),
        ("user-agent", vec![AGENT]),
        ("loadgate-run", vec![RUN]),
        ("x-twice", vec!["one", "two"]),
        ("content-type", vec!["application/json"]),
        ("content-length", vec![length.as_str()]),
        ("transfer-encoding", vec![]),
    ] {
        assert_eq!(values(&put, header), expected, "{name}: {header}");
    }
    let length = values(&post, "content-length");
    assert!(length.is_empty() || length == ["0"], "{name}: {length:?}");
    assert!(values(&post, "transfer-encoding").is_empty(), "{name}: a body where none was asked");
    assert_eq!(
        (values(&post, "host"), values(&post, "user-agent")),
        (vec![host.as_str()], vec![AGENT]),
        "{name}"
    );
}

fn values<'a>(head: &'a str, header: &str) -> Vec<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.filter(|(name, _)| name.eq_ignore_ascii_case(header)).map(|(_, value)| value.trim()).collect()
}

#[tokio::test]
async fn a_lane_of_ones_own_keeps_its_connection() {
    let run = async {
        let server = Server::start(&scripts([answers(3, "mine")]));
        let transport = WireTransport::new(&TransportOptions::default()).expect("a transport");
        let lanes = [Lane::shared(), Lane::own(), Lane::own()];
        for round in 0..3 {
            for lane in &lanes {
                let got = phases(&transport, lane, &format!("http://{}/", server.address)).await;
                assert_eq!(got.connect_ns.is_some(), round == 0, "round {round}");
            }
        }
        assert_eq!(server.connections(), lanes.len());
    };
    LocalSet::new().run_until(run).await;
}

async fn phases(transport: &WireTransport, lane: &Lane, url: &str) -> Phases {
    let request = Request::new(Method::GET, url, HeaderMap::new(), None, PATIENCE).expect("a request");
    let exchange = transport.exchange(lane, &request).await.expect("an exchange");
    assert_eq!(exchange.status, 200);
    tokio::time::sleep(Duration::from_millis(20)).await;
    exchange.phases
}

#[tokio::test]
async fn the_wire_tells_where_the_time_went() {
    let authority = Authority::found();
    let options = TransportOptions { ca_file: Some(authority.roots()), ..TransportOptions::default() };
    let run = async {
        let transport = WireTransport::new(&options).expect("a transport");
        let lane = Lane::shared();

        let server = Server::start(&scripts([answers(2, "ok")]));
        let url = format!("http://{}/", server.address);
        let (first, second) = (phases(&transport, &lane, &url).await, phases(&transport, &lane, &url).await);
        assert!(first.connect_ns.is_some() && second.connect_ns.is_none());
        assert_eq!((first.dns_ns, first.tls_ns, second.dns_ns, second.tls_ns), (None, None, None, None));

        let server = Server::start(&scripts([vec![Act::Request, send(ok("ok")), Hold]]));
        let named = phases(&transport, &lane, &format!("http://localhost:{}/", server.address.port())).await;
        assert!(named.dns_ns.is_some() && named.connect_ns.is_some());

        let config = authority.certify(&["localhost"], &[]);
        let server = Server::start(&Serve::Tls(config, answers(1, "ok")));
        let secure =
            phases(&transport, &lane, &format!("https://localhost:{}/", server.address.port())).await;
        assert!(secure.tls_ns.is_some() && secure.connect_ns.is_some());

        let (start, end) = ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no", "k");
        let slow = vec![Act::Request, Pause(100), send(start), Pause(100), send(end), Hold];
        let server = Server::start(&scripts([slow]));
        let slow = phases(&transport, &lane, &format!("http://{}/", server.address)).await;
        assert!(slow.first_byte_ns.is_some_and(|ns| ns >= 90_000_000), "{:?}", slow.first_byte_ns);
        assert!(slow.body_ns.is_some_and(|ns| ns >= 50_000_000), "{:?}", slow.body_ns);
    };
    LocalSet::new().run_until(run).await;
}
