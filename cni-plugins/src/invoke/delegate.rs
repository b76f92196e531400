//! Where a plugin is: in this process or on disk.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

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

/// Finds a plugin by the `type` of its configuration. Without directories only built-in plugins are found; with
/// directories only what is there, as the operator put it.
///
/// # Errors
/// Code 4 for a bad name, or if it is in none of the directories.
pub fn find(kind: &str, directories: &[PathBuf], own: &OwnBinary) -> Result<Target, Error> {
    if kind.is_empty() || kind.contains('/') || kind == "." || kind == ".." {
        return Err(Error::new(Code::INVALID_CONFIG, format!("invalid plugin type {kind:?}")));
    }
    if directories.is_empty() {
        return plugins::find(kind)
            .map(Target::InProcess)
            .ok_or_else(|| Error::new(Code::INVALID_CONFIG, format!("plugin {kind} is not built in")));
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
    Err(Error::new(
        Code::INVALID_ENVIRONMENT,
        format!("failed to find plugin {kind:?} in path [{}]", searched.join(" ")),
    ))
}
