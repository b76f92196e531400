//! How a child ended, with or without taking it off the process table.

use std::io;

use crate::call::retry;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitStatus {
    /// Exit code 0-255; 0 if a signal ended the process.
    pub code: i32,
    /// Signal that ended it, or 0.
    pub signal: i32,
}

impl ExitStatus {
    /// From the status word of `wait4`, `/proc/PID/stat` and `PIDFD_GET_INFO`.
    pub fn from_wait_status(status: i32) -> Self {
        match status & 0x7f {
            0 => Self { code: (status >> 8) & 0xff, signal: 0 },
            signal => Self { code: 0, signal },
        }
    }

    fn from_siginfo(info: &libc::siginfo_t) -> Self {
        // SAFETY: waitid filled `info` for SIGCHLD, so the member of the union that holds si_status is the live one.
        let status = unsafe { info.si_status() };
        match info.si_code {
            libc::CLD_EXITED => Self { code: status & 0xff, signal: 0 },
            _ => Self { code: 0, signal: status },
        }
    }
}

/// What becomes of a child that has ended when its status is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reap {
    /// It stays a zombie, and its status stays readable.
    Leave,
    /// It is taken off the process table, and its pid is free.
    Now,
}

/// Waits without blocking: `Ok(None)` while the child runs. Returns its pid and status.
pub(super) fn try_wait(
    kind: libc::idtype_t,
    id: libc::id_t,
    reap: Reap,
) -> io::Result<Option<(i32, ExitStatus)>> {
    let mut options = libc::WEXITED | libc::WNOHANG | libc::__WALL;
    if reap == Reap::Leave {
        options |= libc::WNOWAIT;
    }
    // SAFETY: all-zero is a valid siginfo_t; waitid leaves si_pid zero if no child has ended.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: `info` outlives the call and waitid takes no other pointer.
    retry(|| unsafe { libc::waitid(kind, id, &mut info, options) })?;
    // SAFETY: zeroed or filled for SIGCHLD, see above.
    match unsafe { info.si_pid() } {
        0 => Ok(None),
        pid => Ok(Some((pid, ExitStatus::from_siginfo(&info)))),
    }
}

/// The pid of a child that has ended and was not reaped, if there is one; it is left as it is.
///
/// The kernel returns the same child until that is reaped.
///
/// # Errors
/// Whatever `waitid` returns, except that having no child at all is `Ok(None)`.
pub fn next_ended_child() -> io::Result<Option<i32>> {
    match try_wait(libc::P_ALL, 0, Reap::Leave) {
        Ok(found) => Ok(found.map(|(pid, _)| pid)),
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reaps the child `pid` if it has ended.
///
/// # Errors
/// `ECHILD` if there is no such child.
pub fn reap(pid: i32) -> io::Result<Option<ExitStatus>> {
    let id = libc::id_t::try_from(pid).map_err(|_| io::Error::from_raw_os_error(libc::ECHILD))?;
    Ok(try_wait(libc::P_PID, id, Reap::Now)?.map(|(_, status)| status))
}
