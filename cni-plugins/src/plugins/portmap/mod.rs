//! `portmap`: ports of the host that lead to a pod.
//!
//! Owns the nftables table of host ports ([`rules`], [`table`]), which is the only record of them, and the connections that
//! conntrack remembers for a port. Does not own addresses: they come with `prevResult`.
//!
//! A port leads to the pod from outside, from the host (also through 127.0.0.1), from other pods and from the pod
//! itself. Only what is addressed to the host is redirected: traffic that passes through to the same port of another
//! machine is left alone (CVE-2019-9946). A port that another pod has is an error that names the pod, one on which a
//! process of the host listens is an error too ([`listener`]; not for SCTP); without hostIP and with hostIP are two
//! different keys, of which the one with hostIP wins.

mod config;
mod conntrack;
mod listener;
mod rules;
mod table;

use std::io;
use std::net::IpAddr;

pub use table::delete_if_unused;

use super::Plugin;
use crate::call::Call;
use crate::error::{Code, Error as CniError, FirstError};
use crate::netlink::{self, Protocol as NetlinkProtocol, Socket, link, route};
use crate::nft::{self, Owner};
use crate::result::CniResult;
use crate::sysctl::{self, SysctlError};
use config::{Config, Mapping, Protocol};

/// The plugin.
#[derive(Debug, Clone, Copy)]
pub struct Portmap;

