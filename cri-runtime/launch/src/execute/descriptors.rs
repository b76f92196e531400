//! Descriptors of a plan, of the standard streams, and of the kernel's small files.

use std::fs::File;
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;

use super::fault::errno;
use crate::plan::FdIndex;

/// The descriptor a plan refers to. `EBADF` if too few came with it.
pub(super) fn get<'a>(fds: &[BorrowedFd<'a>], index: FdIndex) -> io::Result<BorrowedFd<'a>> {
    fds.get(usize::from(index.0)).copied().ok_or_else(|| errno(libc::EBADF))
}

fn checked(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Makes `stdio` descriptors 0, 1 and 2, not close-on-exec.
pub(super) fn standard_streams(stdio: [BorrowedFd<'_>; 3]) -> io::Result<()> {
    // Copies above 2 first: a stream may itself be one of the numbers about to be replaced.
    let mut copies = Vec::with_capacity(stdio.len());
    for stream in stdio {
        // SAFETY: F_DUPFD_CLOEXEC takes an integer.
        let copy = checked(unsafe { libc::fcntl(stream.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 3) })?;
        // SAFETY: the kernel just returned this descriptor and nobody else knows it.
        copies.push(unsafe { OwnedFd::from_raw_fd(copy) });
    }
    for (copy, number) in copies.iter().zip(0..) {
        // SAFETY: replaces descriptor `number`, which is the point; no Rust object of this process is used after the
        // fork that owns it.
        checked(unsafe { libc::dup2(copy.as_raw_fd(), number) })?;
    }
    Ok(())
}

/// Marks every descriptor but the standard streams close-on-exec. Linux 5.11.
pub(super) fn close_on_exec() -> io::Result<()> {
    // SAFETY: no pointers are passed; nothing is closed before the program replaces this one.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    checked(result as i32).map(drop)
}

/// Changes the working directory to what `directory` refers to.
pub(super) fn change_directory(directory: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no pointers are passed.
    checked(unsafe { libc::fchdir(directory.as_raw_fd()) }).map(drop)
}

/// Whether `fd` is on procfs.
pub(super) fn is_procfs(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let mut status = MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: status has room for one statfs.
    checked(unsafe { libc::fstatfs(fd.as_raw_fd(), status.as_mut_ptr()) })?;
    // SAFETY: zeroed is a valid statfs, and the call above has filled it in.
    let status = unsafe { status.assume_init() };
    // The field is signed in one C library and unsigned in the other.
    Ok(i128::from(status.f_type) == i128::from(libc::PROC_SUPER_MAGIC))
}

/// Type and permission bits, and device number, of what `fd` refers to.
pub(super) fn mode_and_device(fd: BorrowedFd<'_>) -> io::Result<(u32, u64)> {
    let mut status = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: status has room for one stat.
    checked(unsafe { libc::fstat(fd.as_raw_fd(), status.as_mut_ptr()) })?;
    // SAFETY: zeroed is a valid stat, and the call above has filled it in.
    let status = unsafe { status.assume_init() };
    Ok((status.st_mode, status.st_rdev))
}

/// Whether `fd` refers to a directory.
pub(super) fn is_directory(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(mode_and_device(fd)?.0 & libc::S_IFMT == libc::S_IFDIR)
}

/// Opens a file of the supervisor's own procfs for writing. The descriptor `proc` was proven to be procfs, and nothing
/// is mounted in it, so the write cannot be redirected (CVE-2025-52881).
pub(super) fn open_proc(proc: BorrowedFd<'_>, path: &Path) -> io::Result<File> {
    kernel::path::open_in_root(proc, path, libc::O_RDWR | libc::O_NOFOLLOW, 0).map(File::from)
}

/// Writes a value to a kernel file in one call, as these demand.
pub(super) fn write_once(mut file: impl Write, value: &[u8]) -> io::Result<()> {
    match file.write(value)? {
        written if written == value.len() => Ok(()),
        _ => Err(errno(libc::EIO)),
    }
}
