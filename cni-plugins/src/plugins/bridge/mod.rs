//! `bridge`: a veth pair between the container and a bridge of the host.
//!
//! Owns the bridge, the pair, the addresses and routes inside, and the masquerading of what leaves the bridge. The
//! addresses themselves come from an IPAM plugin.
//!
//! The order of ADD: address, bridge, pair, inside, masquerade. All of it is netlink, in as few messages as the kernel
//! takes (cni.md 4.2). The host end's name is derived from the attachment, so that it is found without the container's
//! namespace, without a result and without a record.

mod check;
mod config;
mod host;
mod inside;
mod masquerade;

use std::io;
use std::os::fd::AsFd;

pub use masquerade::forget as forget_masquerade;

use super::Plugin;
use crate::call::{Call, Teardown};
use crate::error::{Code, Error as CniError, FirstError};
use crate::ipam;
use crate::netlink::link::{self, Mac, Veth};
use crate::netlink::{self, Protocol, Socket};
use crate::nft;
use crate::result::{CniResult, Interface, RouteConfig};
use crate::sysctl::SysctlError;
use crate::undo::Undo;
use config::Config;

/// The plugin.
#[derive(Debug, Clone, Copy)]
pub struct Bridge;

/// Failures of the bridge plugin; each names the object.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The network namespace of the container.
    #[error("enter network namespace {path}")]
    EnterNamespace {
        /// Its path.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A thread inside.
    #[error("work in the network namespace of the container")]
    Inside(#[from] io::Error),
    /// No netlink socket.
    #[error("talk to rtnetlink")]
    Netlink(#[source] netlink::Error),
    /// The bridge cannot be made or changed.
    #[error("set up bridge {name}")]
    SetUpBridge {
        /// Bridge.
        name: String,
        /// Why.
        #[source]
        source: netlink::Error,
    },
    /// A link of this name is something else.
    #[error("set up bridge {name}: a link of this name exists and is of kind {kind:?}")]
    NotABridge {
        /// Link.
        name: String,
        /// What it is.
        kind: String,
    },
    /// The bridge belongs to another network.
    #[error(
        "set up bridge {name}: it has address {found} and not {wanted}; delete the bridge or set forceAddress"
    )]
    OtherAddress {
        /// Bridge.
        name: String,
        /// Its address.
        found: ipnet::IpNet,
        /// The gateway of this network.
        wanted: ipnet::IpNet,
    },
    /// The container has such an interface already.
    #[error("create interface {ifname} in {netns}: it exists already")]
    InterfaceExists {
        /// Interface.
        ifname: String,
        /// Namespace.
        netns: String,
    },
    /// The pair cannot be made.
    #[error("create veth pair {host} - {ifname}")]
    CreateVeth {
        /// Host end.
        host: String,
        /// Container end.
        ifname: String,
        /// Why.
        #[source]
        source: netlink::Error,
    },
    /// The container's side cannot be configured.
    #[error("configure interface {ifname} in the container")]
    Configure {
        /// Interface.
        ifname: String,
        /// Why.
        #[source]
        source: netlink::Error,
    },
    /// A link cannot be removed.
    #[error("remove interface {name}")]
    Remove {
        /// Link.
        name: String,
        /// Why.
        #[source]
        source: netlink::Error,
    },
    /// A sysctl.
    #[error("set sysctl")]
    Sysctl(#[from] SysctlError),
    /// Random bytes.
    #[error("choose hardware address")]
    Random(#[source] io::Error),
    /// The masquerade table.
    #[error("masquerade bridge {bridge}")]
    Masquerade {
        /// Bridge.
        bridge: String,
        /// Why.
        #[source]
        source: nft::Error,
    },
    /// The configuration asks for something impossible.
    #[error("invalid configuration of network {network}: {problem}")]
    Config {
        /// Network.
        network: String,
        /// What is wrong.
        problem: String,
    },
    /// The configuration asks for something that is not there yet.
    #[error("bridge does not support {field} (network {network})")]
    Unsupported {
        /// Network.
        network: String,
        /// Field of the configuration.
        field: &'static str,
    },
    /// CHECK found a difference.
    #[error("{object}: {problem}")]
    Differs {
        /// What was looked at.
        object: String,
        /// What is different.
        problem: String,
    },
}

impl From<Error> for CniError {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::Config { .. } | Error::OtherAddress { .. } | Error::NotABridge { .. } => {
                Code::INVALID_CONFIG
            }
            Error::Unsupported { .. } => Code::UNSUPPORTED_FIELD,
            Error::EnterNamespace { .. } => Code::UNKNOWN_CONTAINER,
            Error::Differs { .. } => Code::CHECK_FAILED,
            _ => Code::INTERNAL,
        };
        CniError::from_source(code, &error)
    }
}

