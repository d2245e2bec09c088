use std::path::{Path, PathBuf};
#[cfg(feature = "object-store")]
use std::sync::Arc;

use super::atomic::{write_atomic, write_new};
#[cfg(feature = "object-store")]
use super::objects::Objects;
use crate::error::{Error, Result};

/// Where files are kept that several machines share: a folder, or a place in object storage with a folder here that mirrors it.
#[derive(Clone, Debug)]
pub struct Shelf {
    location: PathBuf,
    #[cfg(feature = "object-store")]
    objects: Option<Arc<Objects>>,
}

/// Whether a place is a URL rather than a folder.
#[must_use]
pub fn is_remote(location: &Path) -> bool {
    location.to_str().is_some_and(|text| text.contains("://"))
}

impl Shelf {
    /// A folder, or `s3://bucket/path`, `gs://…`, `az://container/path`; nothing is asked yet.
    ///
    /// # Errors
    /// If the URL makes no sense, or this build has no object storage.
    pub fn at(location: &Path) -> Result<Self> {
        let schemes = ["s3:/", "gs:/", "az:/", "abfs:/", "abfss:/", "azure:/"];
        let given = location.to_str().unwrap_or_default();
        if let Some(scheme) =
            schemes.iter().find(|scheme| given.starts_with(**scheme) && !is_remote(location))
        {
            let hint = format!("did you mean {scheme}/{}?", given.trim_start_matches(scheme));
            return Err(Error::usage_hint(format!("{given} is neither a folder nor a URL"), hint));
        }
        let Some(text) = location.to_str().filter(|_| is_remote(location)) else {
            return Ok(Self::local(location));
        };
        if let Some(path) = text.strip_prefix("file://") {
            return Ok(Self::local(Path::new(path)));
        }
        #[cfg(feature = "object-store")]
        {
            let objects = Some(Arc::new(Objects::at(text)?));
            Ok(Self { location: location.to_owned(), objects })
        }
        #[cfg(not(feature = "object-store"))]
        Err(Error::usage_hint(
            format!("{text}: this build of loadgate has no object storage"),
            "build it with `--features object-store`, or give a folder",
        ))
    }

    /// A folder.
    #[must_use]
    pub fn local(folder: &Path) -> Self {
        Self {
            location: folder.to_owned(),
            #[cfg(feature = "object-store")]
            objects: None,
        }
    }

    /// As it was given.
    #[must_use]
    pub fn location(&self) -> &Path {
        &self.location
    }

    /// The folder to read from. What is below `part` (which may be empty) is as it is on the shelf now, or, where that cannot be
    /// reached, as it was when it last could.
    ///
    /// # Errors
    /// If the shelf refuses, or cannot be reached and never was.
    pub fn folder(&self, part: &str) -> Result<PathBuf> {
        #[cfg(feature = "object-store")]
        if let Some(objects) = &self.objects {
            return objects.mirrored(part);
        }
        let _ = part;
        Ok(self.location.clone())
    }

    /// The names of the files below `part`, as they are on the shelf now.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub fn listed(&self, part: &str) -> Result<Vec<String>> {
        #[cfg(feature = "object-store")]
        if let Some(objects) = &self.objects {
            return objects.listed(part);
        }
        let folder = self.location.join(part);
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        Ok(entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
    }

    /// What is to be known of what was read: that it is not fresh, and why.
    #[must_use]
    pub fn stale(&self) -> Option<String> {
        #[cfg(feature = "object-store")]
        if let Some(objects) = &self.objects {
            return objects.stale();
        }
        None
    }

    /// Writes what must not be there yet, whole or not at all; returns how it is called. `None`: there is something else by that
    /// name.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn create(&self, name: &str, bytes: &[u8]) -> Result<Option<PathBuf>> {
        #[cfg(feature = "object-store")]
        if let Some(objects) = &self.objects {
            return objects.create(name, bytes);
        }
        let path = self.location.join(name);
        if write_new(&path, bytes)? {
            return Ok(Some(path));
        }
        let same = std::fs::read(&path).is_ok_and(|there| there == bytes);
        Ok(same.then_some(path))
    }

    /// Replaces a file by what `change` makes of what is there. In a store somebody who changes it meanwhile loses nothing: then
    /// it is made anew from theirs. A folder is its user's own, and not guarded.
    ///
    /// # Errors
    /// If it cannot be read or written, or others change it all the time.
    pub fn replace(&self, name: &str, change: &mut dyn FnMut() -> Result<Vec<u8>>) -> Result<PathBuf> {
        #[cfg(feature = "object-store")]
        if let Some(objects) = &self.objects {
            return objects.replace(name, change);
        }
        let path = self.location.join(name);
        write_atomic(&path, &change()?)?;
        Ok(path)
    }

    /// # Errors
    /// If it cannot be removed.
    pub fn remove(&self, name: &str) -> Result<()> {
        #[cfg(feature = "object-store")]
        if let Some(objects) = &self.objects {
            return objects.remove(name);
        }
        let path = self.location.join(name);
        std::fs::remove_file(&path).map_err(|e| Error::output(&path, "remove", e))
    }

    /// Makes sure, as far as it can without writing to a store, that something can be written below `part`, before anything is done for it.
    ///
    /// # Errors
    /// Why not.
    pub fn prepare(&self, part: &str) -> Result<()> {
        #[cfg(feature = "object-store")]
        if let Some(objects) = &self.objects {
            return objects.fresh(part);
        }
        let folder = self.location.join(part);
        std::fs::create_dir_all(&folder).map_err(|e| Error::output(&folder, "create folder", e))
    }

    /// What a file that was read from [`Self::folder`] is called.
    #[must_use]
    pub fn told(&self, path: &Path) -> String {
        #[cfg(feature = "object-store")]
        if let Some(objects) = &self.objects {
            return objects.told(path);
        }
        path.display().to_string()
    }
}
