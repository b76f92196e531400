//! What can be wrong with a profile.

/// Result of reading or compiling a profile.
pub type Result<T> = std::result::Result<T, Error>;

/// A profile that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not a profile.
    #[error("read seccomp profile")]
    Read(#[source] serde_json::Error),
    /// An action name this kernel interface does not have.
    #[error("use seccomp action {0:?}: unknown")]
    UnknownAction(String),
    /// An action that needs an agent beside the container.
    #[error("use seccomp action SCMP_ACT_NOTIFY: no notification agent can be attached")]
    Notify,
    /// A comparison name that is not known.
    #[error("use seccomp comparison {0:?}: unknown")]
    UnknownComparison(String),
    /// An architecture name that is not known.
    #[error("use seccomp architecture {0:?}: unknown")]
    UnknownArchitecture(String),
    /// A flag that is not known.
    #[error("use seccomp flag {0:?}: unknown")]
    UnknownFlag(String),
    /// System calls have six arguments.
    #[error("use seccomp argument index {index} of {syscall}: arguments are 0 to 5")]
    ArgumentIndex {
        /// First name of the rule.
        syscall: String,
        /// As given.
        index: u32,
    },
    /// The kernel's largest errno is 4095.
    #[error("use seccomp errno {0}: larger than 4095")]
    Errno(u32),
    /// An errno given by its name only.
    #[error("use seccomp errno {0:?}: give its number in errnoRet")]
    ErrnoName(String),
    /// A kernel version that is not `major.minor`.
    #[error("use seccomp minKernel {0:?}: not a version such as 4.8")]
    KernelVersion(String),
    /// Two ways to name architectures at once.
    #[error("use seccomp profile: it has both architectures and archMap")]
    Architectures,
    /// A rule that names no system call.
    #[error("use seccomp rule {0}: it names no system call")]
    NoNames(usize),
    /// The kernel takes 4096 instructions.
    #[error("compile seccomp profile: {0} instructions, the kernel takes 4096")]
    TooLong(usize),
}
