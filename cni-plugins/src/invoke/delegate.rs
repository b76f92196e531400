//! Where a plugin is: in this process or on disk.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::error::{Code, Error};
use crate::plugins::{self, Plugin};

/// The file that holds the plugins of this library, known by device and inode: whatever name it has in the plugin
/// directory, executing it would run this same code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnBinary(Option<(u64, u64)>);

/// How a plugin is called.
#[derive(Clone)]
pub enum Target {
    /// As a function.
    InProcess(&'static dyn Plugin),
    /// As an executable.
    Binary(PathBuf),
}

impl OwnBinary {
    /// There is none; every plugin on disk is executed.
    pub const NONE: Self = Self(None);

    /// The file at this path; none if it does not exist.
    pub fn at(path: &Path) -> Self {
        Self(fs::metadata(path).ok().map(|m| (m.dev(), m.ino())))
    }

    fn is(&self, metadata: &fs::Metadata) -> bool {
        self.0 == Some((metadata.dev(), metadata.ino()))
    }
}

/// A plugin cannot be called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// The `type` is no name of a file.
    #[error("invalid plugin type {kind:?}")]
    Name {
        /// The `type`.
        kind: String,
    },
    /// There are no directories to search, and it is none of ours.
    #[error("plugin {kind} is not built in")]
    Unknown {
        /// The `type`.
        kind: String,
    },
    /// It is in none of the directories.
    #[error("failed to find plugin {kind:?} in path [{searched}]")]
    Missing {
        /// The `type`.
        kind: String,
        /// The directories.
        searched: String,
    },
}

impl From<FindError> for Error {
    fn from(error: FindError) -> Self {
        let code = match error {
            FindError::Name { .. } | FindError::Unknown { .. } => Code::INVALID_CONFIG,
            FindError::Missing { .. } => Code::INVALID_ENVIRONMENT,
        };
        Error::from_source(code, &error)
    }
}

impl FindError {
    /// What a DEL makes of it: while the pod's namespace is there the plugin has something to remove from it and may be
    /// installed again; afterwards there is nobody who could, and a pod must not be held for ever (RC-09).
    ///
    /// # Errors
    /// This error, unless the executable is missing and the namespace is gone.
    pub fn on_del(self, container_id: &str, namespace_is_there: bool) -> Result<(), Self> {
        match self {
            Self::Missing { .. } if !namespace_is_there => {
                tracing::warn!(error = %self, container = container_id, "DEL left out; the pod's namespace is gone");
                Ok(())
            }
            other => Err(other),
        }
    }
}

/// The `type` of the IPAM plugin in a plugin's configuration.
pub fn ipam_kind(fields: &Map<String, Value>) -> Option<&str> {
    fields.get("ipam")?.get("type")?.as_str()
}

/// Finds a plugin by the `type` of its configuration. Without directories only built-in plugins are found; with
/// directories only what is there, as the operator put it.
///
/// # Errors
/// [`FindError`] for a bad name, or if it is in none of the directories.
pub fn find(kind: &str, directories: &[PathBuf], own: &OwnBinary) -> Result<Target, FindError> {
    let name = || kind.to_owned();
    if kind.is_empty() || kind.contains('/') || kind == "." || kind == ".." {
        return Err(FindError::Name { kind: name() });
    }
    if directories.is_empty() {
        return plugins::find(kind).map(Target::InProcess).ok_or_else(|| FindError::Unknown { kind: name() });
    }
    for directory in directories {
        let path = directory.join(kind);
        // metadata follows the symlinks that packages like to install.
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 {
            continue;
        }
        return Ok(match plugins::find(kind) {
            Some(plugin) if own.is(&metadata) => Target::InProcess(plugin),
            _ => Target::Binary(path),
        });
    }
    let searched: Vec<String> = directories.iter().map(|d| d.display().to_string()).collect();
    Err(FindError::Missing { kind: name(), searched: searched.join(" ") })
}
