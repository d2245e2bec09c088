use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::anchor::{ANCHOR_FORMAT, Acceptance, AnchorDocument};
use super::document::{BaselineDocument, checked_bytes, from_checked_bytes};
use jiff::Timestamp;

use crate::error::{Error, Result};
use crate::logging::{Level, log};
use crate::metrics::{DEFAULT_INSTANCES, ScenarioRecord};
use crate::store::Shelf;
use crate::verdict::{Reference, instance_key};

const ANCHOR: &str = "_anchor.json";
const MOST_OF_A_NAME: u32 = 50;

/// The baselines of one environment: `DIR/<env>/<feature>/<UTC time>-<id>.json`.
pub struct Library {
    shelf: Shelf,
    env: String,
    /// What was accepted later is not seen.
    until: Option<Timestamp>,
}

/// A document and where it is.
pub struct Stored {
    pub path: PathBuf,
    pub document: BaselineDocument,
}

impl Library {
    #[must_use]
    pub fn new(shelf: &Shelf, env: &str) -> Self {
        Self { shelf: shelf.clone(), env: env.to_owned(), until: None }
    }

    /// Where this environment's are read from.
    fn folder(&self) -> Result<PathBuf> {
        Ok(self.shelf.folder(&self.env)?.join(&self.env))
    }

    /// A file's name on the shelf.
    fn name(&self, feature: &str, file: &str) -> String {
        format!("{}/{}/{file}", self.env, file_name(feature))
    }

    /// The library as it was at a moment (RFC 3339); as it is now where the text is none.
    #[must_use]
    pub fn as_of(self, moment: &str) -> Self {
        Self { until: moment.parse().ok(), ..self }
    }

    /// All documents of a feature, oldest first.
    ///
    /// # Errors
    /// If any of them cannot be read: that is never the same as having none.
    pub fn documents(&self, feature: &str) -> Result<Vec<Stored>> {
        let mut all: Vec<Stored> = self.paths(feature)?.into_iter().map(read).collect::<Result<_>>()?;
        all.retain(|stored| self.until.is_none_or(|until| stored.document.accepted_by(until)));
        Ok(all)
    }

    /// What can be read of a feature, and everything that is wrong.
    ///
    /// # Errors
    /// If the folder cannot be listed.
    pub fn check(&self, feature: &str) -> Result<(Vec<Stored>, Vec<Error>)> {
        let (mut good, mut mistakes) = (Vec::new(), Vec::new());
        let mut seen = BTreeSet::new();
        for path in self.paths(feature)? {
            match read(path) {
                Err(error) => mistakes.push(error),
                Ok(Stored { path, document }) => {
                    let fail = |reason: String| Error::input(&path, "use baseline", reason);
                    if file_name(&document.feature) != feature {
                        mistakes.push(fail(format!("it is of `{}`, not of this folder", document.feature)));
                    } else if !seen.insert((
                        document.run_id.clone(),
                        document.instance.clone(),
                        document.recorded.clone(),
                    )) {
                        mistakes.push(fail(format!("run {} is stored twice", document.run_id)));
                    } else {
                        good.push(Stored { path, document });
                    }
                }
            }
        }
        Ok((good, mistakes))
    }

    fn paths(&self, feature: &str) -> Result<Vec<PathBuf>> {
        let folder = self.folder()?.join(file_name(feature));
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
        Ok(paths)
    }

    /// The features that have baselines.
    ///
    /// # Errors
    /// If the folder is there but cannot be listed.
    pub fn features(&self) -> Result<Vec<String>> {
        let mut features = BTreeSet::new();
        let folder = self.folder()?;
        match std::fs::read_dir(&folder) {
            Ok(entries) => {
                for entry in entries {
                    let entry = entry.map_err(|e| Error::input(&folder, "list", e))?;
                    if entry.path().is_dir() {
                        features.insert(entry.file_name().to_string_lossy().into_owned());
                    }
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::input(&folder, "list", e)),
        }
        Ok(features.into_iter().collect())
    }

    /// The newest instances of each of a feature's endpoints, given as name and digest. Where no run has that digest,
    /// the newest other one is returned, so that the change can be named; and endpoints of the newest run that are not
    /// asked for, so that it can be told that they are gone.
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
        let anchor = self.anchor(feature)?;
        let newest = documents.last().map(|stored| &stored.document.endpoints);
        let gone = newest.into_iter().flatten().filter(|(name, _)| endpoints.iter().all(|(e, _)| e != *name));
        let gone = gone.map(|(name, baseline)| (name.clone(), baseline.digest.clone()));
        let all: Vec<(String, String)> = endpoints.iter().cloned().chain(gone).collect();
        Ok(all
            .iter()
            .filter_map(|(endpoint, digest)| reference(&documents, &anchor, endpoint, digest, most))
            .collect())
    }