impl Plugin for Bridge {
    fn name(&self) -> &'static str {
        "bridge"
    }

    fn add(&self, call: &Call<'_>) -> Result<CniResult, CniError> {
        let config = Config::of(call)?;
        let netns = call.netns()?;
        let mut undo = Undo::new();
        let mut result = CniResult::default();
        if config.ipam {
            // Not if ADD itself fails: it may have failed because this is the second ADD of the attachment, whose
            // address must stay.
            result = ipam::add(call)?;
            undo.push("release addresses", || ipam::del(call));
            if result.ips.is_empty() {
                let problem = "the IPAM plugin returned no address".to_owned();
                return Err(Error::Config { network: config.network, problem }.into());
            }
        }
        let mut socket = Socket::open(Protocol::Route).map_err(Error::Netlink)?;
        let gateways = config.gateways(&mut result)?;
        let bridge = host::ensure_bridge(&mut socket, &config, &gateways)?;

        let host_name = host::veth_name(&config.network, &call.container_id, &call.ifname);
        let (host_mac, peer_mac) = (random_mac()?, config.mac.map_or_else(random_mac, Ok)?);
        let veth = Veth {
            host_name: &host_name,
            host_mac,
            peer_name: &call.ifname,
            peer_mac,
            peer_netns: netns.as_fd(),
            bridge: bridge.index,
            mtu: config.mtu,
        };
        let alias = host::alias(&config.network, &call.container_id, &call.ifname);
        host::create_veth(&mut socket, &config, netns, &veth, &alias)?;
        let created = host_name.clone();
        undo.push("remove veth pair", move || {
            let mut socket = Socket::open(Protocol::Route).map_err(Error::Netlink)?;
            Ok(host::delete(&mut socket, &created).map(|_| ())?)
        });
        kernel::failpoint::hit("cni.bridge.veth");

        let mtu = inside::configure(netns, &call.ifname, &config, &result)?;
        kernel::failpoint::hit("cni.bridge.configured");
        if config.masquerade {
            masquerade::ensure(&config.bridge)?;
        }
        undo.disarm();
        result.interfaces = vec![
            interface(&config.bridge, link::mac_text(&bridge), bridge.mtu, ""),
            interface(&host_name, host_mac.to_string(), mtu, ""),
            interface(&call.ifname, peer_mac.to_string(), mtu, netns.path()),
        ];
        result.ips.iter_mut().for_each(|ip| ip.interface = Some(2));
        if !config.dns.is_empty() {
            result.dns = config.dns;
        }
        Ok(result)
    }

    fn del(&self, call: &Call<'_>) -> Result<(), CniError> {
        let mut steps = FirstError::default();
        // The link first: as long as it can carry packets its address belongs to it.
        steps.collect(host::remove_link(call));
        kernel::failpoint::hit("cni.bridge.unlinked");
        if config::has_ipam(call) {
            steps.collect(ipam::del(call));
        }
        steps.finish()
    }

    fn check(&self, call: &Call<'_>) -> Result<(), CniError> {
        let config = Config::of(call)?;
        if config.ipam {
            ipam::check(call)?;
        }
        Ok(check::attachment(call, &config)?)
    }

    fn gc(&self, call: &Call<'_>) -> Result<(), CniError> {
        let config = Config::of(call)?;
        let valid = call.config.valid_attachments()?;
        let mut steps = FirstError::default();
        steps.collect(host::retain(&config, &valid));
        if config.ipam {
            steps.collect(ipam::gc(call));
        }
        steps.finish()
    }

    fn status(&self, call: &Call<'_>) -> Result<(), CniError> {
        let config = Config::of(call).map_err(|e| CniError { code: Code::UNAVAILABLE, ..e })?;
        let probe = || -> Result<(), Error> {
            let mut socket = Socket::open(Protocol::Route).map_err(Error::Netlink)?;
            match link::find(&mut socket, &config.bridge).map_err(Error::Netlink)? {
                Some(found) => host::expect_bridge(&found),
                None => Ok(()),
            }
        };
        probe().map_err(|e| CniError::from_source(Code::UNAVAILABLE, &e))?;
        if config.ipam { ipam::status(call) } else { Ok(()) }
    }
}

fn random_mac() -> Result<Mac, Error> {
    Mac::random().map_err(Error::Random)
}

fn interface(name: &str, mac: String, mtu: u32, sandbox: &str) -> Interface {
    Interface {
        name: name.to_owned(),
        mac,
        mtu: Some(mtu),
        sandbox: sandbox.to_owned(),
        ..Interface::default()
    }
}

/// The default route of each family that has a gateway, unless the IPAM plugin gave one.
fn add_default_routes(result: &mut CniResult) {
    for v4 in [true, false] {
        let any: ipnet::IpNet =
            if v4 { ipnet::Ipv4Net::default().into() } else { ipnet::Ipv6Net::default().into() };
        let gateway =
            result.ips.iter().find(|ip| ip.address.addr().is_ipv4() == v4).and_then(|ip| ip.gateway);
        if gateway.is_some() && !result.routes.iter().any(|route| route.dst == any) {
            result.routes.push(RouteConfig::new(any, gateway));
        }
    }
}

/// What DEL does with the link.
fn deletes_link(call: &Call<'_>) -> bool {
    call.teardown == Teardown::Link
}

/// Deletes a bridge. For whoever takes a network down; its pods must be gone.
///
/// # Errors
/// If there is one and it cannot be deleted.
pub fn delete_bridge(name: &str) -> Result<(), Error> {
    let mut socket = Socket::open(Protocol::Route).map_err(Error::Netlink)?;
    host::delete(&mut socket, name).map(|_| ())
}
