//! Signals read from a descriptor.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use crate::call::{check, own_new, retry_size};

fn set_of(signals: &[i32]) -> libc::sigset_t {
    // SAFETY: all-zero is a valid sigset_t, and sigemptyset and sigaddset only write to it.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for &signal in signals {
            libc::sigaddset(&mut set, signal);
        }
        set
    }
}

/// Blocks signals in the calling thread and in what it executes.
///
/// # Errors
/// Whatever `sigprocmask` returns.
pub fn block_signals(signals: &[i32]) -> io::Result<()> {
    let set = set_of(signals);
    // SAFETY: `set` is initialised; the old mask is not asked for.
    check(unsafe { libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) }).map(|_| ())
}

/// A descriptor that can be read when one of its signals is pending.
#[derive(Debug)]
pub struct Signals(OwnedFd);

impl Signals {
    /// Blocks `signals` in the calling thread, which must be the only one, and collects them. Never blocks.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`.
    pub fn collect(signals: &[i32]) -> io::Result<Self> {
        block_signals(signals)?;
        let set = set_of(signals);
        let flags = libc::SFD_NONBLOCK | libc::SFD_CLOEXEC;
        // SAFETY: `set` is initialised; the call returns a new descriptor.
        unsafe { own_new(|| libc::signalfd(-1, &set, flags)) }.map(Self)
    }

    /// The next signal; `None` if none is pending. Several of one kind may have been merged.
    ///
    /// # Errors
    /// Whatever `read` returns.
    pub fn take(&self) -> io::Result<Option<i32>> {
        // SAFETY: all-zero is a valid signalfd_siginfo.
        let mut info: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
        let size = size_of_val(&info);
        // SAFETY: `info` has room for one record and outlives the call.
        match retry_size(|| unsafe { libc::read(self.0.as_raw_fd(), (&raw mut info).cast(), size) }) {
            Ok(_) => Ok(Some(info.ssi_signo as i32)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
