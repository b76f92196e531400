//! A filesystem instance as a detached mount: `fsopen`, `fsconfig`, `fsmount`.

use std::ffi::CString;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use super::{c_string, checked, owned};

const FSOPEN_CLOEXEC: u32 = 1;
const FSMOUNT_CLOEXEC: u32 = 1;
const FSCONFIG_SET_FLAG: u32 = 0;
const FSCONFIG_SET_STRING: u32 = 1;
const FSCONFIG_SET_FD: u32 = 5;
const FSCONFIG_CMD_CREATE: u32 = 6;

/// A filesystem instance being configured. Linux 5.2.
#[derive(Debug)]
pub struct Builder {
    context: OwnedFd,
}

impl Builder {
    /// Starts the configuration of a new instance of `filesystem`. `ENODEV`: the kernel does not know it.
    pub fn new(filesystem: &str) -> io::Result<Self> {
        let name = c_string(filesystem.as_bytes())?;
        // SAFETY: name is a terminated string that outlives the call.
        let context = owned(unsafe { libc::syscall(libc::SYS_fsopen, name.as_ptr(), FSOPEN_CLOEXEC) })?;
        Ok(Self { context })
    }

    fn config(
        &self,
        command: u32,
        key: Option<&CString>,
        value: *const libc::c_char,
        aux: i32,
    ) -> io::Result<()> {
        let key = key.map_or(ptr::null(), |key| key.as_ptr());
        // SAFETY: key and value are null or terminated strings that outlive the call, as the command demands.
        checked(unsafe {
            libc::syscall(libc::SYS_fsconfig, self.context.as_raw_fd(), command, key, value, aux)
        })?;
        Ok(())
    }

    /// Sets an option without a value.
    pub fn flag(&self, key: &str) -> io::Result<()> {
        self.config(FSCONFIG_SET_FLAG, Some(&c_string(key.as_bytes())?), ptr::null(), 0)
    }

    /// Sets an option. The kernel takes values of at most 255 bytes.
    pub fn option(&self, key: &str, value: &[u8]) -> io::Result<()> {
        let value = c_string(value)?;
        self.config(FSCONFIG_SET_STRING, Some(&c_string(key.as_bytes())?), value.as_ptr(), 0)
    }

    /// Sets an option to a descriptor.
    pub fn option_fd(&self, key: &str, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.config(FSCONFIG_SET_FD, Some(&c_string(key.as_bytes())?), ptr::null(), fd.as_raw_fd())
    }

    /// Makes the instance and returns it as a detached, private mount with [`super::attribute`] flags.
    pub fn mount(self, attributes: u64) -> io::Result<OwnedFd> {
        self.config(FSCONFIG_CMD_CREATE, None, ptr::null(), 0)?;
        // SAFETY: no pointers are passed.
        owned(unsafe {
            libc::syscall(libc::SYS_fsmount, self.context.as_raw_fd(), FSMOUNT_CLOEXEC, attributes)
        })
    }

    /// What the kernel has to say about the last error, if anything. It explains an `EINVAL` by naming the option.
    pub fn message(&self) -> Option<String> {
        let mut file = std::fs::File::from(self.context.try_clone().ok()?);
        let mut buffer = [0_u8; 512];
        // Each read returns one message, as "e text".
        let length = file.read(&mut buffer).ok()?;
        let text = String::from_utf8_lossy(&buffer[..length]);
        Some(text.trim_start_matches("e ").trim_end().to_owned())
    }
}
