//! The CRI configuration of a pod's sandbox (K-SBX-2).

use std::collections::HashMap;

use cri_api::v1::security_profile::ProfileType;
use cri_api::v1::{
    Int64Value, LinuxPodSandboxConfig, LinuxSandboxSecurityContext, PodSandboxConfig, PodSandboxMetadata,
    PortMapping, Protocol, SecurityProfile,
};
use k8s_openapi::api::core::v1::{Container, Pod, PodSecurityContext, PodSpec};

use crate::dns::dns_config;
use crate::host::Host;
use crate::layout::Layout;
use crate::names::{self, Identity};
use crate::{resources, security};

/// Sysctls a pod may set: the kernel keeps them per namespace, and they cannot hurt a neighbour.
const SAFE_SYSCTLS: &[&str] = &[
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];

/// Whether a pod may set this sysctl; both spellings, `net.ipv4.x` and `net/ipv4/x`.
#[must_use]
pub fn sysctl_is_safe(name: &str) -> bool {
    SAFE_SYSCTLS.contains(&name.replace('/', ".").as_str())
}

/// The sandbox configuration of a pod's `attempt`-th sandbox.
#[must_use]
pub fn sandbox_config(pod: &Pod, attempt: u32, host: &Host, layout: &Layout) -> PodSandboxConfig {
    let identity = Identity::of(pod);
    let no_spec = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&no_spec);
    let host_network = spec.host_network == Some(true);
    let (dns, dropped) = dns_config(pod, host);
    for what in dropped {
        tracing::warn!(pod = %identity.name, "leave out of the resolver configuration: {what}");
    }
    PodSandboxConfig {
        // In the host's network the host's own name is the only one that resolves.
        hostname: if host_network { String::new() } else { names::hostname(pod) },
        log_directory: layout.pod_logs(&identity).to_string_lossy().into_owned(),
        dns_config: Some(dns),
        port_mappings: if host_network { Vec::new() } else { port_mappings(&spec.containers) },
        labels: names::sandbox_labels(pod),
        annotations: names::to_map(pod.metadata.annotations.as_ref()),
        linux: Some(LinuxPodSandboxConfig {
            cgroup_parent: host.cgroup_parent.clone(),
            security_context: Some(security_context(spec)),
            sysctls: sysctls(spec),
            overhead: None,
            resources: Some(resources::pod_resources(spec)),
        }),
        windows: None,
        metadata: Some(PodSandboxMetadata {
            name: identity.name,
            uid: identity.uid,
            namespace: identity.namespace,
            attempt,
        }),
    }
}

/// Ports of the regular containers. Init containers have ended before anyone could connect to them.
fn port_mappings(containers: &[Container]) -> Vec<PortMapping> {
    let ports = containers.iter().flat_map(|container| container.ports.iter().flatten());
    ports
        .map(|port| PortMapping {
            protocol: protocol(port.protocol.as_deref()).into(),
            container_port: port.container_port,
            host_port: port.host_port.unwrap_or_default(),
            host_ip: port.host_ip.clone().unwrap_or_default(),
        })
        .collect()
}

fn protocol(name: Option<&str>) -> Protocol {
    match name {
        Some("UDP") => Protocol::Udp,
        Some("SCTP") => Protocol::Sctp,
        _ => Protocol::Tcp,
    }
}

fn sysctls(spec: &PodSpec) -> HashMap<String, String> {
    let list = spec.security_context.iter().flat_map(|context| context.sysctls.iter().flatten());
    list.map(|sysctl| (sysctl.name.replace('/', "."), sysctl.value.clone())).collect()
}

fn security_context(spec: &PodSpec) -> LinuxSandboxSecurityContext {
    let no_context = PodSecurityContext::default();
    let context = spec.security_context.as_ref().unwrap_or(&no_context);
    let privileged = |container: &Container| {
        container.security_context.as_ref().and_then(|context| context.privileged) == Some(true)
    };
    LinuxSandboxSecurityContext {
        namespace_options: Some(security::namespaces(spec)),
        selinux_options: context.se_linux_options.as_ref().map(security::selinux),
        run_as_user: context.run_as_user.map(|value| Int64Value { value }),
        // CRI allows a group only beside a user.
        run_as_group: context.run_as_user.and(context.run_as_group).map(|value| Int64Value { value }),
        supplemental_groups: security::supplemental_groups(context),
        supplemental_groups_policy: security::groups_policy(context).into(),
        privileged: spec.containers.iter().chain(spec.init_containers.iter().flatten()).any(privileged),
        // pause needs next to nothing: it always gets the runtime's profile.
        seccomp: Some(SecurityProfile {
            profile_type: ProfileType::RuntimeDefault.into(),
            localhost_ref: String::new(),
        }),
        ..LinuxSandboxSecurityContext::default()
    }
}

#[cfg(test)]
mod tests;
