//! `SOCK_SEQPACKET` sockets in the file system: whole messages, with descriptors attached.
//!
//! Owns: listening, connecting, sending and receiving. Every call is one system call and respects `O_NONBLOCK`, so a
//! blocking caller, an event loop and an async runtime that watches the descriptor can all use it. Does not own: what
//! the messages mean.

mod message;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::call::{check, own_new, retry};
use crate::descriptor;

pub use message::{MAX_DESCRIPTORS, Received};

fn address(path: &Path) -> io::Result<libc::sockaddr_un> {
    let bytes = path.as_os_str().as_bytes();
    // SAFETY: all-zero is a valid sockaddr_un.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    // One byte stays zero: the path is terminated.
    if bytes.is_empty() || bytes.contains(&0) || bytes.len() >= address.sun_path.len() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "socket path is empty or longer than 107 bytes",
        ));
    }
    for (to, from) in address.sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    Ok(address)
}

fn create() -> io::Result<OwnedFd> {
    // SAFETY: socket takes no pointers and returns a new descriptor.
    unsafe { own_new(|| libc::socket(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC, 0)) }
}

/// A socket that accepts connections.
#[derive(Debug)]
pub struct Listener(OwnedFd);

impl Listener {
    /// Creates the socket at `path`, which must not exist, with the permissions the umask leaves.
    ///
    /// # Errors
    /// `EADDRINUSE` if something is there; [`io::ErrorKind::InvalidInput`] for a path longer than 107 bytes.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let address = address(path)?;
        let socket = create()?;
        let size = size_of_val(&address) as libc::socklen_t;
        // SAFETY: `address` is a sockaddr_un of the size given.
        check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size) })?;
        // SAFETY: listen takes no pointers.
        check(unsafe { libc::listen(socket.as_raw_fd(), 16) })?;
        Ok(Self(socket))
    }

    /// Accepts the next connection.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if there is none and the listener does not block.
    pub fn accept(&self) -> io::Result<Connection> {
        let null = std::ptr::null_mut();
        // SAFETY: the peer's address is not asked for; the call returns a new descriptor.
        let accept =
            || unsafe { libc::accept4(self.0.as_raw_fd(), null, std::ptr::null_mut(), libc::SOCK_CLOEXEC) };
        // SAFETY: as above.
        unsafe { own_new(accept) }.map(Connection)
    }

    /// Makes [`Listener::accept`] return instead of waiting.
    ///
    /// # Errors
    /// Whatever `fcntl` returns.
    pub fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        descriptor::set_nonblocking(self.as_fd(), on)
    }
}

/// One end of a connection.
#[derive(Debug)]
pub struct Connection(OwnedFd);

impl Connection {
    /// Connects to the listener at `path`.
    ///
    /// # Errors
    /// `ECONNREFUSED` if nobody listens there any more; [`io::ErrorKind::NotFound`] if there is no such file.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let address = address(path)?;
        let socket = create()?;
        let size = size_of_val(&address) as libc::socklen_t;
        // SAFETY: `address` is a sockaddr_un of the size given.
        retry(|| unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), size) })?;
        Ok(Self(socket))
    }

    /// Two connected ends.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`.
    pub fn pair() -> io::Result<(Self, Self)> {
        let mut ends = [-1; 2];
        let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
        // SAFETY: `ends` has room for the two descriptors.
        check(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) })?;
        // SAFETY: the kernel just created both and nobody else knows them.
        unsafe { Ok((Self(OwnedFd::from_raw_fd(ends[0])), Self(OwnedFd::from_raw_fd(ends[1])))) }
    }

    /// Sends one message with its descriptors.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if it does not fit now and the socket does not block; `EMSGSIZE` if it never
    /// will; `EPIPE` if the other end is gone (never a signal); [`io::ErrorKind::InvalidInput`] for more than
    /// [`MAX_DESCRIPTORS`] or for an empty message, which the receiver could not tell from the end.
    pub fn send(&self, content: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        message::send(self.as_fd(), content, descriptors)
    }

    /// Receives one message into `buffer`; `None` when the other end is closed. Descriptors get close-on-exec.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] if message or descriptors did not fit and were cut;
    /// [`io::ErrorKind::WouldBlock`] if there is none and the socket does not block.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<Received>> {
        message::receive(self.as_fd(), buffer)
    }

    /// Numeric user id of the process that connected (or listened).
    ///
    /// # Errors
    /// Whatever `getsockopt` returns.
    pub fn peer_uid(&self) -> io::Result<u32> {
        let mut peer = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
        let mut size = size_of_val(&peer) as libc::socklen_t;
        let fd = self.0.as_raw_fd();
        let (level, name) = (libc::SOL_SOCKET, libc::SO_PEERCRED);
        // SAFETY: `peer` has room for the size given and outlives the call.
        check(unsafe { libc::getsockopt(fd, level, name, (&raw mut peer).cast(), &mut size) })?;
        Ok(peer.uid)
    }

    /// Makes room for `bytes` of messages that the other end has not read yet; a message may not be larger.
    ///
    /// Beyond `net.core.wmem_max` only with `CAP_NET_ADMIN`; without it as much as is allowed.
    ///
    /// # Errors
    /// Whatever `setsockopt` returns.
    pub fn set_send_buffer(&self, bytes: i32) -> io::Result<()> {
        let set = |name| {
            let size = size_of_val(&bytes) as libc::socklen_t;
            // SAFETY: the value is an int of the size given.
            let set = unsafe {
                libc::setsockopt(self.0.as_raw_fd(), libc::SOL_SOCKET, name, (&raw const bytes).cast(), size)
            };
            check(set).map(|_| ())
        };
        set(libc::SO_SNDBUFFORCE).or_else(|_| set(libc::SO_SNDBUF))
    }

    /// Makes [`Connection::send`] and [`Connection::receive`] return instead of waiting.
    ///
    /// # Errors
    /// Whatever `fcntl` returns.
    pub fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        descriptor::set_nonblocking(self.as_fd(), on)
    }
}

macro_rules! descriptor_traits {
    ($type:ident) => {
        impl AsFd for $type {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.as_fd()
            }
        }

        impl AsRawFd for $type {
            fn as_raw_fd(&self) -> RawFd {
                self.0.as_raw_fd()
            }
        }

        impl From<OwnedFd> for $type {
            fn from(fd: OwnedFd) -> Self {
                Self(fd)
            }
        }

        impl From<$type> for OwnedFd {
            fn from(socket: $type) -> Self {
                socket.0
            }
        }
    };
}

descriptor_traits!(Listener);
descriptor_traits!(Connection);
