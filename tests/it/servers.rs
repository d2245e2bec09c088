use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, LazyLock, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::support::{Ran, json, loadgate, results, run};

static BACKGROUND: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));

/// A small real service on a free port of loopback; ends with this.
pub struct Service {
    pub url: String,
    log: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Service {
    pub fn start(router: Router) -> Self {
        Self::serve(router, None)
    }

    pub fn start_tls(router: Router, config: Arc<ServerConfig>) -> Self {
        Self::serve(router, Some(config))
    }

    fn serve(router: Router, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("non-blocking");
        let port = listener.local_addr().expect("bound").port();
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = log.clone();
        let router = router.layer(from_fn(move |request: Request, next: Next| {
            seen.lock().unwrap().push(format!("{} {}", request.method(), request.uri()));
            async move {
                let response: Response = next.run(request).await;
                response
            }
        }));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let task = BACKGROUND.spawn(async move {
            let listener = TcpListener::from_std(listener).expect("a listener");
            match tls {
                None => axum::serve(listener, router).await.expect("serves"),
                Some(config) => {
                    let listener = TlsListener { listener, acceptor: TlsAcceptor::from(config) };
                    axum::serve(listener, router).await.expect("serves");
                }
            }
        });
        Self { url: format!("{scheme}://localhost:{port}"), log, task }
    }

    /// Every request so far, as `METHOD /path?query`.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    pub fn count(&self, request: &str) -> usize {
        self.log().iter().filter(|own| own.as_str() == request).count()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            // A client that cannot be shaken hands with is its own finding.
            if let Ok((stream, address)) = self.listener.accept().await
                && let Ok(stream) = self.acceptor.accept(stream).await
            {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A folder with a `scenario.yaml` in it.
pub fn folder(scenario: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    rewrite(folder.path(), scenario);
    folder
}

/// Another `scenario.yaml`; the results of the one before are gone.
pub fn rewrite(folder: &Path, scenario: &str) {
    std::fs::write(folder.join("scenario.yaml"), scenario).expect("writes");
    let out = results(folder);
    if out.exists() {
        std::fs::remove_dir_all(out).expect("removes");
    }
}

/// A functional pass of `scenario.yaml` in a folder.
pub fn smoke(folder: &Path, service: &Service) -> Command {
    let mut command = loadgate(folder);
    command.args(["smoke", "scenario.yaml", "--target", &service.url, "--out", "out"]);
    command
}

/// A whole run of it.
pub fn whole(folder: &Path, service: &Service) -> Command {
    let mut command = loadgate(folder);
    command.args(["run", "scenario.yaml", "--target", &service.url, "--out", "out"]);
    command
}

pub fn load(folder: &Path, service: &Service) -> Ran {
    run(&mut whole(folder, service))
}

/// What the verdict of a run says of a step.
pub fn endpoint(folder: &Path, step: &str) -> serde_json::Value {
    let verdict = json(&results(folder).join("verdict.json"));
    let all = verdict["endpoints"].as_array().expect("endpoints");
    all.iter().find(|e| e["step"] == step).unwrap_or_else(|| panic!("{step} is not in {verdict}")).clone()
}
