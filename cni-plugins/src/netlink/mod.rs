//! rtnetlink as the plugins need it: synchronous, batched, typed by `netlink-packet-route`.
//!
//! Owns: the socket with its deadline ([`socket`]) and the messages for links, addresses and routes. It knows nothing
//! of CNI. A socket belongs to the network namespace in which it was opened, whatever thread uses it later.

pub mod address;
pub mod attribute;
pub mod link;
pub mod route;
pub mod socket;

pub use socket::{Error, Outcome, Protocol, Request, Socket};
