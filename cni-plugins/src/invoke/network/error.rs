//! What the node's network answers when it cannot do what it was asked.

use std::sync::Arc;

use crate::error::Error as CniError;
use crate::invoke::cache::CacheError;
use crate::invoke::chain::ChainError;
use crate::invoke::conflist::ConflistError;
use crate::result::ConvertError;

/// Why pods cannot have a network; the text is for `NetworkReady`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotReady(pub String);

/// Failures of the network.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// There is no usable configuration.
    #[error("load network configuration")]
    Configuration(#[source] Arc<ConflistError>),
    /// The container has this interface already; nothing was changed.
    #[error("attach {container_id} to network {network}: it is attached already")]
    Attached {
        /// Container.
        container_id: String,
        /// Network.
        network: String,
    },
    /// A plugin failed; what was made is removed again.
    #[error("attach {container_id} to the network")]
    Add {
        /// Container.
        container_id: String,
        /// Why.
        #[source]
        source: Box<ChainError>,
    },
    /// A plugin failed to remove; the attachment stays remembered.
    #[error("detach {container_id} from the network")]
    Del {
        /// Container.
        container_id: String,
        /// Why.
        #[source]
        source: Box<ChainError>,
    },
    /// A plugin found a difference.
    #[error("check the network of {container_id}")]
    Check {
        /// Container.
        container_id: String,
        /// Why.
        #[source]
        source: Box<ChainError>,
    },
    /// A plugin failed to clean up.
    #[error("collect garbage of the network")]
    Gc(#[source] Box<ChainError>),
    /// The loopback interface.
    #[error("set up loopback of {container_id}")]
    Loopback {
        /// Container.
        container_id: String,
        /// Why.
        #[source]
        source: CniError,
    },
    /// The last plugin returned no address for the interface.
    #[error("attach {container_id} to network {network}: the result has no IP address")]
    NoAddress {
        /// Container.
        container_id: String,
        /// Network.
        network: String,
    },
    /// A result cannot be read.
    #[error("read the network result of {container_id}")]
    Result {
        /// Container.
        container_id: String,
        /// Why.
        #[source]
        source: ConvertError,
    },
    /// The memory of attachments.
    #[error("remember network of {container_id}")]
    Cache {
        /// Container.
        container_id: String,
        /// Why.
        #[source]
        source: CacheError,
    },
    /// The configuration an attachment was made with cannot be read any more.
    #[error("read the cached configuration of {container_id}: {problem}")]
    CachedConfiguration {
        /// Container.
        container_id: String,
        /// What is wrong.
        problem: String,
    },
    /// The built-in network cannot be taken down.
    #[error("take down the built-in network")]
    TakeDown(#[source] CniError),
}

impl NetworkError {
    /// The error of the plugin, if one failed.
    pub fn plugin(&self) -> Option<&ChainError> {
        match self {
            Self::Add { source, .. }
            | Self::Del { source, .. }
            | Self::Check { source, .. }
            | Self::Gc(source) => Some(source),
            _ => None,
        }
    }
}
