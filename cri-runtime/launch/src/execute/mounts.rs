//! The steps that build what the container sees: root, mounts, devices, hidden and read-only paths.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use kernel::mount::{self, Builder, attribute};
use kernel::path::{open_dir, open_in_root};

use super::child::Child;
use super::descriptors::{change_directory, is_directory, mode_and_device};
use super::fault::{On, Result, errno};
use super::{HOOK, target};
use crate::plan::{Device, DeviceKind, FdIndex, Fresh, Link, Resolve, Root};

impl Child<'_> {
    /// Attaches the root filesystem and makes it the root. The supervisor's own root is gone afterwards.
    pub(super) fn enter_root(&mut self, root: Root) -> Result {
        let fresh;
        let tree = match root {
            Root::Tree(index) => self.fd(index)?,
            Root::Empty => {
                let builder = Builder::new("tmpfs")?;
                builder.option("mode", b"0755")?;
                fresh = builder.mount(attribute::NODEV)?;
                fresh.as_fd()
            }
        };
        mount::move_into(tree, open_dir(Path::new(HOOK))?.as_fd())?;
        change_directory(tree)?;
        mount::pivot_here()?;
        Ok(())
    }

    /// The root of the mount namespace this process is in by now.
    pub(super) fn root(&mut self) -> io::Result<BorrowedFd<'_>> {
        if self.root.is_none() {
            self.root = Some(open_dir(Path::new("/"))?);
        }
        self.root.as_ref().map(AsFd::as_fd).ok_or_else(|| errno(libc::EBADF))
    }

    pub(super) fn attach(&mut self, target: &[u8], tree: FdIndex, resolve: Resolve) -> Result {
        let tree = self.fd(tree)?;
        let target = target::path(target);
        let place = if is_directory(tree)? {
            target::directory(self.root()?, target, resolve)?
        } else {
            target::file(self.root()?, target, resolve)?
        };
        Ok(mount::move_into(tree, place.as_fd())?)
    }

    pub(super) fn mount(&mut self, fresh: &Fresh) -> Result {
        let shown = String::from_utf8_lossy(&fresh.target);
        let builder = Builder::new(&fresh.filesystem).on(format!("{shown} type {}", fresh.filesystem))?;
        builder.option("source", fresh.source.as_bytes())?;
        for option in &fresh.options {
            match &option.value {
                Some(value) => builder.option(&option.key, value.as_bytes()),
                None => builder.flag(&option.key),
            }
            .on(format!("{shown} option {}", option.key))?;
        }
        let tree = builder.mount(fresh.attributes)?;
        let place = target::directory(self.root()?, target::path(&fresh.target), fresh.resolve)?;
        Ok(mount::move_into(tree.as_fd(), place.as_fd())?)
    }

    pub(super) fn remount(&mut self, target: &[u8], attributes: u64) -> Result {
        let place = open_in_root(self.root()?, target::path(target), libc::O_PATH, 0)?;
        Ok(mount::set_attr(place.as_fd(), false, attributes, 0, 0)?)
    }

    pub(super) fn make_devices(&mut self, devices: &[Device]) -> Result {
        for device in devices {
            let path = target::path(&device.path);
            make_device(self.root()?, path, device).on(path.display())?;
        }
        Ok(())
    }

    pub(super) fn make_links(&mut self, links: &[Link]) -> Result {
        for link in links {
            let path = target::path(&link.path);
            make_link(self.root()?, path, target::path(&link.target)).on(path.display())?;
        }
        Ok(())
    }

    pub(super) fn make_read_only(&mut self, paths: &[Vec<u8>]) -> Result {
        for path in paths {
            let path = target::path(path);
            let Some(place) = existing(self.root()?, path).on(path.display())? else { continue };
            let read_only = || {
                let tree = mount::clone_fd(place.as_fd(), true)?;
                mount::set_attr(tree.as_fd(), true, attribute::RDONLY, 0, 0)?;
                mount::move_into(tree.as_fd(), place.as_fd())
            };
            read_only().on(path.display())?;
        }
        Ok(())
    }

    pub(super) fn mask(&mut self, paths: &[Vec<u8>], null: FdIndex) -> Result {
        let null = self.fd(null)?;
        let (mode, device) = mode_and_device(null)?;
        if mode & libc::S_IFMT != libc::S_IFCHR || device != libc::makedev(1, 3) {
            return Err(errno(libc::ENODEV)).on("/dev/null");
        }
        let empty = Builder::new("tmpfs")?.mount(attribute::RDONLY | attribute::NOSUID | attribute::NODEV)?;
        let mut covers =
            [Cover { tree: null, attached: false }, Cover { tree: empty.as_fd(), attached: false }];
        for path in paths {
            let path = target::path(path);
            let Some(place) = existing(self.root()?, path).on(path.display())? else { continue };
            let kind = usize::from(is_directory(place.as_fd()).on(path.display())?);
            covers[kind].put_on(place.as_fd()).on(path.display())?;
        }
        Ok(())
    }
}

