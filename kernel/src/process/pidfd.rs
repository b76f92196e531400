//! A descriptor of a process: signals and waits that cannot hit another process that got the same pid.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use super::wait::{ExitStatus, Reap, try_wait};
use crate::call::retry;
use crate::event::wait_readable;

/// `struct pidfd_info` of `linux/pidfd.h` in its first size (kernel 6.13), which every later kernel accepts.
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroupid: u64,
    pid: u32,
    tgid: u32,
    ppid: u32,
    ids: [u32; 8],
    exit_code: i32,
}

const PIDFD_INFO_EXIT: u64 = 1 << 3;
/// `_IOWR(0xFF, 11, struct pidfd_info)`: the size in the number is the size of the struct above.
const PIDFD_GET_INFO: u64 = 0xc000_0000 | ((size_of::<PidfdInfo>() as u64) << 16) | 0xff00 | 11;

/// A process, held by descriptor.
#[derive(Debug)]
pub struct Pidfd(OwnedFd);

impl Pidfd {
    /// Opens the process that has this pid now.
    ///
    /// # Errors
    /// `ESRCH` if there is none, also once it is reaped; `EINVAL` for a thread that is no process.
    pub fn open(pid: i32) -> io::Result<Self> {
        // SAFETY: pidfd_open takes no pointers.
        let fd = retry(|| unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) as i32 })?;
        // SAFETY: the kernel returned a new descriptor that nobody else owns.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Sends a signal; 0 only checks that the process has not been reaped.
    ///
    /// # Errors
    /// `ESRCH` once it is reaped.
    pub fn send_signal(&self, signal: i32) -> io::Result<()> {
        let fd = self.0.as_raw_fd();
        // SAFETY: the siginfo pointer may be null; the descriptor is open as long as `self`.
        let send = || unsafe {
            libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, std::ptr::null::<libc::siginfo_t>(), 0)
                as i32
        };
        retry(send).map(|_| ())
    }

    /// How this child ended; `None` while it runs.
    ///
    /// # Errors
    /// `ECHILD` if it is not a child of the caller, or was reaped.
    pub fn try_wait(&self, reap: Reap) -> io::Result<Option<ExitStatus>> {
        let id = self.0.as_raw_fd() as libc::id_t;
        Ok(try_wait(libc::P_PIDFD, id, reap)?.map(|(_, status)| status))
    }

    /// Waits until the process has ended (it may still be a zombie); false if it runs on after `timeout`.
    ///
    /// # Errors
    /// Whatever `poll` returns.
    pub fn wait_exit(&self, timeout: Duration) -> io::Result<bool> {
        wait_readable(self.as_fd(), timeout)
    }

    /// How a process ended that need not be a child, and that its parent has reaped: `None` before that.
    ///
    /// The kernel keeps the status as long as any descriptor of the process is open (since 6.15).
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] on older kernels.
    pub fn exit_info(&self) -> io::Result<Option<ExitStatus>> {
        let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
        let fd = self.0.as_raw_fd();
        // SAFETY: the request number carries the size of `info`, which outlives the call.
        match retry(|| unsafe { libc::ioctl(fd, PIDFD_GET_INFO as _, &mut info) }) {
            Ok(_) if info.mask & PIDFD_INFO_EXIT != 0 => {
                Ok(Some(ExitStatus::from_wait_status(info.exit_code)))
            }
            Ok(_) => Ok(None),
            Err(error) => match error.raw_os_error() {
                // 6.13 and 6.14 know the request but answer ESRCH for a reaped process; older ones have no ioctl.
                Some(libc::ENOTTY | libc::EINVAL | libc::ESRCH) => Err(io::ErrorKind::Unsupported.into()),
                _ => Err(error),
            },
        }
    }

    /// A second descriptor of the same process.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }
}

impl From<OwnedFd> for Pidfd {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl From<Pidfd> for OwnedFd {
    fn from(pidfd: Pidfd) -> Self {
        pidfd.0
    }
}

impl AsFd for Pidfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Pidfd {
    fn as_raw_fd(&self) -> i32 {
        self.0.as_raw_fd()
    }
}
