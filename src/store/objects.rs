//! The only door to `object_store`: what is in a bucket, mirrored here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path as ObjectPath;
use object_store::{
    BackoffConfig, ClientOptions, Error as Fault, ObjectStore, ObjectStoreExt as _, ObjectStoreScheme,
    PutMode, PutOptions, RetryConfig, UpdateVersion,
};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use url::Url;

use super::atomic::write_atomic;
use super::faults::{Problem, one_line, problem};
use crate::digest::sha256_hex;
use crate::error::{Error, Result};
use crate::secrets::Secrets;
use crate::transport::choose_provider;

/// A gate waits for its store so long, not for minutes.
const RETRIES: RetryConfig = RetryConfig {
    backoff: BackoffConfig {
        init_backoff: Duration::from_millis(200),
        max_backoff: Duration::from_secs(3),
        base: 2.0,
    },
    max_retries: 3,
    retry_timeout: Duration::from_secs(20),
};
const CONNECT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(30);
const AT_ONCE: usize = 8;
/// How often somebody else may get in between.
const MOST_ATTEMPTS: u32 = 20;
const TAGS: &str = ".tags.json";

/// Objects below a prefix.
pub struct Objects {
    url: String,
    store: Arc<dyn ObjectStore>,
    prefix: ObjectPath,
    mirror: PathBuf,
    state: Mutex<State>,
}

struct State {
    runtime: Runtime,
    /// Parts that are as they are in the store.
    fresh: BTreeSet<String>,
    stale: Option<String>,
}

/// What of the store the mirror has.
#[derive(Default, Serialize, Deserialize)]
struct Tags {
    /// By path below the prefix: its version.
    files: BTreeMap<String, Tag>,
    /// By part: when it was last brought up to date.
    parts: BTreeMap<String, String>,
}

#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
struct Tag {
    e_tag: Option<String>,
    version: Option<String>,
}

impl From<&Tag> for UpdateVersion {
    fn from(tag: &Tag) -> Self {
        Self { e_tag: tag.e_tag.clone(), version: tag.version.clone() }
    }
}

impl std::fmt::Debug for Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Objects({})", self.url)
    }
}

const LEAST_CREDENTIAL: usize = 16;
/// Variables from which a store's settings come, and which let in whoever has them.
const CREDENTIALS: [&str; 8] = [
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_SAS_KEY",
    "AZURE_STORAGE_TOKEN",
    "AZURE_STORAGE_CLIENT_SECRET",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
];

