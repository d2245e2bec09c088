use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};
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

/// All complete entries; a last line that was cut off by a crash is left out.
///
/// # Errors
/// If the file cannot be read, or a line before the last is not an entry.
pub fn read_journal<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::input(path, "read journal", e))?;
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    complete
        .lines()
        .enumerate()
        .map(|(i, line)| {
            serde_json::from_str(line)
                .map_err(|e| Error::input(path, "read journal", format!("line {}: {e}", i + 1)))
        })
        .collect()
}
