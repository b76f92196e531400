//! The logs of a pod's containers while it runs, each instance after the other.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kubelet::layout::Layout;
use kubelet::plan::Stage;
use kubelet::worker::{ContainerStatus, Snapshot};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::error::{Error, Result};
use crate::log::{Attempt, Printer, follow};

/// The readers of a pod's logs.
pub struct Streams {
    readers: JoinSet<Result<()>>,
}

impl Streams {
    /// Starts a reader for every container of the pod.
    pub fn start(snapshots: watch::Receiver<Snapshot>, logs: PathBuf) -> Self {
        let names: Vec<String> =
            snapshots.borrow().containers.iter().map(|container| container.name.clone()).collect();
        let printer = Arc::new(Printer::new(names.iter().map(String::as_str), true, false));
        let mut readers = JoinSet::new();
        for (index, name) in names.into_iter().enumerate() {
            let reader = Reader { index, name, printer: Arc::clone(&printer), logs: logs.clone() };
            readers.spawn(reader.read(snapshots.clone()));
        }
        Self { readers }
    }

    /// Waits until everything the containers wrote is printed.
    pub async fn finish(mut self) -> Result<()> {
        let mut result = Ok(());
        while let Some(ended) = self.readers.join_next().await {
            if let Ok(ended) = ended {
                result = result.and(ended);
            }
        }
        result
    }
}

struct Reader {
    index: usize,
    name: String,
    printer: Arc<Printer>,
    logs: PathBuf,
}

impl Reader {
    /// Reads the logs of instance after instance. Which one is the newest is only known from snapshots, and those may
    /// skip one that lived shortly; its log is there all the same.
    async fn read(self, mut snapshots: watch::Receiver<Snapshot>) -> Result<()> {
        let mut attempt = 0;
        loop {
            let path = self.logs.join(Layout::log_file(&self.name, attempt));
            let state = state_of(&snapshots.borrow_and_update(), &self.name, attempt);
            let (publish, receive) = watch::channel(state);
            let read = self.one(&path, receive);
            tokio::pin!(read);
            loop {
                tokio::select! {
                    ended = &mut read => {
                        ended?;
                        break;
                    }
                    changed = snapshots.changed() => {
                        let state = match changed {
                            Ok(()) => state_of(&snapshots.borrow_and_update(), &self.name, attempt),
                            Err(_) => Attempt::Ended,
                        };
                        publish.send_if_modified(|known| std::mem::replace(known, state) != state);
                        if changed.is_err() {
                            read.as_mut().await?;
                            break;
                        }
                    }
                }
            }
            attempt += 1;
            // The next instance may be long in coming, or never come.
            let more = |snapshot: &Snapshot| {
                snapshot.stage == Stage::Terminated
                    || known(snapshot, &self.name).is_some_and(|c| newest(c) >= Some(attempt))
            };
            let ended = match snapshots.wait_for(more).await {
                Ok(snapshot) => {
                    known(&snapshot, &self.name).is_none_or(|container| newest(container) < Some(attempt))
                }
                Err(_) => true,
            };
            if ended {
                return Ok(());
            }
        }
    }

    async fn one(&self, path: &Path, attempt: watch::Receiver<Attempt>) -> Result<()> {
        let printed =
            follow(path, None, attempt, |line| self.printer.print(self.index, &self.name, line)).await;
        printed.map_err(|source| Error::io("read", path.display().to_string(), source))
    }
}

fn known<'a>(snapshot: &'a Snapshot, name: &str) -> Option<&'a ContainerStatus> {
    snapshot.containers.iter().find(|container| container.name == name)
}

/// The newest instance there is.
fn newest(container: &ContainerStatus) -> Option<u32> {
    container.id.as_ref().map(|_| container.restarts)
}

/// Whether instance `attempt` may still write.
fn state_of(snapshot: &Snapshot, name: &str, attempt: u32) -> Attempt {
    let Some(container) = known(snapshot, name) else { return Attempt::Ended };
    let over = snapshot.stage == Stage::Terminated
        || match newest(container) {
            None => false,
            Some(newest) if newest > attempt => true,
            Some(newest) => newest == attempt && container.ended,
        };
    if over { Attempt::Ended } else { Attempt::Live }
}
