//! The program: finding it in the container, and replacing the child by it.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use super::descriptors;
use super::fault::errno;
use crate::plan::{Executable, Program, Signals};

const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Everything `execve` takes, made before a filter could forbid making it.
pub(super) struct Prepared<'a> {
    candidates: Vec<CString>,
    descriptor: Option<BorrowedFd<'a>>,
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

fn strings(list: &[Vec<u8>]) -> io::Result<Vec<CString>> {
    list.iter().map(|text| CString::new(text.as_slice()).map_err(|_| errno(libc::EINVAL))).collect()
}

fn pointers(list: &[CString]) -> Vec<*const libc::c_char> {
    list.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
}

/// The paths to try, in order: the name itself if it has a slash, otherwise in each directory of `PATH`.
fn candidates(program: &Program) -> Vec<Vec<u8>> {
    let name = program.arguments.first().map(Vec::as_slice).unwrap_or_default();
    if name.contains(&b'/') {
        return vec![name.to_vec()];
    }
    let path = program.environment.iter().find_map(|variable| variable.strip_prefix(b"PATH="));
    let directories = path.unwrap_or(DEFAULT_PATH).split(|&byte| byte == b':');
    directories
        .map(|directory| match directory {
            // An empty entry is the working directory (`execvp(3)`).
            [] => [b"./", name].concat(),
            _ => [directory, b"/", name].concat(),
        })
        .collect()
}

impl<'a> Prepared<'a> {
    pub(super) fn new(program: &Program, fds: &[BorrowedFd<'a>]) -> io::Result<Self> {
        let (candidates, descriptor) = match program.executable {
            Executable::Lookup => (strings(&candidates(program))?, None),
            Executable::Descriptor(index) => (Vec::new(), Some(descriptors::get(fds, index)?)),
        };
        let arguments = strings(&program.arguments)?;
        Ok(Self { candidates, descriptor, arguments, environment: strings(&program.environment)? })
    }

    /// Replaces this process. Comes back only with the reason why not.
    pub(super) fn execute(&self) -> io::Error {
        let (arguments, environment) = (pointers(&self.arguments), pointers(&self.environment));
        if let Some(descriptor) = self.descriptor {
            // SAFETY: the path is an empty terminated string; both arrays end with a null pointer and their strings
            // live in self.
            unsafe {
                libc::syscall(
                    libc::SYS_execveat,
                    descriptor.as_raw_fd(),
                    c"".as_ptr(),
                    arguments.as_ptr(),
                    environment.as_ptr(),
                    libc::AT_EMPTY_PATH,
                )
            };
            return io::Error::last_os_error();
        }
        let mut reason = errno(libc::ENOENT);
        for candidate in &self.candidates {
            // SAFETY: candidate is a terminated string; the arrays are as above.
            unsafe { libc::execve(candidate.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                // Not there: the next directory may have it.
                Some(libc::ENOENT | libc::ENOTDIR) => {}
                // There, but not for us: only if no other one is found is that the answer (`execvp(3)`).
                Some(libc::EACCES) => reason = error,
                _ => return error,
            }
        }
        reason
    }
}

/// Default dispositions for all signals, and the mask the program starts with. What the supervisor ignores (`SIGPIPE`),
/// or whoever started it, would stay ignored over `execve`, and so would its mask.
///
/// Raw system calls, because the C library keeps two signals for itself and leaves them as they are.
pub(super) fn reset_signals(signals: Signals) -> io::Result<()> {
    const LAST: i32 = 64;
    /// Size of the kernel's signal set, bytes.
    const SET: usize = 8;
    // The kernel's sigaction is at most handler, flags, restorer and set; all zero is the default handler.
    let default = [0_u64; 4];
    for signal in (1..=LAST).filter(|&signal| signal != libc::SIGKILL && signal != libc::SIGSTOP) {
        // SAFETY: default is as long as the kernel's sigaction on any 64-bit architecture; no old one is asked for.
        let result = unsafe {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), ptr::null_mut::<u8>(), SET)
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    let mask: u64 = match signals {
        Signals::Unblocked => 0,
        Signals::Blocked => u64::MAX,
    };
    // SAFETY: mask is a set of the size given; no old one is asked for.
    let result = unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const mask,
            ptr::null_mut::<u8>(),
            SET,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests;