impl Objects {
    /// # Errors
    /// If the address or the environment makes no sense.
    pub fn at(text: &str) -> Result<Self> {
        let fail = |reason: String, hint: &str| Error::usage_hint(format!("{text}: {reason}"), hint);
        let known = "s3://bucket/path, gs://bucket/path or az://container/path";
        let url = Url::parse(text).map_err(|e| fail(format!("this is no URL: {e}"), known))?;
        let (scheme, prefix) = ObjectStoreScheme::parse(&url).map_err(|e| fail(one_line(&e), known))?;
        choose_provider();
        // So that no panic, log or core dump has them.
        // Stand-ins for stores take any word, which may be a part of any text.
        let found =
            CREDENTIALS.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
        let _known = Secrets::new(found.filter(|(_, value)| value.len() >= LEAST_CREDENTIAL).collect());
        let client = ClientOptions::new()
            .with_connect_timeout(CONNECT)
            .with_timeout(TIMEOUT)
            .with_allow_http(allows_http());
        let built: std::result::Result<Arc<dyn ObjectStore>, Fault> = match scheme {
            ObjectStoreScheme::AmazonS3 => AmazonS3Builder::from_env()
                .with_url(text)
                .with_client_options(client)
                .with_retry(RETRIES)
                .build()
                .map(|store| Arc::new(store) as _),
            ObjectStoreScheme::GoogleCloudStorage => GoogleCloudStorageBuilder::from_env()
                .with_url(text)
                .with_client_options(client)
                .with_retry(RETRIES)
                .build()
                .map(|store| Arc::new(store) as _),
            ObjectStoreScheme::MicrosoftAzure => MicrosoftAzureBuilder::from_env()
                .with_url(text)
                .with_client_options(client)
                .with_retry(RETRIES)
                .build()
                .map(|store| Arc::new(store) as _),
            _ => return Err(fail(format!("`{}` is no object storage known here", url.scheme()), known)),
        };
        let hint = "its settings come from the environment: AWS_…, GOOGLE_… or AZURE_… variables";
        let store = built.map_err(|e| fail(one_line(&e), hint))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| Error::harness(format!("cannot start a runtime: {e}")))?;
        let url = text.trim_end_matches('/').to_owned();
        let mirror = cache().join("loadgate").join(&sha256_hex(url.as_bytes())[..16]);
        let state = Mutex::new(State { runtime, fresh: BTreeSet::new(), stale: None });
        Ok(Self { url, store, prefix, mirror, state })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, name: &str) -> ObjectPath {
        name.split('/').filter(|part| !part.is_empty()).fold(self.prefix.clone(), ObjectPath::join)
    }

    pub fn told(&self, path: &Path) -> String {
        match path.strip_prefix(&self.mirror) {
            Ok(below) => format!("{}/{}", self.url, below.display()),
            Err(_) => path.display().to_string(),
        }
    }

    pub fn stale(&self) -> Option<String> {
        self.lock().stale.clone()
    }

    /// The mirror, brought up to date below `part`; as it is where the store cannot be reached.
    pub fn mirrored(&self, part: &str) -> Result<PathBuf> {
        let known = self.lock().fresh.iter().any(|own| own.is_empty() || own == part);
        if known || self.stale().is_some() {
            return Ok(self.mirror.clone());
        }
        match self.bring_up_to_date(part) {
            Ok(()) => Ok(self.mirror.clone()),
            Err(problem) => {
                let last = self.tags()?.parts.remove(part);
                match (problem, last) {
                    (Problem::Away(Error::Output { reason, .. }), Some(at)) => {
                        let at =
                            at.split('.').next().unwrap_or_default().trim_end_matches('Z').replace('T', " ");
                        self.lock().stale = Some(format!(
                            "{} is away, so this is what was there at {at} UTC ({reason})",
                            self.url
                        ));
                        Ok(self.mirror.clone())
                    }
                    (problem, _) => Err(problem.into()),
                }
            }
        }
    }

    /// The same, where only what is there now will do.
    pub fn fresh(&self, part: &str) -> Result<()> {
        self.bring_up_to_date(part).map_err(Error::from)
    }

    pub fn listed(&self, part: &str) -> Result<Vec<String>> {
        let prefix = self.path(part);
        let state = self.lock();
        let listed = state.runtime.block_on(self.store.list(Some(&prefix)).try_collect::<Vec<_>>());
        let listed = listed.map_err(|e| Error::from(problem(&self.url, "list", &e)))?;
        let name = |location: &ObjectPath| -> Option<String> {
            let parts: Vec<_> = location.prefix_match(&prefix)?.map(|p| p.as_ref().to_owned()).collect();
            Some(parts.join("/"))
        };
        Ok(listed.iter().filter_map(|meta| name(&meta.location)).collect())
    }

    fn bring_up_to_date(&self, part: &str) -> std::result::Result<(), Problem> {
        let mut tags = self.tags().map_err(Problem::Lasting)?;
        let prefix = self.path(part);
        let mut state = self.lock();
        let listed = state.runtime.block_on(self.store.list(Some(&prefix)).try_collect::<Vec<_>>());
        let listed = listed.map_err(|e| problem(&self.url, "read", &e))?;
        let below = |location: &ObjectPath| -> Option<String> {
            let parts: Vec<_> = location.prefix_match(&self.prefix)?.map(|p| p.as_ref().to_owned()).collect();
            // A name from elsewhere must not lead out of the mirror.
            let sound =
                parts.iter().all(|p| !p.is_empty() && p != "." && p != ".." && !p.contains(['/', '\\']));
            (sound && !parts.is_empty()).then(|| parts.join("/"))
        };
        let there: BTreeMap<String, (ObjectPath, Tag)> = listed
            .into_iter()
            .filter_map(|meta| {
                let tag = Tag { e_tag: meta.e_tag, version: meta.version };
                Some((below(&meta.location)?, (meta.location, tag)))
            })
            .collect();
        let wanted: Vec<_> = there
            .iter()
            .filter(|(name, (_, tag))| {
                let whole = tag.e_tag.is_some() && tags.files.get(*name) == Some(tag);
                !(whole && self.mirror.join(name).exists())
            })
            .collect();
        let got: Vec<(String, Tag, Vec<u8>)> = state
            .runtime
            .block_on(
                futures_util::stream::iter(wanted)
                    .map(|(name, (location, _))| async move {
                        let got = self.store.get(location).await?;
                        // What was listed may be another version already.
                        let tag = Tag { e_tag: got.meta.e_tag.clone(), version: got.meta.version.clone() };
                        Ok::<_, Fault>((name.clone(), tag, got.bytes().await?.to_vec()))
                    })
                    .buffer_unordered(AT_ONCE)
                    .try_collect(),
            )
            .map_err(|e| problem(&self.url, "read", &e))?;
        for (name, tag, bytes) in got {
            write_atomic(&self.mirror.join(&name), &bytes).map_err(Problem::Lasting)?;
            tags.files.insert(name, tag);
        }
        let own =
            |name: &str| part.is_empty() || name.strip_prefix(part).is_some_and(|rest| rest.starts_with('/'));
        let gone: Vec<String> =
            tags.files.keys().filter(|name| own(name) && !there.contains_key(*name)).cloned().collect();
        for name in gone {
            tags.files.remove(&name);
            // It may never have been there.
            let _ = std::fs::remove_file(self.mirror.join(&name));
        }
        tags.parts.insert(part.to_owned(), Timestamp::now().to_string());
        self.keep(&tags).map_err(Problem::Lasting)?;
        state.fresh.insert(part.to_owned());
        Ok(())
    }

    fn tags(&self) -> Result<Tags> {
        let path = self.mirror.join(TAGS);
        match std::fs::read(&path) {
            // One that cannot be understood is as good as none: everything is read again.
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_default()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Tags::default()),
            Err(e) => Err(Error::input(&path, "read", e)),
        }
    }

    fn keep(&self, tags: &Tags) -> Result<()> {
        let bytes = serde_json::to_vec(tags).map_err(|e| Error::harness(e.to_string()))?;
        write_atomic(&self.mirror.join(TAGS), &bytes)
    }

    fn put(&self, name: &str, bytes: &[u8], mode: PutMode) -> std::result::Result<Tag, Fault> {
        let options = PutOptions { mode, ..PutOptions::default() };
        let path = self.path(name);
        let state = self.lock();
        let put = self.store.put_opts(&path, bytes.to_vec().into(), options);
        let put = state.runtime.block_on(put)?;
        Ok(Tag { e_tag: put.e_tag, version: put.version })
    }

    fn wrote(&self, name: &str, bytes: &[u8], tag: Tag) -> Result<PathBuf> {
        let path = self.mirror.join(name);
        write_atomic(&path, bytes)?;
        let mut tags = self.tags()?;
        tags.files.insert(name.to_owned(), tag);
        self.keep(&tags)?;
        Ok(path)
    }

    pub fn create(&self, name: &str, bytes: &[u8]) -> Result<Option<PathBuf>> {
        match self.put(name, bytes, PutMode::Create) {
            Ok(tag) => self.wrote(name, bytes, tag).map(Some),
            Err(Fault::AlreadyExists { .. } | Fault::Precondition { .. }) => {
                // An answer that was lost makes this process meet itself.
                let path = self.path(name);
                let state = self.lock();
                let there = state.runtime.block_on(async { self.store.get(&path).await?.bytes().await });
                drop(state);
                let there = there.map_err(|e| Error::from(problem(&self.url, "read", &e)))?;
                Ok((there == bytes).then(|| self.mirror.join(name)))
            }
            Err(e) => Err(problem(&self.url, "write", &e).into()),
        }
    }

    pub fn replace(&self, name: &str, change: &mut dyn FnMut() -> Result<Vec<u8>>) -> Result<PathBuf> {
        let part = name.rsplit_once('/').map_or("", |(part, _)| part);
        for attempt in 0..MOST_ATTEMPTS {
            self.fresh(part)?;
            // Before the file is read: whoever writes it here meanwhile makes this tag an old one, which the store refuses.
            let tags = self.tags()?;
            let bytes = change()?;
            let mode = match tags.files.get(name) {
                Some(tag) => PutMode::Update(tag.into()),
                None => PutMode::Create,
            };
            match self.put(name, &bytes, mode) {
                Ok(tag) => return self.wrote(name, &bytes, tag),
                Err(Fault::AlreadyExists { .. } | Fault::Precondition { .. }) => {
                    // Whoever was faster goes first; two that wait equally long would meet again.
                    let spread = u64::from(std::process::id()) * u64::from(attempt + 1) % 97;
                    std::thread::sleep(Duration::from_millis(20 + spread));
                }
                Err(e) => return Err(problem(&self.url, "write", &e).into()),
            }
        }
        let reason = "others change it all the time";
        Err(Error::output(Path::new(&format!("{}/{name}", self.url)), "write", reason)
            .with_hint("run it again"))
    }

    pub fn remove(&self, name: &str) -> Result<()> {
        let path = self.path(name);
        let state = self.lock();
        let removed = state.runtime.block_on(self.store.delete(&path));
        drop(state);
        match removed {
            Ok(()) | Err(Fault::NotFound { .. }) => {}
            Err(e) => return Err(problem(&self.url, "remove", &e).into()),
        }
        let _ = std::fs::remove_file(self.mirror.join(name));
        let mut tags = self.tags()?;
        tags.files.remove(name);
        self.keep(&tags)
    }
}

/// Where a store on loopback or in a cluster has no TLS, its operator says so.
fn allows_http() -> bool {
    ["AWS_ALLOW_HTTP", "AZURE_ALLOW_HTTP", "GOOGLE_ALLOW_HTTP"]
        .iter()
        .any(|name| std::env::var(name).is_ok_and(|value| value.eq_ignore_ascii_case("true")))
}

fn cache() -> PathBuf {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    folder("LOADGATE_CACHE")
        .or_else(|| folder("XDG_CACHE_HOME"))
        .or_else(|| folder("HOME").map(|home| home.join(".cache")))
        .unwrap_or_else(std::env::temp_dir)
}
