//! The security context of a container: what the pod says, what the container overrides, what the image implies.

use std::path::Path;

use cri_api::v1::security_profile::ProfileType;
use cri_api::v1::{
    Capability, Int64Value, LinuxContainerSecurityContext, NamespaceMode, NamespaceOption, SeLinuxOption,
    SecurityProfile, SupplementalGroupsPolicy,
};
use k8s_openapi::api::core::v1::{
    AppArmorProfile, Container, PodSecurityContext, PodSpec, SELinuxOptions, SeccompProfile, SecurityContext,
};

/// What of `/proc` and `/sys` a container does not see, unless it is privileged.
const MASKED: &[&str] = &[
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];

/// What a container sees and cannot write, unless it is privileged.
const READ_ONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The user an image runs as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageUser {
    /// A numeric user.
    pub uid: Option<i64>,
    /// A named user, which only the image's own passwd file can resolve.
    pub username: String,
}

/// A container that must not start as the user it would have.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecurityError {
    /// `runAsUser: 0` against `runAsNonRoot: true`.
    #[error("container's runAsUser breaks non-root policy; set runAsUser to another user than 0")]
    UserIsRoot,
    /// The image's user is root.
    #[error("container has runAsNonRoot and image will run as root; set runAsUser")]
    ImageIsRoot,
    /// The image's user is a name.
    #[error(
        "container has runAsNonRoot and image has non-numeric user ({username}), cannot verify user is non-root; set runAsUser"
    )]
    ImageUserIsNamed {
        /// The name.
        username: String,
    },
}

/// The namespaces of a pod, which its sandbox and every container share.
#[must_use]
pub fn namespaces(spec: &PodSpec) -> NamespaceOption {
    let on = |flag: Option<bool>| flag == Some(true);
    let pod_or_node = |host| if host { NamespaceMode::Node } else { NamespaceMode::Pod };
    let pid = if on(spec.host_pid) {
        NamespaceMode::Node
    } else if on(spec.share_process_namespace) {
        NamespaceMode::Pod
    } else {
        NamespaceMode::Container
    };
    NamespaceOption {
        network: pod_or_node(on(spec.host_network)).into(),
        pid: pid.into(),
        ipc: pod_or_node(on(spec.host_ipc)).into(),
        ..NamespaceOption::default()
    }
}

/// Merges the contexts of pod and container (2.13). `seccomp_root` is where Localhost profiles are; `seccomp_default`
/// gives the runtime's profile to a container that asks for none.
///
/// # Errors
/// `runAsNonRoot` cannot be kept.
pub fn container_security(
    spec: &PodSpec,
    container: &Container,
    image: &ImageUser,
    seccomp_root: &Path,
    seccomp_default: bool,
) -> Result<LinuxContainerSecurityContext, SecurityError> {
    let no_pod = PodSecurityContext::default();
    let no_own = SecurityContext::default();
    let pod = spec.security_context.as_ref().unwrap_or(&no_pod);
    let own = container.security_context.as_ref().unwrap_or(&no_own);
    let user = own.run_as_user.or(pod.run_as_user);
    if own.run_as_non_root.or(pod.run_as_non_root) == Some(true) {
        keep_non_root(user, image)?;
    }
    // A group without a user is an error of CRI, so the image's user is named where the manifest has none.
    let user = user.or(image.uid);
    let username = if user.is_none() { image.username.clone() } else { String::new() };
    let user = if user.is_none() && username.is_empty() { Some(0) } else { user };
    let privileged = own.privileged == Some(true);
    let (masked, read_only) =
        if privileged { (Vec::new(), Vec::new()) } else { (masked(), owned(READ_ONLY)) };
    let seccomp = match own.seccomp_profile.as_ref().or(pod.seccomp_profile.as_ref()) {
        Some(profile) => seccomp(profile, seccomp_root),
        None if seccomp_default && !privileged => profile(ProfileType::RuntimeDefault, String::new()),
        None => profile(ProfileType::Unconfined, String::new()),
    };
    Ok(LinuxContainerSecurityContext {
        capabilities: own.capabilities.as_ref().map(|capabilities| Capability {
            add_capabilities: capabilities.add.clone().unwrap_or_default(),
            drop_capabilities: capabilities.drop.clone().unwrap_or_default(),
            add_ambient_capabilities: Vec::new(),
        }),
        privileged,
        namespace_options: Some(namespaces(spec)),
        selinux_options: own.se_linux_options.as_ref().or(pod.se_linux_options.as_ref()).map(selinux),
        run_as_user: user.map(|value| Int64Value { value }),
        run_as_group: own.run_as_group.or(pod.run_as_group).map(|value| Int64Value { value }),
        run_as_username: username,
        readonly_rootfs: own.read_only_root_filesystem == Some(true),
        supplemental_groups: supplemental_groups(pod),
        supplemental_groups_policy: groups_policy(pod).into(),
        no_new_privs: own.allow_privilege_escalation == Some(false),
        masked_paths: masked,
        readonly_paths: read_only,
        seccomp: Some(seccomp),
        apparmor: own.app_armor_profile.as_ref().or(pod.app_armor_profile.as_ref()).map(app_armor),
        ..LinuxContainerSecurityContext::default()
    })
}

