//! What the table of host ports consists of: its sets and maps, its chains, and the rules in them. What is in the sets
//! is another matter ([`super::table`]).
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

use crate::netlink::Request;
use crate::nft::expression::{Expression as E, Header, Meta, Verdict, interface_name, register};
use crate::nft::message::{
    self, Field, Hook, INTERFACE, IPV4, IPV6, OUTPUT, PORT, POSTROUTING, PREROUTING, PROTOCOL,
};

/// Name of the table.
pub const TABLE: &str = "orlop_hostports";
const PORTS: &str = "ports";
const POSTROUTING_CHAIN: &str = "postrouting";
/// `dstnat`, `srcnat` and `raw` of nft.
const DESTINATION_NAT: i32 = -100;
const SOURCE_NAT: i32 = 100;
const RAW: i32 = -300;
const RTN_LOCAL: u32 = 2;
const IPS_DST_NAT: u32 = 1 << 5;

/// What differs between the families.
pub struct Family {
    nfproto: u8,
    address: Field,
    /// Offsets of source and destination in the header, and their length.
    source: u32,
    destination: u32,
    length: u32,
    /// Number of four-byte registers an address takes.
    registers: u32,
    pub ip: &'static str,
    pub any: &'static str,
    pub hairpin: &'static str,
    pub itself: &'static str,
    pub local: &'static str,
    pub all: &'static str,
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

/// All sets and maps.
pub const SETS: [&str; 12] = [
    V4.ip, V4.any, V4.hairpin, V4.itself, V4.local, V4.all, V6.ip, V6.any, V6.hairpin, V6.itself, V6.local,
    V6.all,
];
/// Those whose keys are host ports.
pub const MAPS: [&str; 4] = [V4.ip, V4.any, V6.ip, V6.any];

/// The family of an address.
pub fn family(ip: IpAddr) -> &'static Family {
    if ip.is_ipv4() { &V4 } else { &V6 }
}

/// An address as a field.
pub fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// A port as a field: two bytes in network order, padded.
pub fn port(number: u16) -> [u8; 4] {
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

/// The table without anything in its sets.
pub fn skeleton() -> Vec<Request> {
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