/// Failures of the portmap plugin.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The host port is taken.
    #[error("host port {port} is taken by pod {holder}")]
    Taken {
        /// Address, port and protocol.
        port: String,
        /// Who has it.
        holder: String,
    },
    /// The host port is in use without any pod.
    #[error("host port {port} is taken: a process of the host listens there")]
    Listening {
        /// Address, port and protocol.
        port: String,
    },
    /// Whether it is in use cannot be told.
    #[error("look for a process of the host that listens on host port {port}")]
    Probe {
        /// Address, port and protocol.
        port: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The table.
    #[error("publish host ports")]
    Publish(#[source] nft::Error),
    /// The table.
    #[error("remove host ports")]
    Remove(#[source] nft::Error),
    /// The table.
    #[error("look up host ports")]
    LookUp(#[source] nft::Error),
    /// The interface towards the pod.
    #[error("find the interface that leads to {ip}")]
    Interface {
        /// Address of the pod.
        ip: IpAddr,
        /// Why.
        #[source]
        source: netlink::Error,
    },
    /// The interface towards the pod.
    #[error("find the interface that leads to {0}: there is no route")]
    NoRoute(IpAddr),
    /// Connections of before.
    #[error("forget old connections to host ports")]
    Conntrack(#[source] netlink::Error),
    /// A sysctl.
    #[error("let 127.0.0.1 reach the pod")]
    Sysctl(#[from] SysctlError),
    /// Random trouble with threads or descriptors.
    #[error("work on host ports")]
    Io(#[from] io::Error),
    /// The configuration makes no sense.
    #[error("invalid configuration of network {network}: {problem}")]
    Config {
        /// Network.
        network: String,
        /// What is wrong.
        problem: String,
    },
    /// The configuration asks for something that is not there.
    #[error("portmap does not support {field} (network {network})")]
    Unsupported {
        /// Network.
        network: String,
        /// Field of the configuration.
        field: &'static str,
    },
    /// CHECK found a difference.
    #[error("host port {port} does not lead to {to}")]
    Differs {
        /// Address, port and protocol.
        port: String,
        /// Address and port of the pod.
        to: String,
    },
}

impl From<Error> for CniError {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::Taken { .. } | Error::Listening { .. } => Code::HOST_PORT_TAKEN,
            Error::Config { .. } => Code::INVALID_CONFIG,
            Error::Unsupported { .. } => Code::UNSUPPORTED_FIELD,
            Error::Differs { .. } => Code::CHECK_FAILED,
            _ => Code::INTERNAL,
        };
        CniError::from_source(code, &error)
    }
}

fn owner(call: &Call<'_>) -> Owner {
    Owner::new(&call.config.name, &call.container_id, &call.ifname, call.pod().as_deref())
}

/// Name of the interface that leads to the pod: where its traffic enters and leaves the host.
fn interface_towards(ip: IpAddr) -> Result<String, Error> {
    let failed = |source| Error::Interface { ip, source };
    let mut socket = Socket::open(NetlinkProtocol::Route).map_err(failed)?;
    let index = route::interface_to(&mut socket, ip).map_err(failed)?.ok_or(Error::NoRoute(ip))?;
    let link = link::find_index(&mut socket, index).map_err(failed)?.ok_or(Error::NoRoute(ip))?;
    Ok(link.name)
}

fn publish(call: &Call<'_>, config: &Config) -> Result<(), Error> {
    let mut elements = Vec::new();
    for target in &config.targets {
        let mappings: Vec<&Mapping> = config.mappings.iter().filter(|m| m.applies_to(*target)).collect();
        if mappings.is_empty() {
            continue;
        }
        refuse_listeners(&mappings, *target, &owner(call))?;
        let interface = if config.snat { Some(interface_towards(*target)?) } else { None };
        if let (Some(interface), true) = (&interface, target.is_ipv4()) {
            // A packet from 127.0.0.1 leaves through this interface, and its answer comes back to 127.0.0.1. The
            // table's guard drops whatever else comes from a wire with such an address (CVE-2020-8558).
            sysctl::set(&format!("ipv4/conf/{interface}/route_localnet"), "1")?;
        }
        elements.extend(table::elements(*target, &mappings, interface.as_deref(), config, &owner(call)));
    }
    table::add(&elements, &owner(call))?;
    kernel::failpoint::hit("cni.portmap.published");
    // Afterwards: a datagram in between would only make a new entry that goes to the old place.
    forget_connections(&config.mappings)
}

/// Nothing has been changed when this fails.
fn refuse_listeners(mappings: &[&Mapping], target: IpAddr, owner: &Owner) -> Result<(), Error> {
    for mapping in mappings {
        let port = mapping.to_string();
        let listening = listener::is_there(mapping, target.is_ipv4())
            .map_err(|source| Error::Probe { port: port.clone(), source })?;
        if listening {
            // Whoever listens behind a redirection hears nothing: the pod is the one to know of.
            table::refuse_others(target, mapping, owner)?;
            return Err(Error::Listening { port });
        }
    }
    Ok(())
}

/// TCP notices that its peer is another one; an entry of UDP or SCTP keeps sending to the old pod as long as somebody
/// writes.
fn forget_connections(mappings: &[Mapping]) -> Result<(), Error> {
    let stateless = mappings.iter().filter(|m| m.protocol != Protocol::Tcp);
    let ports: Vec<(u8, u16)> = stateless.map(|m| (m.protocol.number(), m.host_port)).collect();
    if ports.is_empty() { Ok(()) } else { conntrack::forget(&ports).map_err(Error::Conntrack) }
}

impl Plugin for Portmap {
    fn name(&self) -> &'static str {
        "portmap"
    }

    fn add(&self, call: &Call<'_>) -> Result<CniResult, CniError> {
        let config = Config::of(call)?;
        let Some(result) = call.config.prev_result.clone() else {
            let (network, problem) =
                (config.network, "portmap must be called as a chained plugin".to_owned());
            return Err(Error::Config { network, problem }.into());
        };
        if config.mappings.is_empty() {
            return Ok(result);
        }
        if config.targets.is_empty() {
            let problem =
                "there are port mappings, and prevResult has no address of the container".to_owned();
            return Err(Error::Config { network: config.network, problem }.into());
        }
        if let Err(error) = publish(call, &config) {
            // All elements went in or none; this is for what failed after them.
            if !matches!(error, Error::Taken { .. } | Error::Listening { .. })
                && let Err(undo) = table::remove_owned(&owner(call))
            {
                tracing::warn!(error = %undo, "remove host ports after a failed ADD");
            }
            return Err(error.into());
        }
        Ok(result)
    }

    fn del(&self, call: &Call<'_>) -> Result<(), CniError> {
        let mut steps = FirstError::default();
        let removed = table::remove_owned(&owner(call)).map(|ports| {
            let stale: Vec<(u8, u16)> =
                ports.into_iter().filter(|(protocol, _)| *protocol != Protocol::Tcp.number()).collect();
            if stale.is_empty() { Ok(()) } else { conntrack::forget(&stale).map_err(Error::Conntrack) }
        });
        match removed {
            Ok(forgotten) => steps.collect(forgotten),
            Err(error) => steps.collect(Err::<(), _>(error)),
        }
        steps.finish()
    }

    fn check(&self, call: &Call<'_>) -> Result<(), CniError> {
        let config = Config::of(call)?;
        for target in &config.targets {
            let mappings: Vec<&Mapping> = config.mappings.iter().filter(|m| m.applies_to(*target)).collect();
            table::check(*target, &mappings, &owner(call))?;
        }
        Ok(())
    }

    fn gc(&self, call: &Call<'_>) -> Result<(), CniError> {
        let valid = call.config.valid_attachments()?;
        let network = &call.config.name;
        let keep: Vec<Owner> =
            valid.iter().map(|v| Owner::new(network, &v.container_id, &v.ifname, None)).collect();
        let this = Owner::new(network, "", "", None);
        table::remove_where(|found| {
            found.same_network(&this) && !keep.iter().any(|valid| valid.same_attachment(found))
        })?;
        Ok(())
    }

    fn status(&self, call: &Call<'_>) -> Result<(), CniError> {
        Config::of(call).map_err(|e| CniError { code: Code::UNAVAILABLE, ..e })?;
        table::probe().map_err(|e| CniError::from_source(Code::UNAVAILABLE, &e))
    }
}

#[cfg(test)]
mod tests;
