//! A pod's attachment to the network: what the caller says, and what comes back.

use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use serde_json::Value;

use super::capabilities::Capabilities;
use crate::call::Arguments;

/// An attachment to be made.
#[derive(Debug)]
pub struct Attachment<'a> {
    /// Id of the sandbox.
    pub container_id: &'a str,
    /// Its network namespace.
    pub netns: BorrowedFd<'a>,
    /// The path of the namespace, by which external plugins open it (see
    /// [`super::Network::uses_external_plugins`]) and results name it.
    pub netns_path: &'a str,
    /// Name of the interface inside, usually `eth0`.
    pub ifname: &'a str,
    /// `CNI_ARGS`.
    pub arguments: Arguments,
    /// What the pod asks of plugins that can do it.
    pub capabilities: Capabilities,
}

/// `CNI_ARGS` as containerd and CRI-O pass them; plugins depend on the names.
pub fn pod_arguments(namespace: &str, name: &str, uid: &str, container_id: &str) -> Arguments {
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    Arguments::new(vec![
        pair("IgnoreUnknown", "1"),
        pair("K8S_POD_NAMESPACE", namespace),
        pair("K8S_POD_NAME", name),
        pair("K8S_POD_INFRA_CONTAINER_ID", container_id),
        pair("K8S_POD_UID", uid),
    ])
}

/// An attachment that was made.
#[derive(Debug, Clone)]
pub struct Attached {
    /// Addresses of the container's interface, in the order of the result; the first is the pod's primary one.
    pub ips: Vec<IpAddr>,
    /// The result of the chain, in the version of the configuration.
    pub result: Value,
    /// How long each plugin took.
    pub stages: Vec<(String, Duration)>,
}
