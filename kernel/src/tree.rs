//! Whole file trees that somebody else filled: removing them, measuring them, and the single steps of filling them.
//!
//! Everything works on descriptors: no component of a path is looked up twice, symbolic links are never followed, and
//! another mount is never entered. Depth is bounded by memory, not by the stack nor by the number of descriptors:
//! a container may nest directories as deep as it likes.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

pub mod entry;
mod list;
mod remove;
mod usage;

pub use list::{Listed, list};
pub use remove::{remove_all, remove_all_at};
pub use usage::{Usage, usage};

/// Open descriptors kept along one path; further up directories are reopened through `..` and compared.
const OPEN_LEVELS: usize = 64;

const DIRECTORY: i32 = libc::O_RDONLY | libc::O_DIRECTORY;

/// One directory on the way down.
struct Level {
    fd: Option<OwnedFd>,
    identity: (u64, u64),
    name: PathBuf,
    subdirectories: Vec<PathBuf>,
}

/// The path from the top of a tree to the directory being visited.
struct Descent {
    levels: Vec<Level>,
}

impl Descent {
    fn identity(fd: BorrowedFd<'_>) -> io::Result<(u64, u64)> {
        let status = entry::status_of(fd)?;
        Ok((status.device, status.inode))
    }

    fn enter(&mut self, fd: OwnedFd, name: PathBuf, subdirectories: Vec<PathBuf>) -> io::Result<()> {
        let identity = Self::identity(fd.as_fd())?;
        self.levels.push(Level { fd: Some(fd), identity, name, subdirectories });
        if let Some(far) = self.levels.len().checked_sub(OPEN_LEVELS + 1).filter(|far| *far > 0) {
            self.levels[far].fd = None;
        }
        Ok(())
    }

    /// Leaves the deepest directory and returns its name; the one above is open again afterwards.
    fn leave(&mut self) -> io::Result<Option<PathBuf>> {
        let Some(left) = self.levels.pop() else { return Ok(None) };
        if let (Some(above), Some(below)) = (self.levels.last_mut(), &left.fd)
            && above.fd.is_none()
        {
            let fd = entry::open_parent(below.as_fd())?;
            if Self::identity(fd.as_fd())? != above.identity {
                return Err(io::Error::other("a directory was moved while its tree was visited"));
            }
            above.fd = Some(fd);
        }
        Ok(Some(left.name))
    }

    fn current(&self) -> io::Result<BorrowedFd<'_>> {
        let open = self.levels.last().and_then(|level| level.fd.as_ref());
        open.map(AsFd::as_fd).ok_or_else(|| io::Error::other("no directory is open"))
    }
}

/// The directory an entry is in, and its name there.
fn split(path: &Path) -> io::Result<(&Path, &Path)> {
    let name = path.file_name().ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((parent, Path::new(name)))
}

#[cfg(test)]
mod tests;
