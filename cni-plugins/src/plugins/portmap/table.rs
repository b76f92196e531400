//! The table of host ports.
//!
//! ```text
//! table inet orlop_hostports {
//!     map ip4  { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }     with hostIP
//!     map any4 { type inet_proto . inet_service : ipv4_addr . inet_service; }                 without
//!     set hairpin4 { type ipv4_addr . ifname; }     pods, and the interface that leads to them
//!     set self4    { type ipv4_addr . ipv4_addr; }  pods, twice
//!     set local4   { type ipv4_addr; }              pods that 127.0.0.1 may reach
//!     set all4     { type ipv4_addr; }              pods with masqAll
//!     (and the same for IPv6)
//!     chain guard       { type filter hook prerouting priority raw; }
//!     chain prerouting  { type nat hook prerouting priority dstnat;   to an address of this host: jump ports }
//!     chain output      { type nat hook output priority dstnat;       to an address of this host: jump ports }
//!     chain ports       { dnat to the value of the map }
//!     chain postrouting { type nat hook postrouting priority srcnat;  redirected connections of the sets: masquerade }
//! }
//! ```
//! Masquerading is for connections whose answer would not come back this way: those from 127.0.0.1, and those that
//! leave through the interface they came in by, from the pod itself or its neighbours on the bridge, which the pod
//! would answer directly. With br_netfilter a frame between two ports of a bridge never gets an incoming interface in
//! postrouting; the neighbours' answers then pass conntrack nevertheless, and only the pod itself needs a set of its
//! own (and hairpin mode of its port). All elements carry their owner.

use std::net::IpAddr;

use super::Error;
use super::config::{Config, Mapping};
use crate::netlink::Request;
use crate::nft::expression::{Expression as E, Header, Meta, Verdict, interface_name, register};
use crate::nft::message::{
    self, Field, Hook, INTERFACE, IPV4, IPV6, OUTPUT, PORT, POSTROUTING, PREROUTING, PROTOCOL,
};
use crate::nft::transaction::Added;
use crate::nft::{Element, Owner, Tables};

const TABLE: &str = "orlop_hostports";
const PORTS: &str = "ports";
const POSTROUTING_CHAIN: &str = "postrouting";
/// `dstnat`, `srcnat` and `raw` of nft.
const DESTINATION_NAT: i32 = -100;
const SOURCE_NAT: i32 = 100;
const RAW: i32 = -300;
const RTN_LOCAL: u32 = 2;
const IPS_DST_NAT: u32 = 1 << 5;

/// What differs between the families.
struct Family {
    nfproto: u8,
    address: Field,
    /// Offsets of source and destination in the header, and their length.
    source: u32,
    destination: u32,
    length: u32,
    /// Number of four-byte registers an address takes.
    registers: u32,
    ip: &'static str,
    any: &'static str,
    hairpin: &'static str,
    itself: &'static str,
    local: &'static str,
    all: &'static str,
}

const V4: Family = Family {
    nfproto: 2,
    address: IPV4,
    source: 12,
    destination: 16,
    length: 4,
    registers: 1,
    ip: "ip4",
    any: "any4",
    hairpin: "hairpin4",
    itself: "self4",
    local: "local4",
    all: "all4",
};

const V6: Family = Family {
    nfproto: 10,
    address: IPV6,
    source: 8,
    destination: 24,
    length: 16,
    registers: 4,
    ip: "ip6",
    any: "any6",
    hairpin: "hairpin6",
    itself: "self6",
    local: "local6",
    all: "all6",
};

const SETS: [&str; 12] = [
    V4.ip, V4.any, V4.hairpin, V4.itself, V4.local, V4.all, V6.ip, V6.any, V6.hairpin, V6.itself, V6.local,
    V6.all,
];
/// Those whose keys are host ports.
const MAPS: [&str; 4] = [V4.ip, V4.any, V6.ip, V6.any];

fn family(ip: IpAddr) -> &'static Family {
    if ip.is_ipv4() { &V4 } else { &V6 }
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// A port as a field: two bytes in network order, padded.
fn port(number: u16) -> [u8; 4] {
    let [high, low] = number.to_be_bytes();
    [high, low, 0, 0]
}

fn is(from: u32, value: &[u8]) -> E {
    E::Compare { from, negated: false, value: value.to_vec() }
}

fn lookup(set: &'static str, to: Option<u32>) -> E {
    E::Lookup { set, from: register(0), to, negated: false }
}

