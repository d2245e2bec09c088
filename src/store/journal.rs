use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::machine;

/// Lines of JSON, appended as things happen, by a thread of low priority: what sends load on the same core goes first.
pub struct Journal {
    path: PathBuf,
    jobs: Option<SyncSender<Job>>,
    writer: Option<JoinHandle<()>>,
    out: Arc<Mutex<Out>>,
    failed: Arc<Mutex<Option<std::io::Error>>>,
}

/// Adds what is to be written.
type Job = Box<dyn FnOnce(&mut Vec<u8>) -> std::io::Result<()> + Send>;

/// The file, and what could not be written to it yet: where the disk is full for a moment, nothing is lost, and no line is
/// torn.
struct Out {
    file: File,
    waiting: Vec<u8>,
}

/// Beyond so much that waits, whoever appends writes itself: on a machine that is full the writer hardly ever runs.
const MOST_JOBS: usize = 64;

impl Journal {
    /// # Errors
    /// If the file is there already or cannot be created.
    pub fn create(path: &Path) -> Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|e| Error::output(folder, "create folder", e).with_hint("choose another --out"))?;
        }
        let fail = |e| Error::output(path, "create journal", e).with_hint("choose another --out");
        let file = OpenOptions::new().create_new(true).append(true).open(path).map_err(fail)?;
        let (jobs, waiting) = std::sync::mpsc::sync_channel::<Job>(MOST_JOBS);
        let failed = Arc::new(Mutex::new(None));
        let out = Arc::new(Mutex::new(Out { file, waiting: Vec::new() }));
        let (own, noted) = (out.clone(), failed.clone());
        let writer = std::thread::Builder::new().name("journal".into()).spawn(move || {
            machine::yield_to_others();
            for job in waiting {
                if let Err(e) = run(job, &own) {
                    noted.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
                }
            }
        });
        let writer = Some(writer.map_err(fail)?);
        Ok(Self { path: path.to_owned(), jobs: Some(jobs), writer, out, failed })
    }

    /// Adds `entries`; soon they are with the operating system, so that they outlive this process.
    ///
    /// # Errors
    /// With the path, if these or earlier ones could not be written.
    pub fn append<T: Serialize + Send + 'static>(&mut self, entries: Vec<T>) -> Result<()> {
        self.submit(Box::new(move |lines| {
            entries.into_iter().try_for_each(|entry| {
                serde_json::to_writer(&mut *lines, &entry)?;
                lines.push(b'\n');
                Ok(())
            })
        }))
    }

    /// Waits until everything is written.
    ///
    /// # Errors
    /// With the path, if something could not be.
    pub fn sync(&mut self) -> Result<()> {
        let (done, wait) = std::sync::mpsc::channel();
        let jobs = self
            .jobs
            .as_ref()
            .ok_or_else(|| Error::output(&self.path, "append to journal", "its writer has ended"))?;
        let job: Job = Box::new(move |_| {
            // Nobody waits any more: then nobody needs to know.
            let _ = done.send(());
            Ok(())
        });
        // In its turn, behind all that waits; a writer that is gone is told below.
        let _ = jobs.send(job);
        // An error here means that the writer is gone, which the check below tells.
        let _ = wait.recv();
        self.check()
    }

    fn submit(&mut self, job: Job) -> Result<()> {
        self.check()?;
        let jobs = self.jobs.as_ref().map(|jobs| jobs.try_send(job));
        let written = match jobs {
            Some(Ok(())) => Ok(()),
            Some(Err(TrySendError::Full(job) | TrySendError::Disconnected(job))) => run(job, &self.out),
            None => Err(std::io::Error::other("its writer has ended")),
        };
        written.map_err(|e| Error::output(&self.path, "append to journal", e))
    }

    fn check(&self) -> Result<()> {
        match self.failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(e) => Err(Error::output(&self.path, "append to journal", e)),
            None => Ok(()),
        }
    }

    /// The journal has served its purpose.
    ///
    /// # Errors
    /// With the path.
    pub fn remove(mut self) -> Result<()> {
        self.close();
        std::fs::remove_file(&self.path).map_err(|e| Error::output(&self.path, "remove journal", e))
    }

    fn close(&mut self) {
        self.jobs = None;
        if let Some(writer) = self.writer.take() {
            // A panic there has been printed already.
            let _ = writer.join();
        }
    }
}

fn run(job: Job, out: &Mutex<Out>) -> std::io::Result<()> {
    let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
    let Out { file, waiting } = &mut *out;
    job(waiting)?;
    if waiting.is_empty() {
        return Ok(());
    }
    let before = file.metadata()?.len();
    if let Err(e) = file.write_all(waiting) {
        // Half a line would make all that follows unreadable.
        let _ = file.set_len(before);
        return Err(e);
    }
    waiting.clear();
    Ok(())
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

/// Hands out all complete entries in order, one at a time, so that a long journal is never in memory as a whole; a last
/// line that was cut off by a crash is left out.
///
/// # Errors
/// If the file cannot be read, or a line before the last is not an entry.
pub fn read_journal<T: DeserializeOwned>(path: &Path, mut take: impl FnMut(T)) -> Result<()> {
    let fail = |e: &dyn std::fmt::Display| Error::input(path, "read journal", e);
    let mut lines = BufReader::new(File::open(path).map_err(|e| fail(&e))?);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        lines.read_until(b'\n', &mut line).map_err(|e| fail(&e))?;
        if line.pop() != Some(b'\n') {
            break;
        }
        take(serde_json::from_slice(&line).map_err(|e| fail(&format!("line {number}: {e}")))?);
    }
    Ok(())
}
