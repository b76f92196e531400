//! Masquerading of what leaves through another interface than a bridge (`ipMasq`).
//!
//! ```text
//! table inet orlop_masquerade {
//!     set bridges { type ifname; }
//!     chain postrouting { type nat hook postrouting priority srcnat;
//!         iifname @bridges oifname != @bridges, multicast excepted: masquerade random,fully
//!     }
//! }
//! ```
//! The element is the bridge and not the pod: ADD costs one lookup, DEL nothing, and there is nothing to leak with a
//! pod. What pods of masqueraded bridges say to each other keeps its source. (`iifname` in postrouting: Linux 5.7.)

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Error;
use crate::netlink::Request;
use crate::nft::expression::{Expression as E, Header, Meta, Verdict, interface_name, register};
use crate::nft::message::{self, Hook, INTERFACE, POSTROUTING};
use crate::nft::transaction::Added;
use crate::nft::{Element, Tables};

const TABLE: &str = "orlop_masquerade";
const BRIDGES: &str = "bridges";
const CHAIN: &str = "postrouting";
/// `srcnat` of nft.
const SOURCE_NAT: i32 = 100;
const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;

fn skeleton() -> Vec<Request> {
    let load = |key| E::Meta { key, to: register(0) };
    let is_bridge = |negated| E::Lookup { set: BRIDGES, from: register(0), to: None, negated };
    let family =
        |family| [load(Meta::Family), E::Compare { from: register(0), negated: false, value: vec![family] }];
    let destination = |offset, length, mask: Vec<u8>, value: Vec<u8>| {
        [
            E::Payload { header: Header::Network, offset, length, to: register(0) },
            E::Mask { register: register(0), mask },
            E::Compare { from: register(0), negated: false, value },
            E::Verdict(Verdict::Return),
        ]
    };
    // 224.0.0.0/4 and ff00::/8: a masqueraded group message has the wrong sender for everybody who hears it.
    let v4 = destination(16, 4, vec![0xf0, 0, 0, 0], Ipv4Addr::new(224, 0, 0, 0).octets().to_vec());
    let mut v6_mask = vec![0; 16];
    v6_mask[0] = 0xff;
    let v6 = destination(24, 16, v6_mask, Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0).octets().to_vec());
    let hook = Hook { kind: "nat", number: POSTROUTING, priority: SOURCE_NAT };
    let rule = |comment, expressions: Vec<E>| message::append_rule(TABLE, CHAIN, comment, &expressions);
    vec![
        message::create_table(TABLE),
        message::create_set(TABLE, BRIDGES, 1, &[INTERFACE], &[]),
        message::create_chain(TABLE, CHAIN, Some(hook)),
        rule("multicast keeps its sender", family(NFPROTO_IPV4).into_iter().chain(v4).collect()),
        rule("multicast keeps its sender", family(NFPROTO_IPV6).into_iter().chain(v6).collect()),
        rule(
            "what leaves the bridges",
            vec![
                load(Meta::IncomingName),
                is_bridge(false),
                load(Meta::OutgoingName),
                is_bridge(true),
                E::Masquerade,
            ],
        ),
    ]
}

/// Makes sure that the bridge is masqueraded.
pub fn ensure(bridge: &str) -> Result<(), Error> {
    let failed = |source| Error::Masquerade { bridge: bridge.to_owned(), source };
    let mut tables = Tables::open(TABLE, skeleton).map_err(failed)?;
    let key = interface_name(bridge);
    if tables.get(BRIDGES, &key).map_err(failed)?.is_some() {
        return Ok(());
    }
    let element = Element { key, value: Vec::new(), owner: None };
    match tables.add(&[(BRIDGES, element)]).map_err(failed)? {
        // Another ADD was faster.
        Added::All | Added::Taken(_) => Ok(()),
    }
}

/// Whether the bridge is masqueraded.
pub fn is_in_place(bridge: &str) -> Result<bool, Error> {
    let failed = |source| Error::Masquerade { bridge: bridge.to_owned(), source };
    let mut tables = Tables::open(TABLE, skeleton).map_err(failed)?;
    Ok(tables.get(BRIDGES, &interface_name(bridge)).map_err(failed)?.is_some())
}

/// Takes the bridge out, and the table with the last one. For whoever deletes the bridge itself.
///
/// # Errors
/// If nftables cannot be changed.
pub fn forget(bridge: &str) -> Result<(), Error> {
    let failed = |source| Error::Masquerade { bridge: bridge.to_owned(), source };
    let mut tables = Tables::open(TABLE, skeleton).map_err(failed)?;
    tables.remove(vec![(BRIDGES, interface_name(bridge))]).map_err(failed)?;
    tables.delete_if_empty(&[BRIDGES]).map_err(failed)
}
