//! `linux.namespaces`: which are the pod's, the container's own, or the host's.

use std::path::PathBuf;

use cri_api::v1::{
    ContainerConfig, IdMapping, NamespaceMode, NamespaceOption, PodSandboxConfig, UserNamespace,
};
use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType};

use super::{ContainerInput, ResolveError, is_privileged, security};

/// The modes of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Modes {
    pub(super) network: NamespaceMode,
    pub(super) pid: NamespaceMode,
    pub(super) ipc: NamespaceMode,
}

impl Modes {
    /// The modes a pod asks for; without any all are `POD`.
    ///
    /// # Errors
    /// Modes that make no sense for a pod (F-11 to F-14).
    pub(super) fn of(config: &PodSandboxConfig) -> Result<Self, ResolveError> {
        let security = config.linux.as_ref().and_then(|linux| linux.security_context.as_ref());
        let none = NamespaceOption::default();
        let options = security.and_then(|security| security.namespace_options.as_ref()).unwrap_or(&none);
        let modes = Self {
            network: mode("namespace_options.network", options.network)?,
            pid: mode("namespace_options.pid", options.pid)?,
            ipc: mode("namespace_options.ipc", options.ipc)?,
        };
        let shared = [NamespaceMode::Pod, NamespaceMode::Node];
        for (field, mode) in
            [("namespace_options.network", modes.network), ("namespace_options.ipc", modes.ipc)]
        {
            if !shared.contains(&mode) {
                return Err(ResolveError::invalid(field, mode.as_str_name(), "a pod can have POD or NODE"));
            }
        }
        if modes.pid == NamespaceMode::Target {
            let reason = "only a container can have TARGET";
            return Err(ResolveError::invalid("namespace_options.pid", modes.pid.as_str_name(), reason));
        }
        if let Some(userns) = &options.userns_options {
            check_user_namespace(userns)?;
        }
        Ok(modes)
    }
}

fn mode(field: &'static str, value: i32) -> Result<NamespaceMode, ResolveError> {
    NamespaceMode::try_from(value).map_err(|_| ResolveError::invalid(field, value, "unknown mode"))
}

/// F-14. A request that would be right is refused, too, and by name: nothing here maps the mounts of such a pod.
fn check_user_namespace(userns: &UserNamespace) -> Result<(), ResolveError> {
    const FIELD: &str = "namespace_options.userns_options";
    let refused = |reason| Err(ResolveError::invalid(FIELD, userns.mode, reason));
    match mode(FIELD, userns.mode)? {
        NamespaceMode::Node if userns.uids.is_empty() && userns.gids.is_empty() => Ok(()),
        NamespaceMode::Node => refused("mode NODE has no mappings"),
        NamespaceMode::Pod => {
            let good = |mappings: &[IdMapping]| matches!(mappings, [only] if only.container_id == 0 && only.length > 0);
            if !good(&userns.uids) || !good(&userns.gids) {
                return refused("mode POD has exactly one uid and one gid mapping, from container id 0 on");
            }
            Err(ResolveError::Unsupported { field: FIELD })
        }
        NamespaceMode::Container | NamespaceMode::Target => refused("a pod can have POD or NODE"),
    }
}

/// The namespaces of the process that holds the pod's. Those it makes are the pod's; one for the network is given by
/// descriptor, because it is there before the process.
pub(super) fn of_sandbox(modes: &Modes) -> Vec<LinuxNamespace> {
    let mut list = vec![own(LinuxNamespaceType::Mount)];
    if modes.network != NamespaceMode::Node {
        // The host name belongs to the network: a pod in the host's has the host's name (F-11).
        list.extend([own(LinuxNamespaceType::Network), own(LinuxNamespaceType::Uts)]);
    }
    if modes.ipc != NamespaceMode::Node {
        list.push(own(LinuxNamespaceType::Ipc));
    }
    if modes.pid != NamespaceMode::Node {
        list.push(own(LinuxNamespaceType::Pid));
    }
    list
}

/// The namespaces of a container.
///
/// # Errors
/// `TARGET`, which is not carried out; a pod without a process that holds its namespaces.
pub(super) fn of_container(input: &ContainerInput<'_>) -> Result<Vec<LinuxNamespace>, ResolveError> {
    let modes = Modes::of(input.sandbox)?;
    let pid = pid_mode(input.config)?;
    let joined = |typ, name: &str| {
        if input.holder <= 0 {
            return Err(ResolveError::Missing { field: "process that holds the namespaces of the pod" });
        }
        let path = PathBuf::from(format!("/proc/{}/ns/{name}", input.holder));
        Ok(namespace(typ, Some(path)))
    };
    let mut list = vec![own(LinuxNamespaceType::Mount)];
    if modes.network != NamespaceMode::Node {
        list.push(joined(LinuxNamespaceType::Network, "net")?);
        list.push(joined(LinuxNamespaceType::Uts, "uts")?);
    }
    if modes.ipc != NamespaceMode::Node {
        list.push(joined(LinuxNamespaceType::Ipc, "ipc")?);
    }
    match pid {
        NamespaceMode::Container => list.push(own(LinuxNamespaceType::Pid)),
        NamespaceMode::Pod if modes.pid != NamespaceMode::Node => {
            list.push(joined(LinuxNamespaceType::Pid, "pid")?);
        }
        NamespaceMode::Pod | NamespaceMode::Node => {}
        NamespaceMode::Target => {
            return Err(ResolveError::Unsupported { field: "namespace_options.pid TARGET" });
        }
    }
    // As peers have it: on v1 programs expect to find themselves in /proc/self/cgroup with their path on the host.
    if input.defaults.unified && !is_privileged(input.config) {
        list.push(own(LinuxNamespaceType::Cgroup));
    }
    Ok(list)
}

fn pid_mode(config: &ContainerConfig) -> Result<NamespaceMode, ResolveError> {
    let options = security(config).and_then(|security| security.namespace_options.as_ref());
    mode("namespace_options.pid", options.map_or(0, |options| options.pid))
}

fn own(typ: LinuxNamespaceType) -> LinuxNamespace {
    namespace(typ, None)
}

fn namespace(typ: LinuxNamespaceType, path: Option<PathBuf>) -> LinuxNamespace {
    let builder = LinuxNamespaceBuilder::default().typ(typ);
    let builder = match path {
        Some(path) => builder.path(path),
        None => builder,
    };
    builder.build().expect("every field of the builder has a default")
}
