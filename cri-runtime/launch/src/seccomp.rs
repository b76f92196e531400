//! Seccomp: from a profile to the program the kernel runs. Pure.
//!
//! Owns: reading profiles ([`Profile`]), the default profile ([`runtime_default`]), deciding which of its rules hold
//! for a container ([`Profile::resolve`]), and compiling the result ([`Policy::compile`]). Does not own: loading the
//! program (a step of the plan) nor keeping compiled ones (the daemon; a [`Policy`] is the key of its cache).
//!
//! ```text
//!   JSON, or runtime_default()      capabilities, kernel           native architecture
//!            |                              |                              |
//!         Profile ----------resolve---------+--> Policy ----------compile--+--> Filter
//!                        OCI LinuxSeccomp <--------/ \-------> key
//! ```
//!
//! Why an own compiler: libseccomp builds its filter for 10 to 40 ms on every start and tests numbers one after the
//! other, and the kernel runs the filter for each number when it is loaded (566 us against 259 us for a tree). A
//! filter here is a balanced tree over ranges of numbers with the same answer.
//!
//! # What a profile means
//! - A rule whose action is the default action says nothing.
//! - A rule without conditions decides its calls, whatever rules with conditions there are (as libseccomp has it);
//!   otherwise the first rule whose conditions hold decides; otherwise the default action.
//! - Conditions of one rule hold all together; if two of them concern the same argument, either is enough, since
//!   that is how OCI runtimes have always read such rules.
//! - Names of system calls this table does not know are skipped: a profile is written for kernels of all ages.
//! - Where the default is an errno, a number above every number the profile names answers ENOSYS: a C library that
//!   tries a newer call falls back only on ENOSYS.
//! - A process of an architecture that is not in the profile is killed.
//! - i386 programs reach sockets through `socketcall`, whose arguments a filter cannot see.

mod action;
mod arch;
mod assemble;
mod chain;
mod default;
mod error;
mod oci;
mod policy;
mod profile;
mod program;

pub use action::Action;
pub use arch::Arch;
pub use default::runtime_default;
pub use error::{Error, Result};
pub use policy::{Compare, Condition, Policy, Rule};
pub use profile::{Context, KernelVersion, Profile};

#[cfg(test)]
mod interpret;
#[cfg(test)]
mod tests;
