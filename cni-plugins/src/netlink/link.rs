//! Links: bridges, veth pairs, and the flags of both.

use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::Parseable;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute, LinkFlags,
    LinkInfo, LinkMessage,
};

use super::socket::{Error, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, Request, Socket};

/// A hardware address.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// A random address: locally administered, unicast.
    ///
    /// # Errors
    /// If the kernel gives no random bytes.
    pub fn random() -> std::io::Result<Self> {
        let mut bytes = [0; 6];
        getrandom::fill(&mut bytes).map_err(|e| std::io::Error::other(e.to_string()))?;
        bytes[0] = (bytes[0] & 0xfe) | 0x02;
        Ok(Self(bytes))
    }
}

impl std::fmt::Display for Mac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl std::fmt::Debug for Mac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl std::str::FromStr for Mac {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is no MAC address (six bytes like 02:1a:2b:3c:4d:5e)");
        let parts: Vec<u8> = text
            .split([':', '-'])
            .map(|p| u8::from_str_radix(p, 16))
            .collect::<Result<_, _>>()
            .map_err(|_| bad())?;
        Ok(Self(parts.try_into().map_err(|_| bad())?))
    }
}

/// What a dump says of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Interface index.
    pub index: u32,
    /// Interface name.
    pub name: String,
    /// Hardware address; `None` for links that have none of six bytes.
    pub mac: Option<Mac>,
    /// Largest packet in bytes.
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
    /// Promiscuous by flag.
    pub promiscuous: bool,
    /// Index of the bridge it is a port of.
    pub master: Option<u32>,
    /// The kind of a virtual link, such as `bridge` or `veth`.
    pub kind: Option<String>,
    /// Free text of the owner (IFLA_IFALIAS).
    pub alias: Option<String>,
    /// The hairpin mode of a bridge port.
    pub hairpin: bool,
    /// A loopback device.
    pub loopback: bool,
}

/// What a veth pair is to look like.
#[derive(Debug)]
pub struct Veth<'a> {
    /// Name of the end in the host.
    pub host_name: &'a str,
    /// Hardware address of the end in the host.
    pub host_mac: Mac,
    /// Name of the end in the container.
    pub peer_name: &'a str,
    /// Hardware address of the end in the container.
    pub peer_mac: Mac,
    /// Namespace in which the peer is born.
    pub peer_netns: BorrowedFd<'a>,
    /// Index of the bridge the host end becomes a port of.
    pub bridge: u32,
    /// Largest packet in bytes; the kernel's default if `None`.
    pub mtu: Option<u32>,
}

fn named(name: &str) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    message
}

fn up(message: &mut LinkMessage) {
    message.header.flags |= LinkFlags::Up;
    message.header.change_mask |= LinkFlags::Up;
}

/// Creates a bridge that is up. It keeps `mac`: a bridge whose address was set does not take over that of a port.
pub fn create_bridge(name: &str, mac: Mac, mtu: Option<u32>) -> Request {
    let mut message = named(name);
    up(&mut message);
    message.attributes.push(LinkAttribute::Address(mac.0.to_vec()));
    message.attributes.extend(mtu.map(LinkAttribute::Mtu));
    message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]));
    Request::route("create bridge", RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
}

/// Creates a veth pair whose peer is born in the container, the host end up and on its bridge. The peer cannot be
/// created up: the kernel opens it before the pair is complete and answers ENOTCONN (cni.md 4.2).
pub fn create_veth(veth: &Veth<'_>) -> Request {
    let mut peer = named(veth.peer_name);
    peer.attributes.push(LinkAttribute::Address(veth.peer_mac.0.to_vec()));
    peer.attributes.push(LinkAttribute::NetNsFd(veth.peer_netns.as_raw_fd()));
    peer.attributes.extend(veth.mtu.map(LinkAttribute::Mtu));
    let mut message = named(veth.host_name);
    up(&mut message);
    message.attributes.push(LinkAttribute::Address(veth.host_mac.0.to_vec()));
    message.attributes.push(LinkAttribute::Controller(veth.bridge));
    message.attributes.extend(veth.mtu.map(LinkAttribute::Mtu));
    message.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
    ]));
    Request::route("create veth pair", RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
}

