//! Why a request cannot become a specification.

use std::io;
use std::path::PathBuf;

use launch::seccomp;

use crate::error::Class;

/// A request that cannot become a specification.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// A value that makes no sense, or not here.
    #[error("use {field} {value:?}: {reason}")]
    Invalid {
        /// Field of the request, as its schema spells it.
        field: &'static str,
        /// As given.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A field that is needed.
    #[error("find {field}: missing")]
    Missing {
        /// Field of the request, as its schema spells it.
        field: &'static str,
    },
    /// A field that this runtime does not carry out.
    #[error("carry out {field}: not supported")]
    Unsupported {
        /// Field of the request, as its schema spells it.
        field: &'static str,
    },
    /// A host path that does not exist and is not to be made.
    #[error("mount host path {path:?}: it does not exist")]
    AbsentHostPath {
        /// As given.
        path: PathBuf,
    },
    /// A host path that cannot be looked at or made.
    #[error("{operation} host path {path:?}")]
    HostPath {
        /// `look at` or `make`.
        operation: &'static str,
        /// As given.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A source whose mount does not propagate as asked.
    #[error("mount host path {path:?} with propagation {propagation}: its mount on the host is not {needed}")]
    Propagation {
        /// As given.
        path: PathBuf,
        /// `HOST_TO_CONTAINER` or `BIDIRECTIONAL`.
        propagation: &'static str,
        /// What it would have to be.
        needed: &'static str,
    },
    /// A device that is none, or cannot be looked at.
    #[error("give device {path:?}")]
    Device {
        /// As given.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The user database of an image cannot be read.
    #[error("read {file} of the image")]
    Database {
        /// `/etc/passwd` or `/etc/group`.
        file: &'static str,
        /// What is wrong with it.
        #[source]
        source: io::Error,
    },
    /// A user or group that the image does not have.
    #[error("find {kind} {name:?} in the image: there is none in its {file}")]
    UnknownName {
        /// `user` or `group`.
        kind: &'static str,
        /// As given.
        name: String,
        /// `/etc/passwd` or `/etc/group`.
        file: &'static str,
    },
    /// A seccomp profile that cannot be read.
    #[error("read seccomp profile {path:?}")]
    ReadProfile {
        /// As given.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A seccomp profile that is wrong.
    #[error("use seccomp profile {profile}")]
    Profile {
        /// Its path, or `RuntimeDefault`.
        profile: String,
        /// What is wrong with it.
        #[source]
        source: seccomp::Error,
    },
    /// An AppArmor profile that is not loaded.
    #[error("use AppArmor profile {profile:?}: {reason}")]
    AppArmor {
        /// As given.
        profile: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Limits the kernel module refuses.
    #[error("use resources")]
    Limits(#[source] kernel::cgroup::Error),
    /// A file of the host that every host has.
    #[error("read {path}")]
    Host {
        /// The file.
        path: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

impl ResolveError {
    /// How the caller is told.
    pub fn class(&self) -> Class {
        match self {
            Self::Host { .. } => Class::Internal,
            Self::HostPath { source, .. } | Self::Database { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Class::ResourceExhausted,
                _ => Class::InvalidArgument,
            },
            _ => Class::InvalidArgument,
        }
    }

    pub(super) fn invalid(field: &'static str, value: impl ToString, reason: &'static str) -> Self {
        Self::Invalid { field, value: value.to_string(), reason }
    }
}
