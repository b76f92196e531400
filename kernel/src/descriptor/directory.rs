//! Changing the entries of a directory held by descriptor (`O_PATH` will do), with no path to it.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::call::retry;

/// One component: what a caller names is an entry of this directory and of no other.
fn entry(name: &str) -> io::Result<CString> {
    if name.is_empty() || name == "." || name == ".." || name.contains('/') {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    CString::new(name).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

/// Renames an entry, replacing one that has the new name.
///
/// # Errors
/// `EINVAL` for a name that is not a single component.
pub fn rename_at(directory: BorrowedFd<'_>, from: &str, to: &str) -> io::Result<()> {
    let (from, to) = (entry(from)?, entry(to)?);
    let fd = directory.as_raw_fd();
    // SAFETY: both names are terminated and outlive the call.
    retry(|| unsafe { libc::renameat(fd, from.as_ptr(), fd, to.as_ptr()) }).map(|_| ())
}

/// Removes an entry that is no directory.
///
/// # Errors
/// `EINVAL` for a name that is not a single component.
pub fn remove_at(directory: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    let name = entry(name)?;
    // SAFETY: the name is terminated and outlives the call.
    retry(|| unsafe { libc::unlinkat(directory.as_raw_fd(), name.as_ptr(), 0) }).map(|_| ())
}
