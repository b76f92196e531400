//! Files in memory, and seals that make them final.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use crate::call::{own_new, retry};

const SEALS: i32 = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
/// Since 6.3: says that the file may be executed, which `vm.memfd_noexec=1` otherwise denies.
const MFD_EXEC: u32 = 0x10;

/// An empty file in memory that can be sealed and executed. `name` is only for people who read `/proc`.
///
/// # Errors
/// `EACCES` where `vm.memfd_noexec=2` forbids executable ones.
pub fn create_memory_file(name: &CStr) -> io::Result<File> {
    let create = |flags: u32| {
        // SAFETY: `name` is terminated and outlives the call, which returns a new descriptor.
        unsafe {
            own_new(|| libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING | flags))
        }
    };
    match create(MFD_EXEC) {
        // Kernels before 6.3 do not know the flag and need none.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => create(0).map(File::from),
        result => result.map(File::from),
    }
}

/// Makes content and size of a memory file final.
///
/// # Errors
/// `EBUSY` while it is mapped writable.
pub fn seal(file: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: F_ADD_SEALS takes an integer.
    retry(|| unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, SEALS) }).map(|_| ())
}

/// Whether nobody can change content or size of this file any more. False for everything but memory files.
pub fn is_sealed(file: BorrowedFd<'_>) -> bool {
    // SAFETY: F_GET_SEALS takes no argument.
    retry(|| unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GET_SEALS) })
        .is_ok_and(|seals| seals & SEALS == SEALS)
}

/// A sealed memory file with this content.
///
/// # Errors
/// As [`create_memory_file`]; `ENOMEM`, `ENOSPC` if there is no memory for the content.
pub fn sealed_memory_file(name: &CStr, content: &[u8]) -> io::Result<OwnedFd> {
    let mut file = create_memory_file(name)?;
    file.write_all(content)?;
    seal(file.as_fd())?;
    Ok(file.into())
}
