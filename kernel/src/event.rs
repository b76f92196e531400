//! Waiting: many descriptors at once, signals as descriptors, one descriptor with a deadline.
//!
//! For programs of one thread. Daemons with an async runtime use that instead.

mod signals;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::call::{own_new, retry};

pub use signals::{Signals, block_signals};

/// What is waited for on a descriptor. Errors and hang-ups are always reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// It can be read.
    Read,
    /// It can be written.
    Write,
    /// Either.
    Both,
}

impl Interest {
    fn bits(self) -> u32 {
        (match self {
            Self::Read => libc::EPOLLIN,
            Self::Write => libc::EPOLLOUT,
            Self::Both => libc::EPOLLIN | libc::EPOLLOUT,
        }) as u32
    }
}

/// One descriptor that became ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// The number it was registered with.
    pub token: u64,
    /// Reading does not block: there is data, the end, or an error to fetch.
    pub readable: bool,
    /// Writing does not block.
    pub writable: bool,
}

/// A set of descriptors to wait for, level-triggered.
#[derive(Debug)]
pub struct Poll(OwnedFd);

/// Most events one [`Poll::wait`] returns; what is ready beyond that comes first at the next call.
const BATCH: usize = 64;

impl Poll {
    /// An empty set.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`.
    pub fn new() -> io::Result<Self> {
        // SAFETY: epoll_create1 takes no pointers and returns a new descriptor.
        unsafe { own_new(|| libc::epoll_create1(libc::EPOLL_CLOEXEC)) }.map(Self)
    }

    fn control(&self, operation: i32, fd: BorrowedFd<'_>, token: u64, events: u32) -> io::Result<()> {
        let mut event = libc::epoll_event { events, u64: token };
        // SAFETY: `event` outlives the call; both descriptors are open.
        retry(|| unsafe { libc::epoll_ctl(self.0.as_raw_fd(), operation, fd.as_raw_fd(), &mut event) })
            .map(|_| ())
    }

    /// Adds a descriptor.
    ///
    /// # Errors
    /// `EEXIST`; `EPERM` for files that are always ready.
    pub fn add(&self, fd: BorrowedFd<'_>, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, interest.bits())
    }

    /// Changes what is waited for.
    ///
    /// # Errors
    /// `ENOENT` if it was not added.
    pub fn modify(&self, fd: BorrowedFd<'_>, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, token, interest.bits())
    }

    /// Removes a descriptor. Needed before it is closed if anybody shares the open file: the set keeps watching the
    /// file, not the number.
    ///
    /// # Errors
    /// `ENOENT` if it was not added.
    pub fn remove(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, 0)
    }

    /// Waits until something is ready or `timeout` has passed; `None` waits without end.
    ///
    /// # Errors
    /// Whatever `epoll_wait` returns.
    pub fn wait(&self, ready: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; BATCH];
        let millis = timeout.map_or(-1, round_up_to_millis);
        let mut wait = || {
            // SAFETY: `events` has room for BATCH events and outlives the call.
            unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), BATCH as i32, millis) }
        };
        let count = match crate::call::check(wait()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            result => result? as usize,
        };
        ready.clear();
        ready.extend(events[..count].iter().map(|event| {
            let (bits, token) = (event.events as i32, event.u64);
            let broken = bits & (libc::EPOLLERR | libc::EPOLLHUP) != 0;
            Event {
                token,
                readable: broken || bits & libc::EPOLLIN != 0,
                writable: broken || bits & libc::EPOLLOUT != 0,
            }
        }));
        Ok(())
    }
}

/// Rounded up, or the last millisecond before a deadline would be spent spinning.
fn round_up_to_millis(duration: Duration) -> i32 {
    duration.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128) as i32
}

/// Waits until one descriptor can be read (or has ended); false if that did not happen within `timeout`.
///
/// # Errors
/// Whatever `poll` returns.
pub fn wait_readable(fd: BorrowedFd<'_>, timeout: Duration) -> io::Result<bool> {
    wait_for(fd, libc::POLLIN, timeout)
}

/// Waits until one descriptor can be written (or is broken); false if that did not happen within `timeout`.
///
/// # Errors
/// Whatever `poll` returns.
pub fn wait_writable(fd: BorrowedFd<'_>, timeout: Duration) -> io::Result<bool> {
    wait_for(fd, libc::POLLOUT, timeout)
}

fn wait_for(fd: BorrowedFd<'_>, events: i16, timeout: Duration) -> io::Result<bool> {
    let deadline = Instant::now().checked_add(timeout);
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let millis = left.map_or(i32::MAX, round_up_to_millis);
        // SAFETY: one pollfd that outlives the call.
        match crate::call::check(unsafe { libc::poll(&mut poll, 1, millis) }) {
            Ok(0) if left.is_some_and(|left| left.is_zero()) => return Ok(false),
            Ok(0) => {}
            Ok(_) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
