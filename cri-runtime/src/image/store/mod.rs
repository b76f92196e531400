//! Images and layers on disk and in memory: what exists, under which names, and until when (I-40 to I-44).
//!
//! Owns: the directory of [`layout`], the index in memory from which every question is answered, references and
//! garbage. Does not own: how a layer gets here ([`super::layers`], [`super::unpack`]).
//!
//! ```text
//! layer:  fill ingest -> syncfs -> rename to layers/ -> record        (visible to other pulls)
//! image:  layers, blobs, parents -> syncfs -> record, fsynced         (visible to everybody)
//! remove: record gone, fsynced -> index -> layers without an image to ingest/ -> removed in the background
//! ```
//! Renames and records of layers become durable with the flush in front of the image's record, the only one that
//! anybody relies on. After a crash what no image record names is garbage, and is removed at start.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

mod commit;
mod durable;
mod index;
mod ingest;
mod layout;
mod name;
pub(super) mod reap;
mod record;
mod recover;
mod remove;

pub use commit::{NewImage, NewLayer};
pub use index::LookupError;
pub use ingest::Ingest;
pub use layout::Layout;
pub use record::PathText;
pub use remove::{Pruned, RemoveError};

use super::Image;
use super::digest::Digest;
use durable::GroupSync;
use index::Index;
use reap::Reaper;

/// Why the store could not do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A step on the file system.
    #[error("{operation} {path:?}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The directory belongs to another process.
    #[error("lock image store {0:?}: another process uses it")]
    Locked(PathBuf),
    /// Something to hold or name that is not there.
    #[error("find image {0}: not present")]
    UnknownImage(String),
    /// An image was to be committed without one of its layers.
    #[error("commit image {image}: layer {layer} is not present")]
    MissingLayer {
        /// The image.
        image: Digest,
        /// Diff id of the layer.
        layer: Digest,
    },
}

impl StoreError {
    /// The kernel's answer, if it was one.
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

fn at<'a>(operation: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> StoreError + use<'a> {
    move |source| StoreError::Io { operation, path: path.to_owned(), source }
}

/// The store. All methods block; those that only read answer from memory.
#[derive(Debug)]
pub struct Store {
    pub(super) layout: Layout,
    /// Held for every change of the directory; the index is locked only for a moment inside.
    disk: Mutex<()>,
    index: RwLock<Index>,
    numbers: AtomicU64,
    sync: GroupSync,
    pub(super) reaper: Reaper,
    pinned: Vec<String>,
    /// The lock of the directory, for as long as the store is open (RC-16).
    _lock: std::fs::File,
}

impl Store {
    fn disk(&self) -> MutexGuard<'_, ()> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Numbers that are unique in this process and above all that records carry.
    fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }
}
