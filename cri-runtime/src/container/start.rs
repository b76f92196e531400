//! Starting a container: limits, log, plan, and the supervisor's word that its program runs.

use std::os::fd::OwnedFd;

use kernel::failpoint;
use launch::Options;
use launch::compile::{Cgroups, Rootfs};
use launch::plan::FdIndex;
use launch::protocol::Stdio;
use oci_spec::runtime::Spec;

use super::create;
use crate::clock;
use crate::error::{Class, Failure};
use crate::launching;
use crate::oci;
use crate::record::{ContainerRecord, ContainerStage, Exited, ProcessId};
use crate::runtime::Runtime;
use crate::sandbox::worker::Worker;
use crate::supervisor::Start;

impl Worker {
    /// Starts a container that was made; answers when its program runs. A start that fails ends the container (1.1).
    pub(crate) async fn start_container(&mut self, id: &str) -> Result<(), Failure> {
        let container = self.container(id)?;
        if container.record.stage != ContainerStage::Created || !container.remove_replies.is_empty() {
            let state = match container.record.stage {
                ContainerStage::Started { .. } => "it is running",
                ContainerStage::Exited(_) => "it has exited",
                _ => "it is being removed",
            };
            return Err(Failure::new(Class::FailedPrecondition, format!("start container {id}: {state}")));
        }
        let name = container.record.config.metadata.as_ref().map(|m| m.name.clone()).unwrap_or_default();
        let recorder = self.recorder.clone();
        let begun = recorder.begin("start container", &name);
        let result = self.launch_container(id, &name).await;
        begun.end(result.as_ref().err().map(|e| e.failure() as _));
        match result {
            Err(Launch::NotTried(failure)) => Err(failure),
            Err(Launch::Failed(failure)) => {
                self.start_failed(id, &failure).await?;
                Err(failure)
            }
            Ok(()) => Ok(()),
        }
    }

    async fn launch_container(&mut self, id: &str, name: &str) -> Result<(), Launch> {
        let container = self.container(id).map_err(Launch::NotTried)?;
        let record = container.record.clone();
        let rootfs = container.rootfs.take();
        let recorder = self.recorder.clone();
        let object = name.to_owned();
        let prepared = self
            .blocking(move |runtime| prepare(runtime, &recorder, &object, &record, rootfs))
            .await
            .map_err(Launch::Failed)?;
        failpoint::hit("container.start.prepared");
        let began = clock::now();
        let started = self.runtime.supervisor.start(prepared.start).await;
        let started = started.map_err(|e| {
            Launch::Failed(launching::supervisor_failure(&format!("start container {name:?}"), &e))
        })?;
        launching::record_steps(&self.recorder, name, began, &started.steps);
        failpoint::hit("container.start.started");

        let container = self.container(id).map_err(Launch::NotTried)?;
        container.process = Some(started.pidfd);
        container.stdin = started.stdin;
        container.oom_kills = prepared.oom_kills;
        container.record.stage = ContainerStage::Started {
            process: ProcessId { pid: started.pid, start_time: started.start_time },
            started_at: started.started_at,
        };
        let record = container.record.clone();
        self.runtime.index.publish_container(record);
        Ok(())
    }

    /// Writes the record of a container that was started, after its caller was answered: until then the supervisor knows
    /// what a restart needs.
    pub(crate) async fn record_start(&mut self, id: &str) {
        let Ok(container) = self.container(id) else { return };
        let record = container.record.clone();
        if let Err(failure) = self.blocking(move |runtime| create::put(runtime, &record)).await {
            tracing::error!(container = %id, error = %failure, "record of the container is behind");
        }
        failpoint::hit("container.start.recorded");
    }

    /// A container whose start failed has ended: it is never started again.
    async fn start_failed(&mut self, id: &str, failure: &Failure) -> Result<(), Failure> {
        let container = self.container(id)?;
        container.record.stage = ContainerStage::Exited(Exited {
            started_at: 0,
            finished_at: clock::now(),
            code: 128,
            reason: "StartError".to_owned(),
            message: failure.message.clone(),
        });
        let record = container.record.clone();
        self.runtime.index.publish_container(record.clone());
        self.blocking(move |runtime| {
            crate::sandbox::remove_group(runtime, &record.cgroup)?;
            create::put(runtime, &record)
        })
        .await
    }
}

enum Launch {
    /// The container is as it was, or runs.
    NotTried(Failure),
    /// The container will never run.
    Failed(Failure),
}

impl Launch {
    fn failure(&self) -> &Failure {
        match self {
            Self::NotTried(failure) | Self::Failed(failure) => failure,
        }
    }
}

struct Prepared {
    start: Start,
    oom_kills: u64,
}

fn prepare(
    runtime: &Runtime,
    recorder: &crate::timeline::Recorder,
    name: &str,
    record: &ContainerRecord,
    rootfs: Option<OwnedFd>,
) -> Result<Prepared, Failure> {
    let internal = |e: &(dyn std::error::Error + 'static)| Failure::because(Class::Internal, e);
    let spec = runtime.records.spec(&record.id).map_err(|e| internal(&e))?;
    let rootfs = match rootfs {
        Some(rootfs) => rootfs,
        None => recorder.stage("mount root", name, || create::mount_root(runtime, record))?,
    };
    let (group, oom_kills) = recorder.stage("make cgroup", name, || -> Result<_, Failure> {
        let group = runtime.cgroups.group(record.cgroup.as_ref()).map_err(|e| internal(&e))?;
        group.create().map_err(|e| internal(&e))?;
        failpoint::hit("container.start.cgroup");
        let resources = oci::limits(&record.config).map_err(|e| launching::resolve_failure(&e))?;
        group.apply(&resources).map_err(|e| internal(&e))?;
        group.set_devices(&oci::device_rules(&record.config, &spec)).map_err(|e| internal(&e))?;
        let oom_kills = group.oom_kills().map_err(|e| internal(&e))?;
        Ok((group, oom_kills))
    })?;
    let log = super::log::open(record)?;
    let start = recorder.stage("plan", name, || plan(runtime, record, &spec, &group, rootfs, log))?;
    Ok(Prepared { start, oom_kills })
}

fn plan(
    runtime: &Runtime,
    record: &ContainerRecord,
    spec: &Spec,
    group: &kernel::cgroup::Cgroup,
    rootfs: OwnedFd,
    log: Option<OwnedFd>,
) -> Result<Start, Failure> {
    let options = Options {
        rootfs: Rootfs::Given(FdIndex(0)),
        cgroups: Cgroups::of(group, oci::sees_host_cgroups(&record.config)),
        seccomp: launching::filter(runtime, spec)?,
        given: 1,
        environment: Some(oci::environment(&record.config, spec)),
        ..Options::default()
    };
    let compiled =
        launch::compile(spec, &options).map_err(|e| Failure::because(Class::InvalidArgument, &e))?;
    let stdio = Stdio::Logged {
        log: log.is_some(),
        max_line: runtime.config.max_log_line,
        stdin: record.config.stdin,
    };
    launching::assemble(&record.id, compiled, vec![rootfs], stdio, log.into_iter().collect(), true)
}
