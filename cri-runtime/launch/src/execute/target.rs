//! Finding, and making, the place something is mounted or made at, inside the container's root.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use kernel::path::{mkdir_all_in_root, open_beneath, open_in_root};

use super::descriptors::mode_and_device;
use super::fault::errno;
use crate::plan::Resolve;

const DIRECTORY_MODE: u32 = 0o755;
const FILE_MODE: u32 = 0o644;

pub(super) fn path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// The directory at `target`, made with its parents where missing.
pub(super) fn directory(root: BorrowedFd<'_>, target: &Path, resolve: Resolve) -> io::Result<OwnedFd> {
    match resolve {
        Resolve::InRoot => mkdir_all_in_root(root, target, DIRECTORY_MODE),
        Resolve::NoLinks => directory_without_links(root, target),
    }
}

/// The file at `target`, made empty where missing; whatever it is, it is not a directory nor a link.
pub(super) fn file(root: BorrowedFd<'_>, target: &Path, resolve: Resolve) -> io::Result<OwnedFd> {
    let (parent, name) = split(root, target, resolve)?;
    let found = match resolve {
        Resolve::InRoot => open_in_root(root, target, libc::O_PATH, 0),
        Resolve::NoLinks => open_beneath(parent.as_fd(), name, libc::O_PATH | libc::O_NOFOLLOW, 0),
    };
    match found {
        Ok(file) => {
            // O_PATH with O_NOFOLLOW opens a link as such.
            match mode_and_device(file.as_fd())?.0 & libc::S_IFMT {
                libc::S_IFLNK => Err(errno(libc::ELOOP)),
                _ => Ok(file),
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let flags = libc::O_CREAT | libc::O_NOFOLLOW | libc::O_NONBLOCK;
            open_beneath(parent.as_fd(), name, flags, FILE_MODE)
        }
        Err(error) => Err(error),
    }
}

/// The directory in which something at `target` is made, and its name there.
pub(super) fn split<'a>(
    root: BorrowedFd<'_>,
    target: &'a Path,
    resolve: Resolve,
) -> io::Result<(OwnedFd, &'a Path)> {
    let name = target.file_name().ok_or_else(|| errno(libc::EINVAL))?;
    let parent = directory(root, target.parent().unwrap_or(Path::new("/")), resolve)?;
    Ok((parent, Path::new(name)))
}

fn directory_without_links(root: BorrowedFd<'_>, target: &Path) -> io::Result<OwnedFd> {
    const DIRECTORY: i32 = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;
    let relative = target.strip_prefix("/").unwrap_or(target);
    match open_beneath(root, relative, DIRECTORY, 0) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        // A link at the end is not a directory, but that is not what is wrong with it.
        Err(error) if error.raw_os_error() == Some(libc::ENOTDIR) => {
            return Err(link_or(root, relative, error));
        }
        found => return found,
    }
    let mut directory = root.try_clone_to_owned()?;
    for component in relative.components() {
        let Component::Normal(name) = component else { return Err(errno(libc::EINVAL)) };
        let name = Path::new(name);
        directory = match open_beneath(directory.as_fd(), name, DIRECTORY, 0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_directory(directory.as_fd(), name)?;
                open_beneath(directory.as_fd(), name, DIRECTORY, 0)?
            }
            found => found?,
        };
    }
    Ok(directory)
}

fn link_or(root: BorrowedFd<'_>, relative: &Path, error: io::Error) -> io::Error {
    let kind = open_beneath(root, relative, libc::O_PATH | libc::O_NOFOLLOW, 0)
        .and_then(|found| mode_and_device(found.as_fd()));
    match kind {
        Ok((mode, _)) if mode & libc::S_IFMT == libc::S_IFLNK => errno(libc::ELOOP),
        _ => error,
    }
}

pub(super) fn c_name(name: &Path) -> io::Result<CString> {
    CString::new(name.as_os_str().as_bytes()).map_err(|_| errno(libc::EINVAL))
}

fn make_directory(parent: BorrowedFd<'_>, name: &Path) -> io::Result<()> {
    let name = c_name(name)?;
    // SAFETY: name is a terminated string that outlives the call.
    match unsafe { libc::mkdirat(parent.as_raw_fd(), name.as_ptr(), DIRECTORY_MODE) } {
        0 => Ok(()),
        _ => match io::Error::last_os_error() {
            // Somebody with the same volume was faster.
            error if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            error => Err(error),
        },
    }
}
