use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group, setsid, test_kill_process_group};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use super::event::ActEnd;
use super::plan::CommandLine;
use crate::error::{Error, Result};
use crate::secrets::known;
use crate::store::{Lock, read_json, write_atomic, write_private};

/// What a command may take to end once it is asked to, before it is killed.
const ENDS_WITHIN: Duration = Duration::from_secs(5);
const TURN: Duration = Duration::from_millis(50);
const MOST_STARTS: usize = 3;
/// Of a command's output, where it failed.
const TAIL_LINES: usize = 5;
const MOST_TAIL: usize = 64 << 10;

/// A command of theirs, to be run once, whatever becomes of who asked for it.
///
/// It is run by a process of its own in a session of its own. That creates `NAME.started`, which only one can, and holds a lock
/// on it for as long as it lives; and it leaves `NAME.ended`. So whoever comes later can tell whether the command was never
/// begun, is still running, has ended and how, or whether nobody knows.
pub struct Act {
    folder: PathBuf,
    name: String,
}

/// Where a command stands.
#[derive(Clone, Debug, PartialEq)]
pub enum ActStanding {
    Fresh,
    Running,
    Ended(ActEnd),
}

/// What is run, as the file `NAME.json` has it.
#[derive(Debug, Serialize, Deserialize)]
struct Spec {
    words: Vec<String>,
    folder: PathBuf,
    variables: Vec<(String, String)>,
    timeout_ms: u64,
}

impl Act {
    #[must_use]
    pub fn new(folder: &Path, name: &str) -> Self {
        Self { folder: folder.to_owned(), name: name.to_owned() }
    }

    fn file(&self, extension: &str) -> PathBuf {
        self.folder.join(format!("{}.{extension}", self.name))
    }

    /// The command's output.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.file("log")
    }

    /// Writes down what is to be run, before anybody runs it; what has been begun stays as it is.
    ///
    /// # Errors
    /// With the path.
    pub fn prepare(
        &self,
        command: &CommandLine,
        folder: &Path,
        variables: Vec<(String, String)>,
    ) -> Result<()> {
        let path = self.file("json");
        if self.file("started").exists() {
            return Ok(());
        }
        let folder = std::path::absolute(folder).map_err(|e| Error::output(folder, "find", e))?;
        let timeout_ms = command.timeout.as_millis() as u64;
        let spec = Spec { words: command.words.clone(), folder, variables, timeout_ms };
        let bytes = serde_json::to_vec_pretty(&spec).map_err(|e| Error::output(&path, "write", e))?;
        // A command may have credentials among its words.
        write_private(&path, &bytes)
    }

    fn ended(&self) -> Result<Option<ActEnd>> {
        read_json(&self.file("ended"))
    }

    /// # Errors
    /// If its files cannot be read.
    pub fn standing(&self) -> Result<ActStanding> {
        let started = self.file("started");
        // In this order: whoever runs it creates the first held, and leaves the last before letting go.
        let there = started.exists();
        let held = there && Lock::is_held(&started)?;
        Ok(match self.ended()? {
            Some(end) => ActStanding::Ended(end),
            None if held => ActStanding::Running,
            None if there => ActStanding::Ended(unknown()),
            None => ActStanding::Fresh,
        })
    }

    /// Runs it, unless somebody has already, and waits for its end; `turn` is called meanwhile.
    ///
    /// # Errors
    /// If it cannot be begun, or its files cannot be read.
    pub async fn perform(&self, turn: &mut dyn FnMut()) -> Result<ActEnd> {
        let started = self.file("started");
        let mut runner: Option<tokio::process::Child> = None;
        let mut starts = 0;
        loop {
            let standing = self.standing()?;
            if let ActStanding::Ended(end) = standing {
                return Ok(end);
            }
            match &mut runner {
                None if standing == ActStanding::Fresh => {
                    starts += 1;
                    runner = Some(self.start()?);
                }
                None => {}
                Some(child) => {
                    if let Ok(Some(status)) = child.try_wait()
                        && !started.exists()
                    {
                        // A signal to the terminal may have ended it before it had a session of its own.
                        if starts < MOST_STARTS {
                            runner = None;
                            continue;
                        }
                        let log = self.log();
                        return Err(Error::harness(format!(
                            "the command could not be begun ({status}); see {}",
                            log.display()
                        )));
                    }
                }
            }
            turn();
            tokio::time::sleep(TURN).await;
        }
    }

    fn start(&self) -> Result<tokio::process::Child> {
        let fail =
            |e: std::io::Error| Error::harness(format!("cannot run the command of {}: {e}", self.name));
        let log = self.open_log()?;
        Command::new(own_program().map_err(fail)?)
            .arg("act")
            .arg(&self.folder)
            .arg(&self.name)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(fail)?)
            .stderr(log)
            .spawn()
            .map_err(fail)
    }

    fn open_log(&self) -> Result<std::fs::File> {
        let path = self.log();
        // A command may say what only its owner is to know.
        OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .map_err(|e| Error::output(&path, "open", e))
    }

    /// The process that runs it.
    ///
    /// # Errors
    /// If its files cannot be read or written.
    pub async fn run(&self) -> Result<()> {
        // What ends a terminal must not end this.
        let _ = setsid();
        let spec = self.spec()?;
        let path = self.file("json");
        let Some(_held) = Lock::create(&self.file("started"))? else { return Ok(()) };
        let end = run_command(&spec, &self.open_log()?, &self.file("stop")).await;
        let bytes = serde_json::to_vec(&end).map_err(|e| Error::output(&path, "write", e))?;
        write_atomic(&self.file("ended"), &bytes)
    }

    /// Asks whoever runs it to end the command, and says why.
    ///
    /// # Errors
    /// With the path.
    pub fn stop(&self, why: &str) -> Result<()> {
        write_atomic(&self.file("stop"), why.as_bytes())
    }

    /// The words that are run, once it is prepared.
    ///
    /// # Errors
    /// If its file cannot be read.
    pub fn words(&self) -> Result<Vec<String>> {
        self.spec().map(|spec| spec.words)
    }

    fn spec(&self) -> Result<Spec> {
        let path = self.file("json");
        read_json(&path)?.ok_or_else(|| Error::input(&path, "read", "there is no such file"))
    }

    /// For how long it has ended, by a clock that may have been set since, or be another machine's: by as much as they differ,
    /// where that says it is yet to end. `None`: it has not.
    #[must_use]
    pub fn ended_for(&self) -> Option<Duration> {
        let ended = std::fs::metadata(self.file("ended")).and_then(|about| about.modified()).ok()?;
        Some(ended.elapsed().unwrap_or_else(|ahead| ahead.duration()))
    }

    /// What the command said last, without secrets that are known here.
    #[must_use]
    pub fn tail(&self) -> Vec<String> {
        let bytes = std::fs::read(self.log()).unwrap_or_default();
        let text = known().scrub(&String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(MOST_TAIL)..]));
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].iter().map(|line| (*line).to_owned()).collect()
    }
}

