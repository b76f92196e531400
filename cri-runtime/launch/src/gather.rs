//! Opening what a plan needs, on the daemon's side.
//!
//! Owns: turning [`Need`]s into descriptors. Blocking: an overlay or a bind mount can wait for a disk or a network, so
//! it belongs on a thread that may. Does not own: which descriptors are needed ([`crate::compile()`]).

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use kernel::mount::{self, propagation};
use kernel::{namespace, path};
use thiserror::Error;

use crate::compile::{Bind, Need};

#[cfg(test)]
mod tests;

/// A descriptor that could not be opened.
#[derive(Debug, Error)]
pub enum GatherError {
    /// The layers could not be stacked.
    #[error("mount overlay {}", upper.display())]
    Overlay {
        /// The directory for changes.
        upper: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The source of a mount could not be cloned.
    #[error("bind {}", path.display())]
    Bind {
        /// The source.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The options of a mount could not be set.
    #[error("set mount options of {}", path.display())]
    Options {
        /// The source of the mount.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// `/dev/null` of the host is something else.
    #[error("bind /dev/null: it is not the null device")]
    NotNull,
    /// A namespace could not be opened.
    #[error("open namespace {}", path.display())]
    Namespace {
        /// Where it should be.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A cgroup could not be opened.
    #[error("open cgroup {}", path.display())]
    Cgroup {
        /// Its directory or file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Opens one descriptor for each need, in their order. All are close-on-exec; mounts are detached and vanish with the
/// last copy of their descriptor.
///
/// Nothing propagates into a mount while it is detached: what the host mounts below a `rslave` source between this
/// call and the start stays invisible to the container. Gather right before the start.
pub fn gather(needs: &[Need]) -> Result<Vec<OwnedFd>, GatherError> {
    needs.iter().map(open).collect()
}

fn open(need: &Need) -> Result<OwnedFd, GatherError> {
    match need {
        Need::Overlay { lower, upper, work } => mount::overlay(lower, upper, work)
            .map_err(|source| GatherError::Overlay { upper: upper.clone(), source }),
        Need::Bind(wanted) => bind(wanted),
        Need::NullDevice => null_device(),
        Need::Namespace { kind, path } => namespace::open_path(path, *kind)
            .map_err(|source| GatherError::Namespace { path: path.clone(), source }),
        Need::CgroupTasks(path) => OpenOptions::new()
            .write(true)
            .custom_flags(libc::O_CLOEXEC | libc::O_NOFOLLOW)
            .open(path)
            .map(OwnedFd::from)
            .map_err(|source| GatherError::Cgroup { path: path.clone(), source }),
        Need::CgroupDirectory(path) => {
            path::open_dir(path).map_err(|source| GatherError::Cgroup { path: path.clone(), source })
        }
    }
}

fn bind(wanted: &Bind) -> Result<OwnedFd, GatherError> {
    let path = &wanted.source;
    let tree = mount::open_tree_clone(path, wanted.recursive)
        .map_err(|source| GatherError::Bind { path: path.clone(), source })?;
    let change = |recursive: bool, set: u64, clear: u64, propagation: u64| {
        mount::set_attr(tree.as_fd(), recursive, set, clear, propagation)
            .map_err(|source| GatherError::Options { path: path.clone(), source })
    };
    if !wanted.recursive_attributes.is_empty() {
        change(true, wanted.recursive_attributes.set, wanted.recursive_attributes.clear, 0)?;
    }
    if !wanted.attributes.is_empty() {
        change(false, wanted.attributes.set, wanted.attributes.clear, 0)?;
    }
    // A clone is a peer of the mount it was made from until this is said: what the container mounts below would appear
    // on the host.
    change(wanted.recursive, 0, 0, wanted.propagation)?;
    Ok(tree)
}

fn null_device() -> Result<OwnedFd, GatherError> {
    let path = Path::new("/dev/null");
    let fail = |source| GatherError::Bind { path: path.to_owned(), source };
    let tree = mount::open_tree_clone(path, false).map_err(fail)?;
    let metadata = File::from(tree.try_clone().map_err(fail)?).metadata().map_err(fail)?;
    if !metadata.file_type().is_char_device() || metadata.rdev() != libc::makedev(1, 3) {
        return Err(GatherError::NotNull);
    }
    // It is the host's own node: where it hides a path, root of the container must not change its mode or owner.
    // Writing to the device itself is no write to the mount.
    let read_only = mount::attribute::RDONLY | mount::attribute::NOSUID | mount::attribute::NOEXEC;
    mount::set_attr(tree.as_fd(), false, read_only, 0, propagation::PRIVATE).map_err(fail)?;
    Ok(tree)
}
