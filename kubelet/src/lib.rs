//! Pods: what should happen next, and what was observed.
//!
//! ```text
//! manifest (text -> Pod)   plan (spec, observed, clock -> actions)   worker (actions -> runtime, volumes)
//!                              pure                                     one task per pod
//! ```
//! Around them stand the pure translations from a Pod to CRI messages, one file per section: [`env`], [`security`],
//! [`resources`], [`sandbox`], [`container`], [`dns`], [`hosts`]. This room never talks to a runtime but through
//! [`runtime::Runtime`], and never depends on ours: it drives containerd and CRI-O as well.
#![forbid(unsafe_code)]

pub mod container;
pub mod dns;
pub mod env;
pub mod expand;
pub mod hash;
pub mod host;
pub mod hosts;
pub mod layout;
pub mod manifest;
pub mod names;
pub mod plan;
pub mod quantity;
pub mod resources;

pub mod sandbox;
pub mod security;

pub mod runtime;
pub mod worker;
