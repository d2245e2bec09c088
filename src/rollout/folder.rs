use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::act::Act;
use super::event::{Entry, Event, JOURNAL_FORMAT, Request, RequestKind};
use super::state::State;
use crate::error::{Error, Result};
use crate::store::{Ledger, Lock, write_atomic};

const REQUESTS: &str = "requests";

/// Where one rollout of a plan is kept: `journal.jsonl`, the runs, the commands with their output, requests.
#[derive(Clone, Debug)]
pub struct Place {
    /// Of the plan.
    pub root: PathBuf,
    pub release: String,
}

/// One that nobody else changes meanwhile.
pub struct Rollout {
    pub place: Place,
    pub state: State,
    pub entries: Vec<Entry>,
    ledger: Ledger,
    _lock: Lock,
}

impl Place {
    /// The newest rollout of a plan, if there is one.
    ///
    /// # Errors
    /// If a journal cannot be read.
    pub fn newest(root: &Path) -> Result<Option<Self>> {
        let mut found: Option<((bool, String), Self)> = None;
        let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.path().is_dir()) {
            let place =
                Self { root: root.to_owned(), release: entry.file_name().to_string_lossy().into_owned() };
            let entries = place.entries()?;
            let Some(first) = entries.first() else { continue };
            // One that is not over is the one that is meant, whatever clocks say.
            let key = (State::of(&entries).ended.is_none(), first.at.clone());
            if found.as_ref().is_none_or(|(known, _)| *known < key) {
                found = Some((key, place));
            }
        }
        Ok(found.map(|(_, place)| place))
    }

    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.root.join(&self.release)
    }

    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.folder().join("journal.jsonl")
    }

    #[must_use]
    pub fn run(&self, name: &str) -> PathBuf {
        self.folder().join("runs").join(name)
    }

    #[must_use]
    pub fn act(&self, name: &str) -> Act {
        Act::new(&self.folder().join("acts"), name)
    }

    fn lock(&self) -> PathBuf {
        self.root.join(".lock")
    }

    /// What is known of it, for those who only look.
    ///
    /// # Errors
    /// If its journal cannot be read.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        Ledger::read(&self.journal()).and_then(|entries| readable(&self.journal(), entries))
    }

    /// Whether a controller goes on with a rollout of this plan.
    ///
    /// # Errors
    /// If the lock cannot be looked at.
    pub fn is_controlled(&self) -> Result<bool> {
        Lock::is_held(&self.lock())
    }

    /// Takes it over. `None`: somebody else has it.
    ///
    /// # Errors
    /// If it cannot be opened, or its journal makes no sense.
    pub fn open(self) -> Result<Option<Rollout>> {
        for folder in [
            self.root.clone(),
            self.folder().join("acts"),
            self.folder().join("runs"),
            self.folder().join(REQUESTS),
        ] {
            std::fs::create_dir_all(&folder).map_err(|e| Error::output(&folder, "create folder", e))?;
        }
        let Some(lock) = Lock::take(&self.lock())? else { return Ok(None) };
        let (ledger, entries) = Ledger::open::<Entry>(&self.journal())?;
        let entries = readable(&self.journal(), entries)?;
        Ok(Some(Rollout { state: State::of(&entries), place: self, entries, ledger, _lock: lock }))
    }

    /// Leaves a request for the controller.
    ///
    /// # Errors
    /// With the path.
    pub fn request(&self, request: &Request) -> Result<PathBuf> {
        let path = self.folder().join(REQUESTS).join(format!("{}.json", request.id));
        let bytes = serde_json::to_vec(request).map_err(|e| Error::output(&path, "write", e))?;
        write_atomic(&path, &bytes)?;
        Ok(path)
    }

    /// What has been asked for and not been heard yet, in order. What cannot be read is no request.
    #[must_use]
    pub fn requests(&self) -> Vec<(PathBuf, Request)> {
        let entries = std::fs::read_dir(self.folder().join(REQUESTS)).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .collect();
        paths.sort();
        let read = |path: PathBuf| {
            let request = serde_json::from_slice(&std::fs::read(&path).ok()?).ok()?;
            Some((path, request))
        };
        paths.into_iter().filter_map(read).collect()
    }
}

impl Rollout {
    /// Writes down what happens; once this returns, it stays so.
    ///
    /// # Errors
    /// With the path.
    pub fn record(&mut self, event: Event) -> Result<Entry> {
        let entry = Entry { at: Timestamp::now().to_string(), event };
        self.ledger.append(&entry)?;
        self.state.take(&entry);
        self.entries.push(entry.clone());
        Ok(entry)
    }

    /// The same for what leads back: that it cannot be written down is told, and hinders nothing.
    pub fn record_anyway(&mut self, event: Event) -> (Entry, Option<Error>) {
        let entry = Entry { at: Timestamp::now().to_string(), event };
        let failed = self.ledger.append(&entry).err();
        self.state.take(&entry);
        self.entries.push(entry.clone());
        (entry, failed)
    }

    /// Lets somebody else have it.
    #[must_use]
    pub fn close(self) -> (Place, State, Vec<Entry>) {
        (self.place, self.state, self.entries)
    }

    /// Takes up what people have asked for; hands out what could not be granted, and why.
    pub fn hear(&mut self) -> Vec<(Request, Option<String>)> {
        let mut heard = Vec::new();
        for (path, request) in self.place.requests() {
            if self.state.heard.contains(&request.id) {
                let _ = std::fs::remove_file(&path);
                continue;
            }
            let mut refused = self.state.refuses_request(&request);
            if refused.is_none() {
                let event = Event::Requested(request.clone());
                if request.kind == RequestKind::Rollback {
                    self.record_anyway(event);
                } else if let Err(e) = self.record(event) {
                    refused = Some(format!("it cannot be written down ({e})"));
                }
            }
            // It stands in the journal now, or is not for this rollout.
            let _ = std::fs::remove_file(&path);
            heard.push((request, refused));
        }
        heard
    }
}

/// Refuses what a later version has written.
fn readable(path: &Path, entries: Vec<Entry>) -> Result<Vec<Entry>> {
    let newer = entries.iter().find_map(|entry| match &entry.event {
        Event::Begun(begun) if begun.format > JOURNAL_FORMAT => Some(begun),
        _ => None,
    });
    let Some(begun) = newer else { return Ok(entries) };
    let (format, version) = (begun.format, &begun.loadgate_version);
    let reason = format!("format {format} of loadgate {version}; this one reads up to {JOURNAL_FORMAT}");
    Err(Error::input(path, "read journal", reason).with_hint("go on with that version, or a later one"))
}