fn of_family(f: &Family) -> Vec<E> {
    vec![E::Meta { key: Meta::Family, to: register(0) }, is(register(0), &[f.nfproto])]
}

fn address(f: &Family, offset: u32) -> E {
    E::Payload { header: Header::Network, offset, length: f.length, to: register(0) }
}

/// Loads source and destination next to each other.
fn both_addresses(f: &Family) -> [E; 2] {
    let load =
        |offset, to| E::Payload { header: Header::Network, offset, length: f.length, to: register(to) };
    [load(f.source, 0), load(f.destination, f.registers)]
}

/// Loads protocol and destination port into two registers, the `first` and the one after it.
fn protocol_and_port(first: u32) -> [E; 2] {
    [
        E::Meta { key: Meta::Transport, to: register(first) },
        E::Payload { header: Header::Transport, offset: 2, length: 2, to: register(first + 1) },
    ]
}

fn redirect(f: &Family) -> E {
    E::Destination { family: f.nfproto, address: register(0), port: register(f.registers) }
}

fn redirected() -> Vec<E> {
    vec![
        E::ConnectionStatus { to: register(0) },
        E::Mask { register: register(0), mask: IPS_DST_NAT.to_ne_bytes().to_vec() },
        is(register(0), &IPS_DST_NAT.to_ne_bytes()),
    ]
}

fn rule(chain: &'static str, comment: &str, parts: Vec<Vec<E>>) -> Request {
    message::append_rule(TABLE, chain, comment, &parts.concat())
}

fn skeleton() -> Vec<Request> {
    let mut requests = vec![message::create_table(TABLE)];
    let mut id = 0;
    let mut set = |name: &str, key: &[Field], value: &[Field]| {
        id += 1;
        message::create_set(TABLE, name, id, key, value)
    };
    for f in [&V4, &V6] {
        let value = [f.address, PORT];
        requests.push(set(f.ip, &[f.address, PROTOCOL, PORT], &value));
        requests.push(set(f.any, &[PROTOCOL, PORT], &value));
        requests.push(set(f.hairpin, &[f.address, INTERFACE], &[]));
        requests.push(set(f.itself, &[f.address, f.address], &[]));
        requests.push(set(f.local, &[f.address], &[]));
        requests.push(set(f.all, &[f.address], &[]));
    }
    let hook = |kind, number, priority| Some(Hook { kind, number, priority });
    requests.push(message::create_chain(TABLE, PORTS, None));
    requests.push(message::create_chain(TABLE, "guard", hook("filter", PREROUTING, RAW)));
    requests.push(message::create_chain(TABLE, "prerouting", hook("nat", PREROUTING, DESTINATION_NAT)));
    requests.push(message::create_chain(TABLE, "output", hook("nat", OUTPUT, DESTINATION_NAT)));
    requests.push(message::create_chain(TABLE, POSTROUTING_CHAIN, hook("nat", POSTROUTING, SOURCE_NAT)));
    requests.extend(guard_rules());
    for chain in ["prerouting", "output"] {
        let local = vec![
            E::DestinationType { to: register(0) },
            is(register(0), &RTN_LOCAL.to_ne_bytes()),
            E::Verdict(Verdict::Jump(PORTS)),
        ];
        requests.push(rule(chain, "addressed to this host", vec![local]));
    }
    for f in [&V4, &V6] {
        requests.extend(family_rules(f));
    }
    requests
}

/// route_localnet makes the host believe 127.0.0.0/8 on the pods' interface, in both directions. Before conntrack has
/// rewritten an answer, such an address on a wire is always forged.
fn guard_rules() -> Vec<Request> {
    let from_wire = || {
        let name = interface_name("lo");
        vec![
            E::Meta { key: Meta::IncomingName, to: register(0) },
            E::Compare { from: register(0), negated: true, value: name },
        ]
    };
    let loopback = |offset| {
        vec![
            E::Payload { header: Header::Network, offset, length: 4, to: register(0) },
            E::Mask { register: register(0), mask: vec![0xff, 0, 0, 0] },
            is(register(0), &[127, 0, 0, 0]),
            E::Verdict(Verdict::Drop),
        ]
    };
    [V4.source, V4.destination]
        .map(|offset| {
            rule("guard", "loopback address on a wire", vec![from_wire(), of_family(&V4), loopback(offset)])
        })
        .into()
}

