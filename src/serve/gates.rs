use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::ask::{Ask, Template};
use crate::error::{Error, Result};
use crate::exit_code::ExitCode;
use crate::rollout::{Act, ActEnd, ActStanding, CommandLine, own_program};
use crate::store::{read_json, write_atomic};
use crate::units::format_ns;
use crate::verdict::Action;

/// A gate whose process was ended is begun again, as often as this in all.
const MOST_BEGINNINGS: u32 = 3;
/// More questions than this are not kept waiting.
const MOST_WAITING: usize = 32;
const LONGEST: Duration = Duration::from_secs(24 * 3600);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nobody has asked for it.
    Unknown,
    Queued,
    Running,
    /// Its process was ended before it had a verdict: the next question begins it again.
    Interrupted,
    /// What it came to is too old, or was found by another command: likewise.
    Expired,
    Done,
}

/// Where a gate stands.
#[derive(Clone, Debug, Serialize)]
pub struct Standing {
    pub key: String,
    pub state: State,
    /// Once it is done.
    pub action: Option<Action>,
    pub exit_code: Option<u8>,
    pub summary: String,
    pub run_id: Option<String>,
    /// 1-based; 0: none.
    pub attempt: u32,
    pub results: Option<PathBuf>,
}

/// What whoever looks on is told.
pub enum News<'a> {
    Begins {
        key: &'a str,
        attempt: u32,
    },
    /// An earlier process of the server had begun it.
    GoesOn {
        key: &'a str,
    },
    Ended(&'a Standing),
    /// It could not even be begun.
    Failed {
        key: &'a str,
        error: &'a Error,
    },
}

/// Gates by their keys: `FOLDER/KEY/ask.json`, and for each attempt N the files of its process, `N.*`, and its results, `N/`.
pub struct Gates {
    folder: PathBuf,
    template: Template,
    fresh_for: Duration,
    /// The first of them is the one that runs.
    queue: Mutex<VecDeque<(String, u32)>>,
    more: Notify,
    stopping: AtomicBool,
}

/// The part of a verdict, or of many combined, that says what to do.
#[derive(Deserialize)]
struct Found {
    action: Action,
    exit_code: u8,
    summary: String,
    #[serde(default)]
    run_id: Option<String>,
}