    /// [`Library::references`] of all endpoints of these scenarios.
    ///
    /// # Errors
    /// As [`Library::documents`].
    pub fn references_of(&self, scenarios: &[ScenarioRecord], most: usize) -> Result<Vec<Reference>> {
        let mut all = Vec::new();
        for scenario in scenarios {
            let endpoints: Vec<_> =
                scenario.endpoints.iter().map(|e| (e.endpoint.clone(), e.digest.clone())).collect();
            all.extend(self.references(&scenario.feature, &endpoints, most)?);
        }
        Ok(all)
    }

    /// Every endpoint of a feature as it was last accepted.
    ///
    /// # Errors
    /// As [`Library::documents`].
    pub fn newest(&self, feature: &str, most: usize) -> Result<Vec<Reference>> {
        let documents = self.documents(feature)?;
        self.references(feature, &newest_digests(&documents), most)
    }

    /// Whether levels that were accepted are remembered at all.
    ///
    /// # Errors
    /// If the folder cannot be had.
    pub fn has_anchor(&self, feature: &str) -> Result<bool> {
        Ok(self.folder()?.join(file_name(feature)).join(ANCHOR).exists())
    }

    /// The feature's anchor; an empty one where there is none yet.
    ///
    /// # Errors
    /// If it is there but cannot be read.
    pub fn anchor(&self, feature: &str) -> Result<AnchorDocument> {
        let path = self.folder()?.join(file_name(feature)).join(ANCHOR);
        match std::fs::read(&path) {
            Ok(bytes) => {
                let hint = "restore it from version control; without it the best accepted level is forgotten";
                from_checked_bytes(&path, &bytes, ANCHOR_FORMAT, hint)
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(AnchorDocument::new(feature, &self.env)),
            Err(e) => Err(Error::input(&path, "read anchor", e)),
        }
    }

    /// Puts back what stood there.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn restore_anchor(&self, feature: &str, anchor: &AnchorDocument) -> Result<()> {
        let name = self.name(feature, ANCHOR);
        self.shelf.replace(&name, &mut || checked_bytes(Path::new(&name), anchor))?;
        Ok(())
    }

    /// Brings the anchor up to what is stored now.
    ///
    /// # Errors
    /// As [`Library::documents`], and if it cannot be written.
    pub fn anchor_to_newest(&self, feature: &str, acceptance: &Acceptance<'_>) -> Result<()> {
        let name = self.name(feature, ANCHOR);
        self.shelf.replace(&name, &mut || {
            let mut anchor = self.anchor(feature)?;
            for reference in self.newest(feature, DEFAULT_INSTANCES)? {
                anchor.update(&reference, acceptance);
            }
            checked_bytes(Path::new(&name), &anchor)
        })?;
        Ok(())
    }

    /// The files that no verdict needs: runs that are not among the newest `keep` instances of any endpoint as it was
    /// last accepted; one that a later run does not have may still be measured somewhere.
    ///
    /// # Errors
    /// As [`Library::documents`].
    pub fn superfluous(&self, feature: &str, keep: usize) -> Result<Vec<Stored>> {
        let documents = self.documents(feature)?;
        let mut kept: BTreeSet<PathBuf> = BTreeSet::new();
        for (endpoint, digest) in newest_digests(&documents) {
            kept.extend(newest_runs(&documents, &endpoint, &digest, keep).map(|s| s.path.clone()));
        }
        Ok(documents.into_iter().filter(|stored| !kept.contains(&stored.path)).collect())
    }

    /// Makes sure that something can be stored, before anything is measured for it.
    ///
    /// # Errors
    /// With the folder, if it cannot be made.
    pub fn prepare(&self) -> Result<()> {
        self.shelf.prepare(&self.env)
    }

