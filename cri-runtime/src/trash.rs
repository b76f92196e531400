//! Directories that are deleted after their owner is gone (G-11: nobody waits for a big tree to be unlinked).
//!
//! Moving a directory here is one rename and takes effect at once; deleting it happens behind. What a killed daemon
//! left here the next one deletes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The folder of directories to delete; on the same file system as what is thrown into it.
#[derive(Debug, Clone)]
pub struct Trash {
    dir: PathBuf,
}

impl Trash {
    /// Opens the folder at `dir`, making it if it is missing.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(dir: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        Ok(Self { dir })
    }

    /// Moves `path` here, if it is there, under a name that is its own.
    ///
    /// # Errors
    /// It cannot be moved.
    pub fn throw(&self, path: &Path, name: &str) -> io::Result<()> {
        match fs::rename(path, self.dir.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    /// Deletes everything in it. Blocks for as long as that takes.
    pub fn empty(&self) {
        let names = match fs::read_dir(&self.dir) {
            Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())),
            Err(error) => {
                tracing::warn!(dir = %self.dir.display(), %error, "trash cannot be listed");
                return;
            }
        };
        for path in names {
            if let Err(error) = kernel::tree::remove_all(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(path = %path.display(), %error, "trash stays");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_thrown_is_gone_at_once_and_deleted_later() {
        let dir = tempfile::tempdir().unwrap();
        let trash = Trash::open(dir.path().join("trash")).unwrap();
        let layer = dir.path().join("layer");
        fs::create_dir_all(layer.join("a/b")).unwrap();
        trash.throw(&layer, "one").unwrap();
        trash.throw(&layer, "one").unwrap();
        assert!(!layer.exists() && dir.path().join("trash/one/a/b").exists());
        trash.empty();
        assert_eq!(fs::read_dir(dir.path().join("trash")).unwrap().count(), 0);
    }
}
