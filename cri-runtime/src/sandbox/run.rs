//! Making a sandbox: intent before effect, evidence after effect, and everything undone when a step fails.

use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use cni_plugins::invoke::Attached;
use cri_api::v1::{NamespaceMode, PodSandboxConfig};
use launch::Options;
use launch::compile::{Cgroups, GivenNamespace, Rootfs};
use launch::plan::{FdIndex, Signals};
use launch::protocol::Stdio;
use oci_spec::runtime::LinuxNamespaceType;

use super::cgroup::PodCgroup;
use super::files::{HOSTNAME_MAX, PodFiles};
use super::worker::{Worker, key};
use super::{cgroup, network, shm, stop};
use crate::clock;
use crate::creation::{Begin, Outcome};
use crate::error::{Class, Failure};
use crate::id;
use crate::index::{Claim, PodKey};
use crate::launching;
use crate::oci;
use crate::record::{Network, ProcessId, SandboxRecord, SandboxStage, VERSION};
use crate::runtime::Runtime;
use crate::supervisor::Start;

/// A sandbox that is asked for.
#[derive(Debug)]
pub struct RunRequest {
    /// Its configuration.
    pub config: PodSandboxConfig,
    /// RuntimeClass handler.
    pub handler: String,
    /// Digest of the whole request (G-10).
    pub digest: String,
}

/// Makes the sandbox and answers with its id. A second call with the same request joins the first.
///
/// # Errors
/// What is wrong with the request, or the step that failed; nothing of the sandbox is left then.
pub async fn run(runtime: &Arc<Runtime>, request: RunRequest) -> Result<String, Failure> {
    validate(&request)?;
    let record = intent(runtime, request)?;
    let key = key(&record);
    loop {
        let mut outcome = match runtime.creations.begin(&key, &record.request) {
            Begin::Make(sender) => {
                let outcome = sender.subscribe();
                tokio::spawn(attempt(runtime.clone(), record.clone(), key.clone(), sender));
                outcome
            }
            Begin::Join(outcome) => outcome,
            Begin::Wait(mut outcome) => {
                // Its makers close the channel in any case.
                let _ = outcome.wait_for(Outcome::is_some).await;
                continue;
            }
        };
        let result = outcome.wait_for(Outcome::is_some).await;
        return match result {
            Ok(result) => result.clone().unwrap_or_else(|| Err(interrupted(&record.id))),
            Err(_) => Err(interrupted(&record.id)),
        };
    }
}

fn interrupted(id: &str) -> Failure {
    Failure::new(Class::Internal, format!("make pod sandbox {id}: the attempt was interrupted"))
}

/// One attempt, in a task of its own: it ends whether anybody waits for it or not.
async fn attempt(
    runtime: Arc<Runtime>,
    record: SandboxRecord,
    key: PodKey,
    outcome: tokio::sync::watch::Sender<Outcome>,
) {
    let result = claim_and_make(&runtime, record, &key).await;
    outcome.send_replace(Some(result));
    runtime.creations.end(&key);
}

async fn claim_and_make(
    runtime: &Arc<Runtime>,
    record: SandboxRecord,
    key: &PodKey,
) -> Result<String, Failure> {
    if let Claim::Taken { id } = runtime.index.claim(key, &record.id) {
        return match runtime.index.pod(&id) {
            Ok(pod) if pod.stage == SandboxStage::Ready && pod.request == record.request => Ok(id),
            _ => Err(Failure::new(
                Class::AlreadyExists,
                format!(
                    "make pod sandbox {}/{} attempt {}: the name is taken by pod sandbox {id}; remove that one first",
                    key.namespace, key.name, key.attempt
                ),
            )),
        };
    }
    let id = record.id.clone();
    let (mut worker, receiver) = Worker::new(runtime.clone(), record);
    // The holder may end before the sandbox is ready: its exit must find the owner.
    worker.publish();
    let recorder = worker.recorder.clone();
    let begun = recorder.begin("run sandbox", "");
    let result = worker.make().await;
    begun.end(result.as_ref().err().map(|e| e as _));
    worker.flush_timeline();
    match result {
        Ok(()) => {
            worker.publish();
            tokio::spawn(async move {
                // After the answer: until it is written, the record says all that a restart needs.
                worker.store_behind().await;
                kernel::failpoint::hit("sandbox.run.ready");
                worker.run(receiver).await;
            });
            Ok(id)
        }
        Err(failure) => {
            match worker.undo().await {
                Ok(()) => {
                    runtime.index.remove_pod(&id);
                    runtime.index.release(key, &id);
                    worker.dismiss(receiver).await;
                }
                Err(error) => {
                    // It stays visible as not ready, so that it will be stopped and removed by whoever looks (1.1).
                    tracing::error!(pod = %id, %error, "pod sandbox that failed cannot be undone yet");
                    worker.record.stage = SandboxStage::NotReady;
                    worker.publish();
                    tokio::spawn(worker.run(receiver));
                }
            }
            Err(failure)
        }
    }
}

