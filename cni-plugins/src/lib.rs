//! CNI plugins as a library and as one multi-call binary.
//!
//! Owns: the plugins ([`plugins`]), the types and version conversions of the CNI protocol ([`result`], [`call`]), the
//! executable wrapper ([`serve`]) and the runtime side ([`invoke`]): which network a pod joins, in what order, and what
//! is remembered of it. All kernel work is netlink; no `ip`, `iptables` or `nft` process is started.
//!
//! Does not own: network namespaces (the caller makes and ends them), and anything of CRI.
//!
//! Everything here blocks; a caller with an async runtime uses threads of its own for it.
#![forbid(unsafe_code)]

pub mod call;
pub mod error;
pub mod invoke;
mod ipam;
pub mod netlink;
pub mod netns;
pub mod nft;
pub mod plugins;
pub mod result;
pub mod serve;
mod sysctl;
mod undo;
