//! What the faults are made of beneath HTTP/1.1: frames of HTTP/2, a target that dies, names that nobody answers for.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use tempfile::TempDir;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::conformance_servers::{BACKGROUND, ok, put, request};

/// One frame of HTTP/2 (RFC 9113 §4.1).
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
/// `:status 200`, by its index.
pub const OK: &[u8] = &[0x88];

/// What a server begins with.
pub fn settings() -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[])
}

/// Nothing beyond the stream `last` was looked at.
pub fn goaway(last: u32, code: u32) -> Vec<u8> {
    frame(7, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
}

pub fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(3, 0, stream, &code.to_be_bytes())
}

pub fn answer(stream: u32) -> Vec<u8> {
    [frame(HEADERS, END_HEADERS, stream, OK), frame(DATA, END_STREAM, stream, b"ok")].concat()
}

/// Answers so many requests. With the next one its port is closed, and all of its connections are reset.
pub struct Mortal {
    pub address: SocketAddr,
    asked: Arc<AtomicUsize>,
    /// Keeps the port after its death: another test's server must not be met there.
    _port: TcpSocket,
}

impl Mortal {
    pub fn start(lifetime: usize) -> Self {
        let _runtime = BACKGROUND.enter();
        let bound = |address: SocketAddr| {
            let socket = TcpSocket::new_v4().expect("a socket");
            socket.set_reuseport(true).expect("a port for two");
            socket.bind(address).expect("a port");
            socket
        };
        let socket = bound(([127, 0, 0, 1], 0).into());
        let address = socket.local_addr().expect("bound");
        let port = bound(address);
        let listener = socket.listen(1024).expect("listens");
        let (asked, dead) = (Arc::<AtomicUsize>::default(), Arc::<Notify>::default());
        let counted = asked.clone();
        BACKGROUND.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    () = dead.notified() => break,
                    accepted = listener.accept() => {
                        let (stream, _) = accepted.expect("accepts");
                        connections.spawn(live(stream, lifetime, counted.clone(), dead.clone()));
                    }
                }
            }
            // Who is reset and comes back at once must find nobody.
            drop(listener);
            connections.shutdown().await;
        });
        Self { address, asked, _port: port }
    }

    /// The one that killed it is one of them.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn live(
    mut stream: TcpStream,
    lifetime: usize,
    asked: Arc<AtomicUsize>,
    dead: Arc<Notify>,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_zero_linger()?;
    let mut read = BytesMut::new();
    loop {
        request(&mut stream, &mut read, true).await?;
        if asked.fetch_add(1, Ordering::SeqCst) >= lifetime {
            dead.notify_one();
            std::future::pending::<()>().await;
        }
        put(&mut stream, ok("alive").as_bytes()).await?;
    }
}

/// Names are asked for at an address that takes questions and never answers.
pub struct SilentNames {
    folder: TempDir,
    flag: &'static str,
    _socket: UdpSocket,
}

/// A resolver's timeout that no test waits for.
pub const NAMES_TIMEOUT: Duration = Duration::from_secs(25);

impl SilentNames {
    /// # Errors
    /// Why this machine does not let a test do that.
    pub fn new() -> Result<Self, String> {
        // The port is fixed, the address is not: nobody else's server is met there.
        let socket = UdpSocket::bind("127.53.53.53:53").map_err(|e| format!("127.53.53.53:53: {e}"))?;
        let folder = tempfile::tempdir().expect("a folder");
        let seconds = NAMES_TIMEOUT.as_secs();
        let text = format!("nameserver 127.53.53.53\noptions timeout:{seconds} attempts:1\n");
        std::fs::write(folder.path().join("resolv.conf"), text).expect("writes");
        let mut own = Self { folder, flag: "-m", _socket: socket };
        let works = |own: &Self| own.within(Path::new("/"), &Command::new("true")).status();
        for flag in ["-m", "-rm"] {
            own.flag = flag;
            if works(&own).is_ok_and(|status| status.success()) {
                return Ok(own);
            }
        }
        Err("`unshare` cannot give a process a resolv.conf of its own here".to_owned())
    }

    /// The same command, with these names and nobody else's.
    pub fn within(&self, folder: &Path, own: &Command) -> Command {
        let mut command = Command::new("unshare");
        let script = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
        command
            .args([self.flag, "sh", "-c", script])
            .arg(self.folder.path().join("resolv.conf"))
            .arg(own.get_program())
            .args(own.get_args())
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        for (name, value) in own.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }
}