fn validate(request: &RunRequest) -> Result<(), Failure> {
    let refuse = |text: String| Err(Failure::new(Class::InvalidArgument, format!("run pod sandbox: {text}")));
    let config = &request.config;
    let Some(metadata) = &config.metadata else { return refuse("the config has no metadata".to_owned()) };
    for (field, value) in
        [("name", &metadata.name), ("namespace", &metadata.namespace), ("uid", &metadata.uid)]
    {
        if value.is_empty() {
            return refuse(format!("the metadata has no {field}"));
        }
    }
    if !request.handler.is_empty() {
        return refuse(format!("runtime handler {:?} is not configured", request.handler));
    }
    if config.hostname.len() > HOSTNAME_MAX {
        return refuse(format!("host name {:?} is longer than {HOSTNAME_MAX} bytes", config.hostname));
    }
    if !config.log_directory.is_empty() && !config.log_directory.starts_with('/') {
        return refuse(format!("log directory {:?} is not absolute", config.log_directory));
    }
    oci::validate_sandbox(config).map_err(|e| launching::resolve_failure(&e))
}

/// The record of a sandbox before anything of it exists.
fn intent(runtime: &Runtime, request: RunRequest) -> Result<SandboxRecord, Failure> {
    let RunRequest { config, handler, digest } = request;
    let id = id::generate().map_err(|e| Failure::new(Class::Internal, format!("make an id: {e}")))?;
    let group = PodCgroup::of(&config, &id, &runtime.config.cgroup_parent)?;
    Ok(SandboxRecord {
        version: VERSION,
        created_at: clock::created_at(),
        request: digest,
        handler,
        stage: SandboxStage::Creating,
        network: Network::None,
        netns: if network::is_host(&config) { None } else { network::pin_path(runtime, &id) },
        pause: None,
        cgroup: group.process(&id),
        pod_cgroup: group.own.then(|| group.parent.clone()),
        config,
        id,
    })
}

