//! Tar members become files, by descriptor and inside one directory (I-23, I-24).
//!
//! Parents are opened with `openat2(RESOLVE_IN_ROOT)`: a symbolic link in the archive resolves inside the layer. The
//! last component is never followed: it is created exclusively, and what stood there before is removed first. The
//! directory is ours alone while it is filled, so a parent that was opened once stays right until one of its
//! components is replaced by the archive itself.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use kernel::tree::{self, entry};

use super::UnpackError;
use super::archive::{Kind, Member};
use super::whiteout::{Meaning, meaning};

const DIRECTORY: i32 = libc::O_PATH | libc::O_DIRECTORY;
const OPAQUE: &CStr = c"trusted.overlay.opaque";
/// Mode of a directory that the archive does not mention.
const IMPLIED_MODE: u32 = 0o755;
/// Symbolic links resolved on one path, as the kernel does.
const LINKS_MAX: u32 = 40;

/// Fills one directory.
pub struct Applier {
    root: Arc<OwnedFd>,
    /// The parent used last: entries of one directory mostly come together.
    parent: Option<(PathBuf, Arc<OwnedFd>)>,
    /// Times of directories are set last: every entry made inside changes them.
    directories: Vec<(PathBuf, (i64, i64))>,
    implied: BTreeSet<PathBuf>,
    buffer: Vec<u8>,
    warned_of_attributes: bool,
}

impl Applier {
    /// Fills the empty directory `root`.
    pub fn new(root: &Path) -> io::Result<Self> {
        Ok(Self {
            root: Arc::new(kernel::path::open_dir(root)?),
            parent: None,
            directories: Vec::new(),
            // Until the archive says otherwise, also the top directory belongs to the layers below.
            implied: BTreeSet::from([PathBuf::new()]),
            buffer: vec![0; 256 * 1024],
            warned_of_attributes: false,
        })
    }

    /// Makes one entry; `data` gives the content of a file.
    pub fn apply(&mut self, member: &Member, data: &mut impl Read) -> Result<(), UnpackError> {
        let at = |operation| {
            move |source: io::Error| UnpackError::Entry { operation, path: member.path.clone(), source }
        };
        let Some(name) = member.path.file_name() else {
            return self.apply_root(member);
        };
        let parent_path = member.path.parent().unwrap_or(Path::new(""));
        let parent = self.parent(parent_path).map_err(at("make parents of"))?;
        let parent = parent.as_fd();
        match meaning(name) {
            Meaning::Entry => {}
            Meaning::Ignored => return Ok(()),
            Meaning::Opaque => {
                return entry::set_attribute(parent, Path::new("."), OPAQUE, b"y").map_err(at("mark opaque"));
            }
            Meaning::Removed(name) => return self.remove_below(parent, name).map_err(at("white out")),
        }
        let name = Path::new(name);
        match member.kind {
            Kind::Directory => {
                self.directory(parent, name, &member.path).map_err(at("make directory"))?;
                self.implied.remove(&member.path);
                self.directories.push((member.path.clone(), member.modified));
            }
            Kind::File => {
                let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
                let make = || kernel::path::open_beneath(parent, name, flags, 0o600);
                let file = self.replace(parent, name, &member.path, make).map_err(at("create"))?;
                self.fill(File::from(file), member, data)?;
            }
            Kind::HardLink => return self.hard_link(parent, name, member).map_err(at("link")),
            Kind::Symlink => {
                let make = || entry::symlink(&member.link, parent, name);
                self.replace(parent, name, &member.path, make).map_err(at("make symbolic link"))?;
            }
            Kind::Character | Kind::Block | Kind::Fifo => {
                let kind = match member.kind {
                    Kind::Character => libc::S_IFCHR,
                    Kind::Block => libc::S_IFBLK,
                    _ => libc::S_IFIFO,
                };
                let make = || entry::mknod(parent, name, kind | 0o600, member.device);
                self.replace(parent, name, &member.path, make).map_err(at("make node"))?;
            }
        }
        self.attributes(parent, name, member).map_err(at("set attributes of"))
    }

    /// Sets the times of directories and returns the directories that the archive did not mention.
    pub fn finish(mut self) -> Result<Vec<PathBuf>, UnpackError> {
        for (path, modified) in std::mem::take(&mut self.directories).into_iter().rev() {
            // A later entry may have put something else in its place.
            if let Ok(fd) = kernel::path::open_beneath(self.root.as_fd(), &dot(&path), DIRECTORY, 0) {
                let set = entry::set_modified(fd.as_fd(), Path::new("."), modified);
                set.map_err(|source| UnpackError::Entry { operation: "set time of", path, source })?;
            }
        }
        Ok(self.implied.into_iter().collect())
    }

