use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::document::BaselineDocument;
use crate::error::{Error, Result};
use crate::store::write_atomic;
use crate::verdict::Reference;

/// How many instances a verdict compares with.
pub const DEFAULT_INSTANCES: usize = 5;

/// The baselines of one environment: `DIR/<env>/<feature>/<UTC time>-<id>.json`.
pub struct Library {
    folder: PathBuf,
}

/// A document and where it is.
pub struct Stored {
    pub path: PathBuf,
    pub document: BaselineDocument,
}

impl Library {
    #[must_use]
    pub fn new(folder: &Path, env: &str) -> Self {
        Self { folder: folder.join(env) }
    }

    /// All documents of a feature, oldest first.
    ///
    /// # Errors
    /// If any of them cannot be read: that is never the same as having none.
    pub fn documents(&self, feature: &str) -> Result<Vec<Stored>> {
        let folder = self.folder.join(file_name(feature));
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(Error::input(&folder, "list baselines in", e)),
        };
        let mut paths: Vec<PathBuf> = entries
            .map(|entry| entry.map(|e| e.path()).map_err(|e| Error::input(&folder, "list baselines in", e)))
            .collect::<Result<_>>()?;
        paths.retain(|p| p.extension().is_some_and(|e| e == "json") && !hidden(p));
        paths.sort();
        paths
            .into_iter()
            .map(|path| {
                let bytes = std::fs::read(&path).map_err(|e| Error::input(&path, "read baseline", e))?;
                Ok(Stored { document: BaselineDocument::from_bytes(&path, &bytes)?, path })
            })
            .collect()
    }

    /// The features that have baselines.
    ///
    /// # Errors
    /// If the folder is there but cannot be listed.
    pub fn features(&self) -> Result<Vec<String>> {
        let mut features = BTreeSet::new();
        match std::fs::read_dir(&self.folder) {
            Ok(entries) => {
                for entry in entries {
                    let entry = entry.map_err(|e| Error::input(&self.folder, "list", e))?;
                    if entry.path().is_dir() {
                        features.insert(entry.file_name().to_string_lossy().into_owned());
                    }
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::input(&self.folder, "list", e)),
        }
        Ok(features.into_iter().collect())
    }

    /// The newest instances of each of a feature's endpoints, given as name and digest. Where no run has that digest,
    /// the newest other one is returned, so that the change can be named.
    ///
    /// # Errors
    /// As [`Library::documents`].
    pub fn references(
        &self,
        feature: &str,
        endpoints: &[(String, String)],
        most: usize,
    ) -> Result<Vec<Reference>> {
        let documents = self.documents(feature)?;
        Ok(endpoints
            .iter()
            .filter_map(|(endpoint, digest)| reference(&documents, endpoint, digest, most))
            .collect())
    }

    /// Makes sure that something can be stored, before anything is measured for it.
    ///
    /// # Errors
    /// With the folder, if it cannot be made.
    pub fn prepare(&self) -> Result<()> {
        std::fs::create_dir_all(&self.folder).map_err(|e| Error::output(&self.folder, "create folder", e))
    }

    /// Stores a document under a name that sorts by time.
    ///
    /// # Errors
    /// With the path, if it cannot be written.
    pub fn store(&self, document: &BaselineDocument) -> Result<PathBuf> {
        let stamp: String = document.recorded.chars().take(19).filter(char::is_ascii_alphanumeric).collect();
        let id: String =
            document.instance.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(40).collect();
        let path = self.folder.join(file_name(&document.feature)).join(format!("{stamp}Z-{id}.json"));
        write_atomic(&path, &document.to_bytes(&path)?)?;
        Ok(path)
    }
}

fn reference(documents: &[Stored], endpoint: &str, digest: &str, most: usize) -> Option<Reference> {
    let mut runs = Vec::new();
    let mut instances = BTreeSet::new();
    let mut other = None;
    for stored in documents.iter().rev() {
        let Some(baseline) = stored.document.endpoints.get(endpoint) else { continue };
        if baseline.digest != digest {
            other = other.or(Some((baseline.digest.clone(), baseline.as_reference(&stored.document))));
            continue;
        }
        if instances.len() == most && !instances.contains(&stored.document.instance) {
            break;
        }
        instances.insert(stored.document.instance.clone());
        runs.push(baseline.as_reference(&stored.document));
    }
    runs.reverse();
    if runs.is_empty() {
        let (digest, run) = other?;
        return Some(Reference { endpoint: endpoint.to_owned(), digest, runs: vec![run] });
    }
    Some(Reference { endpoint: endpoint.to_owned(), digest: digest.to_owned(), runs })
}

/// Names starting with `_` or `.` are not runs.
fn hidden(path: &Path) -> bool {
    path.file_name().is_none_or(|name| name.to_string_lossy().starts_with(['_', '.']))
}

/// A feature's name as a folder's.
fn file_name(feature: &str) -> String {
    feature.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect()
}
