use std::path::{Path, PathBuf};

use super::message::{MESSAGE_FORMAT, Message};
use crate::error::{Error, Result};
use crate::store::write_atomic;

/// What was not taken yet, one message a line. It is gone once everything was.
pub struct Outbox {
    path: PathBuf,
    pub waiting: Vec<Message>,
}

impl Outbox {
    /// Of a run's folder.
    ///
    /// # Errors
    /// If one is there and cannot be read.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("outbox.jsonl");
        let fail = |e: &dyn std::fmt::Display| Error::input(&path, "read outbox", e);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(fail(&e)),
        };
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let waiting = lines
            .enumerate()
            .map(|(i, line)| {
                let message: Message =
                    serde_json::from_str(line).map_err(|e| fail(&format!("line {}: {e}", i + 1)))?;
                if message.format > MESSAGE_FORMAT {
                    let told = format!("line {}: format {} is of a later loadgate", i + 1, message.format);
                    return Err(fail(&told));
                }
                Ok(message)
            })
            .collect::<Result<_>>()?;
        Ok(Self { path, waiting })
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes down what waits; what is not written is never sent.
    ///
    /// # Errors
    /// With the path.
    pub fn keep(&self) -> Result<()> {
        if self.waiting.is_empty() {
            return match std::fs::remove_file(&self.path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    Err(Error::output(&self.path, "remove outbox", e))
                }
                _ => Ok(()),
            };
        }
        let mut text = String::new();
        for message in &self.waiting {
            let line = serde_json::to_string(message).map_err(|e| Error::output(&self.path, "write", e))?;
            text.push_str(&line);
            text.push('\n');
        }
        write_atomic(&self.path, text.as_bytes())
    }
}
