//! The CRI configuration of one container instance.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::PathBuf;

use cri_api::v1::{
    ContainerConfig, ContainerMetadata, ImageSpec, KeyValue, LinuxContainerConfig, Mount, MountPropagation,
};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, VolumeMount};

use crate::env::{self, EnvError, Source};
use crate::expand::expand;
use crate::hash::container_hash;
use crate::host::Host;
use crate::layout::Layout;
use crate::names::{self, Identity};
use crate::security::{ImageUser, SecurityError};
use crate::{resources, security};

const ETC_HOSTS: &str = "/etc/hosts";
const TERMINATION_LOG: &str = "/dev/termination-log";

/// Why a container cannot be configured (`CreateContainerConfigError`).
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// A variable has no value.
    #[error(transparent)]
    Env(#[from] EnvError),
    /// The security context cannot be kept.
    #[error(transparent)]
    Security(#[from] SecurityError),
    /// A mount refers to a volume that was not prepared.
    #[error("mount volume {volume:?}: not prepared")]
    Volume {
        /// The volume.
        volume: String,
    },
}

/// Everything outside the manifest that a container's configuration depends on.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// The host.
    pub host: &'a Host,
    /// Where files lie.
    pub layout: &'a Layout,
    /// The pod's addresses.
    pub addresses: &'a [IpAddr],
    /// Prepared volumes: where each lies on the host.
    pub volumes: &'a BTreeMap<String, PathBuf>,
}

/// The image an instance is created from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// The runtime's own id for it.
    pub id: String,
    /// Whom it runs as.
    pub user: ImageUser,
}

/// The path in the container at which the termination message is written.
#[must_use]
pub fn termination_message_path(container: &Container) -> &str {
    container.termination_message_path.as_deref().filter(|path| !path.is_empty()).unwrap_or(TERMINATION_LOG)
}

/// Whether `container` gets the pod's managed hosts file: not if it mounts something there itself.
#[must_use]
pub fn mounts_etc_hosts(container: &Container) -> bool {
    !container.volume_mounts.iter().flatten().any(|mount| mount.mount_path.trim_end_matches('/') == ETC_HOSTS)
}

/// The configuration of the `attempt`-th instance of `container`.
///
/// # Errors
/// See [`ContainerError`].
pub fn container_config(
    pod: &Pod,
    container: &Container,
    attempt: u32,
    image: &Image,
    setting: Setting<'_>,
) -> Result<ContainerConfig, ContainerError> {
    let identity = Identity::of(pod);
    let no_spec = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&no_spec);
    let source = Source { pod, addresses: setting.addresses, host: setting.host };
    let variables = env::environment(container, source)?;
    let expanded = |words: &Option<Vec<String>>| -> Vec<String> {
        words.iter().flatten().map(|word| expand(word, |name| env::lookup(&variables, name))).collect()
    };
    let security = security::container_security(
        spec,
        container,
        &image.user,
        &setting.layout.seccomp(),
        setting.host.seccomp_default,
    )?;
    let named = container.image.clone().unwrap_or_default();
    Ok(ContainerConfig {
        metadata: Some(ContainerMetadata { name: container.name.clone(), attempt }),
        image: Some(ImageSpec {
            image: image.id.clone(),
            user_specified_image: named,
            ..ImageSpec::default()
        }),
        command: expanded(&container.command),
        args: expanded(&container.args),
        working_dir: container.working_dir.clone().unwrap_or_default(),
        mounts: mounts(container, &identity, attempt, setting)?,
        labels: labels(&identity, container),
        annotations: annotations(spec, container, attempt),
        log_path: Layout::log_file(&container.name, attempt).to_string_lossy().into_owned(),
        stdin: container.stdin == Some(true),
        stdin_once: container.stdin_once == Some(true),
        tty: container.tty == Some(true),
        linux: Some(LinuxContainerConfig {
            resources: Some(resources::container_resources(pod, container, setting.host)),
            security_context: Some(security),
        }),
        envs: variables.into_iter().map(|(key, value)| KeyValue { key, value: value.into_bytes() }).collect(),
        ..ContainerConfig::default()
    })
}

fn labels(identity: &Identity, container: &Container) -> HashMap<String, String> {
    let mut labels = identity.labels();
    labels.insert(names::CONTAINER_NAME.to_owned(), container.name.clone());
    labels
}

fn annotations(spec: &PodSpec, container: &Container, attempt: u32) -> HashMap<String, String> {
    let policy = container.termination_message_policy.clone().unwrap_or_else(|| "File".to_owned());
    let mut annotations = HashMap::from([
        (names::CONTAINER_HASH.to_owned(), container_hash(container)),
        (names::RESTART_COUNT.to_owned(), attempt.to_string()),
        (names::TERMINATION_MESSAGE_PATH.to_owned(), termination_message_path(container).to_owned()),
        (names::TERMINATION_MESSAGE_POLICY.to_owned(), policy),
    ]);
    if let Some(seconds) = spec.termination_grace_period_seconds {
        annotations.insert(names::TERMINATION_GRACE.to_owned(), seconds.to_string());
    }
    let ports = container.ports.as_deref().unwrap_or_default();
    if let Ok(ports) = serde_json::to_string(ports)
        && ports != "[]"
    {
        annotations.insert(names::CONTAINER_PORTS.to_owned(), ports);
    }
    annotations
}

fn mounts(
    container: &Container,
    identity: &Identity,
    attempt: u32,
    setting: Setting<'_>,
) -> Result<Vec<Mount>, ContainerError> {
    let mut mounts = Vec::new();
    for mount in container.volume_mounts.iter().flatten() {
        let Some(path) = setting.volumes.get(&mount.name) else {
            return Err(ContainerError::Volume { volume: mount.name.clone() });
        };
        mounts.push(volume_mount(mount, path.to_string_lossy().into_owned()));
    }
    if mounts_etc_hosts(container) {
        mounts.push(file_mount(ETC_HOSTS, &setting.layout.etc_hosts(&identity.uid)));
    }
    let message = setting.layout.termination_log(&identity.uid, &container.name, attempt);
    mounts.push(file_mount(termination_message_path(container), &message));
    Ok(mounts)
}

fn file_mount(container_path: &str, host_path: &std::path::Path) -> Mount {
    Mount {
        container_path: container_path.to_owned(),
        host_path: host_path.to_string_lossy().into_owned(),
        ..Mount::default()
    }
}

fn volume_mount(mount: &VolumeMount, host_path: String) -> Mount {
    let propagation = match mount.mount_propagation.as_deref() {
        Some("HostToContainer") => MountPropagation::PropagationHostToContainer,
        Some("Bidirectional") => MountPropagation::PropagationBidirectional,
        _ => MountPropagation::PropagationPrivate,
    };
    let recursive = matches!(mount.recursive_read_only.as_deref(), Some("Enabled" | "IfPossible"));
    // A relative mount path is taken from the container's root, as other kubelets do.
    let container_path = if mount.mount_path.starts_with('/') {
        mount.mount_path.clone()
    } else {
        format!("/{}", mount.mount_path)
    };
    Mount {
        container_path,
        host_path,
        readonly: mount.read_only == Some(true),
        propagation: propagation.into(),
        recursive_read_only: recursive,
        ..Mount::default()
    }
}

#[cfg(test)]
mod tests;
