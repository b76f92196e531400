//! The plan of a container start: its types, how it is compiled from an OCI spec, and how it is executed.
pub mod plan;
pub mod protocol;
