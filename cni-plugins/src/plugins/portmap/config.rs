//! What a configuration says to `portmap`.

use std::net::IpAddr;

use serde::Deserialize;

use super::Error;
use crate::call::Call;
use crate::error::Error as CniError;
use crate::result::CniResult;

/// What the verbs need.
#[derive(Debug)]
pub struct Config {
    pub network: String,
    pub mappings: Vec<Mapping>,
    /// Addresses of the container, one of each family at most.
    pub targets: Vec<IpAddr>,
    /// Masquerade what comes from the host's loopback or from the pod's own interface.
    pub snat: bool,
    /// Masquerade everything.
    pub masquerade_all: bool,
}

/// A port of the host and where it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    pub host_port: u16,
    pub container_port: u16,
    pub protocol: Protocol,
    pub host_ip: Option<IpAddr>,
}

/// Transport protocols with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    /// `IPPROTO_*`.
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        // Kubernetes writes upper case, the specification lower case.
        match text.to_ascii_lowercase().as_str() {
            "tcp" | "" => Some(Self::Tcp),
            "udp" => Some(Self::Udp),
            "sctp" => Some(Self::Sctp),
            _ => None,
        }
    }
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

impl std::fmt::Display for Mapping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host_ip {
            Some(IpAddr::V6(ip)) => write!(f, "[{ip}]:{}/{}", self.host_port, self.protocol),
            Some(ip) => write!(f, "{ip}:{}/{}", self.host_port, self.protocol),
            None => write!(f, "{}/{}", self.host_port, self.protocol),
        }
    }
}

impl Mapping {
    /// Whether the mapping is made for an address of this family.
    pub fn applies_to(&self, target: IpAddr) -> bool {
        self.host_ip.is_none_or(|ip| ip.is_ipv4() == target.is_ipv4())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    backend: Option<String>,
    snat: Option<bool>,
    #[serde(default)]
    masq_all: bool,
    external_set_mark_chain: Option<String>,
    conditions_v4: Option<Vec<String>>,
    conditions_v6: Option<Vec<String>>,
    #[serde(default)]
    runtime_config: Runtime,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Runtime {
    #[serde(default)]
    port_mappings: Option<Vec<MappingFields>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MappingFields {
    #[serde(default)]
    host_port: i64,
    #[serde(default)]
    container_port: i64,
    #[serde(default)]
    protocol: String,
    #[serde(rename = "hostIP", default)]
    host_ip: String,
}

impl MappingFields {
    fn read(&self) -> Result<Mapping, String> {
        let port = |what: &str, number: i64| match u16::try_from(number) {
            Ok(port) if port > 0 => Ok(port),
            _ => Err(format!("{what} {number} of a port mapping is not between 1 and 65535")),
        };
        let host_ip = match self.host_ip.as_str() {
            "" => None,
            text => Some(
                text.parse().map_err(|_| format!("hostIP {text:?} of a port mapping is no IP address"))?,
            ),
        };
        Ok(Mapping {
            host_port: port("hostPort", self.host_port)?,
            container_port: port("containerPort", self.container_port)?,
            protocol: Protocol::parse(&self.protocol).ok_or_else(|| {
                format!("protocol {:?} of a port mapping is not tcp, udp or sctp", self.protocol)
            })?,
            // 0.0.0.0 and :: are every address of their family. As a key of its own that would be a second owner of
            // the same port; without hostIP it would also be the other family. It stays, and the table knows it.
            host_ip,
        })
    }
}

/// The first address of each family that is the container's.
fn targets(result: &CniResult) -> Vec<IpAddr> {
    let in_container = |index: usize| result.interfaces.get(index).is_none_or(|i| !i.sandbox.is_empty());
    let own: Vec<IpAddr> = result
        .ips
        .iter()
        .filter(|ip| ip.interface.is_none_or(in_container))
        .map(|ip| ip.address.addr())
        .collect();
    [true, false].into_iter().filter_map(|v4| own.iter().copied().find(|ip| ip.is_ipv4() == v4)).collect()
}

impl Config {
    pub fn of(call: &Call<'_>) -> Result<Self, CniError> {
        let fields: Fields = call.config.plugin()?;
        let network = call.config.name.clone();
        let some = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
        let unsupported = [
            ("backend iptables; leave it out or use nftables", fields.backend.as_deref() == Some("iptables")),
            ("conditionsV4", some(&fields.conditions_v4)),
            ("conditionsV6", some(&fields.conditions_v6)),
            ("externalSetMarkChain", fields.external_set_mark_chain.is_some_and(|chain| !chain.is_empty())),
        ];
        if let Some((field, _)) = unsupported.into_iter().find(|(_, asked)| *asked) {
            return Err(Error::Unsupported { network, field }.into());
        }
        let mut mappings = Vec::new();
        // A hostPort of 0 is how a runtime says "not published" (F-05).
        for entry in fields.runtime_config.port_mappings.iter().flatten().filter(|m| m.host_port != 0) {
            let mapping =
                entry.read().map_err(|problem| Error::Config { network: network.clone(), problem })?;
            if !mappings.contains(&mapping) {
                mappings.push(mapping);
            }
        }
        let targets = call.config.prev_result.as_ref().map(targets).unwrap_or_default();
        Ok(Self {
            mappings,
            targets,
            snat: fields.snat.unwrap_or(true),
            masquerade_all: fields.masq_all,
            network,
        })
    }
}
