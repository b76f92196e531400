//! A pod's network namespace and its attachment.
//!
//! The holder of the pod keeps the namespace alive, and it ends with the holder: nothing is pinned, and a daemon that
//! is killed leaves none behind. Plugins of somebody else need a path that their own helpers can open, so for them the
//! namespace is pinned where everybody looks for it.

use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use cni_plugins::error::Code;
use cni_plugins::invoke::capabilities::{Capabilities, PortMapping};
use cni_plugins::invoke::{Attached, Attachment, NetworkError, pod_arguments};
use cri_api::v1::{NamespaceMode, PodSandboxConfig, Protocol};
use kernel::namespace::{self, Kind};

use crate::error::{Class, Failure};
use crate::record::ProcessId;
use crate::runtime::Runtime;

/// Where network namespaces are pinned.
const PINS: &str = "/run/netns";
/// Name of a pod's interface; the kubelet and every dashboard expect this one.
const INTERFACE: &str = "eth0";

/// Whether the pod uses the host's network.
pub(super) fn is_host(config: &PodSandboxConfig) -> bool {
    let security = config.linux.as_ref().and_then(|linux| linux.security_context.as_ref());
    let options = security.and_then(|security| security.namespace_options.as_ref());
    options.is_some_and(|options| options.network == i32::from(NamespaceMode::Node))
}

/// Where the namespace of this pod is to be pinned; `None` if nobody needs a path.
pub(super) fn pin_path(runtime: &Runtime, id: &str) -> Option<PathBuf> {
    runtime.network.uses_external_plugins().then(|| Path::new(PINS).join(format!("orlop-{id}")))
}

/// A new namespace, pinned at `pin` if that is given.
pub(super) fn create(runtime: &Runtime, pin: Option<&Path>) -> std::io::Result<OwnedFd> {
    let namespace = runtime.namespaces.take()?;
    if let Some(pin) = pin {
        namespace::pin(namespace.as_fd(), pin)?;
    }
    Ok(namespace)
}

/// The namespace of a pod that was found after a restart: through its pin, or through the process that holds it.
pub(super) fn find(pin: Option<&Path>, holder: Option<&ProcessId>) -> Option<OwnedFd> {
    if let Some(pin) = pin {
        return namespace::open_path(pin, Kind::Net).ok();
    }
    let holder = holder?;
    let namespace = namespace::open(holder.pid, Kind::Net).ok()?;
    // Looked at after the opening: a pid that now belongs to somebody else must not lend its namespace.
    kernel::process::start_time(holder.pid).is_ok_and(|start| start == holder.start_time).then_some(namespace)
}

/// The path by which plugins reach the namespace.
fn path(namespace: &OwnedFd, pin: Option<&Path>) -> String {
    pin.map_or_else(
        || format!("/proc/{}/fd/{}", std::process::id(), namespace.as_raw_fd()),
        |pin| pin.display().to_string(),
    )
}

/// Attaches the pod to its network.
pub(super) fn attach(
    runtime: &Runtime,
    id: &str,
    config: &PodSandboxConfig,
    namespace: &OwnedFd,
    pin: Option<&Path>,
) -> Result<Attached, Failure> {
    let metadata = config.metadata.clone().unwrap_or_default();
    let path = path(namespace, pin);
    let attachment = Attachment {
        container_id: id,
        netns: namespace.as_fd(),
        netns_path: &path,
        ifname: INTERFACE,
        arguments: pod_arguments(&metadata.namespace, &metadata.name, &metadata.uid, id),
        capabilities: Capabilities { port_mappings: port_mappings(config)?, ..Capabilities::default() },
    };
    runtime.network.add(&attachment).map_err(|e| network_failure(&e))
}

/// The mappings that ask for a port of the host; a host port of 0 asks for none (F-05).
fn port_mappings(config: &PodSandboxConfig) -> Result<Vec<PortMapping>, Failure> {
    let asked = config.port_mappings.iter().filter(|mapping| mapping.host_port > 0);
    asked
        .map(|mapping| {
            let refuse = |what: &str| {
                let text = format!("map host port {}: {what}", mapping.host_port);
                Failure::new(Class::InvalidArgument, text)
            };
            let host_ip = match mapping.host_ip.as_str() {
                "" => None,
                ip => {
                    Some(ip.parse::<IpAddr>().map_err(|_| refuse(&format!("host IP {ip:?} is no address")))?)
                }
            };
            Ok(PortMapping {
                host_port: u16::try_from(mapping.host_port).map_err(|_| refuse("it is above 65535"))?,
                container_port: u16::try_from(mapping.container_port)
                    .ok()
                    .filter(|port| *port > 0)
                    .ok_or_else(|| {
                        refuse(&format!("container port {} is not 1 to 65535", mapping.container_port))
                    })?,
                protocol: match mapping.protocol() {
                    Protocol::Tcp => "tcp",
                    Protocol::Udp => "udp",
                    Protocol::Sctp => "sctp",
                }
                .to_owned(),
                host_ip,
            })
        })
        .collect()
}

/// Takes the pod off its network. Repeated calls, and calls for a namespace that is gone, succeed.
pub(super) fn detach(
    runtime: &Runtime,
    id: &str,
    namespace: Option<&OwnedFd>,
    pin: Option<&Path>,
) -> Result<(), Failure> {
    let path = namespace.map(|namespace| path(namespace, pin));
    let netns = namespace.zip(path.as_deref()).map(|(namespace, path)| (namespace.as_fd(), path));
    runtime.network.del(id, netns).map_err(|e| network_failure(&e))
}

/// What a plugin says by its code. One that asks to try again later has run out of something: addresses, mostly.
fn network_failure(error: &NetworkError) -> Failure {
    let class = match error.plugin().map(|plugin| plugin.source.code) {
        Some(Code::TRY_AGAIN) => Class::ResourceExhausted,
        Some(Code::HOST_PORT_TAKEN) => Class::FailedPrecondition,
        _ => Class::Internal,
    };
    Failure::because(class, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_host_ports_are_mapped_and_bad_ones_are_named() {
        let mapping = |host_port, container_port, host_ip: &str| cri_api::v1::PortMapping {
            protocol: 0,
            container_port,
            host_port,
            host_ip: host_ip.to_owned(),
        };
        let config = |mappings| PodSandboxConfig { port_mappings: mappings, ..Default::default() };
        let mapped =
            port_mappings(&config(vec![mapping(0, 80, ""), mapping(8080, 80, "127.0.0.1")])).unwrap();
        assert_eq!(mapped.len(), 1);
        assert_eq!((mapped[0].host_port, mapped[0].container_port), (8080, 80));
        for bad in [mapping(70000, 80, ""), mapping(80, 0, ""), mapping(80, 80, "nowhere")] {
            let failure = port_mappings(&config(vec![bad])).unwrap_err();
            assert_eq!(failure.class, Class::InvalidArgument);
        }
    }
}
