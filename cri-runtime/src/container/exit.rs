//! A container that ended.

use launch::protocol::Exit;

use super::create;
use super::signal::SIGKILL;
use crate::clock;
use crate::error::Failure;
use crate::record::{ContainerStage, Exited};
use crate::runtime::Runtime;
use crate::sandbox::worker::Worker;

impl Worker {
    /// Takes the exit that the supervisor told into the record, then lets the supervisor forget it.
    pub(crate) async fn container_exited(&mut self, exit: Exit) {
        let id = exit.id.clone();
        let Some(container) = self.containers.get(&id) else {
            // It was removed meanwhile, or belongs to a start whose answer was lost: nobody else will ask.
            self.forget(&id).await;
            return;
        };
        if !container.is_running() {
            self.forget(&id).await;
            return;
        }
        let (group, before) = (container.record.cgroup.clone(), container.oom_kills);
        let judged = self.blocking(move |runtime| Ok(judge(runtime, &exit, &group, before))).await;
        match judged {
            Ok(exited) => self.conclude(&id, exited).await,
            Err(failure) => tracing::error!(container = %id, error = %failure, "exit is not judged"),
        }
        self.forget(&id).await;
    }

    /// A container whose end nobody saw (RC-03): its exit code is lost.
    pub(crate) async fn container_lost(&mut self, id: &str, why: &str) {
        let started_at = match self.containers.get(id).map(|c| &c.record.stage) {
            Some(ContainerStage::Started { started_at, .. }) => *started_at,
            _ => return,
        };
        self.conclude(id, lost(started_at, why)).await;
    }

    async fn conclude(&mut self, id: &str, exited: Exited) {
        let Some(container) = self.containers.get_mut(id) else { return };
        container.record.stage = ContainerStage::Exited(exited);
        container.process = None;
        container.stdin = None;
        container.stopping = None;
        let (stops, removes) =
            (std::mem::take(&mut container.stop_replies), std::mem::take(&mut container.remove_replies));
        let record = container.record.clone();
        let published = record.clone();
        let stored = self.blocking(move |runtime| create::put(runtime, &record)).await;
        kernel::failpoint::hit("container.exit.recorded");
        self.runtime.index.publish_container(published);
        for reply in stops {
            let _ = reply.send(stored.clone());
        }
        if !removes.is_empty() {
            let result = self.erase_container(id).await;
            for reply in removes {
                let _ = reply.send(result.clone());
            }
        }
    }
}

/// What the status of a container says whose end nobody saw.
pub(crate) fn lost(started_at: i64, why: &str) -> Exited {
    Exited {
        started_at,
        finished_at: clock::now(),
        code: 255,
        reason: "Unknown".to_owned(),
        message: format!("the exit code was lost: {why}"),
    }
}

/// Why a process ended. Read before the group is removed: afterwards nobody knows of the out-of-memory kill (RC-14).
pub(crate) fn judge(runtime: &Runtime, exit: &Exit, group: &str, oom_kills_before: u64) -> Exited {
    let killed = exit.signal == SIGKILL || exit.cri_code() == 137;
    let oom = killed && oom_kills(runtime, group).is_ok_and(|now| now > oom_kills_before);
    let reason = match (oom, exit.cri_code()) {
        (true, _) => "OOMKilled",
        (false, 0) => "Completed",
        (false, _) => "Error",
    };
    Exited {
        started_at: exit.started_at,
        finished_at: exit.finished_at,
        code: exit.cri_code(),
        reason: reason.to_owned(),
        message: String::new(),
    }
}

fn oom_kills(runtime: &Runtime, group: &str) -> Result<u64, Failure> {
    let read = || runtime.cgroups.group(group.as_ref())?.oom_kills();
    read().map_err(|e| {
        tracing::warn!(%group, error = %crate::error::chain(&e), "out-of-memory kills cannot be counted");
        Failure::because(crate::error::Class::Internal, &e)
    })
}
