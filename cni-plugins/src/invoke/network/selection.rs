//! Which file is the node's configuration, read again only when it changed.
//!
//! A change is seen by comparing what `stat` says of the directory and of the chosen file: two system calls, no
//! watcher that could miss an event or a directory that is created later.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::invoke::conflist::{self, Conflist, ConflistError};

/// Enough to tell a file from what it was: a replaced one has another inode, an edited one another time or size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let m = fs::metadata(path).ok()?;
        Some(Self {
            device: m.dev(),
            inode: m.ino(),
            size: m.size(),
            modified: (m.mtime(), m.mtime_nsec()),
            changed: (m.ctime(), m.ctime_nsec()),
        })
    }
}

type Selected = Result<Option<Arc<Conflist>>, Arc<ConflistError>>;

/// The last look at the directory.
#[derive(Debug, Default)]
pub struct Selection {
    last: Option<Look>,
}

#[derive(Debug)]
struct Look {
    directory: Option<Stamp>,
    file: Option<(PathBuf, Option<Stamp>)>,
    selected: Selected,
}

impl Selection {
    /// The first configuration of the directory; `None` if there is none.
    ///
    /// # Errors
    /// If the first file cannot be used. It is not tried again before it changes.
    pub fn current(&mut self, directory: &Path) -> Selected {
        let stamp = Stamp::of(directory);
        if let Some(last) = &self.last
            && last.directory == stamp
            && last.file.as_ref().is_none_or(|(path, old)| *old == Stamp::of(path))
        {
            return last.selected.clone();
        }
        // Stamps first: what changes while it is read is read again.
        let (file, selected) = match conflist::first_file(directory) {
            Ok(path) => {
                let before = Stamp::of(&path);
                let read = conflist::read(&path);
                (Some((path, before)), read.map(|list| Some(Arc::new(list))).map_err(Arc::new))
            }
            Err(ConflistError::None { .. }) => (None, Ok(None)),
            Err(error) => (None, Err(Arc::new(error))),
        };
        self.last = Some(Look { directory: stamp, file, selected: selected.clone() });
        selected
    }
}

#[cfg(test)]
mod tests;
