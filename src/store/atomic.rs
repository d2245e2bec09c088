use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher as _, RandomState};
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};
use crate::logging::{Level, log};

/// Writes what must not be there yet, whole or not at all. `false`: something is.
///
/// # Errors
/// With the path and the step that failed.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<bool> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    // A link fails where the name is taken, which renaming does not.
    let own = folder.join(format!(".{name}.{}.new", own_mark()));
    write_atomic(&own, bytes)?;
    let linked = fs::hard_link(&own, path);
    let _ = fs::remove_file(&own);
    match linked {
        Ok(()) => {
            File::open(folder)
                .and_then(|dir| dir.sync_all())
                .map_err(|e| Error::output(folder, "sync folder", e))?;
            Ok(true)
        }
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(Error::output(path, "write", e)),
    }
}

/// Nobody else's, also where every container has a process of the same number.
fn own_mark() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let random = RandomState::new().hash_one((std::process::id(), count));
    format!("{}-{random:016x}", std::process::id())
}

/// What a file of JSON holds; `None`: there is no such file.
///
/// # Errors
/// With the path, if it cannot be read or understood.
pub fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| Error::input(path, "read", e)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::input(path, "read", e)),
    }
}

/// Writes `bytes` so that `path` holds either its old content or the new, never a part.
///
/// # Errors
/// With the path and the step that failed.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    write(path, bytes, false)
}

/// As [`write_atomic`], for nobody else to read.
///
/// # Errors
/// As [`write_atomic`].
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    write(path, bytes, true)
}

fn write(path: &Path, bytes: &[u8], private: bool) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|e| Error::output(folder, "create folder", e))?;
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let temporary = folder.join(format!(".{name}.{}.tmp", own_mark()));
    let mut how = OpenOptions::new();
    how.write(true).create_new(true);
    #[cfg(unix)]
    if private {
        std::os::unix::fs::OpenOptionsExt::mode(&mut how, 0o600);
    }
    #[cfg(not(unix))]
    let _ = private;
    let written = how.open(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.and_then(|()| fs::rename(&temporary, path)).map_err(|e| {
        // What is left of the attempt helps nobody.
        let _ = fs::remove_file(&temporary);
        Error::output(path, "write", e).with_hint("is the disk full, or the folder read-only?")
    })?;
    log(Level::Debug, "store", || format!("{}: {} bytes written", path.display(), bytes.len()));
    File::open(folder).and_then(|dir| dir.sync_all()).map_err(|e| Error::output(folder, "sync folder", e))
}
