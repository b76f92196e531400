//! The files of a pod on the host. Blocking: for threads that may wait for a disk.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A file of the pod that cannot be made or removed.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {}", path.display())]
pub(super) struct FileError {
    operation: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// What a container finds of the pod: its hosts file, a place for its last words, and a directory for its log.
#[derive(Debug)]
pub(super) struct OfContainer {
    /// Where the hosts file lies and what is in it; `None` if the container has its own.
    pub hosts: Option<(PathBuf, String)>,
    /// The file of its last words.
    pub message: PathBuf,
    /// Its log, which the runtime makes.
    pub log: PathBuf,
}

impl OfContainer {
    pub fn write(&self) -> Result<(), FileError> {
        if let Some((path, text)) = &self.hosts {
            // Containers hold the file itself mounted, so it is rewritten in place, never replaced.
            write_file(path, text.as_bytes(), 0o644)?;
        }
        for path in [&self.message, &self.log] {
            make_directory(path.parent().unwrap_or(path), 0o755)?;
        }
        // Whoever the container runs as may write its last words.
        write_file(&self.message, b"", 0o666)
    }
}

/// A directory and those above it; one that is there stays as it is.
pub(super) fn make_directory(path: &Path, mode: u32) -> Result<(), FileError> {
    let made = fs::DirBuilder::new().recursive(true).mode(mode).create(path);
    made.map_err(|source| FileError { operation: "make", path: path.to_owned(), source })
}

fn write_file(path: &Path, content: &[u8], mode: u32) -> Result<(), FileError> {
    let write = || {
        fs::write(path, content)?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    };
    write().map_err(|source| FileError { operation: "write", path: path.to_owned(), source })
}

/// A directory with everything in it; one that is gone is a success.
pub(super) fn remove_tree(path: &Path) -> Result<(), FileError> {
    match kernel::tree::remove_all(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(FileError { operation: "remove", path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}
