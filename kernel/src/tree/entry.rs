//! One entry of a directory, by the directory's descriptor and a name: the `*at` calls, none of which follows a link.
//!
//! Names are single components; whoever has a longer path opens its parent with [`crate::path`] first.

use std::ffi::{CStr, CString, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// What `fstatat` says about an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Type and permissions (`st_mode`).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Number of names.
    pub links: u64,
    /// Device the entry is on.
    pub device: u64,
    /// Inode on that device.
    pub inode: u64,
    /// Device the entry is, for device nodes (0 for an overlay whiteout).
    pub represents: u64,
    /// Allocated bytes.
    pub allocated_bytes: u64,
    /// Length in bytes.
    pub size: u64,
    /// Modification time: seconds since the epoch and nanoseconds.
    pub modified: (i64, i64),
}

impl Status {
    fn kind(&self) -> u32 {
        self.mode & libc::S_IFMT
    }
    /// Whether the entry is a directory.
    pub fn is_directory(&self) -> bool {
        self.kind() == libc::S_IFDIR
    }
    /// Whether the entry is a symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.kind() == libc::S_IFLNK
    }
    /// Whether the entry is what overlayfs takes for "removed here": a character device 0:0.
    pub fn is_whiteout(&self) -> bool {
        self.kind() == libc::S_IFCHR && self.represents == 0
    }
}

