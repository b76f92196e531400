//! Expressions of a rule: each is one small instruction of the kernel's nftables machine.
//!
//! Values travel through registers of four bytes; [`register`] numbers them. A key of several fields lies in
//! neighbouring registers, each field padded to four bytes.

use crate::netlink::attribute::Attributes;

/// Number of the `n`th four-byte register (`NFT_REG32_00` is 8).
pub const fn register(n: u32) -> u32 {
    8 + n
}

/// What the packet's metadata offers (`enum nft_meta_keys`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Meta {
    /// Name of the incoming interface, 16 bytes.
    IncomingName = 6,
    /// Name of the outgoing interface, 16 bytes.
    OutgoingName = 7,
    /// Family of the packet in an `inet` table, one byte.
    Family = 15,
    /// Transport protocol, one byte.
    Transport = 16,
}

/// Header a payload is read from (`enum nft_payload_bases`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Header {
    /// IPv4 or IPv6.
    Network = 1,
    /// TCP, UDP, SCTP.
    Transport = 2,
}

/// Where a rule goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Drop the packet.
    Drop,
    /// Leave the chain.
    Return,
    /// Continue in another chain, and come back.
    Jump(&'static str),
}

/// One instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// Loads metadata.
    Meta {
        /// Which.
        key: Meta,
        /// Register it goes to.
        to: u32,
    },
    /// Loads bytes of the packet.
    Payload {
        /// Header they are in.
        header: Header,
        /// Offset in that header, bytes.
        offset: u32,
        /// Number of bytes.
        length: u32,
        /// Register they go to.
        to: u32,
    },
    /// Goes on only if a register holds this value (or, negated, another).
    Compare {
        /// Register.
        from: u32,
        /// Whether the values must differ.
        negated: bool,
        /// Value.
        value: Vec<u8>,
    },
    /// Masks a register in place.
    Mask {
        /// Register.
        register: u32,
        /// Mask.
        mask: Vec<u8>,
    },
    /// Loads the status bits of the packet's connection, four bytes in host order.
    ConnectionStatus {
        /// Register they go to.
        to: u32,
    },
    /// Loads the type (`RTN_*`) of the destination address, four bytes in host order.
    DestinationType {
        /// Register it goes to.
        to: u32,
    },
    /// Goes on only if the key is in the set; for a map, loads its value.
    Lookup {
        /// Set.
        set: &'static str,
        /// First register of the key.
        from: u32,
        /// First register of the value; `None` for a plain set.
        to: Option<u32>,
        /// Goes on only if the key is not in the set.
        negated: bool,
    },
    /// Rewrites the destination of the connection.
    Destination {
        /// `NFPROTO_IPV4` or `NFPROTO_IPV6`.
        family: u8,
        /// Register of the address.
        address: u32,
        /// Register of the port.
        port: u32,
    },
    /// Rewrites the source to the address of the outgoing interface, from a fully random port (colliding ports of
    /// parallel connections otherwise lose packets in conntrack's insertion race).
    Masquerade,
    /// Ends the rule.
    Verdict(Verdict),
}

const NF_NAT_RANGE_PROTO_RANDOM_FULLY: u32 = 1 << 4;
const NFT_CT_STATUS: u32 = 2;
const NFT_FIB_RESULT_ADDRTYPE: u32 = 3;
const NFTA_FIB_F_DADDR: u32 = 1 << 1;
const NFT_LOOKUP_F_INV: u32 = 1;
const NFT_CMP_EQ: u32 = 0;
const NFT_CMP_NEQ: u32 = 1;
const NFT_NAT_DNAT: u32 = 1;
const VERDICT_REGISTER: u32 = 0;

impl Expression {
    /// The expression as an element of a rule's list.
    pub fn encode(&self) -> Attributes {
        let new = Attributes::new;
        let (name, data) = match self {
            Self::Meta { key, to } => ("meta", new().number(1, *to).number(2, *key as u32)),
            Self::Payload { header, offset, length, to } => (
                "payload",
                new().number(1, *to).number(2, *header as u32).number(3, *offset).number(4, *length),
            ),
            Self::Compare { from, negated, value } => {
                let operator = if *negated { NFT_CMP_NEQ } else { NFT_CMP_EQ };
                ("cmp", new().number(1, *from).number(2, operator).nested(3, new().bytes(1, value)))
            }
            Self::Mask { register, mask } => {
                let zero = vec![0; mask.len()];
                let length = u32::try_from(mask.len()).unwrap_or(u32::MAX);
                (
                    "bitwise",
                    new()
                        .number(1, *register)
                        .number(2, *register)
                        .number(3, length)
                        .nested(4, new().bytes(1, mask))
                        .nested(5, new().bytes(1, &zero)),
                )
            }
            Self::ConnectionStatus { to } => ("ct", new().number(1, *to).number(2, NFT_CT_STATUS)),
            Self::DestinationType { to } => {
                ("fib", new().number(1, *to).number(2, NFT_FIB_RESULT_ADDRTYPE).number(3, NFTA_FIB_F_DADDR))
            }
            Self::Lookup { set, from, to, negated } => {
                let mut data = new().text(1, set).number(2, *from);
                if let Some(to) = to {
                    data = data.number(3, *to);
                }
                if *negated {
                    data = data.number(5, NFT_LOOKUP_F_INV);
                }
                ("lookup", data)
            }
            Self::Destination { family, address, port } => (
                "nat",
                new()
                    .number(1, NFT_NAT_DNAT)
                    .number(2, u32::from(*family))
                    .number(3, *address)
                    .number(5, *port),
            ),
            Self::Masquerade => ("masq", new().number(1, NF_NAT_RANGE_PROTO_RANDOM_FULLY)),
            Self::Verdict(verdict) => {
                let code = match verdict {
                    Verdict::Drop => new().number(1, 0),
                    Verdict::Return => new().number(1, (-5i32).cast_unsigned()),
                    Verdict::Jump(chain) => new().number(1, (-3i32).cast_unsigned()).text(2, chain),
                };
                ("immediate", new().number(1, VERDICT_REGISTER).nested(2, new().nested(2, code)))
            }
        };
        new().text(1, name).nested(2, data)
    }
}

/// The value of an interface name in a register: 16 bytes, padded with zeroes.
pub fn interface_name(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(16, 0);
    bytes
}