    fn apply_root(&mut self, member: &Member) -> Result<(), UnpackError> {
        if member.kind != Kind::Directory {
            let reason = "it stands for the root of the layer, but is no directory";
            return Err(UnpackError::Archive { path: member.path.clone(), reason });
        }
        self.implied.remove(Path::new(""));
        self.directories.push((PathBuf::new(), member.modified));
        let root = Arc::clone(&self.root);
        self.attributes(root.as_fd(), Path::new("."), member).map_err(|source| UnpackError::Entry {
            operation: "set attributes of",
            path: PathBuf::from("/"),
            source,
        })
    }

    fn parent(&mut self, path: &Path) -> io::Result<Arc<OwnedFd>> {
        if let Some((known, fd)) = &self.parent
            && known == path
        {
            return Ok(Arc::clone(fd));
        }
        let fd = match kernel::path::open_in_root(self.root.as_fd(), &dot(path), DIRECTORY, 0) {
            Ok(fd) => Arc::new(fd),
            Err(error) if is(&error, &[libc::ENOENT, libc::ENOTDIR]) => {
                self.make_parents(path, &mut LINKS_MAX.clone())?
            }
            Err(error) => return Err(error),
        };
        self.parent = Some((path.to_owned(), Arc::clone(&fd)));
        Ok(fd)
    }

    /// Makes what is missing of `path`. A link that points to nothing in this layer points to something in one below:
    /// its target is made here, and overlayfs merges the two.
    fn make_parents(&mut self, path: &Path, links: &mut u32) -> io::Result<Arc<OwnedFd>> {
        let mut current = Arc::clone(&self.root);
        let mut walked = PathBuf::new();
        for component in path.components() {
            let name = Path::new(component.as_os_str());
            walked.push(name);
            let opened = kernel::path::open_in_root(self.root.as_fd(), &walked, DIRECTORY, 0);
            let error = match opened {
                Ok(fd) => {
                    current = Arc::new(fd);
                    continue;
                }
                Err(error) if is(&error, &[libc::ENOENT, libc::ENOTDIR]) => error,
                Err(error) => return Err(error),
            };
            match entry::status(current.as_fd(), name) {
                Ok(status) if status.is_symlink() => {
                    *links = links.checked_sub(1).ok_or_else(|| io::Error::from_raw_os_error(libc::ELOOP))?;
                    let text = entry::read_link(current.as_fd(), name)?;
                    let target = resolve(walked.parent().unwrap_or(Path::new("")), &text);
                    current = self.make_parents(&target, links)?;
                    continue;
                }
                Ok(status) if !status.is_whiteout() => return Err(error),
                _ => {}
            }
            self.directory(current.as_fd(), name, &walked)?;
            entry::chmod(current.as_fd(), name, IMPLIED_MODE)?;
            self.implied.insert(walked.clone());
            let flags = DIRECTORY | libc::O_NOFOLLOW;
            current = Arc::new(kernel::path::open_beneath(current.as_fd(), name, flags, 0)?);
        }
        Ok(current)
    }

