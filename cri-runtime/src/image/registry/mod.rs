//! Speaking to registries: the pull half of OCI distribution v1.1 (I-10 to I-17).
//!
//! Owns: which hosts to ask in which order, authentication, retries, and that every answer is bounded and checked
//! against its digest. Does not own: what a manifest means, nor where a layer goes.

mod auth;
mod challenge;
mod client;
mod connect;
mod download;
mod hosts;
mod retry;
mod source;
mod tls;

pub use auth::{AuthFields, Credentials};
pub use client::Registry;
pub use download::{DownloadError, Piece};
pub use source::{FetchedManifest, Source};

use super::digest::Digest;

/// Why a registry did not give what was asked for. Every message names the host and the object; none carries
/// credentials, which is why only the host of a URL is ever printed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No host of the list answered, or all answered with 5xx (I-13: the kubelet knows this prefix).
    #[error("RegistryUnavailable: fetch {object} from {host}: {reason}")]
    Unavailable {
        /// Host asked last.
        host: String,
        /// What was asked for.
        object: String,
        /// What went wrong, with its causes.
        reason: String,
    },
    /// 401 or 403.
    #[error(
        "fetch {object} from {host}: access denied (HTTP {status}); the repository does not exist or needs credentials"
    )]
    Denied {
        /// Host that refused.
        host: String,
        /// What was asked for.
        object: String,
        /// HTTP status.
        status: u16,
    },
    /// 404.
    #[error("fetch {object} from {host}: not found (HTTP 404)")]
    NotFound {
        /// Host that does not have it.
        host: String,
        /// What was asked for.
        object: String,
    },
    /// Any other status that a retry does not help against.
    #[error("fetch {object} from {host}: HTTP {status}")]
    Status {
        /// Host that answered.
        host: String,
        /// What was asked for.
        object: String,
        /// HTTP status.
        status: u16,
    },
    /// An answer that breaks the protocol.
    #[error("fetch {object} from {host}: {reason}")]
    Protocol {
        /// Host that answered.
        host: String,
        /// What was asked for.
        object: String,
        /// The rule it breaks.
        reason: String,
    },
    /// The content is not what its digest says.
    #[error("verify {object} from {host}: digest is {actual}, expected {expected}")]
    Digest {
        /// Host that answered.
        host: String,
        /// What was asked for.
        object: String,
        /// What was asked for, by digest.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// The host configuration cannot be used.
    #[error("read registry configuration {path:?}: {reason}")]
    Configuration {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// `AuthConfig` does not parse.
    #[error("read registry credentials: {0}")]
    Credentials(&'static str),
}
