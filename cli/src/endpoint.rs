//! Reaching a runtime: the one that is running, or one of our own for as long as a command lasts.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use cri_api::client;
use cri_api::v1::image_service_client::ImageServiceClient;
use cri_api::v1::runtime_service_client::RuntimeServiceClient;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};
use tonic::transport::Channel;

use crate::args::DEFAULT_ENDPOINT;
use crate::error::{Error, Result};

const CONNECT: Duration = Duration::from_secs(5);
const START: Duration = Duration::from_secs(15);
const END: Duration = Duration::from_secs(15);
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

/// A runtime that this command started and ends.
#[derive(Debug)]
pub struct OwnRuntime {
    child: Child,
    log: PathBuf,
}

/// Connects to the runtime that is running. Where none is and none was named, starts one.
pub async fn connect_or_start(endpoint: Option<&str>) -> Result<(Connection, Option<OwnRuntime>)> {
    let first = connect(endpoint).await;
    let missing = match first {
        Ok(connection) => return Ok((connection, None)),
        Err(error) if endpoint.is_some() => return Err(error),
        Err(error) => error,
    };
    let Some(program) = sibling("cri-runtime") else { return Err(missing) };
    let own = OwnRuntime::start(&program)?;
    match own.wait_ready().await {
        Ok((connection, own)) => Ok((connection, Some(own))),
        Err(error) => Err(error),
    }
}

/// A program beside our own.
fn sibling(name: &str) -> Option<PathBuf> {
    let path = std::env::current_exe().ok()?.parent()?.join(name);
    path.is_file().then_some(path)
}

impl OwnRuntime {
    fn start(program: &Path) -> Result<Self> {
        let log = std::env::temp_dir().join(format!("orlop-runtime-{}.log", std::process::id()));
        let failed =
            |operation, object: &Path, source| Error::io(operation, object.display().to_string(), source);
        let file = std::fs::OpenOptions::new().create_new(true).write(true).open(&log);
        let file = file.map_err(|source| failed("make", &log, source))?;
        let copy = file.try_clone().map_err(|source| failed("open", &log, source))?;
        let mut command = Command::new(program);
        command.stdin(Stdio::null()).stdout(file).stderr(copy);
        // A group of its own: Ctrl-C is for the pod, whose end still needs the runtime.
        command.process_group(0);
        let child = command.spawn().map_err(|source| failed("start", program, source))?;
        Ok(Self { child, log })
    }

    async fn wait_ready(mut self) -> Result<(Connection, Self)> {
        let deadline = Instant::now() + START;
        loop {
            if let Ok(channel) = client::connect(DEFAULT_ENDPOINT, CONNECT).await {
                let connection = Connection { endpoint: DEFAULT_ENDPOINT.to_owned(), channel };
                return Ok((connection, self));
            }
            let ended = timeout(Duration::from_millis(20), self.child.wait()).await;
            if ended.is_ok() || Instant::now() > deadline {
                let last = self.last_words();
                self.end().await;
                return Err(Error::Unavailable {
                    what: format!("the runtime did not start: {last}"),
                    advice: "start `cri-runtime` by hand to see more".to_owned(),
                    source: None,
                });
            }
        }
    }

    fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").trim().to_owned()
    }

    /// Ends the runtime: TERM, and KILL if that is not enough.
    pub async fn end(mut self) {
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            // The child is ours and not yet waited for, so the pid is still its own.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            if timeout(END, self.child.wait()).await.is_err() {
                let _ = self.child.kill().await;
            }
        }
        let _ = std::fs::remove_file(&self.log);
    }
}
