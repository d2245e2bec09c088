use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rand_distr::{Distribution as _, LogNormal};

use super::faults::{Broken, Fault};
use super::routes;
use crate::error::{Error, Result};
use crate::machine;

/// Spread of the logarithm of service times.
const LOG_SD: f64 = 0.15;
const DRIP: Duration = Duration::from_millis(10);
/// Older reports and alerts are forgotten, so that a long run does not grow.
const KEPT: usize = 20_000;

#[derive(Clone, Debug)]
pub struct DemoOptions {
    pub port: u16,
    pub faults: Vec<Fault>,
    /// Lets `PUT /faults` change them at run time.
    pub allow_faults: bool,
    /// What `x-build` says.
    pub build: String,
}

/// Everything that the routes share.
pub struct Demo {
    pub allow_faults: bool,
    pub build: String,
    pub instance: String,
    pub started: Instant,
    pub cpu_at_start: f64,
    pub faults: RwLock<Vec<(Fault, Instant)>>,
    random: Mutex<StdRng>,
    pub active: AtomicU64,
    pub served: AtomicU64,
    pub failed: AtomicU64,
    next_id: AtomicU64,
    pub warm_regions: Mutex<HashSet<String>>,
    pub alerts: Mutex<Recent<()>>,
    pub reports: Mutex<Recent<Instant>>,
}

/// A map that forgets its oldest entries.
pub struct Recent<T> {
    entries: HashMap<String, T>,
    order: VecDeque<String>,
}

impl<T: Clone> Recent<T> {
    fn new() -> Self {
        Self { entries: HashMap::new(), order: VecDeque::new() }
    }

    pub fn insert(&mut self, id: String, value: T) {
        if self.order.len() == KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.entries.remove(&oldest);
        }
        self.order.push_back(id.clone());
        self.entries.insert(id, value);
    }

    pub fn get(&self, id: &str) -> Option<T> {
        self.entries.get(id).cloned()
    }
}

/// Serves on loopback until the process ends; prints its address, port 0 included, on one line.
///
/// # Errors
/// If the port cannot be bound.
pub async fn serve(options: DemoOptions, ready: impl FnOnce(SocketAddr)) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
    let listener = tokio::net::TcpListener::bind(address).await.map_err(|e| {
        Error::usage_hint(format!("cannot listen on {address}: {e}"), "--port 0 takes any free port")
    })?;
    let bound =
        listener.local_addr().map_err(|e| Error::harness(format!("cannot tell the demo's address: {e}")))?;
    let mut random = StdRng::from_rng(&mut rand::rng());
    let demo = Arc::new(Demo {
        allow_faults: options.allow_faults,
        build: options.build,
        instance: format!("demo-{:08x}", random.random::<u32>()),
        started: Instant::now(),
        cpu_at_start: machine::process_cpu_s(),
        faults: RwLock::new(options.faults.into_iter().map(|fault| (fault, Instant::now())).collect()),
        random: Mutex::new(random),
        active: AtomicU64::new(0),
        served: AtomicU64::new(0),
        failed: AtomicU64::new(0),
        next_id: AtomicU64::new(1),
        warm_regions: Mutex::default(),
        alerts: Mutex::new(Recent::new()),
        reports: Mutex::new(Recent::new()),
    });
    ready(bound);
    axum::serve(listener, routes::router(demo))
        .await
        .map_err(|e| Error::harness(format!("the demo stopped: {e}")))
}

impl Demo {
    pub fn set_faults(&self, faults: Vec<Fault>) {
        let now = Instant::now();
        *self.faults.write().expect("no panics under this lock") =
            faults.into_iter().map(|f| (f, now)).collect();
    }

    pub fn has(&self, wanted: &Fault) -> bool {
        self.faults.read().expect("no panics under this lock").iter().any(|(fault, _)| fault == wanted)
    }

    pub fn is(&self, broken: Broken) -> bool {
        self.has(&Fault::Broken(broken))
    }

    /// In [0, 1), another one each time.
    pub fn chance(&self) -> f64 {
        self.random.lock().expect("no panics under this lock").random()
    }

    pub fn fresh_id(&self, prefix: &str) -> String {
        format!("{prefix}-{}", self.next_id.fetch_add(1, Ordering::Relaxed))
    }

