//! The plan of one process start: plain data, no descriptors, no decisions left open.
//!
//! Owns the types that travel from the daemon to the supervisor and their encoding. Does not own how a plan is made
//! ([`crate::compile()`]) nor how it is run ([`crate::execute`]). A plan refers to descriptors by [`FdIndex`]; the
//! descriptors themselves travel beside it (`SCM_RIGHTS`).
//!
//! Text that reaches the kernel is bytes without a NUL: paths, arguments and environment need not be UTF-8 (F-24).

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

mod step;

#[cfg(test)]
mod tests;

pub use step::{
    Device, DeviceKind, Fresh, Link, MountOption, Resolve, Rlimit, Root, SecurityLabel, Step, Sysctl,
};

/// Position of a descriptor among those handed over with the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FdIndex(pub u16);

/// Everything the supervisor needs to start one process, besides the descriptors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// `CLONE_NEW*` flags for `clone3`: the namespaces that are created. Never `CLONE_NEWCGROUP`: a cgroup namespace
    /// takes the cgroup of its creator as root, so it is unshared after the join ([`Step::CgroupNamespace`]).
    pub clone_flags: u64,
    /// Namespaces the child joins before the first step, in this order.
    pub join: Vec<Join>,
    /// PID namespace to join (a namespace or a pidfd). Done by the parent around `clone3`, because `setns` on a PID
    /// namespace concerns children only; the new process stays a direct child of the supervisor.
    pub pid_namespace: Option<FdIndex>,
    /// Cgroups to be born in or to join before anything else.
    pub cgroup: CgroupJoin,
    /// What the child does, in order. Those after [`Step::Seccomp`] are not timed: the filter may forbid the report.
    pub steps: Vec<Step>,
    /// What it then executes.
    pub program: Program,
}

impl Plan {
    /// Encodes the plan for the wire.
    pub fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        postcard::to_stdvec(self)
    }

    /// Decodes what [`Plan::encode`] made. Bytes left over are an error.
    pub fn decode(bytes: &[u8]) -> Result<Self, postcard::Error> {
        match postcard::take_from_bytes(bytes)? {
            (plan, []) => Ok(plan),
            _ => Err(postcard::Error::DeserializeBadEncoding),
        }
    }
}

/// Namespaces joined through one descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// `CLONE_NEW*` flags. Several at once are possible only through a pidfd (`setns(2)`, Linux 5.8).
    pub namespaces: u64,
    /// A namespace, or the pidfd of a process in the namespaces.
    pub fd: FdIndex,
}

/// How the process gets into its cgroups.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupJoin {
    /// Directory of the v2 hierarchy (also the empty unified one of a hybrid host), for `CLONE_INTO_CGROUP`.
    pub unified: Option<FdIndex>,
    /// The `tasks` file of one cgroup per v1 hierarchy, open for writing. The single-threaded child writes `0` to
    /// each: `cgroup.procs` would wait for an RCU grace period (trap 15).
    pub tasks: Vec<FdIndex>,
}

/// The program and what it is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Where the executable comes from.
    pub executable: Executable,
    /// Arguments, the program's name first.
    pub arguments: Vec<Vec<u8>>,
    /// Environment as `NAME=value`.
    pub environment: Vec<Vec<u8>>,
    /// Signals the program starts with.
    pub signals: Signals,
}

/// Where an executable comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Executable {
    /// The first argument: a path if it has a slash, otherwise looked up in the `PATH` of
    /// [`Program::environment`], inside the container's root.
    Lookup,
    /// A descriptor (`execveat` with `AT_EMPTY_PATH`), so that no file of the host has to be visible.
    Descriptor(FdIndex),
}

/// Signal mask a program starts with. Dispositions are always the defaults.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Signals {
    /// None blocked.
    #[default]
    Unblocked,
    /// All blocked, for a program that unblocks or waits for them itself: a signal sent to the init of a PID
    /// namespace between `execve` and its own `sigprocmask` would be lost (trap 14).
    Blocked,
}

/// One instruction of a classic BPF program (`struct sock_filter`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[repr(C)]
pub struct SockFilter {
    /// Operation.
    pub code: u16,
    /// Relative jump if true.
    pub jt: u8,
    /// Relative jump if false.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

/// A seccomp program and how it is loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// The program; at most 4096 instructions (`BPF_MAXINSNS`).
    pub program: Vec<SockFilter>,
    /// `SECCOMP_FILTER_FLAG_*`.
    pub flags: u32,
}

/// Capability sets as bit masks: bit n is capability n (`capabilities(7)`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// What `execve` may ever give.
    pub bounding: u64,
    /// In force.
    pub effective: u64,
    /// May be put in force.
    pub permitted: u64,
    /// Kept over `execve` where the file allows it.
    pub inheritable: u64,
    /// Kept over `execve` of a plain file.
    pub ambient: u64,
}

/// Which step failed, on which object, with which errno.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Verb of the step (`mount`, `execute`, ...).
    pub step: String,
    /// What it was done to; empty if the verb says it all.
    pub object: String,
    /// The kernel's answer; 0 if the process ended without one.
    pub errno: i32,
}

impl Failure {
    /// The failure of `step` on `object` with the kernel's answer of `error` (`EIO` if it is not the kernel's).
    pub fn new(step: impl Into<String>, object: impl Into<String>, error: &io::Error) -> Self {
        Self { step: step.into(), object: object.into(), errno: error.raw_os_error().unwrap_or(libc::EIO) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.step)?;
        if !self.object.is_empty() {
            write!(formatter, " {}", self.object)?;
        }
        match self.errno {
            0 => formatter.write_str(": the process ended before it executed its program"),
            errno => write!(formatter, ": {}", io::Error::from_raw_os_error(errno)),
        }
    }
}

impl std::error::Error for Failure {}
