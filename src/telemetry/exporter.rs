use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderName;
use tokio::sync::mpsc;

use super::series::{AllSeries, EndpointLabels};
use super::{otlp, page, remote_write, text};
use crate::error::{Error, Result};
use crate::machine;
use crate::metrics::Block;
use crate::remote::Remote;
use crate::secrets::known;

const TIMEOUT: Duration = Duration::from_secs(5);
/// At the end somebody waits for it.
const LAST_TRIES: usize = 3;

/// Somebody who takes figures.
#[derive(Clone, Debug)]
pub struct Collector {
    pub url: String,
    pub headers: Vec<(HeaderName, String)>,
}

#[derive(Clone, Debug, Default)]
pub struct TelemetryOptions {
    /// OTLP over HTTP: the address of `/v1/metrics`.
    pub otlp: Option<Collector>,
    pub remote_write: Option<Collector>,
    /// Where the page to scrape is.
    pub listen: Option<SocketAddr>,
    pub every: Duration,
    /// How long that page stays when all is measured.
    pub linger: Duration,
}

impl TelemetryOptions {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.otlp.is_none() && self.remote_write.is_none() && self.listen.is_none()
    }
}

/// What is told at one moment.
pub struct Snapshot {
    pub run_id: String,
    pub env: String,
    pub service: Option<String>,
    pub labels: Vec<EndpointLabels>,
    pub all: AllSeries,
    pub in_flight: u64,
    pub start_ns: u64,
    pub now_ns: u64,
}

enum Said {
    Blocks(Vec<Block>),
    InFlight(u64),
}

/// Tells figures while a load runs; ends with [`Telemetry::finish`].
pub struct Telemetry {
    said: mpsc::UnboundedSender<Said>,
    problems: Arc<Mutex<Vec<String>>>,
    thread: std::thread::JoinHandle<()>,
}

impl Telemetry {
    /// # Errors
    /// If the page's address is taken, or a thread cannot be started.
    pub fn start(
        options: TelemetryOptions,
        remote: Remote,
        (run_id, env, service): (String, String, Option<String>),
        labels: Vec<EndpointLabels>,
    ) -> Result<Self> {
        let listener = options.listen.map(page::bind).transpose()?;
        let (said, heard) = mpsc::unbounded_channel();
        let problems = Arc::new(Mutex::new(Vec::new()));
        let now_ns = unix_ns();
        let snapshot = Snapshot {
            run_id,
            env,
            service,
            labels,
            all: AllSeries::default(),
            in_flight: 0,
            start_ns: now_ns,
            now_ns,
        };
        let fail = |e| Error::harness(format!("cannot start the thread of telemetry: {e}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(fail)?;
        let exporter = Exporter { options, remote, snapshot, native: true, problems: problems.clone() };
        let thread = std::thread::Builder::new().name("telemetry".into()).spawn(move || {
            machine::yield_to_others();
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, exporter.run(heard, listener));
        });
        Ok(Self { said, problems, thread: thread.map_err(fail)? })
    }

    pub fn blocks(&self, blocks: &[Block]) {
        // A thread that is gone has said why, or will.
        let _ = self.said.send(Said::Blocks(blocks.to_vec()));
    }

    pub fn in_flight(&self, count: usize) {
        let _ = self.said.send(Said::InFlight(count as u64));
    }

    /// Tells the last figures, and returns what could not be told.
    #[must_use]
    pub fn finish(self) -> Vec<String> {
        drop(self.said);
        if self.thread.join().is_err() {
            return vec!["its thread fell over".to_owned()];
        }
        self.problems.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct Exporter {
    options: TelemetryOptions,
    remote: Remote,
    snapshot: Snapshot,
    /// Whether the receiver of remote writes knows native histograms, as far as is known.
    native: bool,
    problems: Arc<Mutex<Vec<String>>>,
}

impl Exporter {
    async fn run(
        mut self,
        mut heard: mpsc::UnboundedReceiver<Said>,
        listener: Option<std::net::TcpListener>,
    ) {
        let shown = Arc::new(Mutex::new(text::page(&self.snapshot)));
        let page = listener.map(|listener| tokio::task::spawn_local(page::serve(listener, shown.clone())));
        let mut turns = tokio::time::interval(self.options.every.max(Duration::from_millis(100)));
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        turns.tick().await;
        let mut fresh = false;
        loop {
            tokio::select! {
                said = heard.recv() => match said {
                    Some(Said::Blocks(blocks)) => {
                        for block in &blocks {
                            self.snapshot.all.add(block);
                        }
                        fresh = true;
                        self.show(&shown);
                    }
                    Some(Said::InFlight(count)) => self.snapshot.in_flight = count,
                    None => break,
                },
                _ = turns.tick() => {
                    if fresh {
                        self.tell(1).await;
                    }
                    fresh = false;
                }
            }
        }
        self.snapshot.in_flight = 0;
        self.show(&shown);
        self.tell(LAST_TRIES).await;
        if let Some(page) = page {
            tokio::time::sleep(self.options.linger).await;
            page.abort();
        }
    }

    fn show(&self, shown: &Mutex<String>) {
        if self.options.listen.is_some() {
            *shown.lock().unwrap_or_else(PoisonError::into_inner) = text::page(&self.snapshot);
        }
    }

    /// Each problem is told once.
    fn note(&self, text: String) {
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        if !problems.contains(&text) {
            problems.push(text);
        }
    }

    async fn tell(&mut self, tries: usize) {
        self.snapshot.now_ns = unix_ns();
        if let Some(collector) = self.options.otlp.clone() {
            let body = otlp::export(&self.snapshot);
            if let Err(reason) = self.send(&collector, &body, &[], tries).await {
                self.note(format!("OTLP: {reason}"));
            }
        }
        if let Some(collector) = self.options.remote_write.clone() {
            let more = [("content-encoding", "snappy"), ("x-prometheus-remote-write-version", "0.1.0")];
            let mut went = self
                .send(&collector, &remote_write::write_request(&self.snapshot, self.native), &more, tries)
                .await;
            // Whoever does not know native histograms takes the classic buckets.
            if let Err(reason) = &went
                && self.native
                && reason.to_lowercase().contains("histogram")
            {
                self.native = false;
                let body = remote_write::write_request(&self.snapshot, false);
                went = self.send(&collector, &body, &more, tries).await;
            }
            if let Err(reason) = went {
                self.note(format!("remote write: {reason}"));
            }
        }
    }

    async fn send(
        &self,
        collector: &Collector,
        body: &[u8],
        more: &[(&'static str, &str)],
        tries: usize,
    ) -> std::result::Result<(), String> {
        let more = more.iter().map(|(name, value)| (HeaderName::from_static(name), (*value).to_owned()));
        let headers: Vec<_> = collector.headers.iter().cloned().chain(more).collect();
        let mut reason = String::new();
        for attempt in 0..tries {
            if attempt > 0 {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            match self.remote.post_protobuf(&collector.url, &headers, body.to_vec(), TIMEOUT).await {
                Ok(answer) if answer.is_success() => return Ok(()),
                Ok(answer) => {
                    let said = known().scrub_brief(&answer.excerpt());
                    reason = format!("it answers {}: {said}", answer.status);
                    if answer.status < 500 && answer.status != 429 {
                        break;
                    }
                }
                Err(failure) => reason = failure.reason,
            }
        }
        Err(reason)
    }
}

fn unix_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}
