//! What the stories of the project stand on: images made from nothing, a registry that can misbehave, an isolated
//! runtime, and an audit of what it left on the host.
//!
//! The stories themselves are in `tests/tests`, one file per subject, each named by a sentence. They speak CRI to a
//! real daemon, started the way people start it (`scripts/dev-runtime`); nothing of the daemon is linked in here.
#![forbid(unsafe_code)]

pub mod audit;
pub mod host;
pub mod image;
pub mod log;
pub mod patience;
pub mod registry;
pub mod runtime;