/// The host name of a pod: what it asks for, or the host's (F-02).
pub(crate) fn hostname(config: &PodSandboxConfig) -> String {
    if !config.hostname.is_empty() {
        return config.hostname.clone();
    }
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

/// Whether the containers of a pod share their inter-process communication, and so its `/dev/shm`.
pub(crate) fn shares_ipc(config: &PodSandboxConfig) -> bool {
    let security = config.linux.as_ref().and_then(|linux| linux.security_context.as_ref());
    let options = security.and_then(|security| security.namespace_options.as_ref());
    options.is_none_or(|options| options.ipc != i32::from(NamespaceMode::Node))
}

impl Worker {
    /// Makes the sandbox of this worker, whose record says what it is to be.
    async fn make(&mut self) -> Result<(), Failure> {
        let prepared = self.prepare().await?;
        self.record.network = prepared.network;
        self.netns = prepared.netns;
        let began = clock::now();
        let started = self.runtime.supervisor.start(prepared.start).await;
        let started = started.map_err(|e| launching::supervisor_failure("start sandbox", &e))?;
        launching::record_steps(&self.recorder, "pause", began, &started.steps);
        kernel::failpoint::hit("sandbox.run.started");
        self.record.pause = Some(ProcessId { pid: started.pid, start_time: started.start_time });
        self.pause = Some(started.pidfd);
        self.record.stage = SandboxStage::Ready;
        Ok(())
    }

    /// Everything before the holder is started, on one blocking thread.
    async fn prepare(&mut self) -> Result<Prepared, Failure> {
        let record = self.record.clone();
        let recorder = self.recorder.clone();
        let runtime = self.runtime.clone();
        let slot = if network::is_host(&record.config) {
            None
        } else {
            let begun = recorder.begin("wait for network slot", "");
            let slot = runtime.network_slots.acquire().await.ok();
            begun.end(None);
            slot
        };
        let result = self.blocking(move |runtime| prepare(runtime, &recorder, record)).await;
        drop(slot);
        // What failed on the way is known from the record on disk; the network must be undone even so.
        if result.is_err() && !network::is_host(&self.record.config) {
            self.record.network = Network::Attempted;
        }
        result
    }

    /// Undoes a sandbox that could not be made.
    async fn undo(&mut self) -> Result<(), Failure> {
        let (record, netns, pause) = (self.record.clone(), self.netns.take(), self.pause.take());
        self.blocking(move |runtime| {
            stop::release(runtime, &record, netns.as_ref(), pause.as_ref())?;
            stop::erase(runtime, &record)
        })
        .await
    }
}

/// What the holder needs to be started.
struct Prepared {
    netns: Option<OwnedFd>,
    network: Network,
    start: Start,
}

fn prepare(
    runtime: &Runtime,
    recorder: &crate::timeline::Recorder,
    mut record: SandboxRecord,
) -> Result<Prepared, Failure> {
    let id = record.id.clone();
    let host = network::is_host(&record.config);
    if !host {
        record.network = Network::Attempted;
    }
    recorder.stage("record intent", "", || stop::put(runtime, &record))?;
    kernel::failpoint::hit("sandbox.run.intent");

    let mut netns = None;
    let mut ips: Vec<IpAddr> = Vec::new();
    if !host {
        let pin = record.netns.as_deref();
        let namespace = recorder.stage("make network namespace", "", || {
            network::create(runtime, pin).map_err(|e| {
                Failure::new(Class::Internal, format!("make network namespace of pod {id}: {e}"))
            })
        })?;
        kernel::failpoint::hit("sandbox.run.netns");
        let attached = attach(runtime, recorder, &record, &namespace, pin)?;
        kernel::failpoint::hit("sandbox.run.attached");
        ips = attached.ips;
        record.network = Network::Attached { ips: ips.clone() };
        netns = Some(namespace);
    }

    let name = hostname(&record.config);
    let files = runtime.config.pod_files(&id);
    recorder.stage("write pod files", "", || write_files(runtime, &record, &name, &ips))?;
    kernel::failpoint::hit("sandbox.run.files");
    if shares_ipc(&record.config) {
        recorder.stage("mount shared memory", "", || shm::mount(&files))?;
        kernel::failpoint::hit("sandbox.run.shm");
    }
    let group = recorder.stage("make cgroup", &record.cgroup, || -> Result<_, Failure> {
        let group = runtime.cgroups.group(&cgroup::path(&record.cgroup));
        let group = group.map_err(|e| Failure::because(Class::InvalidArgument, &e))?;
        group.create().map_err(|e| Failure::because(Class::Internal, &e))?;
        Ok(group)
    })?;
    kernel::failpoint::hit("sandbox.run.cgroup");
    let start = recorder.stage("plan", "pause", || plan(runtime, &record, &name, &group, netns.as_ref()))?;
    record.stage = SandboxStage::Starting;
    recorder.stage("record", "", || stop::put(runtime, &record))?;
    kernel::failpoint::hit("sandbox.run.starting");
    Ok(Prepared { netns, network: record.network, start })
}

fn attach(
    runtime: &Runtime,
    recorder: &crate::timeline::Recorder,
    record: &SandboxRecord,
    namespace: &OwnedFd,
    pin: Option<&Path>,
) -> Result<Attached, Failure> {
    let at = clock::now();
    let attached = recorder
        .stage("network add", "", || network::attach(runtime, &record.id, &record.config, namespace, pin))?;
    recorder.steps("", at, attached.stages.iter().cloned());
    Ok(attached)
}

fn write_files(runtime: &Runtime, record: &SandboxRecord, name: &str, ips: &[IpAddr]) -> Result<(), Failure> {
    let logs = &record.config.log_directory;
    if !logs.is_empty() {
        std::fs::create_dir_all(logs)
            .map_err(|e| Failure::new(Class::Internal, format!("make log directory {logs:?}: {e}")))?;
    }
    let files = PodFiles::new(runtime.config.pod_files(&record.id));
    files.write(&record.config, name, ips).map_err(|e| Failure::because(Class::Internal, &e))
}

/// The start of the holder: a program of a few hundred bytes in an empty root, executed by descriptor.
fn plan(
    runtime: &Runtime,
    record: &SandboxRecord,
    name: &str,
    group: &kernel::cgroup::Cgroup,
    netns: Option<&OwnedFd>,
) -> Result<Start, Failure> {
    let input = oci::SandboxInput { config: &record.config, hostname: name, defaults: &runtime.defaults };
    let spec = oci::sandbox_spec(&input).map_err(|e| launching::resolve_failure(&e))?;
    let fail = |what: &str, e: &std::io::Error| Failure::new(Class::Internal, format!("{what}: {e}"));
    let program = runtime.config.program("pause");
    let program =
        std::fs::File::open(&program).map_err(|e| fail(&format!("open {}", program.display()), &e))?;
    let mut given = vec![OwnedFd::from(program)];
    let mut namespaces = Vec::new();
    if let Some(netns) = netns {
        namespaces.push(GivenNamespace { kind: LinuxNamespaceType::Network, fd: FdIndex(1) });
        given.push(netns.as_fd().try_clone_to_owned().map_err(|e| fail("duplicate network namespace", &e))?);
    }
    let options = Options {
        rootfs: Rootfs::Empty,
        cgroups: Cgroups::of(group, false),
        seccomp: launching::filter(runtime, &spec)?,
        given: u16::try_from(given.len()).unwrap_or(u16::MAX),
        namespaces,
        executable: Some(FdIndex(0)),
        // A signal between execve and the mask that the holder sets itself would be lost (trap 14).
        signals: Signals::Blocked,
        ..Options::default()
    };
    let compiled =
        launch::compile(&spec, &options).map_err(|e| Failure::because(Class::InvalidArgument, &e))?;
    launching::assemble(&record.id, compiled, given, Stdio::Null, Vec::new(), true)
}