fn unknown() -> ActEnd {
    let problem = Some("who ran it was ended, so that nobody knows how far it came".to_owned());
    ActEnd { code: None, problem, took_ms: 0, unknown: true, said: Vec::new() }
}

/// The program that this is, also where its file was replaced meanwhile.
///
/// # Errors
/// If the system does not say.
pub fn own_program() -> std::io::Result<PathBuf> {
    let link = Path::new("/proc/self/exe");
    if link.exists() { Ok(link.to_owned()) } else { std::env::current_exe() }
}

/// Until somebody asks for its end.
async fn asked_to_stop(stop: &Path) -> String {
    loop {
        if let Ok(why) = std::fs::read_to_string(stop) {
            return why;
        }
        tokio::time::sleep(TURN).await;
    }
}

async fn run_command(spec: &Spec, log: &std::fs::File, stop: &Path) -> ActEnd {
    let begun = Instant::now();
    let end = |code, problem: Option<String>| ActEnd {
        code,
        problem,
        took_ms: begun.elapsed().as_millis() as u64,
        unknown: false,
        said: Vec::new(),
    };
    let Some((program, arguments)) = spec.words.split_first() else {
        return end(None, Some("it is empty".into()));
    };
    let (Ok(out), Ok(err)) = (log.try_clone(), log.try_clone()) else {
        return end(None, Some("its output cannot be written".into()));
    };
    let child = Command::new(program)
        .args(arguments)
        .current_dir(&spec.folder)
        .envs(spec.variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .process_group(0)
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(e) => return end(None, Some(format!("`{program}` cannot be run: {e}"))),
    };
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let cut = tokio::select! {
        ended = child.wait() => match ended {
            Ok(status) => return end(status.code(), None),
            Err(e) => return end(None, Some(format!("it cannot be waited for: {e}"))),
        },
        () = tokio::time::sleep(Duration::from_millis(spec.timeout_ms)) => {
            format!("it was ended after its timeout of {}", crate::units::format_ms(spec.timeout_ms as f64))
        }
        why = asked_to_stop(stop) => format!("it was ended, since {why}"),
    };
    let signal = |signal| group.is_some_and(|group| kill_process_group(group, signal).is_ok());
    signal(Signal::TERM);
    let deadline = Instant::now() + ENDS_WITHIN;
    while Instant::now() < deadline && group.is_some_and(|group| test_kill_process_group(group).is_ok()) {
        let _ = child.try_wait();
        tokio::time::sleep(TURN).await;
    }
    signal(Signal::KILL);
    end(None, Some(cut))
}
