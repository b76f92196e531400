//! A container that ended.

use launch::protocol::Exit;

use super::signal::SIGKILL;
use super::{create, shares_processes};
use crate::clock;
use crate::error::{Failure, chain};
use crate::record::{ContainerRecord, ContainerStage, Exited};
use crate::runtime::Runtime;
use crate::sandbox::TEARDOWN_DEADLINE;
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
        let (record, before) = (container.record.clone(), container.oom_kills);
        let concluded = self.blocking(move |runtime| {
            if shares_processes(&record) {
                // Nobody else ends what its first process started: that was not process 1 of a namespace.
                let group = runtime.cgroups.group(record.cgroup.as_ref());
                if let Err(error) = group.and_then(|group| group.kill(TEARDOWN_DEADLINE)) {
                    tracing::error!(container = %record.id, error = %chain(&error), "processes of the container go on");
                }
            }
            let exited = judge(runtime, &exit, &record.cgroup, before);
            Ok(record_exit(runtime, record, exited))
        });
        match concluded.await {
            Ok((record, stored)) => self.conclude(record, stored).await,
            Err(failure) => tracing::error!(container = %id, error = %failure, "exit is not judged"),
        }
        let runtime = self.runtime.clone();
        tokio::spawn(async move { runtime.forget(&id).await });
    }

    /// A container whose end nobody saw (RC-03): its exit code is lost.
    pub(crate) async fn container_lost(&mut self, id: &str, why: &str) {
        let Some(container) = self.containers.get(id) else { return };
        let ContainerStage::Started { started_at, .. } = container.record.stage else { return };
        let (record, exited) = (container.record.clone(), lost(started_at, why));
        match self.blocking(move |runtime| Ok(record_exit(runtime, record, exited))).await {
            Ok((record, stored)) => self.conclude(record, stored).await,
            Err(failure) => tracing::error!(container = %id, error = %failure, "loss is not recorded"),
        }
    }

    /// Publishes how a container ended and answers whoever waited for that.
    async fn conclude(&mut self, record: ContainerRecord, stored: Result<(), Failure>) {
        let id = record.id.clone();
        let Some(container) = self.containers.get_mut(&id) else { return };
        container.record = record.clone();
        container.process = None;
        container.stdin = None;
        container.stopping = None;
        let (stops, removes) =
            (std::mem::take(&mut container.stop_replies), std::mem::take(&mut container.remove_replies));
        self.runtime.index.publish_container(record);
        for reply in stops {
            let _ = reply.send(stored.clone());
        }
        if !removes.is_empty() {
            let result = self.erase_container(&id).await;
            for reply in removes {
                let _ = reply.send(result.clone());
            }
        }
    }
}

/// Writes the record of a container that ended.
fn record_exit(
    runtime: &Runtime,
    mut record: ContainerRecord,
    exited: Exited,
) -> (ContainerRecord, Result<(), Failure>) {
    record.stage = ContainerStage::Exited(exited);
    let stored = create::put(runtime, &record);
    kernel::failpoint::hit("container.exit.recorded");
    (record, stored)
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
