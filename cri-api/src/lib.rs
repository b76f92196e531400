//! The CRI schema (v1), its client and server halves, and how to reach a runtime's Unix socket.
//!
//! This room owns the wire: the generated types and the two ends of the socket. It knows nothing of what a runtime
//! does with a request.
#![forbid(unsafe_code)]

pub mod client;
pub mod server;

/// `runtime.v1`: the Kubernetes Container Runtime Interface.
#[allow(
    missing_docs,
    rustdoc::all,
    clippy::all,
    reason = "generated from proto/api.proto, which carries the docs"
)]
pub mod v1 {
    tonic::include_proto!("runtime.v1");
}

/// `orlop.admin.v1`: what `orlop` asks of our own runtime beyond CRI.
#[allow(
    missing_docs,
    rustdoc::all,
    clippy::all,
    reason = "generated from proto/admin.proto, which carries the docs"
)]
pub mod admin {
    tonic::include_proto!("orlop.admin.v1");
}

/// Largest message either side accepts, bytes (G-02: at least 16 MiB; CRI-O's limit is used).
pub const MAX_MESSAGE_BYTES: usize = 80 * 1024 * 1024;
