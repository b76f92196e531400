//! Connecting to a CRI endpoint.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use crate::MAX_MESSAGE_BYTES;
use crate::admin::admin_client::AdminClient;
use crate::v1::image_service_client::ImageServiceClient;
use crate::v1::runtime_service_client::RuntimeServiceClient;

/// Why an endpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Only Unix sockets are endpoints.
    #[error("use endpoint {0:?}: not of the form unix:///path")]
    Scheme(String),
    /// Nobody answers at the socket.
    #[error("connect to {}", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the transport said.
        #[source]
        source: tonic::transport::Error,
    },
}

/// The path of a `unix://` endpoint; a bare absolute path is accepted too.
///
/// # Errors
/// [`ConnectError::Scheme`] for anything else.
pub fn socket_path(endpoint: &str) -> Result<&Path, ConnectError> {
    let path = endpoint.strip_prefix("unix://").unwrap_or(endpoint);
    if path.starts_with('/') { Ok(Path::new(path)) } else { Err(ConnectError::Scheme(endpoint.to_owned())) }
}

/// Opens a connection to the socket of `endpoint`, waiting at most `deadline` for it to be accepted.
///
/// # Errors
/// The endpoint is not a Unix socket, or nobody accepts there.
pub async fn connect(endpoint: &str, deadline: Duration) -> Result<Channel, ConnectError> {
    let path = socket_path(endpoint)?.to_owned();
    let socket = path.clone();
    // The authority is what every Go client sends too; the path of the socket is not a valid one.
    Endpoint::from_static("http://localhost")
        .connect_timeout(deadline)
        .connect_with_connector(service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { tokio::net::UnixStream::connect(socket).await.map(TokioIo::new) }
        }))
        .await
        .map_err(|source| ConnectError::Connect { path, source })
}

/// A RuntimeService client with the message limits of this crate.
pub fn runtime(channel: Channel) -> RuntimeServiceClient<Channel> {
    RuntimeServiceClient::new(channel)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES)
}

/// An ImageService client with the message limits of this crate.
pub fn image(channel: Channel) -> ImageServiceClient<Channel> {
    ImageServiceClient::new(channel)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES)
}

/// A client of our own runtime's admin service.
pub fn admin(channel: Channel) -> AdminClient<Channel> {
    AdminClient::new(channel)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES)
}