fn keep_non_root(user: Option<i64>, image: &ImageUser) -> Result<(), SecurityError> {
    match (user, image.uid) {
        (Some(0), _) => Err(SecurityError::UserIsRoot),
        (Some(_), _) => Ok(()),
        (None, Some(0)) => Err(SecurityError::ImageIsRoot),
        (None, Some(_)) => Ok(()),
        (None, None) if image.username.is_empty() => Err(SecurityError::ImageIsRoot),
        (None, None) => Err(SecurityError::ImageUserIsNamed { username: image.username.clone() }),
    }
}

fn owned(paths: &[&str]) -> Vec<String> {
    paths.iter().map(|&path| path.to_owned()).collect()
}

/// The fixed list, and the per-processor throttling counters, from which neighbours can be timed
/// and which exist on some machines only.
fn masked() -> Vec<String> {
    let mut paths = owned(MASKED);
    let processors = std::fs::read_dir("/sys/devices/system/cpu").into_iter().flatten().flatten();
    let mut counters: Vec<String> = processors
        .map(|entry| entry.path().join("thermal_throttle"))
        .filter(|path| path.exists())
        .map(|path| path.to_string_lossy().into_owned())
        .collect();
    counters.sort();
    paths.extend(counters);
    paths
}

fn profile(kind: ProfileType, localhost_ref: String) -> SecurityProfile {
    SecurityProfile { profile_type: kind.into(), localhost_ref }
}

pub(crate) fn seccomp(wanted: &SeccompProfile, root: &Path) -> SecurityProfile {
    match wanted.type_.as_str() {
        "RuntimeDefault" => profile(ProfileType::RuntimeDefault, String::new()),
        "Localhost" => {
            let file = root.join(wanted.localhost_profile.as_deref().unwrap_or_default());
            profile(ProfileType::Localhost, file.to_string_lossy().into_owned())
        }
        _ => profile(ProfileType::Unconfined, String::new()),
    }
}

fn app_armor(wanted: &AppArmorProfile) -> SecurityProfile {
    match wanted.type_.as_str() {
        "RuntimeDefault" => profile(ProfileType::RuntimeDefault, String::new()),
        "Localhost" => profile(ProfileType::Localhost, wanted.localhost_profile.clone().unwrap_or_default()),
        _ => profile(ProfileType::Unconfined, String::new()),
    }
}

pub(crate) fn selinux(options: &SELinuxOptions) -> SeLinuxOption {
    SeLinuxOption {
        user: options.user.clone().unwrap_or_default(),
        role: options.role.clone().unwrap_or_default(),
        r#type: options.type_.clone().unwrap_or_default(),
        level: options.level.clone().unwrap_or_default(),
    }
}

pub(crate) fn supplemental_groups(pod: &PodSecurityContext) -> Vec<i64> {
    let mut groups: Vec<i64> = pod.fs_group.into_iter().collect();
    groups.extend(pod.supplemental_groups.iter().flatten().filter(|group| Some(**group) != pod.fs_group));
    groups
}

pub(crate) fn groups_policy(pod: &PodSecurityContext) -> SupplementalGroupsPolicy {
    match pod.supplemental_groups_policy.as_deref() {
        Some("Strict") => SupplementalGroupsPolicy::Strict,
        _ => SupplementalGroupsPolicy::Merge,
    }
}

#[cfg(test)]
mod tests;
