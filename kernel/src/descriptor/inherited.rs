//! Descriptors that whoever executed this program left open.

use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};

use super::set_close_on_exec;
use crate::call::retry;

/// Whether this number is an open descriptor without close-on-exec.
fn is_inherited(number: RawFd) -> io::Result<bool> {
    // SAFETY: F_GETFD takes no pointers and is harmless on a number that is not open.
    let flags = retry(|| unsafe { libc::fcntl(number, libc::F_GETFD) })?;
    Ok(flags & libc::FD_CLOEXEC == 0)
}

/// Takes ownership of an inherited descriptor. It is closed on exec from now on, so nobody can take it twice.
///
/// # Errors
/// `EBADF` if the number is not open, or was opened by this program.
pub fn take_inherited(number: RawFd) -> io::Result<OwnedFd> {
    if !is_inherited(number)? {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: it is open and lacks close-on-exec, so it was inherited and nobody in this program owns it yet.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    set_close_on_exec(fd.as_fd(), true)?;
    Ok(fd)
}

/// Closes every inherited descriptor from number `first` on.
///
/// # Errors
/// Whatever listing `/proc/self/fd` returns.
pub fn close_inherited(first: RawFd) -> io::Result<()> {
    let mut inherited = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse().ok());
        inherited.extend(number.filter(|&number: &RawFd| number >= first));
    }
    for number in inherited {
        // The descriptor of the listing itself is in the list and closed by now.
        if is_inherited(number).unwrap_or(false) {
            drop(take_inherited(number)?);
        }
    }
    Ok(())
}
