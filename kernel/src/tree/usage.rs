//! Measuring a tree.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use super::{DIRECTORY, Descent, entry, list, split};
use crate::path::open_entry_same_mount;

/// What a tree occupies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Allocated bytes (`st_blocks`), so that a sparse file counts what it costs.
    pub bytes: u64,
    /// Inodes, the top directory included.
    pub inodes: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.inodes += other.inodes;
    }
}

/// Measures a directory tree; a file with several names inside it counts once, other mounts do not count.
pub fn usage(path: &Path) -> io::Result<Usage> {
    let mut total = Usage::default();
    let mut linked = HashSet::new();
    let mut descent = Descent { levels: Vec::new() };
    let (parent, name) = split(path)?;
    let parent = crate::path::open_dir(parent)?;
    let top = open_entry_same_mount(parent.as_fd(), name, DIRECTORY)?;
    let subdirectories = measure(top.as_fd(), &mut total, &mut linked)?;
    descent.enter(top, path.to_owned(), subdirectories)?;
    while let Some(level) = descent.levels.last_mut() {
        let Some(name) = level.subdirectories.pop() else {
            descent.leave()?;
            continue;
        };
        match open_entry_same_mount(descent.current()?, &name, DIRECTORY) {
            Ok(fd) => {
                let subdirectories = measure(fd.as_fd(), &mut total, &mut linked)?;
                descent.enter(fd, name, subdirectories)?;
            }
            // Gone or replaced since it was listed, or the root of another mount.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP | libc::EXDEV)
                ) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(total)
}

fn measure(
    directory: BorrowedFd<'_>,
    total: &mut Usage,
    linked: &mut HashSet<(u64, u64)>,
) -> io::Result<Vec<PathBuf>> {
    let own = entry::status_of(directory)?;
    *total += Usage { bytes: own.allocated_bytes, inodes: 1 };
    let mut subdirectories = Vec::new();
    for listed in list(directory)? {
        if listed.is_directory == Some(true) {
            subdirectories.push(listed.name);
            continue;
        }
        let status = match entry::status(directory, &listed.name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        if status.is_directory() {
            subdirectories.push(listed.name);
        } else if status.links < 2 || linked.insert((status.device, status.inode)) {
            *total += Usage { bytes: status.allocated_bytes, inodes: 1 };
        }
    }
    Ok(subdirectories)
}
