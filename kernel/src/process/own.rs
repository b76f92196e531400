//! What a daemon does to its own process at the door, before it does anything for others.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::call::{check, retry};

/// Makes orphaned descendants children of this process instead of process 1. Kept over `execve`, not inherited.
///
/// # Errors
/// Whatever `prctl` returns.
pub fn become_subreaper() -> io::Result<()> {
    // SAFETY: PR_SET_CHILD_SUBREAPER takes an integer.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }).map(|_| ())
}

/// Leaves the caller's session and terminal. A process that leads a group already keeps its session.
///
/// # Errors
/// Whatever `setsid` returns, except for a group leader.
pub fn new_session() -> io::Result<()> {
    // SAFETY: setsid takes no arguments.
    match check(unsafe { libc::setsid() }) {
        Err(error) if error.raw_os_error() != Some(libc::EPERM) => Err(error),
        _ => Ok(()),
    }
}

/// Writes to a pipe or socket without reader return `EPIPE` instead of ending this process.
///
/// # Errors
/// Whatever `sigaction` returns.
pub fn ignore_sigpipe() -> io::Result<()> {
    // SAFETY: SIG_IGN runs no code of ours.
    match unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) } {
        libc::SIG_ERR => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Limits of the number of open descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DescriptorLimit {
    /// In force.
    pub soft: u64,
    /// Up to which the one in force can be raised.
    pub hard: u64,
}

/// Raises the soft limit of open descriptors to the hard one and returns what they were before: children inherit it,
/// and programs that are not made for a high one must be given the old one back.
///
/// # Errors
/// Whatever `setrlimit` returns.
pub fn raise_descriptor_limit() -> io::Result<DescriptorLimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` outlives both calls.
    retry(|| unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    let before = DescriptorLimit { soft: limit.rlim_cur, hard: limit.rlim_max };
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: as above.
    retry(|| unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) })?;
    Ok(before)
}

/// Pid of this process in its own pid namespace.
pub fn own_pid() -> i32 {
    // SAFETY: getpid takes no arguments and cannot fail.
    unsafe { libc::getpid() }
}

/// Whether this process runs as root of its user namespace.
pub fn is_root() -> bool {
    // SAFETY: geteuid takes no arguments and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Wall clock, nanoseconds since the epoch; 0 if the clock stands before it.
pub fn wall_clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Sets the name that `ps` and `/proc/PID/comm` show, of which the kernel keeps 15 bytes.
///
/// # Errors
/// Whatever `prctl` returns.
pub fn set_name(name: &CStr) -> io::Result<()> {
    // SAFETY: `name` is terminated and outlives the call.
    check(unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) }).map(|_| ())
}

/// Replaces the program of this process by the one behind `program`, with exactly this environment. Returns only if
/// that fails. Pid, children, and descriptors without close-on-exec stay.
pub fn execute(program: BorrowedFd<'_>, arguments: &[&CStr], environment: &[&CStr]) -> io::Error {
    let terminated = |strings: &[&CStr]| -> Vec<*const libc::c_char> {
        strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (arguments, environment) = (terminated(arguments), terminated(environment));
    // SAFETY: both lists hold pointers to terminated strings that outlive the call, and end with null.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_raw_fd(),
            c"".as_ptr(),
            arguments.as_ptr(),
            environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        );
    }
    io::Error::last_os_error()
}
