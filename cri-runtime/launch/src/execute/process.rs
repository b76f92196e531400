//! The steps that make the process itself what the container's is to be: limits, ids, capabilities, labels.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use kernel::credentials::{self, Sets};
use kernel::path::mkdir_all_in_root;

use super::child::Child;
use super::descriptors::{change_directory, open_proc, write_once};
use super::fault::{On, Result, errno};
use super::target;
use crate::plan::{Capabilities, Filter, Rlimit, SecurityLabel, SockFilter, Sysctl};

const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;
const DIRECTORY_MODE: u32 = 0o755;

/// `struct sock_fprog`, of which the C libraries have different ideas.
#[repr(C)]
struct SockFprog {
    len: libc::c_ushort,
    filter: *const SockFilter,
}

pub(super) fn join_keyring() -> Result {
    // Anonymous, so that no other container can find it by name.
    // SAFETY: the name is a null pointer, which asks for an anonymous keyring.
    let result =
        unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<u8>()) };
    if result >= 0 {
        return Ok(());
    }
    match io::Error::last_os_error() {
        // A kernel without keyrings, or a host that forbids them, has none to share either.
        error if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => Ok(()),
        error => Err(error.into()),
    }
}

pub(super) fn create_session() -> Result {
    // SAFETY: no pointers are passed.
    match unsafe { libc::setsid() } {
        -1 => Err(io::Error::last_os_error().into()),
        _ => Ok(()),
    }
}

pub(super) fn set_terminal() -> Result {
    // SAFETY: TIOCSCTTY takes an integer: 0, do not steal it from another session.
    match unsafe { libc::ioctl(0, libc::TIOCSCTTY as _, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error().into()),
    }
}

pub(super) fn set_umask(mask: u32) {
    // SAFETY: always succeeds.
    unsafe { libc::umask(mask as libc::mode_t) };
}

pub(super) fn set_sysctls(proc: BorrowedFd<'_>, sysctls: &[Sysctl]) -> Result {
    for sysctl in sysctls {
        let path = Path::new("sys").join(&sysctl.path);
        open_proc(proc, &path).and_then(|file| write_once(file, sysctl.value.as_bytes())).on(&sysctl.path)?;
    }
    Ok(())
}

pub(super) fn set_oom_score(proc: BorrowedFd<'_>, score: i32) -> Result {
    let path = Path::new("self/oom_score_adj");
    match open_proc(proc, path).and_then(|file| write_once(file, score.to_string().as_bytes())) {
        Ok(()) => Ok(()),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EACCES | libc::EPERM)) => {
            // Only lowering needs CAP_SYS_RESOURCE. What cannot be had is left at what it is (T5); never above it.
            let mut present = String::new();
            open_proc(proc, path)?.read_to_string(&mut present)?;
            match present.trim().parse::<i32>() {
                Ok(present) if present >= score => Ok(()),
                _ => Err(error.into()),
            }
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) fn set_rlimits(limits: &[Rlimit]) -> Result {
    for limit in limits {
        let (soft, hard) = (limit.soft, limit.hard);
        match set_rlimit(limit.resource, soft, hard) {
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
                // Raising a hard limit needs CAP_SYS_RESOURCE. Without it the container has the stricter one it would
                // have anyway.
                let present = hard_limit(limit.resource).on(format!("resource {}", limit.resource))?;
                set_rlimit(limit.resource, soft.min(present), hard.min(present))
            }
            result => result,
        }
        .on(format!("resource {}", limit.resource))?;
    }
    Ok(())
}

fn set_rlimit(resource: u32, soft: u64, hard: u64) -> io::Result<()> {
    let new = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    // SAFETY: new is a valid rlimit64; no old value is asked for.
    let result =
        unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, &raw const new, std::ptr::null::<u8>()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn hard_limit(resource: u32) -> io::Result<u64> {
    let mut old = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: no new value is given; old has room for the present one.
    let result =
        unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, std::ptr::null::<u8>(), &raw mut old) };
    if result == 0 { Ok(old.rlim_max) } else { Err(io::Error::last_os_error()) }
}

pub(super) fn set_label(proc: BorrowedFd<'_>, label: &SecurityLabel) -> Result {
    let mut result = Err(errno(libc::ENOENT));
    for file in &label.files {
        let path = Path::new("self/attr").join(file);
        result = open_proc(proc, &path).and_then(|file| write_once(file, &label.value));
        if !matches!(&result, Err(error) if error.kind() == io::ErrorKind::NotFound) {
            break;
        }
    }
    Ok(result?)
}

pub(super) fn set_ids(uid: u32, gid: u32) -> Result {
    credentials::keep_capabilities()?;
    credentials::set_ids(uid, gid)?;
    // Leaving uid 0 empties the effective set even so.
    let sets = credentials::capabilities()?;
    Ok(credentials::set_capabilities(Sets { effective: sets.permitted, ..sets })?)
}

pub(super) fn set_capabilities(wanted: &Capabilities) -> Result {
    // A supervisor without CAP_SYS_RESOURCE, say, cannot give it to a privileged container, which gets what there is.
    let available = credentials::capabilities()?.permitted;
    let sets = Sets {
        effective: wanted.effective & available,
        permitted: wanted.permitted & available,
        inheritable: wanted.inheritable & available,
    };
    credentials::set_capabilities(sets)?;
    Ok(credentials::set_ambient(wanted.ambient & available)?)
}

pub(super) fn load_filter(filter: &Filter) -> Result {
    let len = filter.program.len().try_into().map_err(|_| errno(libc::EINVAL))?;
    let program = SockFprog { len, filter: filter.program.as_ptr() };
    // SAFETY: program points to len instructions laid out as struct sock_filter, which outlive the call.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, filter.flags, &raw const program)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error().into()) }
}

impl Child<'_> {
    /// Changes to the container's working directory. Magic links are not followed, so a descriptor that leads out
    /// cannot become it (CVE-2024-21626); and the kernel is asked once more where we are.
    pub(super) fn change_directory(&mut self, path: &[u8]) -> Result {
        let directory = mkdir_all_in_root(self.root()?, target::path(path), DIRECTORY_MODE)?;
        change_directory(directory.as_fd())?;
        // getcwd fails with ENOENT for what cannot be reached from the root.
        std::env::current_dir()?;
        Ok(())
    }
}

/// Joins the cgroups of a v1 host.
pub(super) fn join_cgroup(tasks: BorrowedFd<'_>) -> io::Result<()> {
    write_once(File::from(tasks.try_clone_to_owned()?), b"0")
}