    /// Answers for `feature` after a service time around `median_ms`, with whatever faults are set.
    pub async fn answer(
        &self,
        feature: &'static str,
        median_ms: f64,
        respond: impl FnOnce() -> Response,
    ) -> Response {
        let arrived = tokio::time::Instant::now();
        self.active.fetch_add(1, Ordering::Relaxed);
        let plan = self.plan(feature, median_ms);
        tokio::time::sleep_until(
            plan.stalled_until.map_or(arrived, tokio::time::Instant::from_std) + plan.service,
        )
        .await;
        self.active.fetch_sub(1, Ordering::Relaxed);
        self.served.fetch_add(1, Ordering::Relaxed);
        if plan.fails {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        let response = if plan.fails {
            (StatusCode::INTERNAL_SERVER_ERROR, axum::Json(serde_json::json!({"error": "model unavailable"})))
                .into_response()
        } else {
            respond()
        };
        self.identify(if plan.resets {
            broken(response).await
        } else if plan.drips {
            dripping(response).await
        } else {
            response
        })
    }

    pub fn identify(&self, mut response: Response) -> Response {
        for (name, value) in [("x-instance", &self.instance), ("x-build", &self.build)] {
            if let Ok(value) = HeaderValue::from_str(value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }

    fn plan(&self, feature: &str, median_ms: f64) -> Plan {
        let now = Instant::now();
        let mut random = self.random.lock().expect("no panics under this lock");
        let spread = LogNormal::new(0.0, LOG_SD).expect("a positive constant").sample(&mut *random);
        let mut plan =
            Plan { service: Duration::ZERO, stalled_until: None, fails: false, resets: false, drips: false };
        let mut factor = spread;
        for (fault, since) in self.faults.read().expect("no panics under this lock").iter() {
            if fault.feature().is_some_and(|f| f != feature) {
                continue;
            }
            match fault {
                Fault::Slow { by, .. } => factor *= 1.0 + by,
                Fault::Errors { share, .. } => plan.fails |= random.random_bool(*share),
                Fault::Reset { share, .. } => plan.resets |= random.random_bool(*share),
                Fault::Drip { .. } => plan.drips = true,
                Fault::Stall { after, length } => {
                    let (from, to) = (*since + *after, *since + *after + *length);
                    if (from..to).contains(&now) {
                        plan.stalled_until = Some(to);
                    }
                }
                Fault::Cold { length } => {
                    let left =
                        1.0 - now.duration_since(*since).as_secs_f64() / length.as_secs_f64().max(1e-9);
                    factor *= 1.0 + 2.0 * left.max(0.0);
                }
                _ => {}
            }
        }
        plan.service = Duration::from_secs_f64(median_ms / 1e3 * factor);
        plan
    }
}

struct Plan {
    service: Duration,
    stalled_until: Option<Instant>,
    fails: bool,
    resets: bool,
    drips: bool,
}

/// Half of the body under the full length, then the end of the connection.
async fn broken(response: Response) -> Response {
    let (mut parts, bytes) = taken_apart(response).await;
    parts.headers.insert("content-length", HeaderValue::from(bytes.len().max(2)));
    let half = bytes.slice(..bytes.len() / 2);
    let pieces = futures_util::stream::unfold(Some(half), |rest| async move {
        match rest {
            Some(half) => Some((Ok(half), None)),
            None => {
                // What was sent so far must leave before the connection is dropped.
                tokio::time::sleep(DRIP).await;
                Some((Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)), None))
            }
        }
    });
    Response::from_parts(parts, Body::from_stream(pieces))
}

async fn dripping(response: Response) -> Response {
    let (mut parts, bytes) = taken_apart(response).await;
    parts.headers.insert("content-length", HeaderValue::from(bytes.len()));
    let drops = futures_util::stream::unfold(bytes, |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(DRIP).await;
        Some((Ok::<_, std::io::Error>(rest.split_to(1)), rest))
    });
    Response::from_parts(parts, Body::from_stream(drops))
}

async fn taken_apart(response: Response) -> (axum::http::response::Parts, Bytes) {
    let (parts, body) = response.into_parts();
    (parts, axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default())
}
