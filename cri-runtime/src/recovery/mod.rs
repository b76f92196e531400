//! What a daemon makes of what the one before it left: every object whole or gone, nothing without an owner.
//!
//! The records say what was meant, the supervisor says what runs, exit records say how things ended. Objects whose
//! making or removal was under way are undone or finished; processes that no record knows are killed; directories and
//! groups that no record knows are removed. Runs once, before the socket answers anything but `Version` (G-03).

mod sweep;

use std::collections::HashMap;
use std::sync::Arc;

use kernel::process::Pidfd;
use launch::protocol::Exit;

use crate::container;
use crate::error::{Failure, chain};
use crate::record::{ContainerRecord, ContainerStage, ProcessId, RecordError, SandboxRecord, SandboxStage};
use crate::runtime::Runtime;
use crate::sandbox::{self, Recovered};
use crate::supervisor::{Known, exit_records};

/// What runs and what has ended, by id.
#[derive(Debug, Default)]
struct Evidence {
    running: HashMap<String, Known>,
    exits: HashMap<String, Exit>,
}

/// Why nothing can be recovered.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// Records cannot be listed.
    #[error("read records")]
    Records(#[from] RecordError),
    /// Exit records cannot be listed.
    #[error("read exit records in {}", path.display())]
    Exits {
        /// Their directory.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Recovers everything. Blocks; to be called before the daemon serves, with a tokio runtime around it.
///
/// # Errors
/// The records cannot be listed. A single object that cannot be recovered is an error in the log, not here.
pub fn recover(runtime: &Arc<Runtime>, known: Vec<Known>) -> Result<(), RecoveryError> {
    let exits = runtime.config.exits();
    let mut evidence = Evidence::default();
    let on_file =
        exit_records(&exits).map_err(|source| RecoveryError::Exits { path: exits.clone(), source })?;
    evidence.exits.extend(on_file.into_iter().map(|exit| (exit.id.clone(), exit)));
    for known in known {
        match &known.process.exit {
            Some(exit) => {
                evidence.exits.insert(exit.id.clone(), exit.clone());
            }
            None => {
                evidence.running.insert(known.process.id.clone(), known);
            }
        }
    }
    let ended: Vec<String> = evidence.exits.keys().cloned().collect();

    let mut containers: HashMap<String, Vec<ContainerRecord>> = HashMap::new();
    for record in runtime.records.all::<ContainerRecord>()? {
        containers.entry(record.sandbox.clone()).or_default().push(record);
    }
    for record in runtime.records.all::<SandboxRecord>()? {
        let id = record.id.clone();
        let own = containers.remove(&id).unwrap_or_default();
        if let Err(failure) = recover_sandbox(runtime, record, own, &mut evidence) {
            tracing::error!(pod = %id, error = %failure, "pod sandbox cannot be recovered; the next start tries again");
        }
    }
    // Containers whose sandbox has no record any more.
    for record in containers.into_values().flatten() {
        let id = record.id.clone();
        if let Err(failure) = container::finish_removal(runtime, &record) {
            tracing::error!(container = %id, error = %failure, "container without a pod cannot be removed");
        }
    }
    sweep::sweep(runtime, evidence.running.into_values());
    let runtime = runtime.clone();
    tokio::spawn(async move {
        for id in ended {
            runtime.forget(&id).await;
        }
    });
    Ok(())
}

fn recover_sandbox(
    runtime: &Arc<Runtime>,
    mut record: SandboxRecord,
    containers: Vec<ContainerRecord>,
    evidence: &mut Evidence,
) -> Result<(), Failure> {
    let holder = evidence.running.remove(&record.id);
    if let (SandboxStage::Starting, Some(known)) = (record.stage, &holder) {
        record.stage = SandboxStage::Ready;
        record.pause = Some(ProcessId { pid: known.process.pid, start_time: known.process.start_time });
        sandbox::store(runtime, &record)?;
    }
    let pause = holder.and_then(|known| known.pidfd);
    match record.stage {
        SandboxStage::Creating | SandboxStage::Starting | SandboxStage::Removing => {
            tracing::info!(pod = %record.id, stage = ?record.stage, "unfinished pod sandbox is undone");
            for container in &containers {
                kill(evidence, &container.id);
                container::finish_removal(runtime, container)?;
            }
            return sandbox::undo(runtime, &record, pause.as_ref());
        }
        SandboxStage::Ready if pause.is_none() => {
            tracing::warn!(pod = %record.id, "the holder of the pod's namespaces is gone: the pod is not ready");
            record.stage = SandboxStage::NotReady;
            sandbox::store(runtime, &record)?;
        }
        SandboxStage::Ready | SandboxStage::NotReady => {}
    }
    let mut recovered = Recovered { record, pause, containers: Vec::new() };
    for container in containers {
        let id = container.id.clone();
        match recover_container(runtime, container, evidence) {
            Ok(Some(container)) => recovered.containers.push(container),
            Ok(None) => {}
            Err(failure) => {
                tracing::error!(container = %id, error = %failure, "container cannot be recovered")
            }
        }
    }
    sandbox::adopt(runtime, recovered);
    Ok(())
}

type RecoveredContainer = (ContainerRecord, Option<Pidfd>, Option<std::os::fd::OwnedFd>);

fn recover_container(
    runtime: &Runtime,
    mut record: ContainerRecord,
    evidence: &mut Evidence,
) -> Result<Option<RecoveredContainer>, Failure> {
    let known = evidence.running.remove(&record.id);
    let exit = evidence.exits.get(&record.id);
    match &record.stage {
        ContainerStage::Creating | ContainerStage::Removing => {
            tracing::info!(container = %record.id, stage = ?record.stage, "unfinished container is undone");
            container::finish_removal(runtime, &record)?;
            return Ok(None);
        }
        ContainerStage::Exited(_) => return Ok(Some((record, None, None))),
        // The daemon may have been killed between a start and the record of it.
        ContainerStage::Created | ContainerStage::Started { .. } => {}
    }
    if let Some(known) = known {
        record.stage = ContainerStage::Started {
            process: ProcessId { pid: known.process.pid, start_time: known.process.start_time },
            started_at: known.process.started_at,
        };
        container::store(runtime, &record)?;
        return Ok(Some((record, known.pidfd, known.stdin)));
    }
    if let Some(exit) = exit {
        record.stage = ContainerStage::Exited(container::judge(runtime, exit, &record.cgroup, 0));
        container::store(runtime, &record)?;
        return Ok(Some((record, None, None)));
    }
    if let ContainerStage::Started { started_at, .. } = record.stage {
        // Nobody saw it end. What is left of it has no parent and no reader.
        sandbox::remove_group(runtime, &record.cgroup)?;
        let why = "neither the supervisor nor an exit record knows the container";
        record.stage = ContainerStage::Exited(container::lost(started_at, why));
        container::store(runtime, &record)?;
    }
    Ok(Some((record, None, None)))
}

fn kill(evidence: &mut Evidence, id: &str) {
    let Some(pidfd) = evidence.running.remove(id).and_then(|known| known.pidfd) else { return };
    if let Err(error) = pidfd.send_signal(container::signal::SIGKILL) {
        tracing::debug!(%id, error = %chain(&error), "process is gone already");
    }
}
