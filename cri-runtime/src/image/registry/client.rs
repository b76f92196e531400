//! The HTTP clients, one for each way to trust and to dial, and reading bodies within bounds.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::auth::Tokens;
use super::connect::Connector;
use super::hosts::Endpoint;
use super::tls::{TlsSettings, client_config};

/// Body of a request.
pub type Body = Full<Bytes>;
/// How to trust (`None`: only plain http), and how long to dial.
type ClientKey = (Option<TlsSettings>, Option<Duration>);
type HttpClient = Client<HttpsConnector<Connector>, Body>;

/// How long a server may think before the first byte of its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a body may stand still (I-19: no limit on the whole, only on standing still).
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const POOL_IDLE: Duration = Duration::from_secs(30);

/// Connections and tokens, shared by all pulls.
pub struct Registry {
    /// Directories searched for host configurations, in order.
    pub(super) directories: Vec<PathBuf>,
    clients: Mutex<HashMap<ClientKey, HttpClient>>,
    pub(super) tokens: Tokens,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("directories", &self.directories).finish_non_exhaustive()
    }
}

/// Why a request got no answer, or an answer no end.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// Connecting, TLS, or the connection broke.
    #[error("{0}")]
    Connection(String),
    /// Nothing came for a while.
    #[error("no byte came for {} s", .0.as_secs())]
    Idle(Duration),
    /// The body is larger than it may be.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(u64),
}

impl Registry {
    /// `directories` are searched for containerd's host configurations (I-14).
    pub fn new(directories: Vec<PathBuf>) -> Self {
        Self { directories, clients: Mutex::default(), tokens: Tokens::default() }
    }

    fn client(&self, endpoint: &Endpoint, is_secure: bool) -> Result<HttpClient, TransferError> {
        // Plain http needs no authorities: reading the system's takes time and memory.
        let key: ClientKey = (is_secure.then(|| endpoint.tls.clone()), endpoint.dial_timeout);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let connector = Connector::new(endpoint.dial_timeout);
        let config = client_config(key.0.as_ref())
            .map_err(|error| TransferError::Connection(crate::error::chain(&error)))?;
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_timer(TokioTimer::new())
            .build(https);
        clients.insert(key, client.clone());
        Ok(client)
    }

    /// One request, one answer: no redirect, no authentication, no retry.
    pub(super) async fn send(
        &self,
        endpoint: &Endpoint,
        mut request: Request<Body>,
    ) -> Result<Response<Incoming>, TransferError> {
        let agent = http::HeaderValue::from_static(concat!("orlop/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert(http::header::USER_AGENT, agent);
        let is_secure = request.uri().scheme_str() == Some("https");
        let answer = self.client(endpoint, is_secure)?.request(request);
        match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(TransferError::Connection(crate::error::chain(&error))),
            Err(_) => Err(TransferError::Idle(ANSWER_TIMEOUT)),
        }
    }
}

/// The next piece of a body, `None` at its end.
pub async fn next_piece(body: &mut Incoming) -> Result<Option<Bytes>, TransferError> {
    loop {
        let frame = match tokio::time::timeout(IDLE_TIMEOUT, body.frame()).await {
            Err(_) => return Err(TransferError::Idle(IDLE_TIMEOUT)),
            Ok(None) => return Ok(None),
            Ok(Some(Err(error))) => return Err(TransferError::Connection(crate::error::chain(&error))),
            Ok(Some(Ok(frame))) => frame,
        };
        // Trailers are not content.
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
}

/// A whole body of at most `max` bytes.
pub async fn read_body(response: Response<Incoming>, max: u64) -> Result<Bytes, TransferError> {
    let mut body = response.into_body();
    let mut content = BytesMut::new();
    while let Some(piece) = next_piece(&mut body).await? {
        if content.len() as u64 + piece.len() as u64 > max {
            return Err(TransferError::TooLarge(max));
        }
        content.extend_from_slice(&piece);
    }
    Ok(content.freeze())
}
