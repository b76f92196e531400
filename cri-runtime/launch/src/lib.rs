//! The plan of a container start: its types, how it is compiled from an OCI spec, and how it is executed.
//!
//! - [`plan`]: plain data, a flat list of named steps.
//! - [`compile()`] (feature `compile`): OCI runtime spec to plan, pure; and [`gather()`], which opens the descriptors it
//!   needs. Both run in the daemon.
//! - [`execute`]: the child half, run by the single-threaded supervisor. The only `unsafe` outside `kernel`.
//! - [`seccomp`] (feature `compile`): profiles to filters, pure.
//! - [`report`]: what the child tells the supervisor.
//! - [`protocol`]: what daemon and supervisor tell each other.

#[cfg(feature = "compile")]
pub mod compile;
pub mod execute;
#[cfg(feature = "compile")]
pub mod gather;
pub mod plan;
pub mod protocol;
pub mod report;
#[cfg(feature = "compile")]
pub mod seccomp;

#[cfg(feature = "compile")]
pub use compile::{CompileError, Compiled, Need, Options, compile, compile_exec};
#[cfg(feature = "compile")]
pub use gather::{GatherError, gather};
