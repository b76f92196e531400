//! What the kernel does with a call.

use super::{Error, Result};

/// The errno an `SCMP_ACT_ERRNO` without a number gives.
pub(super) const EPERM: u16 = 1;
/// "No such system call".
pub(super) const ENOSYS: u16 = 38;

/// What the kernel does with a call: `SECCOMP_RET_*` of linux/seccomp.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// End the process.
    KillProcess,
    /// End the thread.
    KillThread,
    /// Send SIGSYS.
    Trap,
    /// Answer this errno.
    Errno(u16),
    /// Ask the tracer, with this message.
    Trace(u16),
    /// Do it and log it.
    Log,
    /// Do it.
    Allow,
}

impl Action {
    /// Reads the name of profiles and of the OCI specification; `errno` is their `errnoRet`.
    pub(super) fn parse(name: &str, errno: Option<u32>) -> Result<Self> {
        let data = || match errno {
            None => Ok(EPERM),
            Some(errno) => {
                u16::try_from(errno).ok().filter(|errno| *errno <= 4095).ok_or(Error::Errno(errno))
            }
        };
        Ok(match name {
            "SCMP_ACT_KILL_PROCESS" => Self::KillProcess,
            "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Self::KillThread,
            "SCMP_ACT_TRAP" => Self::Trap,
            "SCMP_ACT_ERRNO" => Self::Errno(data()?),
            "SCMP_ACT_TRACE" => Self::Trace(data()?),
            "SCMP_ACT_LOG" => Self::Log,
            "SCMP_ACT_ALLOW" => Self::Allow,
            "SCMP_ACT_NOTIFY" => return Err(Error::Notify),
            unknown => return Err(Error::UnknownAction(unknown.to_owned())),
        })
    }

    /// The value a filter returns.
    pub(super) fn value(self) -> u32 {
        match self {
            Self::KillProcess => 0x8000_0000,
            Self::KillThread => 0,
            Self::Trap => 0x0003_0000,
            Self::Errno(errno) => 0x0005_0000 | u32::from(errno),
            Self::Trace(message) => 0x7ff0_0000 | u32::from(message),
            Self::Log => 0x7ffc_0000,
            Self::Allow => 0x7fff_0000,
        }
    }
}
