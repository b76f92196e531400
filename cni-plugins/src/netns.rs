//! The network namespace of a container, as a plugin is given it: a descriptor, and a path to name it by.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use kernel::namespace::{self, Kind};

/// A network namespace.
#[derive(Debug)]
pub struct Netns {
    fd: OwnedFd,
    path: String,
}

impl Netns {
    /// Opens the namespace at a path, such as `/run/netns/x` or `/proc/1/ns/net`.
    ///
    /// # Errors
    /// If there is nothing, or something else than a network namespace.
    pub fn open(path: &str) -> io::Result<Self> {
        Ok(Self { fd: namespace::open_path(Path::new(path), Kind::Net)?, path: path.to_owned() })
    }

    /// A namespace that the caller holds, under the path results shall name.
    ///
    /// # Errors
    /// If the descriptor cannot be duplicated.
    pub fn from_fd(fd: BorrowedFd<'_>, path: impl Into<String>) -> io::Result<Self> {
        Ok(Self { fd: fd.try_clone_to_owned()?, path: path.into() })
    }

    /// The path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether the calling thread is in this namespace: a plugin must not change the host as if it were a container.
    ///
    /// # Errors
    /// If the own namespace cannot be opened.
    pub fn is_own(&self) -> io::Result<bool> {
        let own = namespace::open_path(Path::new("/proc/thread-self/ns/net"), Kind::Net)?;
        namespace::same(own.as_fd(), self.fd.as_fd())
    }

    /// Runs `f` on a thread inside. Sockets opened there stay there.
    ///
    /// # Errors
    /// If the namespace cannot be entered; or whatever `f` returns.
    pub fn enter<T, E>(&self, f: impl FnOnce() -> Result<T, E> + Send) -> Result<T, E>
    where
        T: Send,
        E: From<io::Error> + Send,
    {
        namespace::run_in(self.fd.as_fd(), || Ok(f()))?
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
