use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// Lines of JSON that are on the disk before anybody acts on them. Whoever writes must hold a [`super::Lock`].
pub struct Ledger {
    path: PathBuf,
    file: File,
}

impl Ledger {
    /// Opens or creates it, and hands out what stands in it. A last line that a crash has cut off was acted on by nobody: it
    /// is taken away.
    ///
    /// # Errors
    /// With the path; if a whole line is no entry.
    pub fn open<T: DeserializeOwned>(path: &Path) -> Result<(Self, Vec<T>)> {
        let fail = |e| Error::output(path, "open journal", e);
        let fresh = !path.exists();
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(fail)?;
        if fresh && let Some(folder) = path.parent() {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(fail)?;
        }
        let mut text = Vec::new();
        file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_end(&mut text)).map_err(fail)?;
        let whole = whole_lines(&text);
        if whole < text.len() {
            file.set_len(whole as u64).and_then(|()| file.sync_all()).map_err(fail)?;
        }
        Ok((Self { path: path.to_owned(), file }, entries(path, &text[..whole])?))
    }

    /// What stands in it now, for those who only look.
    ///
    /// # Errors
    /// With the path; if a whole line is no entry.
    pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
        match std::fs::read(path) {
            Ok(text) => entries(path, &text[..whole_lines(&text)]),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(e) => Err(Error::input(path, "read journal", e)),
        }
    }

    /// Once this returns, the entry outlives the machine.
    ///
    /// # Errors
    /// With the path.
    pub fn append<T: Serialize>(&mut self, entry: &T) -> Result<()> {
        let fail = |e: std::io::Error| {
            Error::output(&self.path, "append to journal", e).with_hint("is the disk full?")
        };
        let mut line = serde_json::to_vec(entry).map_err(|e| fail(e.into()))?;
        line.push(b'\n');
        let before = self.file.metadata().map_err(fail)?.len();
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        written.map_err(|e| {
            // Half a line in the middle would make all that follows unreadable.
            let _ = self.file.set_len(before);
            fail(e)
        })
    }
}

fn whole_lines(text: &[u8]) -> usize {
    text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
}

fn entries<T: DeserializeOwned>(path: &Path, text: &[u8]) -> Result<Vec<T>> {
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines
        .enumerate()
        .map(|(number, line)| {
            serde_json::from_slice(line)
                .map_err(|e| Error::input(path, "read journal", format!("line {}: {e}", number + 1)))
        })
        .collect()
}
