//! What a plugin answers to ADD, in every version of the specification.
//!
//! Inside, there is one type in the shape of the newest version ([`CniResult`]); [`decode`] and [`encode`] convert at
//! the edges. Fields this room does not know are carried along, so that a chain does not lose what a newer plugin said.

mod convert;
mod types;
mod version;

pub use convert::{ConvertError, decode, encode};
pub use types::{CniResult, Dns, Interface, IpConfig, RouteConfig};
pub use version::{SUPPORTED, SpecVersion, UnknownVersion, supported_list, version_report};

#[cfg(test)]
mod tests;
