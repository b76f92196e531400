//! Connections the kernel remembers, as far as they concern a host port.

use nix::libc::{EBUSY, ENOENT};

use crate::netlink::attribute::{Attributes, find};
use crate::netlink::socket::{NLM_F_ACK, NLM_F_DUMP};
use crate::netlink::{Error, Protocol, Request, Socket};

const SUBSYSTEM: u16 = 1 << 8;
const GET: u16 = SUBSYSTEM | 1;
const DELETE: u16 = SUBSYSTEM | 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_ZONE: u16 = 18;
const CTA_FILTER: u16 = 25;
const CTA_FILTER_ORIG_FLAGS: u16 = 1;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_DST_PORT: u16 = 3;
/// Bits of CTA_FILTER_ORIG_FLAGS: which fields of the tuple have to match.
const FILTER_PROTO_NUM: u32 = 1 << 3;
const FILTER_PROTO_DST_PORT: u32 = 1 << 5;
const FAMILIES: [u8; 2] = [2, 10];

/// Forgets every connection whose original destination has one of these protocols and ports. The kernel filters while
/// it dumps (Linux 5.8), so that a node with a million connections does not copy them all.
pub fn forget(ports: &[(u8, u16)]) -> Result<(), Error> {
    let mut socket = Socket::open(Protocol::Netfilter)?;
    for family in FAMILIES {
        for &(protocol, port) in ports {
            let stale = list(&mut socket, family, protocol, port)?;
            let requests: Vec<Request> = stale.into_iter().map(|tuple| delete(family, tuple)).collect();
            // Many in one datagram would answer with more acknowledgements than the socket holds.
            for some in requests.chunks(64) {
                for outcome in socket.exchange(some)? {
                    // It ended by itself, or is just being confirmed with the new rules in place.
                    outcome.ok_or_tolerate(&[ENOENT, EBUSY])?;
                }
            }
        }
    }
    Ok(())
}

fn list(socket: &mut Socket, family: u8, protocol: u8, port: u16) -> Result<Vec<Attributes>, Error> {
    let proto =
        Attributes::new().byte(CTA_PROTO_NUM, protocol).bytes(CTA_PROTO_DST_PORT, &port.to_be_bytes());
    let flags = FILTER_PROTO_NUM | FILTER_PROTO_DST_PORT;
    let attributes = Attributes::new()
        .nested(CTA_TUPLE_ORIG, Attributes::new().nested(CTA_TUPLE_PROTO, proto))
        .nested(CTA_FILTER, Attributes::new().bytes(CTA_FILTER_ORIG_FLAGS, &flags.to_ne_bytes()));
    let request = Request::new("list connections", GET, NLM_F_DUMP, attributes.behind(&[family, 0, 0, 0]));
    let data = socket.request(request)?;
    Ok(data.iter().filter_map(|(_, body)| identity(body.get(4..)?, protocol, port)).collect())
}

/// What names the connection in a request to delete it; `None` if it is another one after all.
fn identity(attributes: &[u8], protocol: u8, port: u16) -> Option<Attributes> {
    let tuple = find(attributes, CTA_TUPLE_ORIG)?;
    let proto = find(tuple, CTA_TUPLE_PROTO)?;
    if find(proto, CTA_PROTO_NUM)? != [protocol] || find(proto, CTA_PROTO_DST_PORT)? != port.to_be_bytes() {
        return None;
    }
    find(tuple, CTA_TUPLE_IP)?;
    let identity = Attributes::new().bytes(CTA_TUPLE_ORIG | 1 << 15, tuple);
    Some(match find(attributes, CTA_ZONE) {
        Some(zone) => identity.bytes(CTA_ZONE, zone),
        None => identity,
    })
}

fn delete(family: u8, identity: Attributes) -> Request {
    Request::new("forget connection", DELETE, NLM_F_ACK, identity.behind(&[family, 0, 0, 0]))
}
