//! CHECK: the attachment against what ADD reported.

use super::config::Config;
use super::{Error, host, inside, masquerade};
use crate::call::Call;
use crate::netlink::link::{self, Link, mac_text};
use crate::netlink::{Protocol, Socket, address, route};
use crate::netns::Netns;
use crate::result::CniResult;

fn differs(object: impl Into<String>, problem: impl Into<String>) -> Error {
    Error::Differs { object: object.into(), problem: problem.into() }
}

fn found(socket: &mut Socket, name: &str) -> Result<Link, Error> {
    let link = link::find(socket, name).map_err(Error::Netlink)?;
    link.ok_or_else(|| differs(format!("interface {name}"), "it does not exist"))
}

/// Compares.
pub fn attachment(call: &Call<'_>, config: &Config) -> Result<(), Error> {
    let Some(result) = &call.config.prev_result else {
        return Err(Error::Config {
            network: config.network.clone(),
            problem: "CHECK needs prevResult".to_owned(),
        });
    };
    let netns = call.netns.as_ref().ok_or_else(|| differs("container", "it has no network namespace"))?;
    let mut socket = Socket::open(Protocol::Route).map_err(Error::Netlink)?;
    let bridge = found(&mut socket, &config.bridge)?;
    host::expect_bridge(&bridge)?;
    let port = port_of(call, config, result, &mut socket)?;
    if port.master != Some(bridge.index) {
        return Err(differs(
            format!("interface {}", port.name),
            format!("it is no port of {}", config.bridge),
        ));
    }
    if port.hairpin != config.hairpin {
        return Err(differs(format!("interface {}", port.name), "its hairpin mode is not as configured"));
    }
    container(netns, &call.ifname, result)?;
    if config.masquerade && !masquerade::is_in_place(&config.bridge)? {
        return Err(differs(format!("bridge {}", config.bridge), "it is not masqueraded"));
    }
    Ok(())
}

/// The host end: the one of the result (which another plugin may have made), else the one of our name.
fn port_of(call: &Call<'_>, config: &Config, result: &CniResult, socket: &mut Socket) -> Result<Link, Error> {
    let own = host::veth_name(&config.network, &call.container_id, &call.ifname);
    let named = result.interfaces.iter().find(|i| i.sandbox.is_empty() && i.name != config.bridge);
    found(socket, named.map_or(&own, |i| &i.name))
}

fn container(netns: &Netns, ifname: &str, result: &CniResult) -> Result<(), Error> {
    let object = format!("interface {ifname} in the container");
    netns.enter(|| {
        let mut socket = Socket::open(Protocol::Route).map_err(Error::Netlink)?;
        let link = found(&mut socket, ifname)?;
        let wanted = result.interfaces.iter().find(|i| i.name == ifname && !i.sandbox.is_empty());
        if let Some(wanted) = wanted.filter(|w| !w.mac.is_empty() && w.mac != mac_text(&link)) {
            return Err(differs(
                object,
                format!("it has address {} and not {}", mac_text(&link), wanted.mac),
            ));
        }
        let present = address::list(&mut socket, Some(link.index)).map_err(Error::Netlink)?;
        if let Some(ip) = result.ips.iter().find(|ip| !present.iter().any(|a| a.net == ip.address)) {
            return Err(differs(object, format!("it lacks address {}", ip.address)));
        }
        let routes = route::list(&mut socket).map_err(Error::Netlink)?;
        for wanted in result.routes.iter().filter_map(|r| inside::resolve(r, link.index, result)) {
            let same = |r: &&route::Route| r.to == wanted.to && r.via == wanted.via && r.link == wanted.link;
            if !routes.iter().any(|r| same(&r)) {
                return Err(differs(object, format!("route to {} is missing", wanted.to)));
            }
        }
        Ok(())
    })
}
