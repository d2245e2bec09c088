use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use http::{HeaderMap, Method};
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
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
    /// A shell command that serves on `{port}` of loopback, started afresh for each look.
    Command {
        command: String,
        /// The path that answers once it is ready.
        ready: Option<String>,
    },
}

impl TargetSpec {
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Url(url) => url,
            Self::Demo { .. } => "demo",
            Self::Command { command, .. } => command,
        }
    }

    /// The name without the values of variables that a command is given, which may be secrets.
    #[must_use]
    pub fn told(&self) -> String {
        let Self::Command { command, .. } = self else { return self.name().to_owned() };
        let word = |word: &str| match word.split_once('=') {
            Some((name, _))
                if !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') =>
            {
                format!("{name}=…")
            }
            _ => word.to_owned(),
        };
        command.split(' ').map(word).collect::<Vec<_>>().join(" ")
    }

    /// Its address, or what stands for it until it is started.
    #[must_use]
    pub fn address_or<'a>(&'a self, name: &'a str) -> &'a str {
        if let Self::Url(url) = self { url } else { name }
    }

    /// Whether loadgate starts it, afresh for each look.
    #[must_use]
    pub fn is_started(&self) -> bool {
        !matches!(self, Self::Url(_))
    }

    #[must_use]
    pub fn is_command(&self) -> bool {
        matches!(self, Self::Command { .. })
    }
}

const DEMO_STARTS_WITHIN: Duration = Duration::from_secs(20);
/// What a command may take to end once it is asked to, before it is killed.
const ENDS_WITHIN: Duration = Duration::from_secs(5);
/// Of a command's output, where it did not come up.
const TAIL_LINES: usize = 5;

/// A running target; what loadgate started ends with it.
pub struct Target {
    pub url: String,
    ready: Option<String>,
    /// That it answers at all is enough to be ready.
    pub any_answer: bool,
    child: Option<Child>,
    /// Where a command's output goes, and from where on.
    log: Option<(PathBuf, u64)>,
}

impl Target {
    /// A command's output is appended to `log`.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn start(spec: &TargetSpec, log: &Path) -> Result<Self> {
        match spec {
            TargetSpec::Url(url) => {
                Ok(Self { url: url.clone(), ready: None, any_answer: false, child: None, log: None })
            }
            TargetSpec::Demo { faults } => start_demo(faults).await,
            TargetSpec::Command { command, ready } => start_command(command, ready.as_deref(), log),
        }
    }

    /// Ends what loadgate started, and waits for that.
    pub async fn stop(&mut self) {
        let Some(child) = &mut self.child else { return };
        drop(child.stdin.take());
        if tokio::time::timeout(2 * ENDS_WITHIN, child.wait()).await.is_err() {
            let _ = child.start_kill();
        }
    }

    /// What a command that has ended already said last.
    fn ended(&mut self) -> Option<String> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        let (path, from) = self.log.as_ref()?;
        let said = std::fs::read(path).unwrap_or_default();
        let said = String::from_utf8_lossy(said.get(*from as usize..).unwrap_or_default()).into_owned();
        let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join(" | ");
        let tail = if tail.is_empty() { "it said nothing".to_owned() } else { format!("it said: {tail}") };
        Some(format!("its command ended with {status} before it answered; {tail} ({})", path.display()))
    }
}

/// A port of loopback that nobody listens on now.
fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// The command runs under a supervisor of loadgate's own, which ends all of its processes when its standard input closes: so
/// they end with loadgate, even if that is killed.
fn start_command(command: &str, ready: Option<&str>, log: &Path) -> Result<Target> {
    let fail = |e: std::io::Error| Error::harness(format!("cannot start `{command}`: {e}"));
    let port = free_port().map_err(fail)?;
    let output = std::fs::File::options().create(true).append(true).open(log);
    let output = output.map_err(|e| Error::output(log, "write", e))?;
    let from = output.metadata().map_or(0, |there| there.len());
    let child = Command::new(std::env::current_exe().map_err(fail)?)
        .args(["supervise", &command.replace("{port}", &port.to_string())])
        .env("PORT", port.to_string())
        .stdin(Stdio::piped())
        .stdout(output.try_clone().map_err(fail)?)
        .stderr(output)
        .process_group(0)
        .spawn()
        .map_err(fail)?;
    Ok(Target {
        url: format!("http://127.0.0.1:{port}"),
        ready: ready.map(str::to_owned),
        any_answer: false,
        child: Some(child),
        log: Some((log.to_owned(), from)),
    })
}

/// Runs a shell command in a process group of its own until it ends by itself, or standard input closes: then all of the group
/// is asked to end, and killed where that does not help. Returns the command's exit code.
///
/// # Errors
/// If it cannot be run.
pub async fn supervise(command: &str) -> Result<u8> {
    let fail = |e: std::io::Error| Error::harness(format!("cannot run `{command}`: {e}"));
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(fail)?;
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let mut input = tokio::io::stdin();
    let mut ignored = Vec::new();
    let status = tokio::select! {
        status = child.wait() => Some(status.map_err(fail)?),
        _ = input.read_to_end(&mut ignored) => None,
    };
    let signal = |signal| {
        if let Some(group) = group {
            // It may have ended meanwhile, which is what is wanted.
            let _ = kill_process_group(group, signal);
        }
    };
    signal(Signal::TERM);
    // The shell may go first: what it started has as long.
    let deadline = Instant::now() + ENDS_WITHIN;
    while Instant::now() < deadline && group.is_some_and(|group| test_kill_process_group(group).is_ok()) {
        let _ = child.try_wait();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    signal(Signal::KILL);
    Ok(status.and_then(|status| status.code()).map_or(1, |code| u8::try_from(code).unwrap_or(1)))
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
    Ok(Target { url, ready: None, any_answer: false, child: Some(child), log: None })
}

/// Asks until the target answers with anything below 500, or at a path that was named with success; says why it did not.
pub async fn wait_ready<T: Transport>(
    transport: &T,
    target: &mut Target,
    within: Duration,
    mut interrupt: Interrupt,
) -> std::result::Result<(), String> {
    let deadline = Instant::now() + within;
    let (url, enough) = match &target.ready {
        Some(path) => (format!("{}/{}", target.url, path.trim_start_matches('/')), 400),
        None if target.any_answer => (target.url.clone(), u16::MAX),
        None => (target.url.clone(), 500),
    };
    let request = Request::new(Method::GET, &url, HeaderMap::new(), None, Duration::from_secs(2))?;
    let lane = Lane::shared();
    loop {
        if let Some(reason) = target.ended() {
            return Err(reason);
        }
        let reason = match transport.exchange(&lane, &request).await {
            Ok(exchange) if exchange.status < enough => return Ok(()),
            Ok(exchange) => match &target.ready {
                Some(path) => format!("{path} answers {}", exchange.status),
                None => format!("it answers {}", exchange.status),
            },
            Err(error) => error.message,
        };
        if Instant::now() >= deadline {
            let waited = match within {
                short if short < Duration::from_secs(1) => format!("{} ms", short.as_millis()),
                long => format!("{:.0} s", long.as_secs_f64()),
            };
            return Err(format!("after {waited}, {reason}"));
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(250)) => {}
            () = interrupt.wait() => return Err(reason),
        }
    }
}
