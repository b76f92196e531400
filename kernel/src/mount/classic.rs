//! `mount(2)`, `umount2(2)` and `pivot_root(2)`.

use std::io;
use std::path::Path;
use std::ptr;

use super::{c_path, c_string, checked};

/// `mount(2)`: source, target, filesystem type, `MS_*` flags, options.
pub fn mount(source: &Path, target: &Path, filesystem: &str, flags: u64, options: &[u8]) -> io::Result<()> {
    let (source, target) = (c_path(source)?, c_path(target)?);
    let (filesystem, options) = (c_string(filesystem.as_bytes())?, c_string(options)?);
    // SAFETY: all four are terminated strings that outlive the call.
    checked(libc::c_long::from(unsafe {
        libc::mount(source.as_ptr(), target.as_ptr(), filesystem.as_ptr(), flags, options.as_ptr().cast())
    }))?;
    Ok(())
}

/// Makes the mount at `target`, and all below it if `recursive`, private: nothing propagates in or out.
pub fn make_private(target: &Path, recursive: bool) -> io::Result<()> {
    let target = c_path(target)?;
    let flags = libc::MS_PRIVATE | if recursive { libc::MS_REC } else { 0 };
    // SAFETY: target is a terminated string; the kernel ignores the others for a change of propagation.
    checked(libc::c_long::from(unsafe {
        libc::mount(ptr::null(), target.as_ptr(), ptr::null(), flags, ptr::null())
    }))?;
    Ok(())
}

/// `umount2(2)` with `MNT_DETACH` if `lazy`; a symbolic link at the end is never followed.
pub fn umount(target: &Path, lazy: bool) -> io::Result<()> {
    let target = c_path(target)?;
    let flags = libc::UMOUNT_NOFOLLOW | if lazy { libc::MNT_DETACH } else { 0 };
    // SAFETY: target is a terminated string.
    checked(libc::c_long::from(unsafe { libc::umount2(target.as_ptr(), flags) }))?;
    Ok(())
}

/// Makes the mount whose root is the working directory the root of the mount namespace, and lets go of the old root
/// with everything below it.
///
/// `pivot_root(".", ".")` stacks the old root on the new one, so no directory is needed to put it
/// (`pivot_root(2)`, notes). The working directory is `/` afterwards.
pub fn pivot_here() -> io::Result<()> {
    // SAFETY: both paths are terminated strings.
    checked(unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) })?;
    // SAFETY: as above. "." is the old root until it is gone.
    checked(libc::c_long::from(unsafe { libc::umount2(c".".as_ptr(), libc::MNT_DETACH) }))?;
    std::env::set_current_dir("/")
}
