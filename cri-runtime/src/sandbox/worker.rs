//! The owner task of one pod.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use kernel::process::Pidfd;
use launch::protocol::Exit;
use tokio::sync::mpsc;

use super::stop::Ending;
use super::{Command, Reply};
use crate::container::stopping::Stopping;
use crate::error::{Class, Failure};
use crate::index::{Inbox, PodKey};
use crate::record::{ContainerRecord, ContainerStage, SandboxRecord};
use crate::runtime::Runtime;
use crate::timeline::{Recorder, Subject};

/// A pod and everything in it, as its owner task has it.
#[derive(Debug)]
pub struct Worker {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) record: SandboxRecord,
    pub(crate) recorder: Recorder,
    /// The holder of the pod's namespaces, while it runs.
    pub(crate) pause: Option<Pidfd>,
    /// The pod's network namespace, unless it is the host's.
    pub(crate) netns: Option<OwnedFd>,
    pub(crate) containers: BTreeMap<String, Container>,
    /// Whether nothing is left of a holder that was killed.
    pub(super) released: bool,
    /// Set while the pod is being stopped or removed.
    pub(super) ending: Option<Ending>,
    inbox: Inbox,
}

/// A container, as the owner task of its pod has it.
#[derive(Debug)]
pub struct Container {
    pub(crate) record: ContainerRecord,
    /// The first process, while it runs.
    pub(crate) process: Option<Pidfd>,
    /// The write end of its standard input, if that is kept open.
    pub(crate) stdin: Option<OwnedFd>,
    /// The root file system, mounted to look the user up, kept for the start.
    pub(crate) rootfs: Option<OwnedFd>,
    /// Out-of-memory kills of its group before it was started.
    pub(crate) oom_kills: u64,
    pub(crate) stopping: Option<Stopping>,
    /// Who is answered when it has stopped.
    pub(crate) stop_replies: Vec<Reply<()>>,
    /// Who is answered when it is gone; set when it is to be removed as soon as it has stopped.
    pub(crate) remove_replies: Vec<Reply<()>>,
}

impl Container {
    /// A container that has no process.
    pub(crate) fn new(record: ContainerRecord) -> Self {
        Self {
            record,
            process: None,
            stdin: None,
            rootfs: None,
            oom_kills: 0,
            stopping: None,
            stop_replies: Vec::new(),
            remove_replies: Vec::new(),
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(self.record.stage, ContainerStage::Started { .. })
    }
}

/// A pod found after a restart.
#[derive(Debug)]
pub struct Recovered {
    /// Its record, true of what the kernel has.
    pub record: SandboxRecord,
    /// Its holder, if that runs.
    pub pause: Option<Pidfd>,
    /// Its containers.
    pub containers: Vec<(ContainerRecord, Option<Pidfd>, Option<OwnedFd>)>,
}

/// Publishes a pod found after a restart and starts its owner task.
pub fn adopt(runtime: &Arc<Runtime>, recovered: Recovered) {
    let Recovered { record, pause, containers } = recovered;
    let (mut worker, receiver) = Worker::new(runtime.clone(), record);
    runtime.index.claim(&worker.key(), &worker.record.id);
    worker.netns = super::network::find(worker.record.netns.as_deref(), worker.record.pause.as_ref());
    worker.pause = pause;
    // A daemon before this one may have been killed between a stop and what comes behind it.
    worker.released = worker.pause.is_some();
    worker.publish();
    for (record, process, stdin) in containers {
        runtime.index.publish_container(record.clone());
        let id = record.id.clone();
        worker.containers.insert(id, Container { process, stdin, ..Container::new(record) });
    }
    tokio::spawn(worker.run(receiver));
}

impl Worker {
    /// A worker and its inbox; nothing of the pod need exist yet.
    pub(super) fn new(runtime: Arc<Runtime>, record: SandboxRecord) -> (Self, mpsc::Receiver<Command>) {
        let metadata = record.config.metadata.clone().unwrap_or_default();
        let subject = Subject {
            sandbox: record.id.clone(),
            namespace: metadata.namespace,
            name: metadata.name,
            uid: metadata.uid,
        };
        let recorder = Recorder::new(&runtime.config.timelines(), subject);
        let (inbox, receiver) = mpsc::channel(64);
        let worker = Self {
            runtime,
            record,
            recorder,
            pause: None,
            netns: None,
            containers: BTreeMap::new(),
            released: true,
            ending: None,
            inbox,
        };
        (worker, receiver)
    }

    /// What makes the pod unique among the living.
    pub(super) fn key(&self) -> PodKey {
        key(&self.record)
    }

    /// Publishes the pod as it is now.
    pub(super) fn publish(&self) {
        self.runtime.index.publish_pod(self.record.clone(), &self.inbox);
    }

