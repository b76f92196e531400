//! Mounts: the descriptor based interface of the kernel, and what is left of the old one.
//!
//! Owns: making filesystem instances ([`Builder`]), cloning, changing and attaching detached mounts
//! ([`open_tree_clone`], [`set_attr`], [`move_into`]), [`overlay`] on every kernel since 5.10, and `mount(2)`,
//! `umount2(2)` and `pivot_root(2)` where they are still needed. Does not own: what is mounted where.
//!
//! A detached mount lives as long as its descriptor and is in nobody's mount table; it can be handed to another
//! process and attached in a mount namespace that has never seen its source.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

mod builder;
mod classic;
mod overlay;

#[cfg(test)]
mod tests;

pub use builder::Builder;
pub use classic::{make_private, mount, pivot_here, umount};
pub use overlay::overlay;

/// `MOUNT_ATTR_*` flags of `mount_setattr(2)`.
pub mod attribute {
    /// Read-only.
    pub const RDONLY: u64 = 0x01;
    /// Set-user-id bits and file capabilities have no effect.
    pub const NOSUID: u64 = 0x02;
    /// Device nodes cannot be opened.
    pub const NODEV: u64 = 0x04;
    /// Files cannot be executed.
    pub const NOEXEC: u64 = 0x08;
    /// Mask of the three access time modes below; must be cleared to set one of them.
    pub const ATIME: u64 = 0x70;
    /// Access time is updated relative to modification (the kernel's default).
    pub const RELATIME: u64 = 0x00;
    /// Access time is never updated.
    pub const NOATIME: u64 = 0x10;
    /// Access time is always updated.
    pub const STRICTATIME: u64 = 0x20;
    /// Access time of directories is never updated.
    pub const NODIRATIME: u64 = 0x80;
    /// Mount honours the id mapping of the user namespace given beside it.
    pub const IDMAP: u64 = 0x0010_0000;
    /// Symbolic links are not followed.
    pub const NOSYMFOLLOW: u64 = 0x0020_0000;
}

/// Propagation types of `mount_setattr(2)`, for [`set_attr`].
pub mod propagation {
    /// Mounts and unmounts are shared with the peer group.
    pub const SHARED: u64 = libc::MS_SHARED;
    /// Nothing comes in or goes out.
    pub const PRIVATE: u64 = libc::MS_PRIVATE;
    /// Mounts and unmounts come in from the peer group, none goes out.
    pub const SLAVE: u64 = libc::MS_SLAVE;
    /// Private, and cannot be bind mounted.
    pub const UNBINDABLE: u64 = libc::MS_UNBINDABLE;
}

const OPEN_TREE_CLONE: u32 = 1;
const OPEN_TREE_CLOEXEC: u32 = libc::O_CLOEXEC as u32;
const AT_RECURSIVE: u32 = libc::AT_RECURSIVE as u32;
const AT_EMPTY_PATH: u32 = libc::AT_EMPTY_PATH as u32;
const MOVE_MOUNT_F_EMPTY_PATH: u32 = 0x04;
const MOVE_MOUNT_T_EMPTY_PATH: u32 = 0x40;

/// `struct mount_attr`.
#[repr(C)]
#[derive(Default)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

fn c_string(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

fn c_path(path: &Path) -> io::Result<CString> {
    c_string(path.as_os_str().as_bytes())
}

/// The result of a raw system call.
fn checked(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A descriptor returned by a raw system call.
fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    let fd = checked(result)?;
    // SAFETY: the kernel just returned this descriptor and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Clones the mount at `path` as a detached mount, with everything mounted below it if `recursive`. A symbolic link
/// at the end of `path` is followed: what it points to when the call is made is what is cloned (F-42).
///
/// `EINVAL`: a mount in the tree is unbindable. Linux 5.2.
pub fn open_tree_clone(path: &Path, recursive: bool) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    let flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | if recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: path is a terminated string that outlives the call.
    owned(unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) })
}

/// As [`open_tree_clone`] for what `fd` refers to (an `O_PATH` descriptor will do). A descriptor of a detached mount
/// can be cloned since Linux 6.15; one of a mount in the caller's namespace always.
pub fn clone_fd(fd: BorrowedFd<'_>, recursive: bool) -> io::Result<OwnedFd> {
    let flags =
        OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | if recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: the path is an empty terminated string.
    owned(unsafe { libc::syscall(libc::SYS_open_tree, fd.as_raw_fd(), c"".as_ptr(), flags) })
}

/// Sets and clears [`attribute`] flags and, unless it is 0, the [`propagation`] of the mount that `fd` is the root of.
/// Setting any access time mode clears the others. Linux 5.12.
pub fn set_attr(
    fd: BorrowedFd<'_>,
    recursive: bool,
    set: u64,
    clear: u64,
    propagation: u64,
) -> io::Result<()> {
    let atime = if set & attribute::ATIME != 0 { attribute::ATIME } else { 0 };
    let attr = MountAttr { attr_set: set, attr_clr: clear | atime, propagation, userns_fd: 0 };
    let flags = AT_EMPTY_PATH | if recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: the path is an empty terminated string; attr is a valid mount_attr of the size given.
    checked(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    })?;
    Ok(())
}

/// Attaches the detached mount `tree` on the very directory or file that `target` refers to: there is no path that
/// somebody could exchange between the look-up and the mount. Linux 5.2.
pub fn move_into(tree: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: both paths are empty terminated strings.
    checked(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            target.as_raw_fd(),
            c"".as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH,
        )
    })?;
    Ok(())
}

/// Whether something is mounted exactly at `path`. A missing path is not a mount point.
pub fn is_mountpoint(path: &Path) -> io::Result<bool> {
    let path = match crate::path::open_dir(path) {
        Ok(directory) => directory,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        // Files can be mount points too.
        Err(error) if error.raw_os_error() == Some(libc::ENOTDIR) => std::fs::File::open(path)?.into(),
        Err(error) => return Err(error),
    };
    let mut status = std::mem::MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: the path is an empty terminated string and status has room for one statx.
    checked(unsafe {
        libc::syscall(
            libc::SYS_statx,
            path.as_fd().as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            libc::STATX_BASIC_STATS,
            status.as_mut_ptr(),
        )
    })?;
    // SAFETY: zeroed is a valid statx, and the call above has filled it in.
    let status = unsafe { status.assume_init() };
    Ok(status.stx_attributes & libc::STATX_ATTR_MOUNT_ROOT as u64 != 0)
}
