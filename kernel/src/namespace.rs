//! Namespaces: making, opening, entering and pinning them.
//!
//! Owns: the calls that change the namespace of a thread, each on a thread that ends afterwards or in a process that
//! is single-threaded. Does not own: what is configured inside a namespace.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;

use crate::mount;

#[cfg(test)]
mod tests;

/// Kind of a namespace (`namespaces(7)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Network devices, addresses, ports.
    Net,
    /// System V IPC and POSIX message queues.
    Ipc,
    /// Host and domain name.
    Uts,
    /// Process ids.
    Pid,
    /// Mounts.
    Mount,
    /// User and group ids, capabilities.
    User,
    /// Root of the cgroup hierarchies.
    Cgroup,
}

impl Kind {
    /// The `CLONE_NEW*` flag.
    pub const fn flag(self) -> u64 {
        let flag = match self {
            Self::Net => libc::CLONE_NEWNET,
            Self::Ipc => libc::CLONE_NEWIPC,
            Self::Uts => libc::CLONE_NEWUTS,
            Self::Pid => libc::CLONE_NEWPID,
            Self::Mount => libc::CLONE_NEWNS,
            Self::User => libc::CLONE_NEWUSER,
            Self::Cgroup => libc::CLONE_NEWCGROUP,
        };
        flag as u64
    }

    /// Name of the file in `/proc/PID/ns`.
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Net => "net",
            Self::Ipc => "ipc",
            Self::Uts => "uts",
            Self::Pid => "pid",
            Self::Mount => "mnt",
            Self::User => "user",
            Self::Cgroup => "cgroup",
        }
    }
}

/// Opens the namespace a process is in. Whoever holds the descriptor keeps the namespace alive.
pub fn open(pid: i32, kind: Kind) -> io::Result<OwnedFd> {
    open_path(Path::new(&format!("/proc/{pid}/ns/{}", kind.file_name())), kind)
}

/// Opens a pinned namespace (`/run/netns/...`) or a file of `/proc/PID/ns`. `EINVAL` if it is not a namespace of this
/// kind: whatever else the path leads to (a FIFO, a device) is never opened for good.
pub fn open_path(path: &Path, kind: Kind) -> io::Result<OwnedFd> {
    // Non-blocking, or a FIFO in its place would hang the caller.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_CLOEXEC | libc::O_NONBLOCK).open(path)?;
    if kind_of(&file)? != kind.flag() {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    Ok(file.into())
}

/// `NS_GET_NSTYPE` (`ioctl_ns(2)`): the `CLONE_NEW*` flag of a namespace descriptor.
fn kind_of(file: &File) -> io::Result<u64> {
    const NS_GET_NSTYPE: u32 = 0xb703;
    // SAFETY: this request takes no argument.
    let flag = unsafe { libc::ioctl(file.as_raw_fd(), NS_GET_NSTYPE as _) };
    if flag < 0 {
        // Not a namespace at all.
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    Ok(u64::from(flag as u32))
}

/// Moves the calling thread into namespaces: `flags` names the kinds, of which there may be several only if `fd` is a
/// pidfd (Linux 5.8). Of a PID namespace only later children become members.
///
/// User and mount namespaces can be joined only by a single-threaded process.
pub fn join(fd: BorrowedFd<'_>, flags: u64) -> io::Result<()> {
    // SAFETY: no pointers are passed.
    match unsafe { libc::setns(fd.as_raw_fd(), flags as i32) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Moves the calling thread into new namespaces, named by `CLONE_NEW*` flags.
pub fn unshare(flags: u64) -> io::Result<()> {
    // SAFETY: no pointers are passed.
    match unsafe { libc::unshare(flags as i32) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Runs `f` on a thread of its own, so that whatever it does to its namespaces ends with it.
fn on_own_thread<T: Send>(f: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("namespace".to_owned()).spawn_scoped(scope, f)?;
        thread.join().map_err(|_| io::Error::other("the namespace thread panicked"))?
    })
}

/// Makes a network namespace, in which only a loopback interface exists and is down. The caller stays where it is.
pub fn create_net() -> io::Result<OwnedFd> {
    on_own_thread(|| {
        unshare(Kind::Net.flag())?;
        // /proc/self would be the process and its first thread.
        open_path(Path::new("/proc/thread-self/ns/net"), Kind::Net)
    })
}

/// Runs `f` in the network namespace `net`, on a thread of its own, and returns what it returns. Sockets made there
/// belong to that namespace for good.
pub fn run_in<T: Send>(net: BorrowedFd<'_>, f: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    on_own_thread(move || {
        join(net, Kind::Net.flag())?;
        f()
    })
}

/// Keeps a namespace alive by a bind mount at `path`, an empty file made for it; nothing may exist there.
pub fn pin(namespace: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o444).open(path)?;
    let source = format!("/proc/self/fd/{}", namespace.as_raw_fd());
    mount::mount(Path::new(&source), path, "none", libc::MS_BIND, b"").inspect_err(|_| {
        // Nothing is mounted on the file just made; if it stays behind, unpin removes it as well.
        let _ = std::fs::remove_file(path);
    })
}

/// Undoes [`pin`]. A namespace or a file that is already gone is not an error; the namespace ends when nobody else
/// holds it.
pub fn unpin(path: &Path) -> io::Result<()> {
    match mount::umount(path, true) {
        Ok(()) => {}
        // EINVAL: a crash came between the file and the mount.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOENT)) => {}
        Err(error) => return Err(error),
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Sets the host name of the calling thread's UTS namespace; at most 64 bytes.
pub fn set_hostname(name: &[u8]) -> io::Result<()> {
    // SAFETY: the pointer is valid for the length given.
    match unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sets the NIS domain name of the calling thread's UTS namespace; at most 64 bytes.
pub fn set_domainname(name: &[u8]) -> io::Result<()> {
    // SAFETY: the pointer is valid for the length given.
    match unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether two descriptors refer to the same namespace.
pub fn same(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> io::Result<bool> {
    let status = |fd: BorrowedFd<'_>| {
        let file = File::from(fd.try_clone_to_owned()?);
        let metadata = file.metadata()?;
        io::Result::Ok((
            std::os::unix::fs::MetadataExt::dev(&metadata),
            std::os::unix::fs::MetadataExt::ino(&metadata),
        ))
    };
    Ok(status(one)? == status(other)?)
}
