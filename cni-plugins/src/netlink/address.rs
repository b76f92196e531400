//! Addresses of interfaces.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::Parseable;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::socket::{Error, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, Request, Socket};

/// An address on an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// Index of the interface.
    pub link: u32,
    /// Address and prefix length.
    pub net: IpNet,
}

pub(crate) fn family(ip: IpAddr) -> AddressFamily {
    match ip {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

fn message(link: u32, net: IpNet) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(net.addr());
    message.header.prefix_len = net.prefix_len();
    message.header.index = link;
    message.attributes.push(AddressAttribute::Local(net.addr()));
    message.attributes.push(AddressAttribute::Address(net.addr()));
    message
}

/// Gives `net` to the interface. `probe` runs IPv6 duplicate address detection, during which the address cannot be
/// used for about a second; without it the address is usable at once (cni.md 4.3).
pub fn add(link: u32, net: IpNet, probe: bool) -> Request {
    let mut message = message(link, net);
    if let IpNet::V4(v4) = net
        && v4.prefix_len() < 31
    {
        message.attributes.push(AddressAttribute::Broadcast(v4.broadcast()));
    }
    if matches!(net, IpNet::V6(_)) && !probe {
        message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
    }
    Request::route("add address", RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL)
}

/// Takes `net` from the interface.
pub fn remove(link: u32, net: IpNet) -> Request {
    Request::route("remove address", RouteNetlinkMessage::DelAddress(message(link, net)), 0)
}

/// All addresses of the namespace, or of one interface.
///
/// # Errors
/// Of the conversation, or of decoding.
pub fn list(socket: &mut Socket, link: Option<u32>) -> Result<Vec<Address>, Error> {
    let mut wanted = AddressMessage::default();
    wanted.header.index = link.unwrap_or_default();
    let request = Request::route("list addresses", RouteNetlinkMessage::GetAddress(wanted), NLM_F_DUMP);
    let mut found = Vec::new();
    for (_, body) in socket.request(request)? {
        let message = AddressMessage::parse(&body).map_err(|e| Error::Decode(e.to_string()))?;
        if link.is_some_and(|index| index != message.header.index) {
            continue;
        }
        let pick = |local: bool| {
            message.attributes.iter().find_map(|a| match a {
                AddressAttribute::Local(ip) if local => Some(*ip),
                AddressAttribute::Address(ip) if !local => Some(*ip),
                _ => None,
            })
        };
        // IFA_LOCAL is the own address where both are given (point to point); IPv6 gives IFA_ADDRESS only.
        if let Some(net) =
            pick(true).or_else(|| pick(false)).and_then(|ip| IpNet::new(ip, message.header.prefix_len).ok())
        {
            found.push(Address { link: message.header.index, net });
        }
    }
    Ok(found)
}
