//! The gRPC surface: one file per RPC. A handler validates, asks the owner of the object, and awaits the answer; it
//! changes nothing itself, so a client that goes away interrupts nothing (G-10).

mod admin;
pub mod image;
mod runtime;

use std::path::Path;
use std::sync::Arc;

use cri_api::MAX_MESSAGE_BYTES;
use cri_api::admin::admin_server::AdminServer;
use cri_api::v1::image_service_server::ImageServiceServer;
use cri_api::v1::runtime_service_server::RuntimeServiceServer;
use tonic::transport::Server;
use tonic::{Code, Status};

use crate::error::{Class, Failure};
use crate::runtime::Runtime;

pub use runtime::RuntimeService;

/// Serves the runtime on the socket at `path` until `shutdown` ends.
///
/// # Errors
/// The socket cannot be bound, or the transport fails.
pub async fn serve(
    path: &Path,
    runtime: Arc<Runtime>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), anyhow::Error> {
    let incoming = cri_api::server::listen(path)?;
    Server::builder()
        .add_service(
            RuntimeServiceServer::new(RuntimeService::new(runtime.clone()))
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
                .max_encoding_message_size(MAX_MESSAGE_BYTES),
        )
        .add_service(
            ImageServiceServer::new(image::ImageService::new(runtime.images.clone()))
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
                .max_encoding_message_size(MAX_MESSAGE_BYTES),
        )
        .add_service(
            AdminServer::new(admin::Admin::new(runtime))
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
                .max_encoding_message_size(MAX_MESSAGE_BYTES),
        )
        .serve_with_incoming_shutdown(incoming, shutdown)
        .await?;
    Ok(())
}

/// The one place where a failure becomes a gRPC status (G-05).
impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let code = match failure.class {
            Class::InvalidArgument => Code::InvalidArgument,
            Class::NotFound => Code::NotFound,
            Class::AlreadyExists => Code::AlreadyExists,
            Class::FailedPrecondition => Code::FailedPrecondition,
            Class::ResourceExhausted => Code::ResourceExhausted,
            Class::DeadlineExceeded => Code::DeadlineExceeded,
            Class::Unavailable => Code::Unavailable,
            Class::Unimplemented => Code::Unimplemented,
            Class::Internal => Code::Unknown,
        };
        Self::new(code, failure.message)
    }
}

/// Runs blocking work on a thread for it.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    let joined = tokio::task::spawn_blocking(work).await;
    joined.map_err(|error| Failure::new(Class::Internal, format!("run blocking work: {error}")))
}
