//! Starting a program that lives on its own: chosen descriptors at chosen numbers, nothing else inherited.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::call::{check, own_new};
use crate::descriptor::sealed_memory_file;

/// A copy of an executable in a sealed memfd: whoever reaches it through `/proc/PID/exe` cannot write the file on the
/// host (CVE-2019-5736).
///
/// # Errors
/// The file cannot be read, or the kernel has no memory for the copy.
pub fn sealed_copy(path: &Path) -> io::Result<OwnedFd> {
    sealed_memory_file(c"program", &std::fs::read(path)?)
}

/// Executes the program behind `program` with `descriptors` at the given numbers, standard error at `log`, the other
/// two streams at `/dev/null`, an empty environment but for `environment`, in a session of its own.
///
/// The numbers must be above 2 and distinct; every other descriptor is closed in the new program.
///
/// # Errors
/// The program cannot be executed.
pub fn detached(
    program: BorrowedFd<'_>,
    name: &OsStr,
    arguments: &[&OsStr],
    environment: &[(&str, &str)],
    descriptors: &[(BorrowedFd<'_>, RawFd)],
    log: File,
) -> io::Result<Child> {
    // Copies far above every wanted number: dup2 in the child then never overwrites one that is still to be placed.
    let mut copies = Vec::with_capacity(descriptors.len());
    for (fd, number) in descriptors {
        copies.push((duplicate_above(fd.as_raw_fd(), 100)?, *number));
    }
    let program = duplicate_above(program.as_raw_fd(), 100)?;
    let mut command = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
    command.arg0(name).args(arguments).env_clear().envs(environment.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let place: Vec<(RawFd, RawFd)> = copies.iter().map(|(fd, number)| (fd.as_raw_fd(), *number)).collect();
    // SAFETY: the closure runs between fork and execve of a possibly threaded process and calls only setsid, dup2 and
    // close_range, which are async-signal-safe system calls; it allocates nothing (io::Error of an errno does not).
    unsafe {
        command.pre_exec(move || {
            check(libc::setsid())?;
            // Everything else is marked rather than closed: the program itself is one of them until execve.
            if libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) < 0 {
                return Err(io::Error::last_os_error());
            }
            for (from, to) in &place {
                check(libc::dup2(*from, *to))?;
            }
            Ok(())
        });
    }
    command.spawn()
}

fn duplicate_above(fd: RawFd, lowest: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC takes an integer and returns a new descriptor.
    unsafe { own_new(|| libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, lowest)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsFd;

    #[test]
    fn a_detached_program_sees_its_descriptors_and_no_others() {
        let program = sealed_copy(Path::new("/bin/sh")).unwrap();
        let (mut ours, theirs) = io::pipe().unwrap();
        let _other = File::open("/dev/null").unwrap();
        let script = "echo $0 $A >&7; exec ls /proc/self/fd >&7";
        let arguments = [OsStr::new("-c"), OsStr::new(script), OsStr::new("me")];
        let log = File::options().write(true).open("/dev/null").unwrap();
        let mut child = detached(
            program.as_fd(),
            OsStr::new("sh"),
            &arguments,
            &[("A", "b"), ("PATH", "/bin:/usr/bin")],
            &[(theirs.as_fd(), 7)],
            log,
        )
        .unwrap();
        drop(theirs);
        let mut text = String::new();
        ours.read_to_string(&mut text).unwrap();
        assert!(child.wait().unwrap().success());
        // 3 is the directory that ls reads: the lowest free number, so nothing else is there.
        assert_eq!(text.split_whitespace().collect::<Vec<_>>(), ["me", "b", "0", "1", "2", "3", "7"]);
    }

    #[test]
    fn a_sealed_copy_cannot_be_written() {
        let copy = sealed_copy(Path::new("/bin/true")).unwrap();
        let mut file = File::from(copy);
        assert_eq!(io::Write::write(&mut file, b"x").unwrap_err().raw_os_error(), Some(libc::EPERM));
    }
}