    /// Makes a directory, or keeps the one there is. In place of a removal it becomes opaque: what the layers below
    /// have under this name stays removed.
    fn directory(&mut self, parent: BorrowedFd<'_>, name: &Path, path: &Path) -> io::Result<()> {
        match entry::mkdir(parent, name, 0o700) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => return other,
        }
        let status = entry::status(parent, name)?;
        if status.is_directory() {
            return Ok(());
        }
        self.clear(parent, name, path)?;
        entry::mkdir(parent, name, 0o700)?;
        if status.is_whiteout() {
            entry::set_attribute(parent, name, OPAQUE, b"y")?;
        }
        Ok(())
    }

    /// Runs `make`, after clearing the name if something is there: the last entry of a name wins.
    fn replace<T>(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &Path,
        path: &Path,
        make: impl Fn() -> io::Result<T>,
    ) -> io::Result<T> {
        match make() {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.clear(parent, name, path)?;
                make()
            }
            other => other,
        }
    }

    fn clear(&mut self, parent: BorrowedFd<'_>, name: &Path, path: &Path) -> io::Result<()> {
        let status = entry::status(parent, name)?;
        if status.is_directory() || status.is_symlink() {
            self.parent = None;
        }
        if status.is_directory() {
            self.implied.retain(|implied| !implied.starts_with(path));
            return tree::remove_all_at(parent, name);
        }
        entry::unlink(parent, name, false)
    }

    /// A removal of something that this layer itself has means only the layers below, in whatever order the two come.
    fn remove_below(&mut self, parent: BorrowedFd<'_>, name: &Path) -> io::Result<()> {
        match entry::mknod(parent, name, libc::S_IFCHR, (0, 0)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => return other,
        }
        if entry::status(parent, name)?.is_directory() {
            entry::set_attribute(parent, name, OPAQUE, b"y")?;
        }
        Ok(())
    }

    /// The target is looked up inside this layer and not followed.
    fn hard_link(&mut self, parent: BorrowedFd<'_>, name: &Path, member: &Member) -> io::Result<()> {
        let target = member.link.file_name().ok_or_else(|| io::Error::from_raw_os_error(libc::EPERM))?;
        let above = dot(member.link.parent().unwrap_or(Path::new("")));
        let from = kernel::path::open_in_root(self.root.as_fd(), &above, DIRECTORY, 0)?;
        let (from, target) = (from.as_fd(), Path::new(target));
        let existing = entry::status(from, target)?;
        if let Ok(there) = entry::status(parent, name)
            && (there.device, there.inode) == (existing.device, existing.inode)
        {
            return Ok(());
        }
        let make = || entry::link(from, target, parent, name);
        self.replace(parent, name, &member.path, make)
    }

    fn fill(&mut self, mut file: File, member: &Member, data: &mut impl Read) -> Result<(), UnpackError> {
        let at =
            |source: io::Error| UnpackError::Entry { operation: "write", path: member.path.clone(), source };
        let Some(segments) = &member.segments else {
            return self.copy(&mut file, member.size, data).map_err(|error| error.at(member));
        };
        for segment in segments {
            file.seek(SeekFrom::Start(segment.offset)).map_err(at)?;
            self.copy(&mut file, segment.length, data).map_err(|error| error.at(member))?;
        }
        file.set_len(member.size).map_err(at)
    }

    fn copy(&mut self, file: &mut File, length: u64, data: &mut impl Read) -> Result<(), CopyError> {
        let mut left = length;
        while left > 0 {
            let most = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let read = data.read(&mut self.buffer[..most]).map_err(CopyError::Read)?;
            if read == 0 {
                return Err(CopyError::Read(io::ErrorKind::UnexpectedEof.into()));
            }
            file.write_all(&self.buffer[..read]).map_err(CopyError::Write)?;
            left -= read as u64;
        }
        Ok(())
    }

    /// The order matters: a change of owner drops capabilities and setuid, a write drops both.
    fn attributes(&mut self, parent: BorrowedFd<'_>, name: &Path, member: &Member) -> io::Result<()> {
        entry::chown(parent, name, member.uid, member.gid)?;
        for (attribute, value) in &member.attributes {
            if is_allowed(attribute) {
                self.attribute(parent, name, attribute, value)?;
            }
        }
        if member.kind != Kind::Symlink {
            entry::chmod(parent, name, member.mode)?;
        }
        entry::set_modified(parent, name, member.modified)
    }

    fn attribute(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &Path,
        attribute: &CStr,
        value: &[u8],
    ) -> io::Result<()> {
        match entry::set_attribute(parent, name, attribute, value) {
            // The file system has none, or has none for this type of file.
            Err(error) if is(&error, &[libc::EOPNOTSUPP, libc::EPERM]) => {
                if !std::mem::replace(&mut self.warned_of_attributes, true) {
                    tracing::warn!(?attribute, %error, "extended attributes of a layer are left out");
                }
                Ok(())
            }
            other => other,
        }
    }
}

/// Reading and writing fail for different reasons and are reported as such.
enum CopyError {
    Read(io::Error),
    Write(io::Error),
}

impl CopyError {
    fn at(self, member: &Member) -> UnpackError {
        match self {
            Self::Read(error) => super::meter::TooMuch::recover(error),
            Self::Write(source) => {
                UnpackError::Entry { operation: "write", path: member.path.clone(), source }
            }
        }
    }
}

/// `trusted.overlay.*` from an image would steer overlayfs itself, and the security modules' labels belong to the host.
fn is_allowed(attribute: &CStr) -> bool {
    let name = attribute.to_bytes();
    name == b"security.capability"
        || name.starts_with(b"system.posix_acl_")
        || (name.starts_with(b"user.") && !name.starts_with(b"user.overlay."))
}

fn is(error: &io::Error, numbers: &[i32]) -> bool {
    error.raw_os_error().is_some_and(|number| numbers.contains(&number))
}

/// The empty path is the directory itself.
fn dot(path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() { PathBuf::from(".") } else { path.to_owned() }
}

/// Where a link's text leads, seen from its directory, without leaving the root.
fn resolve(directory: &Path, text: &Path) -> PathBuf {
    let mut path = if text.is_absolute() { PathBuf::new() } else { directory.to_owned() };
    for component in text.components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::ParentDir => {
                path.pop();
            }
            _ => {}
        }
    }
    path
}