fn c_name(name: &Path) -> io::Result<CString> {
    CString::new(name.as_os_str().as_bytes()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

fn check(result: i32) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn stat_at(directory: BorrowedFd<'_>, name: &CStr, flags: i32) -> io::Result<Status> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: name is a terminated string, stat a writable buffer of the right type; both outlive the call.
    check(unsafe { libc::fstatat(directory.as_raw_fd(), name.as_ptr(), stat.as_mut_ptr(), flags) })?;
    // SAFETY: fstatat succeeded and therefore filled the buffer.
    let stat = unsafe { stat.assume_init() };
    Ok(Status {
        mode: stat.st_mode,
        uid: stat.st_uid,
        gid: stat.st_gid,
        #[allow(clippy::unnecessary_cast, reason = "the width differs between architectures")]
        links: stat.st_nlink as u64,
        device: stat.st_dev,
        inode: stat.st_ino,
        represents: stat.st_rdev,
        allocated_bytes: u64::try_from(stat.st_blocks).unwrap_or(0) * 512,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        modified: (stat.st_mtime, stat.st_mtime_nsec),
    })
}

/// Describes the entry itself, not what a link points to.
pub fn status(directory: BorrowedFd<'_>, name: &Path) -> io::Result<Status> {
    stat_at(directory, &c_name(name)?, libc::AT_SYMLINK_NOFOLLOW)
}

/// Describes what a descriptor stands for (`O_PATH` is enough).
pub fn status_of(fd: BorrowedFd<'_>) -> io::Result<Status> {
    stat_at(fd, c"", libc::AT_EMPTY_PATH)
}

/// Opens the directory above, which is the caller's to compare with what it expects there.
pub(crate) fn open_parent(directory: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: the name is a terminated string.
    let fd = unsafe {
        libc::openat(
            directory.as_raw_fd(),
            c"..".as_ptr(),
            libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just returned this descriptor and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes a directory; `mode` is reduced by the umask.
pub fn mkdir(directory: BorrowedFd<'_>, name: &Path, mode: u32) -> io::Result<()> {
    let name = c_name(name)?;
    // SAFETY: name is a terminated string that outlives the call.
    check(unsafe { libc::mkdirat(directory.as_raw_fd(), name.as_ptr(), mode) })
}

/// Makes a device node, FIFO or socket: `mode` with its type bits (reduced by the umask), `device` as `makedev` gives.
pub fn mknod(directory: BorrowedFd<'_>, name: &Path, mode: u32, device: (u32, u32)) -> io::Result<()> {
    let name = c_name(name)?;
    let device = libc::makedev(device.0, device.1);
    // SAFETY: name is a terminated string that outlives the call.
    check(unsafe { libc::mknodat(directory.as_raw_fd(), name.as_ptr(), mode, device) })
}

/// Makes a symbolic link with this text.
pub fn symlink(text: &Path, directory: BorrowedFd<'_>, name: &Path) -> io::Result<()> {
    let (text, name) = (c_name(text)?, c_name(name)?);
    // SAFETY: both are terminated strings that outlive the call.
    check(unsafe { libc::symlinkat(text.as_ptr(), directory.as_raw_fd(), name.as_ptr()) })
}

/// The text of a symbolic link (at most `PATH_MAX` bytes).
pub fn read_link(directory: BorrowedFd<'_>, name: &Path) -> io::Result<PathBuf> {
    let name = c_name(name)?;
    let mut text = vec![0u8; libc::PATH_MAX as usize];
    // SAFETY: name is a terminated string, text is writable for its length; both outlive the call.
    let length = unsafe {
        libc::readlinkat(directory.as_raw_fd(), name.as_ptr(), text.as_mut_ptr().cast(), text.len())
    };
    text.truncate(usize::try_from(length).map_err(|_| io::Error::last_os_error())?);
    Ok(PathBuf::from(OsString::from_vec(text)))
}

/// Gives an existing entry (a link itself, not its target) a further name.
pub fn link(from: BorrowedFd<'_>, existing: &Path, directory: BorrowedFd<'_>, name: &Path) -> io::Result<()> {
    let (existing, name) = (c_name(existing)?, c_name(name)?);
    // SAFETY: both are terminated strings that outlive the call.
    check(unsafe {
        libc::linkat(from.as_raw_fd(), existing.as_ptr(), directory.as_raw_fd(), name.as_ptr(), 0)
    })
}

/// Removes a name; `is_directory` chooses between `unlink` and `rmdir`.
pub fn unlink(directory: BorrowedFd<'_>, name: &Path, is_directory: bool) -> io::Result<()> {
    let name = c_name(name)?;
    let flags = if is_directory { libc::AT_REMOVEDIR } else { 0 };
    // SAFETY: name is a terminated string that outlives the call.
    check(unsafe { libc::unlinkat(directory.as_raw_fd(), name.as_ptr(), flags) })
}

/// Sets owner and group of the entry itself. The kernel drops setuid and setgid bits here: set the mode afterwards.
pub fn chown(directory: BorrowedFd<'_>, name: &Path, uid: u32, gid: u32) -> io::Result<()> {
    let name = c_name(name)?;
    // SAFETY: name is a terminated string that outlives the call.
    check(unsafe {
        libc::fchownat(directory.as_raw_fd(), name.as_ptr(), uid, gid, libc::AT_SYMLINK_NOFOLLOW)
    })
}

/// Sets the permissions of an entry that the caller knows not to be a symbolic link: `fchmodat` follows one.
pub fn chmod(directory: BorrowedFd<'_>, name: &Path, mode: u32) -> io::Result<()> {
    let name = c_name(name)?;
    // SAFETY: name is a terminated string that outlives the call.
    check(unsafe { libc::fchmodat(directory.as_raw_fd(), name.as_ptr(), mode & 0o7777, 0) })
}

/// Sets the modification time (seconds, nanoseconds) of the entry itself; the access time gets the same value.
pub fn set_modified(directory: BorrowedFd<'_>, name: &Path, modified: (i64, i64)) -> io::Result<()> {
    let name = c_name(name)?;
    let time = libc::timespec { tv_sec: modified.0, tv_nsec: modified.1 };
    let times = [time, time];
    // SAFETY: name is a terminated string and times an array of two timespecs; both outlive the call.
    check(unsafe {
        libc::utimensat(directory.as_raw_fd(), name.as_ptr(), times.as_ptr(), libc::AT_SYMLINK_NOFOLLOW)
    })
}

/// The path of an entry through its directory's descriptor: the only way to reach extended attributes of an entry of
/// any type before `setxattrat` (kernel 6.13). The last component is not followed by the `l*xattr` calls.
fn through_proc(directory: BorrowedFd<'_>, name: &Path) -> io::Result<CString> {
    let mut path = format!("/proc/self/fd/{}/", directory.as_raw_fd()).into_bytes();
    path.extend_from_slice(name.as_os_str().as_bytes());
    CString::new(path).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

/// Sets an extended attribute of the entry itself.
pub fn set_attribute(
    directory: BorrowedFd<'_>,
    name: &Path,
    attribute: &CStr,
    value: &[u8],
) -> io::Result<()> {
    let path = through_proc(directory, name)?;
    // SAFETY: path and attribute are terminated strings, value is readable for its length; all outlive the call.
    check(unsafe {
        libc::lsetxattr(path.as_ptr(), attribute.as_ptr(), value.as_ptr().cast(), value.len(), 0)
    })
}

/// An extended attribute of the entry itself, `None` if it has none of that name. At most 64 KiB, the kernel's limit.
pub fn attribute(directory: BorrowedFd<'_>, name: &Path, attribute: &CStr) -> io::Result<Option<Vec<u8>>> {
    let path = through_proc(directory, name)?;
    let mut value = vec![0u8; 64 * 1024];
    // SAFETY: path and attribute are terminated strings, value is writable for its length; all outlive the call.
    let length =
        unsafe { libc::lgetxattr(path.as_ptr(), attribute.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    match usize::try_from(length) {
        Ok(length) => {
            value.truncate(length);
            Ok(Some(value))
        }
        Err(_) => match io::Error::last_os_error() {
            error if matches!(error.raw_os_error(), Some(libc::ENODATA | libc::EOPNOTSUPP)) => Ok(None),
            error => Err(error),
        },
    }
}