fn family_rules(f: &Family) -> Vec<Request> {
    let with_ip = [
        of_family(f),
        vec![address(f, f.destination)],
        protocol_and_port(f.registers).into(),
        vec![lookup(f.ip, Some(register(0))), redirect(f)],
    ];
    let without =
        [of_family(f), protocol_and_port(0).into(), vec![lookup(f.any, Some(register(0))), redirect(f)]];
    let hairpin = [
        redirected(),
        of_family(f),
        vec![
            address(f, f.destination),
            E::Meta { key: Meta::IncomingName, to: register(f.registers) },
            lookup(f.hairpin, None),
            E::Masquerade,
        ],
    ];
    let itself =
        [redirected(), of_family(f), both_addresses(f).into(), vec![lookup(f.itself, None), E::Masquerade]];
    let all =
        [redirected(), of_family(f), vec![address(f, f.destination), lookup(f.all, None), E::Masquerade]];
    let mut rules = vec![
        rule(PORTS, "host ports with hostIP", with_ip.into()),
        rule(PORTS, "host ports", without.into()),
        rule(POSTROUTING_CHAIN, "back through the interface it came from", hairpin.into()),
        rule(POSTROUTING_CHAIN, "from the pod to itself", itself.into()),
        rule(POSTROUTING_CHAIN, "masqAll", all.into()),
    ];
    if f.nfproto == V4.nfproto {
        // IPv6 has no route_localnet: ::1 cannot leave the host.
        let localhost = [
            redirected(),
            of_family(f),
            vec![
                address(f, f.source),
                E::Mask { register: register(0), mask: vec![0xff, 0, 0, 0] },
                is(register(0), &[127, 0, 0, 0]),
                address(f, f.destination),
                lookup(f.local, None),
                E::Masquerade,
            ],
        ];
        rules.push(rule(POSTROUTING_CHAIN, "from localhost", localhost.into()));
    }
    rules
}

/// The key of a mapping and the map it belongs to. An unspecified hostIP is no address of a packet: it means every
/// address of its family, which is what a key without hostIP means in the map of one family.
fn key(f: &Family, mapping: &Mapping) -> (&'static str, Vec<u8>) {
    let mut fields = vec![mapping.protocol.number(), 0, 0, 0];
    fields.extend(port(mapping.host_port));
    match mapping.host_ip.filter(|ip| !ip.is_unspecified()) {
        Some(ip) => (f.ip, [octets(ip), fields].concat()),
        None => (f.any, fields),
    }
}

fn value(target: IpAddr, mapping: &Mapping) -> Vec<u8> {
    [octets(target), port(mapping.container_port).to_vec()].concat()
}

