//! Stopping and removing a pod, from whatever state it is in. Every step can be repeated and tolerates what is gone.
//!
//! ```text
//!   Killing ── every container has ended ──▶ Releasing ──▶ NotReady ── if it is to be removed ──▶ gone
//!      │                                         │
//!      └── deadline: callers are told, the kill   └── a step fails: callers are told, the pod stays as it is
//!          stays in force                             and the next call goes on
//! ```

use std::os::fd::OwnedFd;
use std::time::Instant;

use kernel::process::Pidfd;
use launch::protocol::Exit;

use super::worker::Worker;
use super::{Reply, TEARDOWN_DEADLINE, cgroup, files::PodFiles, network, shm};
use crate::container::signal::SIGKILL;
use crate::error::{Class, Failure};
use crate::record::{Network, SandboxRecord, SandboxStage};
use crate::runtime::Runtime;

/// A stop or a removal that waits for containers to end.
#[derive(Debug)]
pub(super) struct Ending {
    stop_replies: Vec<Reply<()>>,
    remove_replies: Vec<Reply<()>>,
    deadline: Option<Instant>,
}

impl Ending {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}

impl Worker {
    pub(super) async fn stop(&mut self, reply: Reply<()>) {
        self.begin_ending().await.stop_replies.push(reply);
        self.advance_ending().await;
    }

    pub(super) async fn remove(&mut self, reply: Reply<()>) {
        self.begin_ending().await.remove_replies.push(reply);
        self.advance_ending().await;
    }

    async fn begin_ending(&mut self) -> &mut Ending {
        let running: Vec<String> =
            self.containers.values().filter(|c| c.is_running()).map(|c| c.record.id.clone()).collect();
        for id in &running {
            self.kill_container(id);
        }
        let ending = self.ending.get_or_insert_with(|| Ending {
            stop_replies: Vec::new(),
            remove_replies: Vec::new(),
            deadline: None,
        });
        ending.deadline = Some(Instant::now() + TEARDOWN_DEADLINE);
        ending
    }

    /// Goes on with a stop or removal, if there is one and nothing holds it up any more.
    pub(super) async fn advance_ending(&mut self) {
        if self.ending.is_none() || self.containers.values().any(super::worker::Container::is_running) {
            return;
        }
        let Some(ending) = self.ending.take() else { return };
        let mut result = self.release().await;
        answer(ending.stop_replies, &result);
        if !ending.remove_replies.is_empty() {
            if result.is_ok() {
                result = self.erase().await;
            }
            answer(ending.remove_replies, &result);
        }
    }

    pub(super) async fn expire_ending(&mut self, now: Instant) {
        let Some(ending) = &mut self.ending else { return };
        if ending.deadline.is_none_or(|at| at > now) {
            return;
        }
        ending.deadline = None;
        let stuck: Vec<&str> =
            self.containers.values().filter(|c| c.is_running()).map(|c| c.record.id.as_str()).collect();
        let failure = Err(Failure::new(
            Class::DeadlineExceeded,
            format!(
                "stop pod sandbox {}: killed containers do not end: {}",
                self.record.id,
                stuck.join(", ")
            ),
        ));
        answer(std::mem::take(&mut ending.stop_replies), &failure);
        answer(std::mem::take(&mut ending.remove_replies), &failure);
    }

    /// Gives back the pod's network and namespaces. No container runs any more.
    async fn release(&mut self) -> Result<(), Failure> {
        let changed = self.record.stage == SandboxStage::Ready
            || self.record.network != Network::None
            || self.record.pause.is_some()
            || self.pause.is_some();
        if !changed {
            return Ok(());
        }
        let stage = self.recorder.clone();
        let begun = stage.begin("stop sandbox", "");
        let result = self.release_steps().await;
        begun.end(result.as_ref().err().map(|e| e as _));
        result
    }

