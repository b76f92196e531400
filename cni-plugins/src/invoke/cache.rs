//! What is remembered of an attachment, in libcni's format, so that DEL needs neither the caller's memory nor today's
//! configuration: `<cache dir>/results/<network>-<container id>-<interface>`.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kernel::file::{Durable, TEMPORARY_PREFIX};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Always [`KIND`].
    pub kind: String,
    /// Container.
    pub container_id: String,
    /// The configuration list, base64 as Go writes bytes.
    pub config: String,
    /// Interface.
    pub if_name: String,
    /// Network.
    pub network_name: String,
    /// Path of the network namespace.
    #[serde(default)]
    pub netns: String,
    /// `CNI_ARGS` as pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cni_args: Option<Vec<(String, String)>>,
    /// Capabilities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capability_args: Option<Map<String, Value>>,
    /// Result of the chain; missing while ADD runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
}

/// The format's name.
pub const KIND: &str = "cniCacheV1";
/// A configuration and a result.
const MAX: u64 = 8 << 20;

/// Failures of the cache.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// Reading or writing.
    #[error("access network cache {}", path.display())]
    Access {
        /// File or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Content.
    #[error("read network cache {}: {problem}", path.display())]
    Content {
        /// File.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

/// The files of one runtime.
#[derive(Debug)]
pub struct Cache {
    directory: PathBuf,
}

impl Entry {
    /// The configuration list.
    ///
    /// # Errors
    /// If it is no base64.
    pub fn config_bytes(&self) -> Result<Vec<u8>, base64::DecodeError> {
        STANDARD.decode(&self.config)
    }

    /// Encodes a configuration list.
    pub fn encode_config(bytes: &[u8]) -> String {
        STANDARD.encode(bytes)
    }
}

impl Cache {
    /// Files below `cache_dir/results`, created with the first one.
    pub fn new(cache_dir: &Path) -> Self {
        Self { directory: cache_dir.join("results") }
    }

    fn name(network: &str, container_id: &str, ifname: &str) -> String {
        format!("{network}-{container_id}-{ifname}")
    }

    /// Writes an entry over the one there is.
    ///
    /// # Errors
    /// [`CacheError`].
    pub fn write(&self, entry: &Entry) -> Result<(), CacheError> {
        let name = Self::name(&entry.network_name, &entry.container_id, &entry.if_name);
        let path = self.directory.join(&name);
        let failed = |source| CacheError::Access { path: path.clone(), source };
        let content = serde_json::to_vec(entry).map_err(|e| failed(e.into()))?;
        let write = || kernel::file::write_atomic(&self.directory, &name, &content, Durable::No);
        match write() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory).map_err(failed)?;
                write().map_err(failed)
            }
            outcome => outcome.map_err(failed),
        }
    }

    /// The entries of a container, of whatever network it was attached to.
    ///
    /// # Errors
    /// [`CacheError`], for a file that cannot be read; what cannot be understood is skipped with a warning.
    pub fn of_container(&self, container_id: &str) -> Result<Vec<Entry>, CacheError> {
        let infix = format!("-{container_id}-");
        let mut entries = self.list(|name| name.contains(&infix))?;
        entries.retain(|entry| entry.container_id == container_id);
        Ok(entries)
    }

    /// Every entry.
    ///
    /// # Errors
    /// As [`Self::of_container`].
    pub fn all(&self) -> Result<Vec<Entry>, CacheError> {
        self.list(|_| true)
    }

    fn list(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<Entry>, CacheError> {
        let failed = |source| CacheError::Access { path: self.directory.clone(), source };
        let files = match fs::read_dir(&self.directory) {
            Ok(files) => files,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut entries = Vec::new();
        for file in files {
            let path = file.map_err(failed)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(TEMPORARY_PREFIX) || !wanted(&name) {
                continue;
            }
            match Self::read(&path) {
                Ok(Some(entry)) => entries.push(entry),
                Ok(None) => {}
                // One bad file must not keep every pod from being removed.
                Err(error) => tracing::warn!(%error, "skip network cache"),
            }
        }
        Ok(entries)
    }

    fn read(path: &Path) -> Result<Option<Entry>, CacheError> {
        let bytes = match kernel::file::read_bounded(path, MAX) {
            Ok(bytes) => bytes,
            // Removed by a DEL in the meantime.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(CacheError::Access { path: path.to_owned(), source }),
        };
        let broken = |problem: String| CacheError::Content { path: path.to_owned(), problem };
        let entry: Entry = serde_json::from_slice(&bytes).map_err(|e| broken(e.to_string()))?;
        if entry.kind != KIND {
            return Err(broken(format!("its kind is {:?} and not {KIND:?}", entry.kind)));
        }
        Ok(Some(entry))
    }

    /// Forgets an entry; none is success.
    ///
    /// # Errors
    /// [`CacheError`].
    pub fn remove(&self, entry: &Entry) -> Result<(), CacheError> {
        let path = self.directory.join(Self::name(&entry.network_name, &entry.container_id, &entry.if_name));
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(CacheError::Access { path, source })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
