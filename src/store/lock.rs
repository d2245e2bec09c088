use std::fs::{File, OpenOptions};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::error::{Error, Result};

const GLANCE: Duration = Duration::from_millis(25);

/// Held by one process at a time, and let go of with it, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// `None`: somebody else holds it.
    ///
    /// # Errors
    /// If the file cannot be opened or created.
    pub fn take(path: &Path) -> Result<Option<Self>> {
        let fail = |e: std::io::Error| Error::output(path, "lock", e);
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(fail)?;
        for last in [false, false, false, true] {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Some(Self { _file: file })),
                // Somebody who only looks whether it is held, holds it for an instant.
                Err(rustix::io::Errno::WOULDBLOCK) if !last => std::thread::sleep(GLANCE),
                Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
                Err(e) => return Err(fail(e.into())),
            }
        }
        Ok(None)
    }

    /// Creates what must not be there yet, and holds it: whoever sees it sees it held. `None`: it is there already.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn create(path: &Path) -> Result<Option<Self>> {
        let fail = |e: std::io::Error| Error::output(path, "create", e);
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}", std::process::id()));
        let own = path.with_file_name(name);
        let file = File::create(&own).map_err(fail)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|e| fail(e.into()))?;
        let linked = std::fs::hard_link(&own, path);
        let _ = std::fs::remove_file(&own);
        match linked {
            Ok(()) => {
                if let Some(folder) = path.parent() {
                    File::open(folder).and_then(|folder| folder.sync_all()).map_err(fail)?;
                }
                Ok(Some(Self { _file: file }))
            }
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(None),
            Err(e) => Err(fail(e)),
        }
    }

    /// Whether somebody holds it now.
    ///
    /// # Errors
    /// If it is there and cannot be opened.
    pub fn is_held(path: &Path) -> Result<bool> {
        match File::open(path) {
            Ok(file) => match flock(&file, FlockOperation::NonBlockingLockShared) {
                Ok(()) => Ok(false),
                Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
                Err(e) => Err(Error::input(path, "look at lock", e)),
            },
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(Error::input(path, "look at lock", e)),
        }
    }
}
