//! Capabilities: what a pod asks for, given to the plugins of a chain that declare they can do it.

use std::net::IpAddr;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::result::Dns;

/// A published port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PortMapping {
    /// Port of the host; 0 means not published, and is left out.
    pub host_port: u16,
    /// Port of the container.
    pub container_port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// Address of the host; all if `None`.
    #[serde(rename = "hostIP", skip_serializing_if = "Option::is_none")]
    pub host_ip: Option<IpAddr>,
}

/// A limit of bandwidth, in the specification's units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bandwidth {
    /// Bits per second towards the pod; 0 is no limit.
    pub ingress_rate: u64,
    /// Bits.
    pub ingress_burst: u64,
    /// Bits per second from the pod; 0 is no limit.
    pub egress_rate: u64,
    /// Bits.
    pub egress_burst: u64,
}

/// Everything a Kubernetes runtime passes (cni.md 1.4).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Capabilities {
    /// Published ports.
    pub port_mappings: Vec<PortMapping>,
    /// Limits of the pod's annotations.
    pub bandwidth: Option<Bandwidth>,
    /// Name resolution of the pod.
    pub dns: Option<Dns>,
    /// Cgroup parent of the pod.
    pub cgroup_path: Option<String>,
    /// Annotations of the pod.
    pub pod_annotations: Option<Map<String, Value>>,
}

impl Capabilities {
    /// By the names under which plugins declare them.
    pub fn to_map(&self) -> Map<String, Value> {
        let mut map = Map::new();
        let published: Vec<Value> =
            self.port_mappings.iter().filter(|m| m.host_port != 0).map(|m| json!(m)).collect();
        if !published.is_empty() {
            map.insert("portMappings".to_owned(), Value::Array(published));
        }
        let mut insert = |name: &str, value: Option<Value>| value.map(|v| map.insert(name.to_owned(), v));
        insert("bandwidth", self.bandwidth.map(|b| json!(b)));
        insert(
            "dns",
            self.dns.as_ref().map(
                |dns| json!({ "servers": dns.nameservers, "searches": dns.search, "options": dns.options }),
            ),
        );
        insert("cgroupPath", self.cgroup_path.as_ref().map(|path| json!(path)));
        insert("io.kubernetes.cri.pod-annotations", self.pod_annotations.as_ref().map(|a| json!(a)));
        map
    }
}

/// The `runtimeConfig` of one plugin: the capabilities it declares as true and that were given.
pub fn select(plugin: &Map<String, Value>, given: &Map<String, Value>) -> Map<String, Value> {
    let declared = plugin.get("capabilities").and_then(Value::as_object);
    let wanted =
        declared.into_iter().flatten().filter(|(_, on)| **on == Value::Bool(true)).map(|(name, _)| name);
    wanted.filter_map(|name| given.get(name).map(|value| (name.clone(), value.clone()))).collect()
}
