//! Results in object storage: made here, then put there; and the other way round.

use std::path::{Path, PathBuf};

use super::session::complain;
use crate::error::{Error, Result};
use crate::store::{Shelf, is_remote};

/// Where a run puts its results: a folder here, and where that is copied to.
#[derive(Clone, Debug)]
pub struct Outlet {
    pub folder: PathBuf,
    shelf: Option<Shelf>,
}

impl Outlet {
    /// `given` may be a URL; then the folder is one among the results here. Nothing is measured for a place that cannot be read,
    /// or that holds a run already.
    ///
    /// # Errors
    /// Why not.
    pub fn of(given: Option<&Path>, id: &str) -> Result<Self> {
        let own = || Path::new("results").join(id);
        let Some(given) = given else { return Ok(Self { folder: own(), shelf: None }) };
        if !is_remote(given) {
            return Ok(Self { folder: given.to_owned(), shelf: None });
        }
        let shelf = Shelf::at(given)?;
        if shelf.location() != given {
            return Ok(Self { folder: shelf.location().to_owned(), shelf: None });
        }
        let there = shelf.listed("")?;
        if there.iter().any(|name| name == "run.json" || name == "combined.json") {
            let message = format!("{} already holds a run", given.display());
            return Err(Error::usage_hint(message, "choose another --out"));
        }
        Ok(Self { folder: own(), shelf: Some(shelf) })
    }

    /// Copies what is in the folder to where it should be.
    ///
    /// # Errors
    /// If it cannot be written there, or somebody else has meanwhile; then it is still here.
    pub fn publish(&self) -> Result<()> {
        let Some(shelf) = &self.shelf else { return Ok(()) };
        let put = self.put(shelf);
        let here = format!("what was measured is in {}", self.folder.display());
        match put {
            Ok(()) => {
                complain(&format!("results are in {} too", shelf.location().display()));
                Ok(())
            }
            Err(error) => {
                complain(&here);
                // Whoever waits for these results must not take them for had.
                Err(Error::harness(error.to_string()))
            }
        }
    }

    fn put(&self, shelf: &Shelf) -> Result<()> {
        let mut names = Vec::new();
        files_below(&self.folder, Path::new(""), &mut names)?;
        // What says that there is a run comes last: whoever sees it sees all of it.
        names.sort_by_key(|name| {
            let last = name.file_name().is_some_and(|n| n == "run.json" || n == "combined.json");
            (last, name.components().count() == 1, name.clone())
        });
        for name in names {
            let path = self.folder.join(&name);
            let bytes = std::fs::read(&path).map_err(|e| Error::input(&path, "read", e))?;
            if shelf.create(&name.to_string_lossy(), &bytes)?.is_none() {
                let place = shelf.location().join(&name);
                let reason = "somebody else has written it meanwhile";
                return Err(Error::output(&place, "write", reason).with_hint("choose another --out"));
            }
        }
        Ok(())
    }
}

/// Paths below `folder`, without what is not for others.
fn files_below(folder: &Path, below: &Path, names: &mut Vec<PathBuf>) -> Result<()> {
    let own = folder.join(below);
    let entries = std::fs::read_dir(&own).map_err(|e| Error::input(&own, "list", e))?;
    for entry in entries {
        let entry = entry.map_err(|e| Error::input(&own, "list", e))?;
        let name = below.join(entry.file_name());
        if entry.path().is_dir() {
            files_below(folder, &name, names)?;
        } else if !entry.file_name().to_string_lossy().starts_with('.') {
            names.push(name);
        }
    }
    Ok(())
}

/// What may stand in where a store is away.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// What was there the last time, with a warning.
    LastKnown,
    /// Nothing: what is there now decides.
    Now,
}

/// A run in object storage, as a folder or file here; `None`: there is nothing at its address.
///
/// # Errors
/// If it cannot be had.
pub fn fetched_if_any(path: &Path, freshness: Freshness) -> Result<Option<PathBuf>> {
    if !is_remote(path) {
        return Ok(Some(path.to_owned()));
    }
    let file = path.file_name().is_some_and(|name| name == "run.json");
    let folder = if file { path.parent().unwrap_or(path) } else { path };
    let shelf = Shelf::at(folder)?;
    let here = shelf.folder("")?;
    match shelf.stale() {
        Some(stale) if freshness == Freshness::Now => {
            return Err(Error::harness(format!("{stale}; what is there now is what counts")));
        }
        Some(stale) => complain(&format!("warning: {stale}")),
        None => {}
    }
    let empty = std::fs::read_dir(&here).map_or(true, |entries| {
        entries.flatten().all(|entry| entry.file_name().to_string_lossy().starts_with('.'))
    });
    Ok((!empty).then_some(here))
}

pub fn nothing_at(path: &Path) -> Error {
    Error::input(path, "read record", "there is nothing at this address")
}

/// Runs in object storage, as folders or files here.
///
/// # Errors
/// If they cannot be had.
pub fn fetched(runs: &[PathBuf], freshness: Freshness) -> Result<Vec<PathBuf>> {
    runs.iter().map(|run| fetched_if_any(run, freshness)?.ok_or_else(|| nothing_at(run))).collect()
}
