//! Elements of sets and maps.

use super::owner::Owner;
use crate::netlink::attribute::{Attributes, find, iterate};

/// A key, its value in a map, and whom it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// Fields of the key, each padded to four bytes.
    pub key: Vec<u8>,
    /// Fields of the value; empty in a plain set.
    pub value: Vec<u8>,
    /// The attachment it was made for; `None` if it was not made by us, or belongs to no attachment.
    pub owner: Option<Owner>,
}

const ELEMENTS: u16 = 3;
const ELEMENT: u16 = 1;
const KEY: u16 = 1;
const DATA: u16 = 2;
const USER_DATA: u16 = 6;
const VALUE: u16 = 1;

impl Element {
    pub(super) fn encode_key(key: &[u8]) -> Attributes {
        Attributes::new().nested(KEY, Attributes::new().bytes(VALUE, key))
    }

    pub(super) fn encode(&self) -> Attributes {
        let mut attributes = Self::encode_key(&self.key);
        if !self.value.is_empty() {
            attributes = attributes.nested(DATA, Attributes::new().bytes(VALUE, &self.value));
        }
        match &self.owner {
            Some(owner) => attributes.bytes(USER_DATA, &owner.encode()),
            None => attributes,
        }
    }

    /// The elements of one message of a set.
    pub(super) fn decode_all(body: &[u8]) -> Vec<Self> {
        let list = body.get(4..).and_then(|attributes| find(attributes, ELEMENTS)).unwrap_or_default();
        let elements = iterate(list).filter(|(kind, _)| *kind == ELEMENT);
        elements.filter_map(|(_, attributes)| Self::decode(attributes)).collect()
    }

    fn decode(attributes: &[u8]) -> Option<Self> {
        let key = find(find(attributes, KEY)?, VALUE)?.to_vec();
        let value = find(attributes, DATA).and_then(|data| find(data, VALUE)).unwrap_or_default().to_vec();
        let owner = find(attributes, USER_DATA).and_then(Owner::decode);
        Some(Self { key, value, owner })
    }
}
