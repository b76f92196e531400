//! The runtime side of CNI: what libcni and go-cni are to containerd.
//!
//! Owns: which configuration is the node's ([`conflist`]), what each plugin of it is told ([`capabilities`]), calling
//! it in process or as an executable ([`delegate`], [`chain`], [`exec`]), what is remembered for DEL ([`cache`]), and
//! the small interface the daemon uses ([`network`]).

mod attachment;
pub mod cache;
pub mod capabilities;
pub mod chain;
pub mod conflist;
pub mod delegate;
pub mod exec;
mod loopback;
pub mod network;

pub use attachment::{Attached, Attachment, pod_arguments};
pub use loopback::set_up_loopback;
pub use network::{Builtin, Network, NetworkConfig, NetworkError, NotReady};
