//! Reading a directory through its descriptor.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Offset of the name in `struct linux_dirent64`: inode (8), offset (8), record length (2), type (1).
const NAME_OFFSET: usize = 19;

/// One name of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The name, a single component.
    pub name: PathBuf,
    /// `None` where the file system does not say and the entry has to be asked itself.
    pub is_directory: Option<bool>,
}

/// Every entry of a directory but `.` and `..`, from where its offset stands (a fresh descriptor: from the start).
/// `directory` must be open for reading, not `O_PATH`.
pub fn list(directory: BorrowedFd<'_>) -> io::Result<Vec<Listed>> {
    let mut buffer = vec![0u8; 32 * 1024];
    let mut listed = Vec::new();
    loop {
        // SAFETY: the buffer is writable for the length given and outlives the call.
        let read = unsafe {
            libc::syscall(libc::SYS_getdents64, directory.as_raw_fd(), buffer.as_mut_ptr(), buffer.len())
        };
        match read {
            0 => return Ok(listed),
            read if read < 0 => return Err(io::Error::last_os_error()),
            read => parse(&buffer[..read as usize], &mut listed),
        }
    }
}

fn parse(mut records: &[u8], listed: &mut Vec<Listed>) {
    while records.len() > NAME_OFFSET {
        let length = usize::from(u16::from_ne_bytes([records[16], records[17]]));
        if length <= NAME_OFFSET || length > records.len() {
            return;
        }
        let name = records[NAME_OFFSET..length].split(|byte| *byte == 0).next().unwrap_or_default();
        if name != b"." && name != b".." {
            let is_directory = match records[NAME_OFFSET - 1] {
                libc::DT_UNKNOWN => None,
                kind => Some(kind == libc::DT_DIR),
            };
            listed.push(Listed { name: PathBuf::from(OsStr::from_bytes(name)), is_directory });
        }
        records = &records[length..];
    }
}
