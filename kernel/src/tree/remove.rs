//! Removing a tree.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use super::{DIRECTORY, Descent, entry, list, split};
use crate::path::open_entry_same_mount;

/// Removes whatever `path` names, with everything below; what is not there is removed already.
///
/// Never follows a symbolic link and never enters another mount (`EXDEV`: unmount first, then call again). Entries
/// that vanish meanwhile are no error.
pub fn remove_all(path: &Path) -> io::Result<()> {
    let (parent, name) = split(path)?;
    match crate::path::open_dir(parent) {
        Ok(parent) => remove_all_at(parent.as_fd(), name),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// [`remove_all`] for one entry of an open directory.
pub fn remove_all_at(directory: BorrowedFd<'_>, entry_name: &Path) -> io::Result<()> {
    let top = match open_entry_same_mount(directory, entry_name, DIRECTORY) {
        Ok(fd) => fd,
        Err(error) => {
            return match error.raw_os_error() {
                Some(libc::ENOENT) => Ok(()),
                // Not a directory, or a link to one.
                Some(libc::ENOTDIR | libc::ELOOP) => {
                    tolerate_missing(entry::unlink(directory, entry_name, false))
                }
                _ => Err(error),
            };
        }
    };
    let mut descent = Descent { levels: Vec::new() };
    let subdirectories = unlink_files(top.as_fd())?;
    descent.enter(top, entry_name.to_owned(), subdirectories)?;
    while let Some(level) = descent.levels.last_mut() {
        if let Some(name) = level.subdirectories.pop() {
            match open_entry_same_mount(descent.current()?, &name, DIRECTORY) {
                Ok(fd) => {
                    let subdirectories = unlink_files(fd.as_fd())?;
                    descent.enter(fd, name, subdirectories)?;
                }
                Err(error) => match error.raw_os_error() {
                    Some(libc::ENOENT) => {}
                    Some(libc::ENOTDIR | libc::ELOOP) => {
                        tolerate_missing(entry::unlink(descent.current()?, &name, false))?;
                    }
                    _ => return Err(error),
                },
            }
            continue;
        }
        let name = descent.leave()?;
        if let (Some(name), false) = (name, descent.levels.is_empty()) {
            tolerate_missing(entry::unlink(descent.current()?, &name, true))?;
        }
    }
    tolerate_missing(entry::unlink(directory, entry_name, true))
}

/// Unlinks everything that is not a directory and returns the directories.
fn unlink_files(directory: BorrowedFd<'_>) -> io::Result<Vec<PathBuf>> {
    let mut subdirectories = Vec::new();
    for listed in list(directory)? {
        if listed.is_directory == Some(true) {
            subdirectories.push(listed.name);
            continue;
        }
        match entry::unlink(directory, &listed.name, false) {
            // DT_UNKNOWN and a directory after all.
            Err(error) if error.raw_os_error() == Some(libc::EISDIR) => subdirectories.push(listed.name),
            other => tolerate_missing(other)?,
        }
    }
    Ok(subdirectories)
}

fn tolerate_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
