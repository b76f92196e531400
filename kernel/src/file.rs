//! Small files that are whole or absent, whatever happens while they are written.
//!
//! Owns: atomic replacement, bounded reading, durability of files, directories and file systems, lock files.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

/// Names with this prefix are unfinished writes: whoever lists a directory of records skips them, and removes them
/// when it starts.
pub const TEMPORARY_PREFIX: &str = ".tmp-";

/// Whether a write has to survive a power cut, or only the end of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durable {
    /// Survives SIGKILL; nothing is flushed.
    No,
    /// The file is flushed before it gets its name and the directory afterwards.
    Yes,
}

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// Replaces `dir/name` (mode 0600) with `content`, so that a reader sees the old or the new file, never a part.
pub fn write_atomic(dir: &Path, name: &str, content: &[u8], durable: Durable) -> io::Result<()> {
    let counter = COUNTER.fetch_add(1, Ordering::Relaxed);
    let temporary = dir.join(format!("{TEMPORARY_PREFIX}{}-{counter}-{name}", std::process::id()));
    let written =
        write_new(&temporary, content, durable).and_then(|()| fs::rename(&temporary, dir.join(name)));
    if let Err(error) = written {
        // The first error is the one to report; a leftover is recognised by its prefix at the next start.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    match durable {
        Durable::Yes => fsync_dir(dir),
        Durable::No => Ok(()),
    }
}

fn write_new(path: &Path, content: &[u8], durable: Durable) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    if durable == Durable::Yes {
        file.sync_all()?;
    }
    Ok(())
}

/// Reads a regular file of at most `max` bytes.
///
/// Anything else behind the name (a FIFO would block, a device would never end) is `InvalidInput`, a larger file
/// `FileTooLarge`: neither the reader's memory nor its time is in the hands of whoever wrote the file.
pub fn read_bounded(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    read_open_bounded(&file, max)
}

/// [`read_bounded`] for a file that is open already (open it with `O_NONBLOCK`: opening a FIFO blocks otherwise).
pub fn read_open_bounded(file: &File, max: u64) -> io::Result<Vec<u8>> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let too_large = || io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {max} bytes"));
    if metadata.len() > max {
        return Err(too_large());
    }
    let mut content = Vec::with_capacity(metadata.len() as usize);
    // The file may grow while it is read.
    file.take(max + 1).read_to_end(&mut content)?;
    if content.len() as u64 > max { Err(too_large()) } else { Ok(content) }
}

/// Makes the names in a directory durable.
pub fn fsync_dir(path: &Path) -> io::Result<()> {
    OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(path)?.sync_all()
}

/// Makes everything written so far to the file system of `fd` durable (`syncfs`). Not for `O_PATH` descriptors.
///
/// Since kernel 5.8 it also reports write-back errors that happened since `fd` was opened.
pub fn sync_filesystem(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: syncfs takes an integer; the descriptor is open for the length of the borrow.
    match unsafe { libc::syncfs(fd.as_raw_fd()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Takes the exclusive lock of a lock file, which is created if need be; `None` if somebody else holds it.
///
/// The lock lasts as long as the returned file is open. The file itself stays: removing it would let two holders lock
/// two files of one name.
pub fn try_lock(path: &Path) -> io::Result<Option<File>> {
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    // SAFETY: flock takes two integers; the descriptor is owned by `file`.
    match unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } {
        0 => Ok(Some(file)),
        _ => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            error => Err(error),
        },
    }
}

/// What is left of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that may be written without privileges' reserve.
    pub free_bytes: u64,
    /// Bytes there are in all.
    pub total_bytes: u64,
    /// Inodes that may be made; 0 also where the file system does not count them.
    pub free_inodes: u64,
}

/// Asks the file system that `path` is on (`statvfs`).
pub fn space(path: &Path) -> io::Result<Space> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut answer = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: path is a terminated string, answer a writable buffer of the right type; both outlive the call.
    if unsafe { libc::statvfs(path.as_ptr(), answer.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: statvfs succeeded and therefore filled the buffer.
    let answer = unsafe { answer.assume_init() };
    let bytes = |blocks: u64| blocks.saturating_mul(answer.f_frsize);
    Ok(Space {
        free_bytes: bytes(answer.f_bavail),
        total_bytes: bytes(answer.f_blocks),
        free_inodes: answer.f_favail,
    })
}

#[cfg(test)]
mod tests;
