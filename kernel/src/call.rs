//! From what a system call returned to a `Result`.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// -1 means that `errno` says why.
pub(crate) fn check(result: i32) -> io::Result<i32> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Repeats a call that a signal interrupted.
pub(crate) fn retry(mut call: impl FnMut() -> i32) -> io::Result<i32> {
    loop {
        match check(call()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// [`retry`] for calls that count bytes.
pub(crate) fn retry_size(mut call: impl FnMut() -> isize) -> io::Result<usize> {
    loop {
        match usize::try_from(call()) {
            Ok(size) => return Ok(size),
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
        }
    }
}

/// Takes ownership of the new descriptor that `call` returns.
///
/// # Safety
/// `call` returns -1 or a descriptor that was just created and that nobody else owns.
pub(crate) unsafe fn own_new(call: impl FnMut() -> i32) -> io::Result<OwnedFd> {
    // SAFETY: promised by the caller.
    retry(call).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}
