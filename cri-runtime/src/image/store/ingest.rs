//! Directories that are being filled. They vanish unless they are committed.

use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Store;

/// A directory below `ingest/`, removed when dropped. Drop it on a blocking thread: it may hold a whole layer.
#[derive(Debug)]
pub struct Ingest {
    path: Option<PathBuf>,
}

impl Ingest {
    pub(super) fn create(path: PathBuf) -> io::Result<Self> {
        std::fs::DirBuilder::new().mode(0o755).create(&path)?;
        let ingest = Self { path: Some(path) };
        // Whatever the umask: this becomes `/` of a container.
        std::fs::set_permissions(ingest.path(), std::fs::Permissions::from_mode(0o755))?;
        Ok(ingest)
    }

    /// Where to write.
    pub fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(""))
    }

    /// Gives the directory its final name.
    pub(super) fn commit(mut self, target: &Path) -> io::Result<()> {
        std::fs::rename(self.path(), target)?;
        self.path = None;
        Ok(())
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            super::reap::remove(&path);
        }
    }
}

impl Store {
    /// A new empty directory to fill.
    pub fn ingest(&self) -> Result<Ingest, super::StoreError> {
        let path = self.layout.ingest().join(self.next_number().to_string());
        Ingest::create(path.clone()).map_err(super::at("create", &path))
    }
}