    /// Runs blocking work that needs no part of the worker but the runtime.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Runtime) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let runtime = self.runtime.clone();
        let joined = tokio::task::spawn_blocking(move || work(&runtime)).await;
        joined
            .unwrap_or_else(|error| Err(Failure::new(Class::Internal, format!("run blocking work: {error}"))))
    }

    /// Serves the inbox until the pod is gone.
    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        loop {
            let deadline = self.next_deadline();
            let command = match deadline {
                Some(at) => tokio::select! {
                    command = inbox.recv() => command,
                    () = tokio::time::sleep_until(at.into()) => {
                        self.expire(Instant::now()).await;
                        if self.is_gone() { break } else { continue }
                    }
                },
                None => inbox.recv().await,
            };
            let Some(command) = command else { break };
            self.carry_out(command).await;
            self.flush_timeline();
            if self.is_gone() {
                break;
            }
        }
        self.dismiss(inbox).await;
    }

    /// Ends the inbox of a pod that is gone. Whoever still asks is told so by the end of its reply; an exit must be let
    /// go even so.
    pub(super) async fn dismiss(&self, mut inbox: mpsc::Receiver<Command>) {
        inbox.close();
        while let Some(command) = inbox.recv().await {
            if let Command::Exited(exit) = command {
                self.forget(&exit.id).await;
            }
        }
    }

    async fn carry_out(&mut self, command: Command) {
        match command {
            Command::CreateContainer { request, reply } => {
                let result = self.create_container(*request).await;
                let _ = reply.send(result);
            }
            Command::StartContainer { id, reply } => {
                let result = self.start_container(&id).await;
                let started = result.is_ok();
                let _ = reply.send(result);
                if started {
                    self.record_start(&id).await;
                }
            }
            Command::StopContainer { id, timeout, reply } => self.stop_container(&id, timeout, reply).await,
            Command::RemoveContainer { id, reply } => self.remove_container(&id, reply).await,
            Command::ReopenLog { id, reply } => {
                let result = self.reopen_log(&id).await;
                let _ = reply.send(result);
            }
            Command::Stop { reply } => self.stop(reply).await,
            Command::Remove { reply } => self.remove(reply).await,
            Command::Exited(exit) => self.exited(exit).await,
            Command::SupervisorReplaced => self.supervisor_replaced().await,
        }
    }

    async fn exited(&mut self, exit: Exit) {
        if exit.id == self.record.id {
            self.holder_exited(&exit).await;
        } else {
            self.container_exited(exit).await;
        }
        self.advance_ending().await;
    }

    /// What the old supervisor had started has no parent and its output no reader: it is ended (RC-04).
    async fn supervisor_replaced(&mut self) {
        let orphans: Vec<String> =
            self.containers.values().filter(|c| c.is_running()).map(|c| c.record.id.clone()).collect();
        for id in orphans {
            self.kill_container(&id);
            self.container_lost(&id, "the supervisor of the container ended").await;
        }
        if self.pause.is_some() {
            self.holder_lost().await;
        }
        self.advance_ending().await;
    }

    fn next_deadline(&self) -> Option<Instant> {
        let stops = self.containers.values().filter_map(|c| c.stopping.as_ref().and_then(Stopping::deadline));
        stops.chain(self.ending.as_ref().and_then(Ending::deadline)).min()
    }

    async fn expire(&mut self, now: Instant) {
        let due: Vec<String> = self
            .containers
            .values_mut()
            .filter_map(|c| {
                let stopping = c.stopping.as_mut()?;
                (stopping.due(now) == crate::container::stopping::Do::Kill).then(|| c.record.id.clone())
            })
            .collect();
        for id in due {
            self.kill_container(&id);
        }
        self.expire_ending(now).await;
    }

    /// Writes what was recorded of the command that just ended, without holding the next one.
    pub(super) fn flush_timeline(&self) {
        let recorder = self.recorder.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = recorder.flush() {
                tracing::warn!(error = %crate::error::chain(&error), "timeline is incomplete");
            }
        });
    }

    /// The container with this id.
    pub(crate) fn container(&mut self, id: &str) -> Result<&mut Container, Failure> {
        self.containers
            .get_mut(id)
            .ok_or_else(|| Failure::new(Class::NotFound, format!("find container {id:?}: not found")))
    }
}

/// What makes a pod unique among the living.
pub(super) fn key(record: &SandboxRecord) -> PodKey {
    let metadata = record.config.metadata.clone().unwrap_or_default();
    PodKey {
        namespace: metadata.namespace,
        name: metadata.name,
        uid: metadata.uid,
        attempt: metadata.attempt,
    }
}