    /// Removes a file of [`Self::documents`].
    ///
    /// # Errors
    /// If it cannot be.
    pub fn remove(&self, path: &Path) -> Result<()> {
        let below: Vec<_> = path.iter().rev().take(3).map(|part| part.to_string_lossy()).collect();
        self.shelf.remove(&below.into_iter().rev().collect::<Vec<_>>().join("/"))
    }

    /// What a file of [`Self::documents`] is called where it is kept.
    #[must_use]
    pub fn told(&self, path: &Path) -> String {
        self.shelf.told(path)
    }

    /// Stores a document under a name that sorts by time.
    ///
    /// # Errors
    /// With the path, if it cannot be written.
    pub fn store(&self, document: &BaselineDocument) -> Result<PathBuf> {
        let stamp: String = document.recorded.chars().take(19).filter(char::is_ascii_alphanumeric).collect();
        let name = document.instance.split(' ').next().unwrap_or_default();
        let id: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(40).collect();
        for number in 1..=MOST_OF_A_NAME {
            // Two that are stored in the same second, from here or elsewhere, are two.
            let again = if number == 1 { String::new() } else { format!("-{number}") };
            let name = self.name(&document.feature, &format!("{stamp}Z-{id}{again}.json"));
            let bytes = document.to_bytes(Path::new(&name))?;
            if let Some(path) = self.shelf.create(&name, &bytes)? {
                return Ok(path);
            }
            // The same run may be accepted once more.
            self.shelf.prepare(&self.env)?;
            let there = read(self.shelf.folder(&self.env)?.join(&name))?.document;
            if (&there.run_id, &there.recorded) == (&document.run_id, &document.recorded) {
                return self.shelf.replace(&name, &mut || Ok(bytes.clone()));
            }
        }
        let path = self.shelf.location().join(&self.env);
        Err(Error::output(&path, "store baseline", "too many of one instance in one second"))
    }
}

fn read(path: PathBuf) -> Result<Stored> {
    log(Level::Debug, "baseline", || format!("{}: read", path.display()));
    let bytes = std::fs::read(&path).map_err(|e| Error::input(&path, "read baseline", e))?;
    Ok(Stored { document: BaselineDocument::from_bytes(&path, &bytes)?, path })
}

/// Every endpoint with the digest of its newest run.
fn newest_digests(documents: &[Stored]) -> Vec<(String, String)> {
    let all = documents.iter().flat_map(|stored| &stored.document.endpoints);
    let newest: BTreeMap<&String, &String> = all.map(|(name, baseline)| (name, &baseline.digest)).collect();
    newest.into_iter().map(|(name, digest)| (name.clone(), digest.clone())).collect()
}

/// The runs of the newest `most` instances with this digest, newest first.
fn newest_runs<'a>(
    documents: &'a [Stored],
    endpoint: &'a str,
    digest: &'a str,
    most: usize,
) -> impl Iterator<Item = &'a Stored> {
    let mut instances = BTreeSet::new();
    let same = documents.iter().rev().filter(move |stored| {
        stored.document.endpoints.get(endpoint).is_some_and(|baseline| baseline.digest == digest)
    });
    same.take_while(move |stored| {
        let document = &stored.document;
        instances.insert(instance_key(&document.instance, document.build.as_deref()));
        instances.len() <= most
    })
}

fn reference(
    documents: &[Stored],
    anchor: &AnchorDocument,
    endpoint: &str,
    digest: &str,
    most: usize,
) -> Option<Reference> {
    let as_run = |stored: &Stored| {
        let baseline = stored.document.endpoints.get(endpoint)?;
        Some((baseline.digest.clone(), baseline.as_reference(&stored.document)))
    };
    let mut runs: Vec<_> = newest_runs(documents, endpoint, digest, most).filter_map(as_run).collect();
    if runs.is_empty() {
        runs.extend(documents.iter().rev().find_map(as_run));
    }
    runs.reverse();
    let digest = runs.last()?.0.clone();
    let anchor = anchor.of(endpoint, &digest);
    let runs = runs.into_iter().map(|(_, run)| run).collect();
    Some(Reference { endpoint: endpoint.to_owned(), digest, runs, anchor })
}

/// Names starting with `_` or `.` are not runs.
fn hidden(path: &Path) -> bool {
    path.file_name().is_none_or(|name| name.to_string_lossy().starts_with(['_', '.']))
}

/// A feature's name as a folder's.
fn file_name(feature: &str) -> String {
    feature.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect()
}
