use std::process::Stdio;
use std::time::{Duration, Instant};

use http::{HeaderMap, Method};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::engine::Interrupt;
use crate::error::{Error, Result};
use crate::transport::{Lane, Request, Transport};

/// What is put under load.
#[derive(Clone, Debug)]
pub enum TargetSpec {
    Url(String),
    /// The embedded target, as a child process started afresh for each look.
    Demo {
        faults: Vec<String>,
    },
}

impl TargetSpec {
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Url(url) => url,
            Self::Demo { .. } => "demo",
        }
    }
}

const DEMO_STARTS_WITHIN: Duration = Duration::from_secs(20);

/// A running target; a demo ends with it.
pub struct Target {
    pub url: String,
    _demo: Option<Child>,
}

impl Target {
    /// # Errors
    /// If the demo does not come up.
    pub async fn start(spec: &TargetSpec) -> Result<Self> {
        match spec {
            TargetSpec::Url(url) => Ok(Self { url: url.clone(), _demo: None }),
            TargetSpec::Demo { faults } => start_demo(faults).await,
        }
    }
}

async fn start_demo(faults: &[String]) -> Result<Target> {
    let fail = |e: std::io::Error| Error::harness(format!("cannot start the demo target: {e}"));
    let mut command = Command::new(std::env::current_exe().map_err(fail)?);
    command.args(["demo", "--port", "0", "--until-stdin-closes"]);
    for fault in faults {
        command.args(["--fault", fault]);
    }
    // Its own process group: a Ctrl-C in the terminal is for loadgate, which ends the demo in order.
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(fail)?;
    let stdout = child.stdout.take().ok_or_else(|| Error::harness("the demo target has no output"))?;
    let mut lines = BufReader::new(stdout).lines();
    let first = tokio::time::timeout(DEMO_STARTS_WITHIN, lines.next_line())
        .await
        .map_err(|_| Error::harness("the demo target did not say its address in time"))?
        .map_err(fail)?;
    let url =
        first.as_deref().and_then(|line| line.split_whitespace().find(|word| word.starts_with("http://")));
    let url =
        url.ok_or_else(|| Error::harness("the demo target ended before it said its address"))?.to_owned();
    Ok(Target { url, _demo: Some(child) })
}

/// Asks until the target answers with anything below 500; says why it did not.
pub async fn wait_ready<T: Transport>(
    transport: &T,
    url: &str,
    within: Duration,
    mut interrupt: Interrupt,
) -> std::result::Result<(), String> {
    let deadline = Instant::now() + within;
    let request = Request::new(Method::GET, url, HeaderMap::new(), None, Duration::from_secs(2))?;
    let lane = Lane::shared();
    loop {
        let reason = match transport.exchange(&lane, &request).await {
            Ok(exchange) if exchange.status < 500 => return Ok(()),
            Ok(exchange) => format!("it answers {}", exchange.status),
            Err(error) => error.message,
        };
        if Instant::now() >= deadline {
            return Err(format!("after {:.0} s, {reason}", within.as_secs_f64()));
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(250)) => {}
            () = interrupt.wait() => return Err(reason),
        }
    }
}
