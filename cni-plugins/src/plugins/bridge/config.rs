//! What a configuration says to `bridge`.

use ipnet::IpNet;
use serde::Deserialize;

use super::Error;
use crate::call::Call;
use crate::error::{Code, Error as CniError};
use crate::netlink::link::Mac;
use crate::result::{CniResult, Dns};

/// What the verbs need.
#[derive(Debug)]
pub struct Config {
    pub network: String,
    pub bridge: String,
    pub gateway: bool,
    pub default_gateway: bool,
    pub force_address: bool,
    pub masquerade: bool,
    pub mtu: Option<u32>,
    pub hairpin: bool,
    pub promiscuous: bool,
    pub isolated: bool,
    /// Run IPv6 duplicate address detection.
    pub probe: bool,
    pub container_interface_up: bool,
    pub mac: Option<Mac>,
    pub ipam: bool,
    pub dns: Dns,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    bridge: Option<String>,
    #[serde(default)]
    is_gateway: bool,
    #[serde(default)]
    is_default_gateway: bool,
    #[serde(default)]
    force_address: bool,
    #[serde(default)]
    ip_masq: bool,
    ip_masq_backend: Option<String>,
    #[serde(default)]
    mtu: u32,
    #[serde(default)]
    hairpin_mode: bool,
    #[serde(default)]
    promisc_mode: bool,
    #[serde(default)]
    port_isolation: bool,
    #[serde(default)]
    enabledad: bool,
    #[serde(default)]
    disable_container_interface: bool,
    #[serde(default)]
    macspoofchk: bool,
    #[serde(default)]
    vlan: i64,
    vlan_trunk: Option<Vec<serde_json::Value>>,
    #[serde(default)]
    dns: Dns,
    #[serde(default)]
    runtime_config: WithMac,
    #[serde(default)]
    args: Args,
}

#[derive(Deserialize, Default)]
struct WithMac {
    mac: Option<String>,
}

#[derive(Deserialize, Default)]
struct Args {
    #[serde(default)]
    cni: WithMac,
}

/// Whether addresses come from an IPAM plugin.
pub fn has_ipam(call: &Call<'_>) -> bool {
    call.config
        .fields
        .get("ipam")
        .and_then(|ipam| ipam.get("type"))
        .and_then(|v| v.as_str())
        .is_some_and(|t| !t.is_empty())
}

impl Config {
    pub fn of(call: &Call<'_>) -> Result<Self, CniError> {
        let fields: Fields = call.config.plugin()?;
        let network = call.config.name.clone();
        let problem = |problem: &str| Error::Config { network: network.clone(), problem: problem.to_owned() };
        if fields.hairpin_mode && fields.promisc_mode {
            return Err(problem("hairpinMode and promiscMode exclude each other").into());
        }
        if fields.disable_container_interface && has_ipam(call) {
            return Err(problem("disableContainerInterface excludes an ipam section").into());
        }
        let unsupported = [
            ("vlan", fields.vlan != 0),
            ("vlanTrunk", fields.vlan_trunk.is_some_and(|list| !list.is_empty())),
            ("macspoofchk", fields.macspoofchk),
            (
                "ipMasqBackend iptables",
                fields.ip_masq && fields.ip_masq_backend.as_deref() == Some("iptables"),
            ),
        ];
        if let Some((field, _)) = unsupported.into_iter().find(|(_, asked)| *asked) {
            return Err(Error::Unsupported { network, field }.into());
        }
        let mac = fields.runtime_config.mac.or(fields.args.cni.mac);
        let mac = mac.as_deref().or_else(|| call.arguments.get("MAC")).filter(|mac| !mac.is_empty());
        let mac =
            mac.map(str::parse).transpose().map_err(|e: String| CniError::new(Code::INVALID_CONFIG, e))?;
        Ok(Self {
            bridge: fields.bridge.filter(|name| !name.is_empty()).unwrap_or_else(|| "cni0".to_owned()),
            gateway: fields.is_gateway || fields.is_default_gateway,
            default_gateway: fields.is_default_gateway,
            force_address: fields.force_address,
            masquerade: fields.ip_masq,
            mtu: (fields.mtu != 0).then_some(fields.mtu),
            hairpin: fields.hairpin_mode,
            promiscuous: fields.promisc_mode,
            isolated: fields.port_isolation,
            probe: fields.enabledad,
            container_interface_up: !fields.disable_container_interface,
            mac,
            ipam: has_ipam(call),
            dns: fields.dns,
            network,
        })
    }

    /// The addresses the bridge has to have, one for each family at least; fills in gateways and default routes that
    /// the IPAM plugin left to us.
    pub fn gateways(&self, result: &mut CniResult) -> Result<Vec<IpNet>, Error> {
        if !self.gateway {
            return Ok(Vec::new());
        }
        let mut gateways = Vec::new();
        for ip in &mut result.ips {
            let gateway = match ip.gateway {
                Some(gateway) => gateway,
                None => first_host(ip.address).ok_or_else(|| Error::Config {
                    network: self.network.clone(),
                    problem: format!("isGateway: {} has no room for a gateway", ip.address),
                })?,
            };
            ip.gateway = Some(gateway);
            let net = IpNet::new(gateway, ip.address.prefix_len()).unwrap_or_else(|_| IpNet::from(gateway));
            if !gateways.contains(&net) {
                gateways.push(net);
            }
        }
        if self.default_gateway {
            super::add_default_routes(result);
        }
        Ok(gateways)
    }
}

fn first_host(net: IpNet) -> Option<std::net::IpAddr> {
    match net {
        IpNet::V4(net) => net.hosts().next().map(Into::into),
        // The first address of an IPv6 subnet is the routers' anycast address.
        IpNet::V6(net) => net.hosts().nth(1).map(Into::into),
    }
}