    async fn release_steps(&mut self) -> Result<(), Failure> {
        self.record.stage = SandboxStage::NotReady;
        self.publish();
        let (record, netns, pause) = (self.record.clone(), self.netns.take(), self.pause.take());
        let slot = match record.network {
            Network::None => None,
            _ => self.runtime.network_slots.acquire().await.ok(),
        };
        let (result, netns, pause) = self
            .blocking(move |runtime| {
                let result = put(runtime, &record)
                    .and_then(|()| leave(runtime, &record, netns.as_ref(), pause.as_ref()));
                Ok((result, netns, pause))
            })
            .await?;
        drop(slot);
        if let Err(failure) = result {
            (self.netns, self.pause) = (netns, pause);
            return Err(failure);
        }
        self.record.network = Network::None;
        self.record.netns = None;
        self.record.pause = None;
        self.publish();
        self.released = false;
        Ok(())
    }

    /// What a stopped pod still has and nobody waits for: its holder, which is dying, its shared memory, its group.
    pub(super) async fn clear(&mut self) -> Result<(), Failure> {
        if self.released {
            return Ok(());
        }
        let record = self.record.clone();
        self.blocking(move |runtime| {
            clear(runtime, &record)?;
            put(runtime, &record)
        })
        .await?;
        self.released = true;
        Ok(())
    }

    /// Removes what is left of a pod that was released, and the pod.
    async fn erase(&mut self) -> Result<(), Failure> {
        self.clear().await?;
        let ids: Vec<String> = self.containers.keys().cloned().collect();
        for id in ids {
            self.erase_container(&id).await?;
        }
        self.record.stage = SandboxStage::Removing;
        let record = self.record.clone();
        self.blocking(move |runtime| erase(runtime, &record)).await?;
        self.runtime.index.remove_pod(&self.record.id);
        self.runtime.index.release(&self.key(), &self.record.id);
        Ok(())
    }

    /// Whether the pod is being stopped or removed.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// Whether the pod was removed and its owner can end.
    pub(super) fn is_gone(&self) -> bool {
        self.record.stage == SandboxStage::Removing && !self.runtime.index.knows_pod(&self.record.id)
    }

    /// The holder ended on its own: the pod is not ready any more, and its containers have lost their namespaces'
    /// keeper. The kubelet stops such a pod and makes another one.
    pub(super) async fn holder_exited(&mut self, exit: &Exit) {
        // Without a holder in hand the pod was released, and this is the end that was asked for.
        if self.pause.take().is_some() {
            tracing::warn!(pod = %self.record.id, code = exit.cri_code(), "the holder of the pod's namespaces ended");
            self.holder_lost().await;
        } else if let Err(failure) = self.clear().await {
            // The removal of the pod tries again, and tells its caller.
            tracing::warn!(pod = %self.record.id, error = %failure, "stopped pod sandbox keeps something for now");
        }
        self.forget(&exit.id).await;
    }

    pub(super) async fn holder_lost(&mut self) {
        self.record.stage = SandboxStage::NotReady;
        self.store_behind().await;
        self.publish();
    }

    /// Writes the pod's record when nobody waits for it.
    pub(super) async fn store_behind(&self) {
        if let Err(failure) = self.store().await {
            tracing::error!(pod = %self.record.id, error = %failure, "record of the pod is behind");
        }
    }

    /// Writes the pod's record.
    pub(super) async fn store(&self) -> Result<(), Failure> {
        let record = self.record.clone();
        self.blocking(move |runtime| put(runtime, &record)).await
    }

    /// Lets the supervisor forget a process whose exit was told and is on record here.
    pub(crate) async fn forget(&self, id: &str) {
        self.runtime.forget(id).await;
    }
}

fn answer(replies: Vec<Reply<()>>, result: &Result<(), Failure>) {
    for reply in replies {
        let _ = reply.send(result.clone());
    }
}