/// What is to be in the table for one address of a pod.
pub fn elements(
    target: IpAddr,
    mappings: &[&Mapping],
    interface: Option<&str>,
    config: &Config,
    owner: &Owner,
) -> Vec<(&'static str, Element)> {
    let f = family(target);
    let element = |key, value| Element { key, value, owner: Some(owner.clone()) };
    let mut elements: Vec<(&'static str, Element)> = mappings
        .iter()
        .map(|mapping| {
            let (map, key) = key(f, mapping);
            (map, element(key, value(target, mapping)))
        })
        .collect();
    let pod = octets(target);
    if let Some(interface) = interface {
        elements.push((f.hairpin, element([pod.clone(), interface_name(interface)].concat(), Vec::new())));
        elements.push((f.itself, element([pod.clone(), pod.clone()].concat(), Vec::new())));
        if target.is_ipv4() {
            elements.push((f.local, element(pod.clone(), Vec::new())));
        }
    }
    if config.masquerade_all {
        elements.push((f.all, element(pod, Vec::new())));
    }
    elements
}

fn open() -> Result<Tables, crate::nft::Error> {
    Tables::open(TABLE, skeleton)
}

fn describe(map: &str, key: &[u8]) -> String {
    let (ip, fields) = key.split_at(key.len().saturating_sub(8));
    let protocol = match fields.first() {
        Some(6) => "tcp",
        Some(17) => "udp",
        _ => "sctp",
    };
    let number = fields.get(4..6).map_or(0, |p| u16::from_be_bytes([p[0], p[1]]));
    let ip = match (map, ip.len()) {
        (_, 4) => <[u8; 4]>::try_from(ip).map(|o| format!("{}:", IpAddr::from(o))).unwrap_or_default(),
        (_, 16) => <[u8; 16]>::try_from(ip).map(|o| format!("[{}]:", IpAddr::from(o))).unwrap_or_default(),
        _ => String::new(),
    };
    format!("{ip}{number}/{protocol}")
}

/// Puts all elements in, or none.
///
/// # Errors
/// [`Error::Taken`] if a port is somebody else's.
pub fn add(elements: &[(&'static str, Element)], owner: &Owner) -> Result<(), Error> {
    let mut tables = open().map_err(Error::Publish)?;
    loop {
        let index = match tables.add(elements).map_err(Error::Publish)? {
            Added::All => return Ok(()),
            Added::Taken(index) => index,
        };
        let (set, element) = &elements[index];
        let Some(holder) = tables.get(set, &element.key).map_err(Error::LookUp)? else { continue };
        let is_port = MAPS.contains(set);
        match holder.owner {
            // Left by an ADD of the same attachment that was killed, or of the pod that had the address before and
            // was never deleted: the address is ours, so its entries are stale.
            Some(holder) if holder.same_attachment(owner) || !is_port => {
                tables.remove(vec![(*set, element.key.clone())]).map_err(Error::Publish)?;
            }
            holder => return Err(taken(set, &element.key, holder)),
        }
    }
}

fn taken(map: &str, key: &[u8], holder: Option<Owner>) -> Error {
    let holder = holder.map_or_else(|| "unknown (an entry without an owner)".to_owned(), |o| o.comment);
    Error::Taken { port: describe(map, key), holder }
}

/// Fails if the port of a mapping is another pod's.
///
/// # Errors
/// [`Error::Taken`] if so.
pub fn refuse_others(target: IpAddr, mapping: &Mapping, owner: &Owner) -> Result<(), Error> {
    let (map, key) = key(family(target), mapping);
    let mut tables = open().map_err(Error::LookUp)?;
    if !tables.exists().map_err(Error::LookUp)? {
        return Ok(());
    }
    match tables.get(map, &key).map_err(Error::LookUp)? {
        Some(found) if !found.owner.as_ref().is_some_and(|holder| holder.same_attachment(owner)) => {
            Err(taken(map, &key, found.owner))
        }
        _ => Ok(()),
    }
}

/// Removes everything of one owner. Returns protocol and number of its ports.
///
/// # Errors
/// If the table cannot be read or changed.
pub fn remove_owned(owner: &Owner) -> Result<Vec<(u8, u16)>, Error> {
    remove_where(|found| found.same_attachment(owner))
}

/// Removes everything of the owners `stale` picks. The sets are read as a whole, which needs no configuration and no
/// result, and costs some ten microseconds per hundred ports.
///
/// # Errors
/// If the table cannot be read or changed.
pub fn remove_where(stale: impl Fn(&Owner) -> bool) -> Result<Vec<(u8, u16)>, Error> {
    let mut tables = open().map_err(Error::Remove)?;
    let (mut keys, mut ports) = (Vec::new(), Vec::new());
    if !tables.exists().map_err(Error::Remove)? {
        return Ok(ports);
    }
    for set in SETS {
        for element in tables.list(set).map_err(Error::Remove)? {
            if !element.owner.as_ref().is_some_and(&stale) {
                continue;
            }
            if MAPS.contains(&set)
                && let Some([protocol, _, _, _, high, low, ..]) = element.key.last_chunk::<8>()
            {
                ports.push((*protocol, u16::from_be_bytes([*high, *low])));
            }
            keys.push((set, element.key));
        }
    }
    tables.remove(keys).map_err(Error::Remove)?;
    Ok(ports)
}

/// Whether every mapping leads to `target`.
///
/// # Errors
/// [`Error::Differs`] with the first that does not.
pub fn check(target: IpAddr, mappings: &[&Mapping], owner: &Owner) -> Result<(), Error> {
    let mut tables = open().map_err(Error::LookUp)?;
    for mapping in mappings {
        let (map, key) = key(family(target), mapping);
        let found = tables.get(map, &key).map_err(Error::LookUp)?;
        let same = found.is_some_and(|e| {
            e.value == value(target, mapping) && e.owner.is_some_and(|o| o.same_attachment(owner))
        });
        if !same {
            let to = format!("{target} port {}", mapping.container_port);
            return Err(Error::Differs { port: mapping.to_string(), to });
        }
    }
    Ok(())
}

/// Whether the kernel has nftables.
///
/// # Errors
/// If it has not.
pub fn probe() -> Result<(), Error> {
    open().and_then(|mut tables| tables.exists()).map(|_| ()).map_err(Error::LookUp)
}

/// Deletes the table if no pod has a port in it. For whoever takes the node's network down.
///
/// # Errors
/// If nftables cannot be changed.
pub fn delete_if_unused() -> Result<(), Error> {
    open().and_then(|mut tables| tables.delete_if_empty(&SETS)).map_err(Error::Remove)
}
