//! The `/dev/shm` that the containers of a pod share (F-13).
//!
//! It is mounted on the host, below the pod's files, because it belongs to no container and must outlive the daemon.

use std::io;
use std::path::{Path, PathBuf};

use kernel::mount;

use crate::error::{Class, Failure};

/// Size of a pod's shared memory, bytes; what containerd and CRI-O give.
const SIZE: u64 = 64 * 1024 * 1024;
const FLAGS: u64 = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;

/// Where the shared memory of the pod with these files is mounted.
pub(crate) fn path(files: &Path) -> PathBuf {
    files.join("shm")
}

/// Mounts it.
pub(super) fn mount(files: &Path) -> Result<(), Failure> {
    let target = path(files);
    let fail = |what: &str, e: &io::Error| {
        Failure::new(Class::Internal, format!("{what} {}: {e}", target.display()))
    };
    std::fs::create_dir_all(&target).map_err(|e| fail("make directory", &e))?;
    let options = format!("mode=1777,size={SIZE}");
    mount::mount(Path::new("shm"), &target, "tmpfs", FLAGS, options.as_bytes()).map_err(|e| fail("mount", &e))
}

/// Unmounts it, if it is mounted. What a process still maps stays its own until that process ends.
pub(crate) fn unmount(files: &Path) -> Result<(), Failure> {
    let target = path(files);
    match mount::umount(&target, true) {
        // Not there, or not mounted.
        Err(e) if !matches!(e.raw_os_error(), Some(2 | 22)) => {
            Err(Failure::new(Class::Internal, format!("unmount {}: {e}", target.display())))
        }
        _ => Ok(()),
    }
}