/// Writes a pod's record.
pub(crate) fn put(runtime: &Runtime, record: &SandboxRecord) -> Result<(), Failure> {
    runtime.records.put(record).map_err(|e| Failure::because(Class::Internal, &e))
}

/// Takes a pod without running containers off its network and kills its holder.
///
/// The network goes first, while the holder still holds it: plugins of others want to enter the namespace. The holder
/// has nothing to save, and a signal that it handles itself could come before it does (trap 14).
fn leave(
    runtime: &Runtime,
    record: &SandboxRecord,
    netns: Option<&OwnedFd>,
    pause: Option<&Pidfd>,
) -> Result<(), Failure> {
    if record.network != Network::None {
        kernel::failpoint::hit("sandbox.stop.detach");
        network::detach(runtime, &record.id, netns, record.netns.as_deref())?;
        kernel::failpoint::hit("sandbox.stop.detached");
    }
    if let Some(pause) = pause {
        match pause.send_signal(SIGKILL) {
            Err(error) if error.raw_os_error() != Some(libc::ESRCH) => {
                let text = format!("kill holder of pod sandbox {}: {error}", record.id);
                return Err(Failure::new(Class::Internal, text));
            }
            _ => {}
        }
        kernel::failpoint::hit("sandbox.stop.killed");
    }
    if let Some(pin) = &record.netns {
        kernel::namespace::unpin(pin)
            .map_err(|e| Failure::new(Class::Internal, format!("unpin {}: {e}", pin.display())))?;
    }
    Ok(())
}

/// Waits until nothing of the holder is left and removes what outlived it.
fn clear(runtime: &Runtime, record: &SandboxRecord) -> Result<(), Failure> {
    shm::unmount(&runtime.config.pod_files(&record.id))?;
    remove_group(runtime, &record.cgroup)
}

/// Gives back everything of a pod without running containers. Also what undoes a creation that failed.
pub(crate) fn release(
    runtime: &Runtime,
    record: &SandboxRecord,
    netns: Option<&OwnedFd>,
    pause: Option<&Pidfd>,
) -> Result<(), Failure> {
    leave(runtime, record, netns, pause)?;
    clear(runtime, record)
}

/// Kills what is left in a group and removes it.
pub(crate) fn remove_group(runtime: &Runtime, group: &str) -> Result<(), Failure> {
    let remove = || -> kernel::cgroup::Result<()> {
        let group = runtime.cgroups.group(&cgroup::path(group))?;
        if group.exists() {
            group.kill(TEARDOWN_DEADLINE)?;
            group.remove(TEARDOWN_DEADLINE)?;
        }
        Ok(())
    };
    remove().map_err(|e| Failure::because(Class::Internal, &e))
}

/// Undoes a sandbox whose making or removal was interrupted, from whatever step.
pub(crate) fn undo(runtime: &Runtime, record: &SandboxRecord, pause: Option<&Pidfd>) -> Result<(), Failure> {
    let netns = network::find(record.netns.as_deref(), record.pause.as_ref());
    release(runtime, record, netns.as_ref(), pause)?;
    erase(runtime, record)
}

/// Removes the files, the group and the record of a pod that was released.
pub(crate) fn erase(runtime: &Runtime, record: &SandboxRecord) -> Result<(), Failure> {
    let fail = |e: &(dyn std::error::Error + 'static)| Failure::because(Class::Internal, e);
    let removing = SandboxRecord { stage: SandboxStage::Removing, ..record.clone() };
    put(runtime, &removing)?;
    kernel::failpoint::hit("sandbox.remove.recorded");
    if let Some(group) = &record.pod_cgroup {
        remove_group(runtime, group)?;
    }
    PodFiles::new(runtime.config.pod_files(&record.id)).remove().map_err(|e| fail(&e))?;
    kernel::failpoint::hit("sandbox.remove.files");
    runtime.records.remove::<SandboxRecord>(&record.id).map_err(|e| fail(&e))
}
