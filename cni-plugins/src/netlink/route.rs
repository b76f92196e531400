//! Routes.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::Parseable;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteProtocol,
    RouteScope, RouteType,
};

use super::address::family;
use super::socket::{Error, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, Request, Socket};

/// A route of the main table unless `table` says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Destination.
    pub to: IpNet,
    /// Next hop; on-link if `None`.
    pub via: Option<IpAddr>,
    /// Index of the outgoing interface.
    pub link: Option<u32>,
    /// Route MTU in bytes.
    pub mtu: Option<u32>,
    /// Advertised MSS in bytes.
    pub advmss: Option<u32>,
    /// Metric.
    pub priority: Option<u32>,
    /// Table.
    pub table: Option<u32>,
    /// Scope, as the kernel numbers it; link for routes without a next hop if `None`.
    pub scope: Option<u8>,
}

impl Route {
    /// A route by its destination, next hop and interface.
    pub fn new(to: IpNet, via: Option<IpAddr>, link: u32) -> Self {
        Self { to, via, link: Some(link), mtu: None, advmss: None, priority: None, table: None, scope: None }
    }

    fn message(&self) -> RouteMessage {
        let mut message = RouteMessage::default();
        let header = &mut message.header;
        header.address_family = family(self.to.addr());
        header.destination_prefix_length = self.to.prefix_len();
        header.table = RouteHeader::RT_TABLE_MAIN;
        header.protocol = RouteProtocol::Boot;
        header.kind = RouteType::Unicast;
        header.scope = match (self.scope, self.via) {
            (Some(scope), _) => RouteScope::from(scope),
            (None, Some(_)) => RouteScope::Universe,
            (None, None) => RouteScope::Link,
        };
        if self.via.is_some() {
            // A gateway need not be inside a subnet of the interface (a /32 of the pod, say): it is on the link.
            header.flags |= RouteFlags::Onlink;
        }
        let attributes = &mut message.attributes;
        attributes.push(RouteAttribute::Destination(RouteAddress::from(self.to.network())));
        attributes.extend(self.via.map(|ip| RouteAttribute::Gateway(RouteAddress::from(ip))));
        attributes.extend(self.link.map(RouteAttribute::Oif));
        attributes.extend(self.priority.map(RouteAttribute::Priority));
        attributes.extend(self.table.map(RouteAttribute::Table));
        let metrics: Vec<RouteMetric> =
            self.mtu.map(RouteMetric::Mtu).into_iter().chain(self.advmss.map(RouteMetric::Advmss)).collect();
        if !metrics.is_empty() {
            attributes.push(RouteAttribute::Metrics(metrics));
        }
        message
    }
}

/// Adds a route; EEXIST if there is one to the same destination with the same metric.
pub fn add(route: &Route) -> Request {
    Request::route("add route", RouteNetlinkMessage::NewRoute(route.message()), NLM_F_CREATE | NLM_F_EXCL)
}

fn ip(address: RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(ip) => Some(ip.into()),
        RouteAddress::Inet6(ip) => Some(ip.into()),
        _ => None,
    }
}

fn decode(body: &[u8]) -> Result<Option<Route>, Error> {
    let message = RouteMessage::parse(body).map_err(|e| Error::Decode(e.to_string()))?;
    if message.header.kind != RouteType::Unicast {
        return Ok(None);
    }
    let (mut to, mut via, mut link, mut priority) = (None, None, None, None);
    let mut table = u32::from(message.header.table);
    for attribute in message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => to = ip(address),
            RouteAttribute::Gateway(address) => via = ip(address),
            RouteAttribute::Oif(index) => link = Some(index),
            RouteAttribute::Priority(metric) => priority = Some(metric),
            RouteAttribute::Table(id) => table = id,
            _ => {}
        }
    }
    let any = match message.header.address_family {
        netlink_packet_route::AddressFamily::Inet => IpAddr::from([0; 4]),
        netlink_packet_route::AddressFamily::Inet6 => IpAddr::from([0; 16]),
        _ => return Ok(None),
    };
    let to = IpNet::new(to.unwrap_or(any), message.header.destination_prefix_length)
        .map_err(|e| Error::Decode(e.to_string()))?;
    let scope = Some(u8::from(message.header.scope));
    Ok(Some(Route { to, via, link, mtu: None, advmss: None, priority, table: Some(table), scope }))
}

/// The unicast routes of every table of the namespace.
///
/// # Errors
/// Of the conversation, or of decoding.
pub fn list(socket: &mut Socket) -> Result<Vec<Route>, Error> {
    let request =
        Request::route("list routes", RouteNetlinkMessage::GetRoute(RouteMessage::default()), NLM_F_DUMP);
    let data = socket.request(request)?;
    data.iter().filter_map(|(_, body)| decode(body).transpose()).collect()
}

/// The interface through which packets to `ip` leave; `None` if there is no route.
///
/// # Errors
/// Of the conversation, or of decoding.
pub fn interface_to(socket: &mut Socket, ip: IpAddr) -> Result<Option<u32>, Error> {
    let mut message = RouteMessage::default();
    message.header.address_family = family(ip);
    message.header.destination_prefix_length = if ip.is_ipv4() { 32 } else { 128 };
    message.attributes.push(RouteAttribute::Destination(RouteAddress::from(ip)));
    let request = Request::route("look up route", RouteNetlinkMessage::GetRoute(message), 0);
    let outcome = socket.exchange(&[request])?.remove(0);
    let data = outcome.ok_or_tolerate(&[nix::libc::ENETUNREACH, nix::libc::EHOSTUNREACH])?;
    Ok(data.first().map(|(_, body)| decode(body)).transpose()?.flatten().and_then(|route| route.link))
}