impl Gates {
    /// Those of a folder, with what an earlier process left waiting or running.
    ///
    /// # Errors
    /// If the folder cannot be read or created.
    pub fn open(folder: &Path, template: Template, fresh_for: Duration) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|e| Error::output(folder, "create folder", e))?;
        let own = Self {
            folder: folder.to_owned(),
            template,
            fresh_for,
            queue: Mutex::default(),
            more: Notify::new(),
            stopping: AtomicBool::new(false),
        };
        let mut left = Vec::new();
        for key in own.keys()? {
            let standing = own.look(&key)?;
            let written = own.folder.join(&key).join(format!("{}.json", standing.attempt));
            let since = std::fs::metadata(written).and_then(|about| about.modified()).ok();
            match standing.state {
                State::Running => left.push((false, since, key, standing.attempt)),
                State::Queued => left.push((true, since, key, standing.attempt)),
                State::Unknown | State::Interrupted | State::Expired | State::Done => {}
            }
        }
        left.sort();
        own.waiting().extend(left.into_iter().map(|(_, _, key, attempt)| (key, attempt)));
        Ok(own)
    }

    #[must_use]
    pub fn template(&self) -> &Template {
        &self.template
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<(String, u32)>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All keys, in their order.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn keys(&self) -> Result<Vec<String>> {
        let fail = |e: std::io::Error| Error::input(&self.folder, "read", e);
        let mut keys = Vec::new();
        for entry in std::fs::read_dir(&self.folder).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            if entry.path().join("ask.json").exists() {
                keys.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        keys.sort();
        Ok(keys)
    }

    fn act(&self, key: &str, attempt: u32) -> Act {
        Act::new(&self.folder.join(key), &attempt.to_string())
    }

    /// Where a gate stands, by its files.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn look(&self, key: &str) -> Result<Standing> {
        let folder = self.folder.join(key);
        let there = |attempt: u32| folder.join(format!("{attempt}.json")).exists();
        let mut attempt = 0;
        while there(attempt + 1) {
            attempt += 1;
        }
        let mut standing = Standing {
            key: key.to_owned(),
            state: State::Unknown,
            action: None,
            exit_code: None,
            summary: "nobody has asked for it".to_owned(),
            run_id: None,
            attempt,
            results: (attempt > 0).then(|| folder.join(attempt.to_string())),
        };
        if attempt == 0 {
            return Ok(standing);
        }
        let act = self.act(key, attempt);
        (standing.state, standing.summary) = match act.standing()? {
            ActStanding::Fresh => (State::Queued, "waits for its turn".to_owned()),
            ActStanding::Running => (State::Running, "is being measured".to_owned()),
            ActStanding::Ended(end) if interrupted(&end) && self.may_begin_again(key, attempt)? => (
                State::Interrupted,
                "was ended before it had a verdict: the next POST begins it again".to_owned(),
            ),
            ActStanding::Ended(end) => {
                standing = decided(standing, &end, &act);
                if let Some(why) = self.expired(key, &act)? {
                    let before = format!("{why}, the next POST measures anew; it was: {}", standing.summary);
                    standing = Standing {
                        state: State::Expired,
                        action: None,
                        exit_code: None,
                        summary: before,
                        ..standing
                    };
                }
                return Ok(standing);
            }
        };
        Ok(standing)
    }

    /// Whether fewer attempts in a row than are allowed were interrupted, this one included.
    fn may_begin_again(&self, key: &str, attempt: u32) -> Result<bool> {
        for before in 1..MOST_BEGINNINGS.min(attempt) {
            match self.act(key, attempt - before).standing()? {
                ActStanding::Ended(end) if interrupted(&end) => {}
                _ => return Ok(true),
            }
        }
        Ok(attempt < MOST_BEGINNINGS)
    }

    /// Why what it came to is no answer any more.
    fn expired(&self, key: &str, act: &Act) -> Result<Option<String>> {
        let Some(ask) = self.asked(key)? else { return Ok(None) };
        let words = act.words()?;
        let own = words.get(1..words.len().saturating_sub(2)).unwrap_or_default();
        if own != self.template.filled(&ask) {
            return Ok(Some("It was measured by another command".to_owned()));
        }
        let old = act.ended_for().filter(|age| *age > self.fresh_for);
        Ok(old.map(|_| format!("It is older than {}", format_ns(self.fresh_for.as_nanos() as f64))))
    }

    /// What was asked for under a key.
    ///
    /// # Errors
    /// If its file cannot be read.
    pub fn asked(&self, key: &str) -> Result<Option<Ask>> {
        read_json(&self.folder.join(key).join("ask.json"))
    }

    /// What an attempt said, for people.
    #[must_use]
    pub fn log(&self, standing: &Standing) -> PathBuf {
        self.act(&standing.key, standing.attempt).log()
    }

    /// Where the gate stands that is asked for; where it was not begun, or was interrupted, it is from now on.
    ///
    /// # Errors
    /// `Usage`, where the same key was asked for with other values, or too many wait; else if files cannot be read or written.
    pub fn ask(&self, ask: &Ask) -> Result<Standing> {
        let mut queue = self.waiting();
        if let Some(known) = self.asked(&ask.key)?
            && self.template.fits(&known)
            && known.values != ask.values
        {
            let hint = "another question has another key";
            return Err(Error::usage_hint(
                format!("{} was asked for with other values: {:?}", ask.key, known.values),
                hint,
            ));
        }
        let standing = self.look(&ask.key)?;
        // One that could not be begun before, such as for a full disk.
        if standing.state == State::Queued && !queue.iter().any(|(key, _)| *key == ask.key) {
            queue.push_back((ask.key.clone(), standing.attempt));
            self.more.notify_one();
        }
        if !matches!(standing.state, State::Unknown | State::Interrupted | State::Expired) {
            return Ok(standing);
        }
        self.begin(&mut queue, ask, standing.attempt + 1)
    }

    /// Measures once more what came to a hold; what is decided stays so, or one would ask until it passes.
    ///
    /// # Errors
    /// As [`Self::ask`]; `Usage` too, where it is not held.
    pub fn again(&self, key: &str) -> Result<Standing> {
        let mut queue = self.waiting();
        let standing = self.look(key)?;
        let Some(ask) = self.asked(key)? else {
            return Err(Error::usage(format!("nobody has asked for {key}")));
        };
        if standing.state != State::Done {
            return Err(Error::usage(format!("{key} is not done: {}", standing.summary)));
        }
        if standing.action != Some(Action::Hold) {
            let hint = "a new release has a new key";
            return Err(Error::usage_hint(format!("{key} is decided, not held: {}", standing.summary), hint));
        }
        self.begin(&mut queue, &ask, standing.attempt + 1)
    }

    fn begin(&self, queue: &mut VecDeque<(String, u32)>, ask: &Ask, attempt: u32) -> Result<Standing> {
        if queue.len() >= MOST_WAITING {
            return Err(Error::usage(format!("{MOST_WAITING} gates wait already")));
        }
        let folder = self.folder.join(&ask.key);
        let path = folder.join("ask.json");
        let bytes = serde_json::to_vec_pretty(ask).map_err(|e| Error::output(&path, "write", e))?;
        write_atomic(&path, &bytes)?;
        let own = own_program().map_err(|e| Error::harness(format!("cannot find this program: {e}")))?;
        let results = std::path::absolute(folder.join(attempt.to_string()))
            .map_err(|e| Error::output(&folder, "find", e))?;
        let mut words = vec![own.to_string_lossy().into_owned()];
        words.extend(self.template.filled(ask));
        words.extend(["--out".to_owned(), results.to_string_lossy().into_owned()]);
        let command = CommandLine { told: words.join(" "), words, timeout: LONGEST };
        self.act(&ask.key, attempt).prepare(&command, Path::new("."), Vec::new())?;
        queue.push_back((ask.key.clone(), attempt));
        self.more.notify_one();
        self.look(&ask.key)
    }

    /// Runs those that wait, one after the other, until [`Self::stop`]: two loads from one machine would disturb each other.
    pub async fn run(&self, tell: &dyn Fn(&News<'_>)) {
        while !self.stopping.load(Ordering::Relaxed) {
            let next = self.waiting().front().cloned();
            let Some((key, attempt)) = next else {
                self.more.notified().await;
                continue;
            };
            let act = self.act(&key, attempt);
            tell(&match act.standing() {
                Ok(ActStanding::Running) => News::GoesOn { key: &key },
                _ => News::Begins { key: &key, attempt },
            });
            let mut stopped = false;
            let mut turn = || {
                if !stopped && self.stopping.load(Ordering::Relaxed) {
                    stopped = act.stop(STOPPED).is_ok();
                }
            };
            let ended = act.perform(&mut turn).await.and_then(|_| self.look(&key));
            self.waiting().pop_front();
            match &ended {
                Ok(standing) => tell(&News::Ended(standing)),
                Err(error) => tell(&News::Failed { key: &key, error }),
            }
        }
    }

    /// Ends what runs; what waits is begun by the next process.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.more.notify_one();
    }
}

