//! Reaching a runtime: the one that is running, or one of our own for as long as a command lasts ([`own`]).

mod own;

use std::time::Duration;

use cri_api::client;
use cri_api::v1::image_service_client::ImageServiceClient;
use cri_api::v1::runtime_service_client::RuntimeServiceClient;
use tonic::transport::Channel;

use crate::args::DEFAULT_ENDPOINT;
use crate::error::{self, Error, Result};
use crate::signals::Signals;
use own::OwnRuntime;

const CONNECT: Duration = Duration::from_secs(5);
/// How long any single question may take.
pub const ASK: Duration = Duration::from_secs(60);

/// A connection to a runtime.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Where it leads.
    pub endpoint: String,
    /// The channel.
    pub channel: Channel,
}

impl Connection {
    pub fn runtime(&self) -> RuntimeServiceClient<Channel> {
        client::runtime(self.channel.clone())
    }

    pub fn images(&self) -> ImageServiceClient<Channel> {
        client::image(self.channel.clone())
    }
}

/// A request with the usual deadline.
pub fn ask<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(ASK);
    request
}

/// Connects to the runtime that is running.
pub async fn connect(endpoint: Option<&str>) -> Result<Connection> {
    let endpoint = endpoint.unwrap_or(DEFAULT_ENDPOINT);
    if let Err(error) = client::socket_path(endpoint) {
        return Err(Error::Usage(error.to_string()));
    }
    let channel = client::connect(endpoint, CONNECT).await.map_err(|source| Error::Unavailable {
        what: format!("no runtime answers at {endpoint}"),
        advice: "start one with `cri-runtime`, or name another socket with --endpoint".to_owned(),
        source: Some(Box::new(source)),
    })?;
    Ok(Connection { endpoint: endpoint.to_owned(), channel })
}

/// Does `work` with the runtime that is running. Where none is and none was named, with one that is started for it and
/// ended afterwards, whatever became of the work.
///
/// A signal is the work's to answer; it finds [`Signals`] that know of those that came while the runtime started.
pub async fn with_runtime<F>(endpoint: Option<&str>, work: F) -> Result<u8>
where
    F: AsyncFnOnce(&Connection, Signals) -> Result<u8>,
{
    let signals = Signals::new()?;
    let missing = match connect(endpoint).await {
        Ok(connection) => return work(&connection, signals).await,
        Err(error) => error,
    };
    let (None, Some(program)) = (endpoint, own::program()) else { return Err(missing) };
    let (connection, runtime) = OwnRuntime::start(&program).await?;
    let result = work(&connection, signals).await;
    match (result, runtime.release(&connection).await) {
        (result, Ok(())) => result,
        (Ok(_), Err(error)) => Err(error),
        (Err(first), Err(error)) => {
            eprintln!("orlop: {}", error.one_line());
            Err(first)
        }
    }
}

/// `work`, or the exit code of Ctrl-C if a signal comes first: for what can be left off at any point.
pub async fn until_signal(mut signals: Signals, work: impl Future<Output = Result<u8>>) -> Result<u8> {
    tokio::select! {
        result = work => result,
        () = signals.next() => Ok(error::INTERRUPTED),
    }
}
