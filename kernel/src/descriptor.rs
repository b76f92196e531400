//! Descriptors as such: flags, pipes, those inherited over `execve`, sealed memory files.
//!
//! Everything this project opens has close-on-exec set. A descriptor without it was therefore inherited from whoever
//! executed this program: that is how [`take_inherited`] and [`close_inherited`] tell ours from theirs.

mod directory;
mod inherited;
mod memory;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::call::retry;

pub use directory::{remove_at, rename_at};
pub use inherited::{close_inherited, take_inherited};
pub use memory::{create_memory_file, is_sealed, seal, sealed_memory_file};

/// A pipe: read end, write end. Both block and are closed on exec.
///
/// # Errors
/// `EMFILE`, `ENFILE`.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: `ends` has room for the two descriptors.
    retry(|| unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    // SAFETY: the kernel just created both and nobody else knows them.
    unsafe { Ok((OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1]))) }
}

/// Asks for room for `bytes` in a pipe and returns what there is now.
///
/// # Errors
/// `EPERM` beyond `/proc/sys/fs/pipe-max-size` or the user's share, without the capability to exceed them.
pub fn set_pipe_size(pipe: BorrowedFd<'_>, bytes: i32) -> io::Result<usize> {
    // SAFETY: F_SETPIPE_SZ takes an integer.
    retry(|| unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETPIPE_SZ, bytes) }).map(|size| size as usize)
}

/// Bytes that can be read from a pipe or socket without blocking.
///
/// # Errors
/// `ENOTTY` for what cannot be asked.
pub fn unread_bytes(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int, which outlives the call.
    retry(|| unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &mut count) })?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Sets or clears `O_NONBLOCK`: a flag of the open file, seen by everybody who shares it.
///
/// # Errors
/// Whatever `fcntl` returns.
pub fn set_nonblocking(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    // SAFETY: F_GETFL and F_SETFL take integers.
    let flags = retry(|| unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    let flags = if on { flags | libc::O_NONBLOCK } else { flags & !libc::O_NONBLOCK };
    // SAFETY: as above.
    retry(|| unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags) }).map(|_| ())
}

/// Sets or clears close-on-exec: a flag of this descriptor alone.
///
/// # Errors
/// Whatever `fcntl` returns.
pub fn set_close_on_exec(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    let flags = if on { libc::FD_CLOEXEC } else { 0 };
    // SAFETY: F_SETFD takes an integer.
    retry(|| unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, flags) }).map(|_| ())
}

/// Whether both descriptors refer to files with the same device and inode number.
///
/// # Errors
/// Whatever `fstat` returns.
pub fn is_same_file(a: impl AsFd, b: impl AsFd) -> io::Result<bool> {
    let identity = |fd: BorrowedFd<'_>| -> io::Result<(u64, u64)> {
        // SAFETY: all-zero is a valid stat, which outlives the call.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: as above.
        retry(|| unsafe { libc::fstat(fd.as_raw_fd(), &mut stat) })?;
        Ok((stat.st_dev, stat.st_ino))
    };
    Ok(identity(a.as_fd())? == identity(b.as_fd())?)
}
