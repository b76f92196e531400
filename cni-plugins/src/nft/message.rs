//! Messages of the nf_tables subsystem (`linux/netfilter/nf_tables.h`), for tables of the `inet` family.

use super::element::Element;
use super::expression::Expression;
use crate::netlink::Request;
use crate::netlink::attribute::Attributes;
use crate::netlink::socket::{NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL};

pub(super) const NFPROTO_INET: u8 = 1;
const SUBSYSTEM: u16 = 10 << 8;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const NEWTABLE: u16 = SUBSYSTEM;
const GETTABLE: u16 = SUBSYSTEM | 1;
const DELTABLE: u16 = SUBSYSTEM | 2;
const NEWCHAIN: u16 = SUBSYSTEM | 3;
const NEWRULE: u16 = SUBSYSTEM | 6;
const NEWSET: u16 = SUBSYSTEM | 9;
const NEWSETELEM: u16 = SUBSYSTEM | 12;
const GETSETELEM: u16 = SUBSYSTEM | 13;
const DELSETELEM: u16 = SUBSYSTEM | 14;
const SET_FLAG_MAP: u32 = 0x8;
const POLICY_ACCEPT: u32 = 1;
const UDATA_RULE_COMMENT: u8 = 0;

/// `struct nfgenmsg`: family, version, resource id.
const HEADER: [u8; 4] = [NFPROTO_INET, 0, 0, 0];

fn change(name: &'static str, kind: u16, flags: u16, attributes: Attributes) -> Request {
    Request::new(name, kind, flags | NLM_F_ACK, attributes.behind(&HEADER))
}

/// Opens a transaction; everything up to [`batch_end`] takes effect at once or not at all. With a generation it
/// takes effect only if nothing in nftables changed since.
pub fn batch_begin(generation: Option<u32>) -> Request {
    let mut attributes = Attributes::new();
    if let Some(generation) = generation {
        attributes = attributes.number(1, generation);
    }
    Request::new("begin transaction", BATCH_BEGIN, 0, attributes.behind(&[0, 0, 0, 10]))
}

/// Closes a transaction.
pub fn batch_end() -> Request {
    Request::new("end transaction", BATCH_END, 0, Attributes::new().behind(&[0, 0, 0, 10]))
}

/// Asks for the generation: the number of changes to nftables in this namespace.
pub fn get_generation() -> Request {
    Request::new("get generation", SUBSYSTEM | 16, NLM_F_ACK, Attributes::new().behind(&HEADER))
}

/// Creates a table; EEXIST if it is there.
pub fn create_table(table: &str) -> Request {
    change("create table", NEWTABLE, NLM_F_CREATE | NLM_F_EXCL, Attributes::new().text(1, table))
}

/// Asks for a table.
pub fn get_table(table: &str) -> Request {
    change("get table", GETTABLE, 0, Attributes::new().text(1, table))
}

/// Deletes a table with all that is in it.
pub fn delete_table(table: &str) -> Request {
    change("delete table", DELTABLE, 0, Attributes::new().text(1, table))
}

/// Where a chain is hooked into the packets' way (`enum nf_inet_hooks`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hook {
    /// `filter` or `nat`.
    pub kind: &'static str,
    /// 0 prerouting, 3 output, 4 postrouting.
    pub number: u32,
    /// Lower runs earlier.
    pub priority: i32,
}

/// Hook number of packets that came in and are not routed yet.
pub const PREROUTING: u32 = 0;
/// Hook number of packets made on this host.
pub const OUTPUT: u32 = 3;
/// Hook number of packets about to leave.
pub const POSTROUTING: u32 = 4;

/// Creates a chain.
pub fn create_chain(table: &str, chain: &str, hook: Option<Hook>) -> Request {
    let mut attributes = Attributes::new().text(1, table).text(3, chain);
    if let Some(hook) = hook {
        let place = Attributes::new().number(1, hook.number).number(2, hook.priority.cast_unsigned());
        attributes = attributes.nested(4, place).number(5, POLICY_ACCEPT).text(7, hook.kind);
    }
    change("create chain", NEWCHAIN, NLM_F_CREATE, attributes)
}

/// Appends a rule to a chain.
pub fn append_rule(table: &str, chain: &str, comment: &str, expressions: &[Expression]) -> Request {
    const APPEND: u16 = 0x800;
    let list = expressions.iter().fold(Attributes::new(), |list, e| list.nested(1, e.encode()));
    let attributes = Attributes::new()
        .text(1, table)
        .text(2, chain)
        .nested(4, list)
        .bytes(7, &super::owner::user_data(UDATA_RULE_COMMENT, comment));
    change("append rule", NEWRULE, NLM_F_CREATE | APPEND, attributes)
}

/// A field of a key or value, as nft numbers the data types, with its length in a register in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    kind: u32,
    length: u32,
}

/// An IPv4 address.
pub const IPV4: Field = Field { kind: 7, length: 4 };
/// An IPv6 address.
pub const IPV6: Field = Field { kind: 8, length: 16 };
/// A transport protocol.
pub const PROTOCOL: Field = Field { kind: 12, length: 4 };
/// A port.
pub const PORT: Field = Field { kind: 13, length: 4 };
/// An interface name.
pub const INTERFACE: Field = Field { kind: 41, length: 16 };

/// nft shows a concatenation by its types, six bits each.
fn concatenated(fields: &[Field]) -> (u32, u32) {
    fields.iter().fold((0, 0), |(kind, length), field| (kind << 6 | field.kind, length + field.length))
}

/// Creates a set, or a map if there are fields of a value. `id` is unique within the transaction.
pub fn create_set(table: &str, set: &str, id: u32, key: &[Field], value: &[Field]) -> Request {
    let (key_kind, key_length) = concatenated(key);
    let mut attributes = Attributes::new()
        .text(1, table)
        .text(2, set)
        .number(3, if value.is_empty() { 0 } else { SET_FLAG_MAP })
        .number(4, key_kind)
        .number(5, key_length)
        .number(10, id);
    if !value.is_empty() {
        let (value_kind, value_length) = concatenated(value);
        attributes = attributes.number(6, value_kind).number(7, value_length);
    }
    change("create set", NEWSET, NLM_F_CREATE, attributes)
}

fn elements(table: &str, set: &str, list: Attributes) -> Attributes {
    Attributes::new().text(1, table).text(2, set).nested(3, list)
}

/// Adds an element; EEXIST if the key is there, whatever its value.
pub fn add_element(table: &str, set: &str, element: &Element) -> Request {
    let list = Attributes::new().nested(1, element.encode());
    change("add element", NEWSETELEM, NLM_F_CREATE | NLM_F_EXCL, elements(table, set, list))
}

/// Deletes the element of this key; ENOENT if there is none.
pub fn delete_element(table: &str, set: &str, key: &[u8]) -> Request {
    let list = Attributes::new().nested(1, Element::encode_key(key));
    change("delete element", DELSETELEM, 0, elements(table, set, list))
}

/// Asks for the element of this key; ENOENT if there is none.
pub fn get_element(table: &str, set: &str, key: &[u8]) -> Request {
    let list = Attributes::new().nested(1, Element::encode_key(key));
    change("get element", GETSETELEM, 0, elements(table, set, list))
}

/// Asks for all elements of a set.
pub fn list_elements(table: &str, set: &str) -> Request {
    let attributes = Attributes::new().text(1, table).text(2, set);
    Request::new("list elements", GETSETELEM, NLM_F_DUMP, attributes.behind(&HEADER))
}
