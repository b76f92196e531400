//! Capabilities, ids and privilege bits of the calling thread.
//!
//! Raw system calls on purpose: the C library's wrappers for ids change every thread of the process by signals. These
//! change the calling thread only, so they belong into a single-threaded process or one about to execute a program.

use std::io;

#[cfg(test)]
mod tests;

/// Capability numbers used by name (`capabilities(7)`).
pub mod capability {
    /// Change ids at will.
    pub const SETUID: u32 = 7;
    /// Load a seccomp filter without `no_new_privs`; mount; and much else.
    pub const SYS_ADMIN: u32 = 21;
    /// Raise hard resource limits, lower the badness adjustment.
    pub const SYS_RESOURCE: u32 = 24;
    /// Highest number any kernel has defined a mask bit for.
    pub const MAX: u32 = 63;
}

const VERSION_3: u32 = 0x2008_0522;
const PR_CAP_AMBIENT: i32 = 47;
const PR_CAP_AMBIENT_RAISE: libc::c_ulong = 2;
const PR_CAP_AMBIENT_CLEAR_ALL: libc::c_ulong = 4;

/// The three sets of `capset(2)` as masks: bit n is capability n.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sets {
    /// In force.
    pub effective: u64,
    /// May be put in force.
    pub permitted: u64,
    /// Kept over `execve` where the file allows it.
    pub inheritable: u64,
}

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

fn checked(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn prctl(option: i32, argument: libc::c_ulong, second: libc::c_ulong) -> io::Result<i32> {
    // SAFETY: none of the options used here takes a pointer; unused arguments are zero as the kernel demands.
    let result = unsafe { libc::prctl(option, argument, second, 0 as libc::c_ulong, 0 as libc::c_ulong) };
    checked(libc::c_long::from(result)).map(|value| value as i32)
}

/// The sets of the calling thread.
pub fn capabilities() -> io::Result<Sets> {
    let header = Header { version: VERSION_3, pid: 0 };
    let mut data = [Data::default(); 2];
    // SAFETY: header is valid and data has room for the two entries of version 3.
    checked(unsafe { libc::syscall(libc::SYS_capget, &raw const header, data.as_mut_ptr()) })?;
    let join = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    Ok(Sets {
        effective: join(data[0].effective, data[1].effective),
        permitted: join(data[0].permitted, data[1].permitted),
        inheritable: join(data[0].inheritable, data[1].inheritable),
    })
}

/// Sets the sets of the calling thread. `EPERM`: more than is permitted now.
pub fn set_capabilities(sets: Sets) -> io::Result<()> {
    let header = Header { version: VERSION_3, pid: 0 };
    let half = |shift: u32| Data {
        effective: (sets.effective >> shift) as u32,
        permitted: (sets.permitted >> shift) as u32,
        inheritable: (sets.inheritable >> shift) as u32,
    };
    let data = [half(0), half(32)];
    // SAFETY: header is valid and data has the two entries of version 3.
    checked(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) })?;
    Ok(())
}

/// The bounding set of the calling thread. Asking ends at the highest capability this kernel knows.
pub fn bounding() -> io::Result<u64> {
    let mut set = 0;
    for number in 0..=capability::MAX {
        match prctl(libc::PR_CAPBSET_READ, libc::c_ulong::from(number), 0) {
            Ok(0) => {}
            Ok(_) => set |= 1 << number,
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(set)
}

/// Drops every capability that is not in `keep` from the bounding set. Needs `CAP_SETPCAP`.
pub fn limit_bounding(keep: u64) -> io::Result<()> {
    for number in (0..=capability::MAX).filter(|number| keep & (1 << number) == 0) {
        match prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(number), 0) {
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Makes `set` the ambient set: what a plain program keeps over `execve`. Each must be permitted and inheritable.
pub fn set_ambient(set: u64) -> io::Result<()> {
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0)?;
    for number in (0..=capability::MAX).filter(|number| set & (1 << number) != 0) {
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, libc::c_ulong::from(number))?;
    }
    Ok(())
}

/// Forbids every later `execve` to gain privileges, by set-user-id bits for instance. Cannot be undone.
pub fn set_no_new_privileges() -> io::Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0).map(drop)
}

/// Keeps the permitted set when the user ids change from root to others, until the next `execve`.
pub fn keep_capabilities() -> io::Result<()> {
    prctl(libc::PR_SET_KEEPCAPS, 1, 0).map(drop)
}

/// Whether others may trace this process and look at its memory and descriptors through `/proc`. `execve` of a
/// readable program makes it so again.
pub fn set_dumpable(dumpable: bool) -> io::Result<()> {
    prctl(libc::PR_SET_DUMPABLE, libc::c_ulong::from(dumpable), 0).map(drop)
}

/// Sets the supplementary groups of the calling thread.
pub fn set_groups(groups: &[u32]) -> io::Result<()> {
    // SAFETY: the pointer is valid for the number of entries given.
    checked(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) })?;
    Ok(())
}

/// Sets real, effective and saved group and user id of the calling thread, groups first while it still may.
pub fn set_ids(uid: u32, gid: u32) -> io::Result<()> {
    // SAFETY: no pointers are passed.
    checked(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) })?;
    // SAFETY: no pointers are passed.
    checked(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) })?;
    Ok(())
}
