//! The container's side: sysctls, addresses and routes, in one visit to its namespace.

use nix::libc::EEXIST;

use super::Error;
use super::config::Config;
use crate::netlink::route::Route;
use crate::netlink::{Protocol, Request, Socket, address, link, route};
use crate::netns::Netns;
use crate::result::{CniResult, RouteConfig};
use crate::sysctl;

/// Configures the interface and sets it and `lo` up. Returns its MTU.
pub fn configure(netns: &Netns, ifname: &str, config: &Config, result: &CniResult) -> Result<u32, Error> {
    netns.enter(|| {
        let failed = |source| Error::Configure { ifname: ifname.to_owned(), source };
        let mut socket = Socket::open(Protocol::Route).map_err(failed)?;
        let link = link::find(&mut socket, ifname).map_err(failed)?;
        let link = link.ok_or_else(|| Error::Differs {
            object: format!("interface {ifname}"),
            problem: "it vanished after it was created".to_owned(),
        })?;
        set_sysctls(ifname, result)?;
        let mut batch = Vec::new();
        if config.container_interface_up {
            // lo is index 1 in every network namespace, and pods expect it up.
            batch.push(link::set_up(1));
            batch.extend(result.ips.iter().map(|ip| address::add(link.index, ip.address, config.probe)));
            batch.push(link::set_up(link.index));
            batch.extend(result.routes.iter().filter_map(|r| to_kernel(r, link.index, result)));
        }
        for outcome in socket.exchange(&batch).map_err(failed)? {
            // A route may exist because the kernel made it with the address (the subnet itself, say).
            outcome.ok_or_tolerate(&[EEXIST]).map_err(failed)?;
        }
        Ok(link.mtu)
    })
}

fn set_sysctls(ifname: &str, result: &CniResult) -> Result<(), Error> {
    let v6 = result.ips.iter().any(|ip| ip.address.addr().is_ipv6());
    // Announce the address, for it may have belonged to another pod until a moment ago.
    sysctl::set(&format!("ipv4/conf/{ifname}/arp_notify"), "1")?;
    sysctl::set_if_present(&format!("ipv6/conf/{ifname}/accept_ra"), "0")?;
    if v6 {
        sysctl::set(&format!("ipv6/conf/{ifname}/disable_ipv6"), "0")?;
        sysctl::set("ipv6/conf/lo/disable_ipv6", "0")?;
        sysctl::set(&format!("ipv6/conf/{ifname}/keep_addr_on_down"), "1")?;
    }
    Ok(())
}

/// A route without a next hop goes through the gateway of its family, as in the reference; one of a family without an
/// address is left out.
pub fn to_kernel(config: &RouteConfig, link: u32, result: &CniResult) -> Option<Request> {
    Some(route::add(&resolve(config, link, result)?))
}

/// The route as the kernel is to have it.
pub fn resolve(config: &RouteConfig, link: u32, result: &CniResult) -> Option<Route> {
    let mut same_family =
        result.ips.iter().filter(|ip| ip.address.addr().is_ipv4() == config.dst.addr().is_ipv4());
    let first = same_family.next()?;
    let on_link = config.scope == Some(SCOPE_LINK);
    let via = if on_link { None } else { config.gw.or(first.gateway) };
    Some(Route {
        mtu: config.mtu,
        advmss: config.advmss,
        priority: config.priority,
        table: config.table,
        scope: config.scope,
        ..Route::new(config.dst, via, link)
    })
}

/// `RT_SCOPE_LINK`: the destination is reached without a next hop.
const SCOPE_LINK: u8 = 253;