/// A detached mount that goes on several places.
struct Cover<'a> {
    tree: BorrowedFd<'a>,
    attached: bool,
}

impl Cover<'_> {
    /// The mount itself goes on the first place. From then on it is in this namespace and can be cloned, which a
    /// detached one cannot before Linux 6.15.
    fn put_on(&mut self, place: BorrowedFd<'_>) -> io::Result<()> {
        if self.attached {
            let clone = mount::clone_fd(self.tree, false)?;
            return mount::move_into(clone.as_fd(), place);
        }
        mount::move_into(self.tree, place)?;
        self.attached = true;
        Ok(())
    }
}

/// What is at `path`, or nothing: a path to hide or protect need not exist (F-67).
fn existing(root: BorrowedFd<'_>, path: &Path) -> io::Result<Option<OwnedFd>> {
    match open_in_root(root, path, libc::O_PATH, 0) {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn make_device(root: BorrowedFd<'_>, path: &Path, device: &Device) -> io::Result<()> {
    let (parent, name) = target::split(root, path, Resolve::NoLinks)?;
    let name = target::c_name(name)?;
    let kind = match device.kind {
        DeviceKind::Character => libc::S_IFCHR,
        DeviceKind::Block => libc::S_IFBLK,
        DeviceKind::Fifo => libc::S_IFIFO,
    };
    let number = libc::makedev(device.major, device.minor);
    // SAFETY: name is a terminated string that outlives the call. The umask is 0.
    let made = unsafe { libc::mknodat(parent.as_raw_fd(), name.as_ptr(), kind | device.mode, number) };
    if made != 0 {
        return Err(io::Error::last_os_error());
    }
    if device.uid == 0 && device.gid == 0 {
        return Ok(());
    }
    let flags = libc::AT_SYMLINK_NOFOLLOW;
    // SAFETY: as above.
    match unsafe { libc::fchownat(parent.as_raw_fd(), name.as_ptr(), device.uid, device.gid, flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn make_link(root: BorrowedFd<'_>, path: &Path, content: &Path) -> io::Result<()> {
    let (parent, name) = target::split(root, path, Resolve::NoLinks)?;
    let (name, content) = (target::c_name(name)?, target::c_name(content)?);
    // SAFETY: both are terminated strings that outlive the call.
    if unsafe { libc::symlinkat(content.as_ptr(), parent.as_raw_fd(), name.as_ptr()) } == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if error.kind() != io::ErrorKind::AlreadyExists {
        return Err(error);
    }
    let mut present = vec![0_u8; content.as_bytes().len() + 1];
    // SAFETY: name is a terminated string and the buffer is as long as said.
    let length = unsafe {
        libc::readlinkat(parent.as_raw_fd(), name.as_ptr(), present.as_mut_ptr().cast(), present.len())
    };
    match usize::try_from(length) {
        Ok(length) if present.get(..length) == Some(content.as_bytes()) => Ok(()),
        _ => Err(error),
    }
}
