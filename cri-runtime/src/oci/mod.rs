//! From a CRI request to an OCI runtime specification.
//!
//! Owns: every default, every override and every refusal between what a kubelet asks for and what a container gets,
//! one file per section of the specification. Does not own: how the specification becomes a process (`launch`), where
//! files of a pod are made (`sandbox`), the limits' writing (`kernel::cgroup`).
//!
//! Functions of values, except where the host must be asked: the users of an image ([`user`]), host paths and their
//! propagation ([`mounts`]), device nodes ([`devices`]), profiles ([`seccomp`]). Those read; the one thing ever made is
//! the directory of a missing host path (F-41).
//!
//! The specification holds text, and an environment value is bytes (F-24): [`environment`] gives the bytes beside it.

mod container;
mod defaults;
mod devices;
mod error;
mod mounts;
mod namespaces;
mod process;
mod resources;
mod rlimits;
mod sandbox;
mod seccomp;
mod security;
mod sysctls;
mod user;

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use cri_api::v1::{ContainerConfig, LinuxContainerSecurityContext, PodSandboxConfig};
use oci_spec::image::ImageConfiguration;
use oci_spec::runtime::Spec;

pub use container::resolve;
pub use defaults::{Defaults, DefaultsError};
pub use devices::device_rules;
pub use error::ResolveError;
pub use process::{environment, exec_process};
pub use resources::limits;
pub use sandbox::{sandbox_spec, validate_sandbox};
pub use seccomp::filter;
pub use user::ResolvedUser;

/// What a container's specification is made of.
#[derive(Debug, Clone)]
pub struct ContainerInput<'a> {
    /// Container id.
    pub id: &'a str,
    /// The pod, as it was asked for.
    pub sandbox: &'a PodSandboxConfig,
    /// Process that holds the pod's namespaces.
    pub holder: i32,
    /// The container, as it is asked for.
    pub config: &'a ContainerConfig,
    /// Its image's configuration.
    pub image: &'a ImageConfiguration,
    /// Its root filesystem, in which users are looked up.
    pub rootfs: BorrowedFd<'a>,
    /// Host name of the pod.
    pub hostname: &'a str,
    /// Directory with the pod's `hosts`, `hostname` and `resolv.conf`.
    pub files: &'a Path,
    /// The pod's shared memory; `None` for a pod in the host's IPC namespace.
    pub shm: Option<PathBuf>,
    /// Path of the container's cgroup below each hierarchy.
    pub cgroup: &'a Path,
    /// What this host and this daemon give.
    pub defaults: &'a Defaults,
}

/// What a sandbox's specification is made of.
#[derive(Debug, Clone, Copy)]
pub struct SandboxInput<'a> {
    /// The pod, as it is asked for.
    pub config: &'a PodSandboxConfig,
    /// Its host name.
    pub hostname: &'a str,
    /// What this host and this daemon give.
    pub defaults: &'a Defaults,
}

/// A container's specification and who its process is.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// Complete; nothing is left to defaults of whoever executes it.
    pub spec: Spec,
    /// As it really will be set (ContainerStatus reports it).
    pub user: ResolvedUser,
}

/// Whether the container sees the host's cgroups and not only its own.
pub fn sees_host_cgroups(config: &ContainerConfig) -> bool {
    is_privileged(config)
}

fn security(config: &ContainerConfig) -> Option<&LinuxContainerSecurityContext> {
    config.linux.as_ref()?.security_context.as_ref()
}

fn is_privileged(config: &ContainerConfig) -> bool {
    security(config).is_some_and(|security| security.privileged)
}

#[cfg(test)]
mod tests;
