//! The steps a plan is made of, and their names.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Capabilities, FdIndex, Filter};

/// One thing the child does between `clone3` and `execve`.
///
/// Mount steps come after [`Step::Root`]: once the root is pivoted and the old one gone, no path can lead to the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Unshare the cgroup namespace; its root is the cgroup just joined.
    CgroupNamespace,
    /// Attach the root filesystem and make it the root of the mount namespace.
    Root(Root),
    /// Set the propagation of the root mount (`MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED` or `MS_UNBINDABLE`).
    Propagation(u64),
    /// Attach a detached mount that the daemon prepared. A missing target is made: a directory or an empty file, as
    /// the mount's own root is one (F-43).
    Attach {
        /// Absolute path in the container.
        target: Vec<u8>,
        /// The detached mount.
        tree: FdIndex,
        /// How the target is found.
        resolve: Resolve,
    },
    /// Mount a new filesystem instance, which belongs to the new namespaces.
    Mount(Fresh),
    /// Make device nodes.
    Devices(Vec<Device>),
    /// Make symbolic links.
    Links(Vec<Link>),
    /// Write kernel parameters of the new namespaces.
    Sysctls(Vec<Sysctl>),
    /// Make these paths, and all below them, read-only.
    ReadOnlyPaths(Vec<Vec<u8>>),
    /// Hide these paths: a file behind the null device, a directory behind an empty one.
    MaskedPaths {
        /// Absolute paths in the container; those that do not exist are left alone.
        paths: Vec<Vec<u8>>,
        /// Detached bind mount of the host's null device.
        null: FdIndex,
    },
    /// Set `MOUNT_ATTR_*` flags of a mount, not of those below it: last, when everything in it has been made.
    Remount {
        /// Mount point: absolute path in the container.
        target: Vec<u8>,
        /// Flags to set.
        attributes: u64,
    },
    /// Set the host name.
    Hostname(Vec<u8>),
    /// Set the NIS domain name.
    Domainname(Vec<u8>),
    /// Join a new session keyring.
    Keyring,
    /// Become leader of a new session.
    Session,
    /// Make standard input the controlling terminal of the session.
    Terminal,
    /// Set the badness adjustment; without the privilege to lower it the present one stays.
    OomScore(i32),
    /// Set resource limits; without the privilege to raise a hard limit it stays where it is.
    Rlimits(Vec<Rlimit>),
    /// Set the file mode creation mask.
    Umask(u32),
    /// Change to this directory, made if missing.
    WorkingDirectory(Vec<u8>),
    /// Ask a security module for a label at `execve`.
    SecurityLabel(SecurityLabel),
    /// Reduce the bounding set to this mask.
    BoundingSet(u64),
    /// Set supplementary groups.
    Groups(Vec<u32>),
    /// Set real, effective and saved ids. Permitted capabilities are kept and made effective again, so that the steps
    /// after it still have them.
    Ids {
        /// User.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// Set the capability sets, as far as the supervisor itself has them.
    Capabilities(Capabilities),
    /// Set `no_new_privs`.
    NoNewPrivileges,
    /// Load a system call filter.
    Seccomp(Filter),
}

impl Step {
    /// Verb of the step, as in [`super::Failure::step`].
    pub fn verb(&self) -> &'static str {
        match self {
            Self::CgroupNamespace => "unshare cgroup namespace",
            Self::Root(_) => "pivot",
            Self::Propagation(_) => "set propagation",
            Self::Attach { .. } | Self::Mount(_) => "mount",
            Self::Devices(_) => "make devices",
            Self::Links(_) => "link",
            Self::Sysctls(_) => "set sysctl",
            Self::ReadOnlyPaths(_) => "make read-only",
            Self::MaskedPaths { .. } => "mask",
            Self::Remount { .. } => "remount",
            Self::Hostname(_) => "set hostname",
            Self::Domainname(_) => "set domainname",
            Self::Keyring => "join session keyring",
            Self::Session => "create session",
            Self::Terminal => "set controlling terminal",
            Self::OomScore(_) => "set oom score",
            Self::Rlimits(_) => "set rlimit",
            Self::Umask(_) => "set umask",
            Self::WorkingDirectory(_) => "change directory",
            Self::SecurityLabel(_) => "set security label",
            Self::BoundingSet(_) => "drop bounding capabilities",
            Self::Groups(_) => "set groups",
            Self::Ids { .. } => "set user",
            Self::Capabilities(_) => "set capabilities",
            Self::NoNewPrivileges => "set no_new_privs",
            Self::Seccomp(_) => "load seccomp filter",
        }
    }

    /// What the step is done to; empty where the verb says it all or there are several objects.
    pub fn object(&self) -> String {
        match self {
            Self::Root(_) => "/".to_owned(),
            Self::Attach { target, .. }
            | Self::Mount(Fresh { target, .. })
            | Self::Remount { target, .. } => text(target),
            Self::Hostname(name) | Self::Domainname(name) => text(name),
            Self::WorkingDirectory(path) => text(path),
            Self::SecurityLabel(label) => text(&label.value),
            Self::Ids { uid, gid } => format!("{uid}:{gid}"),
            _ => String::new(),
        }
    }
}

/// Verb and object: the name of the step in a timeline.
impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.verb())?;
        match self.object() {
            object if object.is_empty() => Ok(()),
            object => write!(formatter, " {object}"),
        }
    }
}

/// Bytes as a person reads them.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Where the root filesystem comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Root {
    /// A detached mount.
    Tree(FdIndex),
    /// A new, empty tmpfs.
    Empty,
}

/// How a mount target is looked up. Never out of the root, never through a magic link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resolve {
    /// Symbolic links count, inside the root.
    InRoot,
    /// A symbolic link anywhere in the path is an error (`ELOOP`): an image must not move `/proc`, `/sys` or `/dev`
    /// (CVE-2026-41579, CVE-2025-52881).
    NoLinks,
}

/// A filesystem mounted by the child itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fresh {
    /// Absolute path in the container.
    pub target: Vec<u8>,
    /// Filesystem type.
    pub filesystem: String,
    /// Source as `/proc/mounts` shows it.
    pub source: String,
    /// Options of the filesystem.
    pub options: Vec<MountOption>,
    /// `MOUNT_ATTR_*` flags.
    pub attributes: u64,
    /// How the target is found.
    pub resolve: Resolve,
}

/// One option of a filesystem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountOption {
    /// Name.
    pub key: String,
    /// Value, if it is not a flag.
    pub value: Option<String>,
}

/// A device node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Absolute path in the container; directories above it are made (0755).
    pub path: Vec<u8>,
    /// Kind of node.
    pub kind: DeviceKind,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Kind of a device node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceKind {
    /// Character device.
    Character,
    /// Block device.
    Block,
    /// Named pipe; it has no number.
    Fifo,
}

/// A symbolic link. One that exists with the same content is left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Absolute path in the container.
    pub path: Vec<u8>,
    /// Content.
    pub target: Vec<u8>,
}

/// A kernel parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sysctl {
    /// Path below `/proc/sys`, with slashes.
    pub path: String,
    /// What is written.
    pub value: String,
}

/// A resource limit (`setrlimit(2)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// `RLIMIT_*`.
    pub resource: u32,
    /// Limit in force; `u64::MAX` is none.
    pub soft: u64,
    /// Ceiling of the limit in force.
    pub hard: u64,
}

/// What a security module is asked to do at `execve`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityLabel {
    /// Files below `/proc/self/attr`; the first that exists is written.
    pub files: Vec<String>,
    /// What is written.
    pub value: Vec<u8>,
}