fn action_of(code: u8) -> Action {
    match code {
        0 => Action::Go,
        1 => Action::RollBack,
        _ => Action::Hold,
    }
}

/// What it came to; whatever is not plainly a verdict is a hold.
fn decided(mut standing: Standing, end: &ActEnd, act: &Act) -> Standing {
    let results = standing.results.clone().unwrap_or_default();
    let found = ["combined.json", "verdict.json"]
        .iter()
        .find_map(|name| std::fs::read(results.join(name)).ok())
        .and_then(|bytes| serde_json::from_slice::<Found>(&bytes).ok());
    let code = end.code.and_then(|code| u8::try_from(code).ok());
    standing.state = State::Done;
    standing.exit_code = code;
    standing.action = Some(Action::Hold);
    match found {
        // One that says otherwise than its command did was written by nobody that is asked here.
        Some(found) if Some(found.exit_code) == code && found.action == action_of(found.exit_code) => {
            standing.action = Some(found.action);
            standing.summary = found.summary.split_whitespace().collect::<Vec<_>>().join(" ");
            standing.run_id = found.run_id;
        }
        _ => {
            let how = match (code, &end.problem) {
                (_, Some(problem)) => problem.clone(),
                (Some(code), None) => format!("it ended with exit code {code}"),
                (None, None) => "it was ended by a signal".to_owned(),
            };
            standing.summary = format!("HOLD. There is no verdict: {how}. {}", complaint(&act.tail()));
        }
    }
    standing
}

/// The lines that say what is wrong and where, of those that it said last.
fn complaint(tail: &[String]) -> String {
    let lines = || tail.iter().map(|line| line.trim());
    let told: Vec<&str> =
        lines().filter(|line| line.starts_with("error") || line.starts_with("-->")).collect();
    let told = if told.is_empty() { lines().collect() } else { told };
    told.join(" ")
}

const STOPPED: &str = "the server that asked for it ended";

/// Whether its end says nothing of the target.
fn interrupted(end: &ActEnd) -> bool {
    let codes = [ExitCode::Interrupted, ExitCode::Terminated].map(|code| i32::from(code.code()));
    let stopped = end.problem.as_deref().is_some_and(|problem| problem.contains(STOPPED));
    end.unknown || stopped || end.code.is_some_and(|code| codes.contains(&code))
}
