//! `emptyDir`: a directory that begins empty and ends with the pod, on disk or in memory.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use kernel::{mount, tree};

use crate::{Pod, Stats, Volume, VolumeError};

/// Everybody may write: containers of one pod often run as different users, and share just this.
const MODE: u32 = 0o777;
const SETGID: u32 = 0o2000;

/// Where the data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// On the disk the pod's directory is on.
    Disk,
    /// In a tmpfs.
    Memory {
        /// Its size; without one the kernel's default, half of the memory.
        limit_bytes: Option<u64>,
    },
}

/// An `emptyDir` of one pod.
#[derive(Clone, Debug)]
pub struct EmptyDir {
    path: PathBuf,
    medium: Medium,
    group: Option<u32>,
}

impl EmptyDir {
    /// Describes the volume; nothing is made yet.
    #[must_use]
    pub fn new(pod: &Pod, name: &str, medium: Medium) -> Self {
        Self { path: pod.volume_directory("empty-dir", name), medium, group: pod.group }
    }

    fn mount_memory(&self, limit_bytes: Option<u64>) -> io::Result<()> {
        if mount::is_mountpoint(&self.path)? {
            return Ok(());
        }
        let mut options = format!("mode={MODE:o}");
        if let Some(bytes) = limit_bytes {
            options.push_str(&format!(",size={bytes}"));
        }
        let flags = nix::libc::MS_NOSUID | nix::libc::MS_NODEV;
        let attempt =
            |options: &str| mount::mount(Path::new("tmpfs"), &self.path, "tmpfs", flags, options.as_bytes());
        // Secrets in memory must not reach a swap device; tmpfs knows `noswap` since 6.4 and refuses it before.
        match attempt(&format!("{options},noswap")) {
            Err(error) if error.raw_os_error() == Some(nix::libc::EINVAL) => attempt(&options),
            other => other,
        }
    }

    /// The group may write, and what is made inside belongs to it too.
    fn give_to_group(&self, gid: u32) -> io::Result<()> {
        std::os::unix::fs::chown(&self.path, None, Some(gid))?;
        std::fs::set_permissions(&self.path, std::fs::Permissions::from_mode(MODE | SETGID))
    }
}

impl Volume for EmptyDir {
    fn prepare(&self) -> Result<PathBuf, VolumeError> {
        let path = self.path.clone();
        let make = || {
            std::fs::create_dir_all(&self.path)?;
            // A mode given at creation would be cut by the umask.
            std::fs::set_permissions(&self.path, std::fs::Permissions::from_mode(MODE))
        };
        make().map_err(|source| VolumeError::Make { path: path.clone(), source })?;
        if let Medium::Memory { limit_bytes } = self.medium {
            self.mount_memory(limit_bytes)
                .map_err(|source| VolumeError::Mount { path: path.clone(), source })?;
        }
        if let Some(gid) = self.group {
            self.give_to_group(gid).map_err(|source| VolumeError::Group {
                path: path.clone(),
                gid,
                source,
            })?;
        }
        Ok(path)
    }

    fn teardown(&self) -> Result<(), VolumeError> {
        let remove = || -> io::Result<()> {
            match mount::is_mountpoint(&self.path) {
                // Lazy: a process of the host that looks inside must not keep a pod from ending.
                Ok(true) => mount::umount(&self.path, true)?,
                Ok(false) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error),
            }
            match tree::remove_all(&self.path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                other => other,
            }
        };
        remove().map_err(|source| VolumeError::Remove { path: self.path.clone(), source })
    }

    fn stats(&self) -> Result<Option<Stats>, VolumeError> {
        let usage = tree::usage(&self.path)
            .map_err(|source| VolumeError::Measure { path: self.path.clone(), source })?;
        Ok(Some(Stats { bytes: usage.bytes, inodes: usage.inodes }))
    }
}

#[cfg(test)]
mod tests;