/// Sets the alias and the port flags of a bridge port; the create message of a link ignores both.
pub fn set_port(name: &str, alias: &str, hairpin: bool, isolated: bool) -> Request {
    let mut message = named(name);
    message.attributes.push(LinkAttribute::IfAlias(alias.to_owned()));
    let mut port = vec![InfoBridgePort::HairpinMode(hairpin)];
    if isolated {
        port.push(InfoBridgePort::Isolated(true));
    }
    message.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::PortKind(InfoPortKind::Bridge),
        LinkInfo::PortData(InfoPortData::BridgePort(port)),
    ]));
    Request::route("set bridge port", RouteNetlinkMessage::NewLink(message), 0)
}

/// Sets a link up.
pub fn set_up(index: u32) -> Request {
    let mut message = LinkMessage::default();
    message.header.index = index;
    up(&mut message);
    Request::route("set link up", RouteNetlinkMessage::SetLink(message), 0)
}

/// Sets a link down, by name.
pub fn set_down(name: &str) -> Request {
    let mut message = named(name);
    message.header.change_mask = LinkFlags::Up;
    Request::route("set link down", RouteNetlinkMessage::SetLink(message), 0)
}

/// Sets a link up and promiscuous.
pub fn set_promiscuous(index: u32) -> Request {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.header.flags = LinkFlags::Promisc;
    message.header.change_mask = LinkFlags::Promisc;
    Request::route("set link promiscuous", RouteNetlinkMessage::SetLink(message), 0)
}

/// Sets the hardware address of a link.
pub fn set_mac(index: u32, mac: Mac) -> Request {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes.push(LinkAttribute::Address(mac.0.to_vec()));
    Request::route("set link address", RouteNetlinkMessage::SetLink(message), 0)
}

/// Deletes a link, by name. The end of a veth costs 15 to 32 ms, for RCU grace periods.
pub fn delete(name: &str) -> Request {
    Request::route("delete link", RouteNetlinkMessage::DelLink(named(name)), 0)
}

fn decode(body: &[u8]) -> Result<Link, Error> {
    let message = LinkMessage::parse(body).map_err(|e| Error::Decode(e.to_string()))?;
    let flags = message.header.flags;
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        mac: None,
        mtu: 0,
        up: flags.contains(LinkFlags::Up),
        promiscuous: flags.contains(LinkFlags::Promisc),
        master: None,
        kind: None,
        alias: None,
        hairpin: false,
        loopback: flags.contains(LinkFlags::Loopback),
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Address(bytes) => link.mac = bytes.try_into().ok().map(Mac),
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Controller(index) => link.master = Some(index),
            LinkAttribute::IfAlias(alias) => link.alias = Some(alias),
            LinkAttribute::LinkInfo(infos) => info(&mut link, infos),
            _ => {}
        }
    }
    Ok(link)
}

fn info(link: &mut Link, infos: Vec<LinkInfo>) {
    for info in infos {
        match info {
            LinkInfo::Kind(kind) => link.kind = Some(kind.to_string()),
            LinkInfo::PortData(InfoPortData::BridgePort(port)) => {
                link.hairpin = port.contains(&InfoBridgePort::HairpinMode(true));
            }
            _ => {}
        }
    }
}

/// The link of this name, or `None`.
///
/// # Errors
/// Of the conversation, or of decoding.
pub fn find(socket: &mut Socket, name: &str) -> Result<Option<Link>, Error> {
    query(socket, named(name))
}

/// The link of this index, or `None`.
///
/// # Errors
/// Of the conversation, or of decoding.
pub fn find_index(socket: &mut Socket, index: u32) -> Result<Option<Link>, Error> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    query(socket, message)
}

fn query(socket: &mut Socket, message: LinkMessage) -> Result<Option<Link>, Error> {
    let request = Request::route("find link", RouteNetlinkMessage::GetLink(message), 0);
    let outcome = socket.exchange(&[request])?.remove(0);
    let data = outcome.ok_or_tolerate(&[nix::libc::ENODEV])?;
    data.first().map(|(_, body)| decode(body)).transpose()
}

/// Every link of the namespace.
///
/// # Errors
/// Of the conversation, or of decoding.
pub fn list(socket: &mut Socket) -> Result<Vec<Link>, Error> {
    let request =
        Request::route("list links", RouteNetlinkMessage::GetLink(LinkMessage::default()), NLM_F_DUMP);
    socket.request(request)?.iter().map(|(_, body)| decode(body)).collect()
}

/// The address of a link as text of an interface in a result, empty if there is none.
pub fn mac_text(link: &Link) -> String {
    link.mac.map(|mac| mac.to_string()).unwrap_or_default()
}
