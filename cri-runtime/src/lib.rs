//! The CRI daemon: sandboxes, containers and images behind `runtime.v1`.
//!
//! [`server`] answers RPCs from [`index`] and asks the owner task of a pod ([`sandbox`]) for every change; [`container`]
//! holds what an owner does with its containers; [`oci`] turns requests into specs, [`launching`] specs into starts for
//! the [`supervisor`]; [`record`] and [`recovery`] are what a restart is made of; [`timeline`] is what the node can
//! tell of it all.
#![forbid(unsafe_code)]

pub mod clock;
pub mod config;
pub mod container;
pub mod creation;
pub mod daemon;
pub mod directories;
pub mod error;
pub mod id;
pub mod image;
pub mod index;
pub mod launching;
pub mod oci;
pub mod record;
pub mod recovery;
pub mod runtime;
pub mod sandbox;
pub mod seccomp;
pub mod server;
pub mod supervisor;
pub mod timeline;
pub mod trash;
