//! The host's side: the bridge, and the host ends of veth pairs.

use ipnet::IpNet;
use nix::libc::{EEXIST, ENODEV};
use sha2::{Digest, Sha256};

use super::config::Config;
use super::{Error, deletes_link, random_mac};
use crate::call::{Call, ValidAttachment};
use crate::netlink::link::{self, Link, Veth};
use crate::netlink::{Protocol, Socket, address};
use crate::netns::Netns;
use crate::sysctl;

/// The kernel keeps at most 255 bytes.
const ALIAS_MAX: usize = 255;
const PREFIX: &str = "veth";

/// The name of the host end: 44 bits of a digest fill the 15 bytes a name can have.
pub fn veth_name(network: &str, container_id: &str, ifname: &str) -> String {
    let mut hasher = Sha256::new();
    for field in [network, container_id, ifname] {
        hasher.update((field.len() as u64).to_le_bytes());
        hasher.update(field);
    }
    let hex: String = hasher.finalize()[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{PREFIX}{}", &hex[..11])
}

/// What `ip link` shows: the network, by which GC knows our ports, and the container, for people.
pub fn alias(network: &str, container_id: &str, ifname: &str) -> String {
    let mut alias = format!("{network} {container_id} {ifname}");
    // Names and ids are ASCII; an interface name need not be.
    while alias.len() > ALIAS_MAX {
        alias.pop();
    }
    alias
}

/// Fails unless the link is a bridge.
pub fn expect_bridge(found: &Link) -> Result<(), Error> {
    match found.kind.as_deref() {
        Some("bridge") => Ok(()),
        kind => {
            Err(Error::NotABridge { name: found.name.clone(), kind: kind.unwrap_or("physical").to_owned() })
        }
    }
}

/// Makes the bridge what the configuration says. Many threads and processes may do this at once: everything that
/// "exists already" is what was wanted.
pub fn ensure_bridge(socket: &mut Socket, config: &Config, gateways: &[IpNet]) -> Result<Link, Error> {
    let failed = |source| Error::SetUpBridge { name: config.bridge.clone(), source };
    let mut bridge = link::find(socket, &config.bridge).map_err(failed)?;
    if bridge.is_none() {
        let create = link::create_bridge(&config.bridge, random_mac()?, config.mtu);
        let outcome = socket.exchange(&[create]).map_err(failed)?.remove(0);
        outcome.ok_or_tolerate(&[EEXIST]).map_err(failed)?;
        kernel::failpoint::hit("cni.bridge.created");
        bridge = link::find(socket, &config.bridge).map_err(failed)?;
        // Pods route through the gateway: router advertisements of a pod must not change the host.
        sysctl::set_if_present(&format!("ipv6/conf/{}/accept_ra", config.bridge), "0")?;
    }
    let Some(bridge) = bridge else {
        return Err(failed(crate::netlink::Error::Decode(
            "the bridge vanished after it was created".to_owned(),
        )));
    };
    expect_bridge(&bridge)?;
    let mut changes = Vec::new();
    if !bridge.up {
        changes.push(link::set_up(bridge.index));
    }
    if config.promiscuous && !bridge.promiscuous {
        changes.push(link::set_promiscuous(bridge.index));
    }
    if !gateways.is_empty() {
        changes.extend(missing_addresses(socket, config, &bridge, gateways)?);
        forward(gateways)?;
    }
    if !changes.is_empty() {
        for outcome in socket.exchange(&changes).map_err(failed)? {
            outcome.ok_or_tolerate(&[EEXIST]).map_err(failed)?;
        }
    }
    Ok(bridge)
}

fn missing_addresses(
    socket: &mut Socket,
    config: &Config,
    bridge: &Link,
    gateways: &[IpNet],
) -> Result<Vec<crate::netlink::Request>, Error> {
    let failed = |source| Error::SetUpBridge { name: config.bridge.clone(), source };
    let present = address::list(socket, Some(bridge.index)).map_err(failed)?;
    let mut changes = Vec::new();
    for wanted in gateways {
        if present.iter().any(|a| a.net == *wanted) {
            continue;
        }
        // Another address in the same subnet means that the network moved: the old gateway would go on answering.
        // IPv6 interfaces have several addresses by nature.
        let other = present.iter().find(|a| {
            a.net.addr().is_ipv4() == wanted.addr().is_ipv4()
                && (wanted.addr().is_ipv4() || a.net.contains(wanted) || wanted.contains(&a.net))
                && !gateways.contains(&a.net)
        });
        match other {
            Some(other) if config.force_address => changes.push(address::remove(bridge.index, other.net)),
            Some(other) => {
                let (name, found) = (config.bridge.clone(), other.net);
                return Err(Error::OtherAddress { name, found, wanted: *wanted });
            }
            None => {}
        }
        // The first address pins the hardware address: a bridge otherwise takes over the lowest of its ports, and the
        // pods' neighbour entries for their gateway go stale. A bridge of ours was created with a pinned one.
        changes.extend(bridge.mac.map(|mac| link::set_mac(bridge.index, mac)));
        changes.push(address::add(bridge.index, *wanted, config.probe));
    }
    Ok(changes)
}

/// Lets the host forward between the bridge and the rest.
fn forward(gateways: &[IpNet]) -> Result<(), Error> {
    if gateways.iter().any(|net| net.addr().is_ipv4()) {
        sysctl::set("ipv4/ip_forward", "1")?;
    }
    if gateways.iter().any(|net| net.addr().is_ipv6()) {
        sysctl::set("ipv6/conf/all/forwarding", "1")?;
    }
    Ok(())
}

/// Creates the pair. A host end of this name is a leftover of an attachment whose namespace the kernel has not taken
/// down yet (or whose ADD was killed), unless the container has the interface.
pub fn create_veth(
    socket: &mut Socket,
    config: &Config,
    netns: &Netns,
    veth: &Veth<'_>,
    alias: &str,
) -> Result<(), Error> {
    let failed = |source| Error::CreateVeth {
        host: veth.host_name.to_owned(),
        ifname: veth.peer_name.to_owned(),
        source,
    };
    let batch =
        [link::create_veth(veth), link::set_port(veth.host_name, alias, config.hairpin, config.isolated)];
    let mut outcomes = socket.exchange(&batch).map_err(failed)?;
    if outcomes[0].errno == EEXIST {
        let ifname = veth.peer_name;
        let taken = netns.enter(|| {
            let mut inside = Socket::open(Protocol::Route).map_err(Error::Netlink)?;
            link::find(&mut inside, ifname).map_err(Error::Netlink)
        })?;
        if taken.is_some() {
            let (ifname, netns) = (ifname.to_owned(), netns.path().to_owned());
            return Err(Error::InterfaceExists { ifname, netns });
        }
        delete(socket, veth.host_name)?;
        outcomes = socket.exchange(&batch).map_err(failed)?;
    }
    let mut outcomes = outcomes.into_iter();
    outcomes.next().map_or(Ok(Vec::new()), |outcome| outcome.ok()).map_err(failed)?;
    for outcome in outcomes {
        if let Err(error) = outcome.ok() {
            delete(socket, veth.host_name)?;
            return Err(failed(error));
        }
    }
    sysctl::set_if_present(&format!("ipv6/conf/{}/accept_ra", veth.host_name), "0").map_err(Error::from)
}

/// Deletes a link; false if there is none.
pub fn delete(socket: &mut Socket, name: &str) -> Result<bool, Error> {
    let failed = |source| Error::Remove { name: name.to_owned(), source };
    let outcome = socket.exchange(&[link::delete(name)]).map_err(failed)?.remove(0);
    let found = outcome.errno == 0;
    outcome.ok_or_tolerate(&[ENODEV]).map_err(failed)?;
    Ok(found)
}

/// DEL: ends the link, from whichever side it can be reached.
pub fn remove_link(call: &Call<'_>) -> Result<(), Error> {
    let name = veth_name(&call.config.name, &call.container_id, &call.ifname);
    let mut socket = Socket::open(Protocol::Route).map_err(Error::Netlink)?;
    if !deletes_link(call) {
        let failed = |source| Error::Remove { name: name.clone(), source };
        let outcome = socket.exchange(&[link::set_down(&name)]).map_err(failed)?.remove(0);
        return outcome.ok_or_tolerate(&[ENODEV]).map(|_| ()).map_err(failed);
    }
    if delete(&mut socket, &name)? {
        return Ok(());
    }
    // Made by another plugin, under a name of its own.
    match &call.netns {
        Some(netns) => netns.enter(|| {
            let mut inside = Socket::open(Protocol::Route).map_err(Error::Netlink)?;
            delete(&mut inside, &call.ifname).map(|_| ())
        }),
        None => Ok(()),
    }
}

/// GC: deletes the ports of our bridge that belong to this network and to no valid attachment.
pub fn retain(config: &Config, valid: &[ValidAttachment]) -> Result<(), Error> {
    let mut socket = Socket::open(Protocol::Route).map_err(Error::Netlink)?;
    let links = link::list(&mut socket).map_err(Error::Netlink)?;
    let Some(bridge) = links.iter().find(|l| l.name == config.bridge) else { return Ok(()) };
    let keep: Vec<String> =
        valid.iter().map(|v| veth_name(&config.network, &v.container_id, &v.ifname)).collect();
    let ours = format!("{} ", config.network);
    let stale = links.iter().filter(|l| {
        l.master == Some(bridge.index)
            && l.name.starts_with(PREFIX)
            && l.alias.as_ref().is_some_and(|alias| alias.starts_with(&ours))
            && !keep.contains(&l.name)
    });
    for link in stale {
        delete(&mut socket, &link.name)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
