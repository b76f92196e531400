//! Opening paths that somebody else had a say in, without ever leaving the directory they belong to.
//!
//! Owns: resolution with `openat2(2)`. Everything an image, a container or a volume names goes through here: the
//! kernel resolves the whole path at once, so there is no window between a check and a use in which a component
//! could be exchanged for a symbolic link. Does not own: what is done with the descriptor.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// How often a resolution that lost a race is repeated. `RESOLVE_IN_ROOT` answers `EAGAIN` when something was renamed
/// while a `..` was resolved; somebody who renames for ever must get an error, not a busy loop.
const RACE_RETRIES: u32 = 128;

fn c_path(path: &Path) -> io::Result<CString> {
    let bytes = path.as_os_str().as_bytes();
    let bytes = if bytes.is_empty() { b"." } else { bytes };
    CString::new(bytes).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

fn openat2(root: BorrowedFd<'_>, path: &Path, flags: i32, mode: u32, resolve: u64) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    // SAFETY: open_how is a struct of three integers for which zero is a valid value.
    let mut how: libc::open_how = unsafe { mem::zeroed() };
    how.flags = (flags | libc::O_CLOEXEC) as u64;
    // openat2 refuses a mode that would be ignored.
    let creates = flags & libc::O_CREAT != 0 || flags & libc::O_TMPFILE == libc::O_TMPFILE;
    how.mode = if creates { u64::from(mode & 0o7777) } else { 0 };
    how.resolve = resolve;
    let mut races = 0;
    loop {
        // SAFETY: path is a terminated string and how a valid open_how of the size given; both outlive the call.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_openat2,
                root.as_raw_fd(),
                path.as_ptr(),
                &raw const how,
                mem::size_of::<libc::open_how>(),
            )
        };
        if fd >= 0 {
            // SAFETY: the kernel just returned this descriptor and nobody else knows it.
            return Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) });
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::EAGAIN) if races < RACE_RETRIES => races += 1,
            _ => return Err(error),
        }
    }
}

/// Opens `path` as if `root` were `/`: absolute paths and links start there and `..` stops there.
///
/// `O_CLOEXEC` is always added; `mode` counts only with `O_CREAT` or `O_TMPFILE`. Magic links (`/proc/PID/fd/N`) fail
/// with `ELOOP`. With `O_NOFOLLOW` a final symbolic link is not followed.
pub fn open_in_root(root: BorrowedFd<'_>, path: &Path, flags: i32, mode: u32) -> io::Result<OwnedFd> {
    openat2(root, path, flags, mode, libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS)
}

/// Opens `path` below `root` and fails with `EXDEV` where it would leave it (absolute paths and links, `..`).
///
/// With `O_NOFOLLOW` in `flags` no symbolic link is followed in any component (`ELOOP`).
pub fn open_beneath(root: BorrowedFd<'_>, path: &Path, flags: i32, mode: u32) -> io::Result<OwnedFd> {
    let links = if flags & libc::O_NOFOLLOW != 0 { libc::RESOLVE_NO_SYMLINKS } else { 0 };
    openat2(root, path, flags, mode, libc::RESOLVE_BENEATH | libc::RESOLVE_NO_MAGICLINKS | links)
}

/// Opens one directory entry of `directory` that must not be a symbolic link nor the root of another mount.
pub(crate) fn open_entry_same_mount(
    directory: BorrowedFd<'_>,
    name: &Path,
    flags: i32,
) -> io::Result<OwnedFd> {
    let resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_XDEV;
    openat2(directory, name, flags | libc::O_NOFOLLOW, 0, resolve)
}

/// Makes `path` and its missing parents as if `root` were `/`, and returns a descriptor (`O_PATH`) of the last one.
///
/// Existing components may be symbolic links (resolved inside `root`); what is created never is one. `mode` applies to
/// every directory made and is reduced by the umask. A dangling link is an error, not an invitation to create its
/// target; so is a `..` behind a component that does not exist (`EINVAL`).
pub fn mkdir_all_in_root(root: BorrowedFd<'_>, path: &Path, mode: u32) -> io::Result<OwnedFd> {
    const DIRECTORY: i32 = libc::O_PATH | libc::O_DIRECTORY;
    match open_in_root(root, path, DIRECTORY, 0) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
        other => return other,
    }
    // Walk up to what exists, then create downwards from there: no recursion, the depth is somebody else's choice.
    let mut missing = Vec::new();
    let mut ancestor = path;
    let mut fd = loop {
        let name = ancestor.file_name().ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
        missing.push(name);
        ancestor = ancestor.parent().unwrap_or(Path::new(""));
        match open_in_root(root, ancestor, DIRECTORY, 0) {
            Ok(fd) => break fd,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            Err(error) => return Err(error),
        }
    };
    while let Some(name) = missing.pop() {
        let name = Path::new(name);
        match crate::tree::entry::mkdir(fd.as_fd(), name, mode) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => fd = open_beneath(fd.as_fd(), name, DIRECTORY | libc::O_NOFOLLOW, 0)?,
        }
    }
    Ok(fd)
}

/// Opens a trusted directory as an anchor for the calls above (`O_PATH|O_DIRECTORY|O_CLOEXEC`).
pub fn open_dir(path: &Path) -> io::Result<OwnedFd> {
    let file: File = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC)
        .open(path)?;
    Ok(file.into())
}

#[cfg(test)]
mod tests;
