use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// Lines of JSON, appended as things happen.
pub struct Journal {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Journal {
    /// # Errors
    /// If the file is there already or cannot be created.
    pub fn create(path: &Path) -> Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|e| Error::output(folder, "create folder", e))?;
        }
        let file = OpenOptions::new()
            .create_new(true)
            .append(true)
            .open(path)
            .map_err(|e| Error::output(path, "create journal", e).with_hint("choose another --out"))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file) })
    }

    /// Adds `entries` and hands them to the operating system, so that they outlive this process.
    ///
    /// # Errors
    /// With the path.
    pub fn append<T: Serialize>(&mut self, entries: &[T]) -> Result<()> {
        let mut written = Ok(());
        for entry in entries {
            let line = serde_json::to_string(entry).map_err(std::io::Error::from);
            written = written.and_then(|()| writeln!(self.file, "{}", line?));
        }
        written
            .and_then(|()| self.file.flush())
            .map_err(|e| Error::output(&self.path, "append to journal", e))
    }

    /// The journal has served its purpose.
    ///
    /// # Errors
    /// With the path.
    pub fn remove(self) -> Result<()> {
        std::fs::remove_file(&self.path).map_err(|e| Error::output(&self.path, "remove journal", e))
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
