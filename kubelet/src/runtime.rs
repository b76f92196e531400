//! The runtime as the worker sees it: the few things a pod needs of CRI, each with a deadline.
//!
//! The seam between decisions and the wire. [`cri::Cri`] is the one real implementation; tests have one in memory.

pub mod cri;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use cri_api::v1::{ContainerConfig, PodSandboxConfig};
use tokio::sync::Notify;

use crate::container::Image;
use crate::plan::{Instance, Sandbox, State};

/// Everything the runtime knows of one pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodView {
    /// Its sandboxes.
    pub sandboxes: Vec<Sandbox>,
    /// Its container instances.
    pub instances: Vec<Instance>,
}

/// A call that failed. The message names call and object; why is in the source.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The runtime answered with an error.
    #[error("{operation} {object}")]
    Call {
        /// What was asked, `create container`.
        operation: &'static str,
        /// Of what.
        object: String,
        /// The runtime's answer.
        #[source]
        source: Box<Answer>,
    },
    /// The runtime did not answer.
    #[error("{operation} {object}: no answer within {} s", after.as_secs())]
    Deadline {
        /// What was asked.
        operation: &'static str,
        /// Of what.
        object: String,
        /// How long was waited.
        after: Duration,
    },
}

/// What a runtime answered: its words, without the transport's.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Answer {
    /// The gRPC code.
    pub code: tonic::Code,
    /// The message.
    pub message: String,
}

impl RuntimeError {
    /// Whether the object does not exist, which a removal counts as success.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Call { source, .. } if source.code == tonic::Code::NotFound)
    }

    /// Whether the runtime does not have this call.
    #[must_use]
    pub fn is_unimplemented(&self) -> bool {
        matches!(self, Self::Call { source, .. } if source.code == tonic::Code::Unimplemented)
    }
}

/// A result of the runtime.
pub type Result<T> = std::result::Result<T, RuntimeError>;

/// What a pod needs of a runtime.
pub trait Runtime: Send + Sync + 'static {
    /// Everything of the pod with this uid.
    fn observe(&self, uid: &str) -> impl Future<Output = Result<PodView>> + Send;

    /// Notifies of every change to the pod until the stream of events breaks, and answers why it did.
    fn follow(&self, uid: &str, changed: Arc<Notify>) -> impl Future<Output = RuntimeError> + Send;

    /// Makes a sandbox.
    fn run_sandbox(&self, config: PodSandboxConfig) -> impl Future<Output = Result<Sandbox>> + Send;

    /// Stops a sandbox and gives back its network. One that is gone is a success.
    fn stop_sandbox(&self, id: &str) -> impl Future<Output = Result<()>> + Send;

    /// Removes a sandbox. One that is gone is a success.
    fn remove_sandbox(&self, id: &str) -> impl Future<Output = Result<()>> + Send;

    /// The local image a reference means, if there is one.
    fn image(&self, reference: &str) -> impl Future<Output = Result<Option<Image>>> + Send;

    /// Fetches an image.
    fn pull(&self, reference: &str, sandbox: PodSandboxConfig) -> impl Future<Output = Result<()>> + Send;

    /// Creates a container and answers its id.
    fn create(
        &self,
        sandbox: &str,
        config: ContainerConfig,
        sandbox_config: PodSandboxConfig,
    ) -> impl Future<Output = Result<String>> + Send;

    /// Starts a created container.
    fn start(&self, id: &str) -> impl Future<Output = Result<()>> + Send;

    /// Asks a container to end and kills it after `grace`. One that is gone is a success.
    fn stop(&self, id: &str, grace: Duration) -> impl Future<Output = Result<()>> + Send;

    /// Removes a container. One that is gone is a success.
    fn remove(&self, id: &str) -> impl Future<Output = Result<()>> + Send;

    /// Where an instance is in its life; `None` if it is gone.
    fn state(&self, id: &str) -> impl Future<Output = Result<Option<State>>> + Send;
}
