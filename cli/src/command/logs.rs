//! `orlop logs`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cri_api::v1;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::args::LogsArgs;
use crate::endpoint::{self, Connection, ask};
use crate::error::{Error, Result};
use crate::log::{Attempt, Printer, follow};
use crate::pods;

/// How often a followed container is asked for whether it has ended; what it writes is told by the kernel.
const ALIVE: Duration = Duration::from_millis(500);

/// Prints the newest instance of every container of a pod, or of one.
pub async fn logs(endpoint: Option<&str>, options: &LogsArgs) -> Result<u8> {
    let connection = endpoint::connect(endpoint).await?;
    let sandboxes = pods::find(&connection, &options.pod).await?;
    let mut newest = BTreeMap::<String, v1::Container>::new();
    for sandbox in &sandboxes {
        for container in pods::containers(&connection, Some(&sandbox.id)).await? {
            let metadata = container.metadata.clone().unwrap_or_default();
            let known =
                newest.get(&metadata.name).and_then(|known| known.metadata.as_ref()).map(|data| data.attempt);
            if known.is_none_or(|attempt| attempt < metadata.attempt) {
                newest.insert(metadata.name, container);
            }
        }
    }
    if let Some(wanted) = &options.container {
        if !newest.contains_key(wanted) {
            let known: Vec<&str> = newest.keys().map(String::as_str).collect();
            let what =
                format!("pod {} has no container {wanted:?}; it has {}", options.pod, known.join(", "));
            return Err(Error::Usage(what));
        }
        newest.retain(|name, _| name == wanted);
    }
    let printer = Arc::new(Printer::new(newest.keys().map(String::as_str), false, options.timestamps));
    let mut readers = JoinSet::new();
    for (index, (name, container)) in newest.into_iter().enumerate() {
        let Some(path) = log_path(&connection, &container.id).await? else { continue };
        let running = options.follow && container.state() == v1::ContainerState::ContainerRunning;
        let (state, attempt) = watch::channel(if running { Attempt::Live } else { Attempt::Ended });
        if running {
            readers.spawn(wait_for_end(connection.clone(), container.id.clone(), state));
        }
        let printer = Arc::clone(&printer);
        let last = options.tail;
        readers.spawn(async move {
            let printed = follow(&path, last, attempt, |line| printer.print(index, &name, line)).await;
            printed.map_err(|source| Error::io("read", path.display().to_string(), source))
        });
    }
    let mut result = Ok(0);
    while let Some(ended) = readers.join_next().await {
        if let Ok(Err(error)) = ended {
            result = result.and(Err(error));
        }
    }
    result
}

async fn log_path(connection: &Connection, id: &str) -> Result<Option<PathBuf>> {
    let request = ask(v1::ContainerStatusRequest { container_id: id.to_owned(), verbose: false });
    match connection.runtime().container_status(request).await {
        Ok(answer) => {
            let path =
                answer.into_inner().status.map(|status| status.log_path).filter(|path| !path.is_empty());
            Ok(path.map(PathBuf::from))
        }
        Err(status) if status.code() == tonic::Code::NotFound => Ok(None),
        Err(status) => Err(Error::call("look at container", id, status)),
    }
}

async fn wait_for_end(connection: Connection, id: String, state: watch::Sender<Attempt>) -> Result<()> {
    loop {
        tokio::time::sleep(ALIVE).await;
        let request = ask(v1::ContainerStatusRequest { container_id: id.clone(), verbose: false });
        let running = match connection.runtime().container_status(request).await {
            Ok(answer) => answer
                .into_inner()
                .status
                .is_some_and(|status| status.state() == v1::ContainerState::ContainerRunning),
            // A runtime that is being replaced does not end a container; one that does not know it does.
            Err(status) => status.code() != tonic::Code::NotFound,
        };
        if !running {
            state.send_replace(Attempt::Ended);
            return Ok(());
        }
    }
}
