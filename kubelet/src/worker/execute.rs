//! Executing one action. Knows the order of steps inside it, and nothing of what comes before or after.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cri_api::v1::PodSandboxConfig;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use tokio::sync::watch;

use super::snapshot::Trouble;
use super::{Config, files, termination};
use crate::container::{Image, Setting, container_config, mounts_etc_hosts};
use crate::hash::container_hash;
use crate::host::Host;
use crate::hosts::hosts_file;
use crate::layout::Layout;
use crate::names::Identity;
use crate::plan::{self, Action, Instance, Moment, PullPolicy, Sandbox, Spec};
use crate::quantity::Quantity;
use crate::resources;
use crate::runtime::{Answer, Runtime, RuntimeError};
use crate::sandbox::sandbox_config;

/// Prepared volumes: where each lies on the host.
pub(super) type Volumes = BTreeMap<String, PathBuf>;

/// What an action changed.
#[derive(Debug)]
pub(super) enum Effect {
    VolumesReady(Volumes),
    VolumesGone,
    SandboxMade(Sandbox),
    SandboxStopped(String),
    Removed(String),
    ImageReady { container: String, attempt: u32, image: Image },
    Instance(Instance),
    Nothing,
}

/// Why an action failed, and what it left behind nevertheless.
#[derive(Debug)]
pub(super) struct Failure {
    pub trouble: Trouble,
    /// Boxed: most failures have none, and an error should be small.
    pub instance: Option<Box<Instance>>,
}

impl Failure {
    fn new(reason: &str, error: &dyn std::error::Error) -> Self {
        Self { trouble: Trouble::new(reason, error), instance: None }
    }
}

/// What an action needs of the worker's state at the moment it starts.
pub(super) struct State {
    pub now: Moment,
    pub sandbox: Option<Sandbox>,
    pub image: Option<Image>,
    pub volumes: Volumes,
    pub stopping: watch::Receiver<bool>,
}

/// Something that was there when it was decided on, and is gone.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Missing(String);

/// Executes the actions of one pod.
pub(super) struct Executor<R> {
    runtime: Arc<R>,
    pod: Arc<Pod>,
    identity: Identity,
    spec: Spec,
    host: Arc<Host>,
    layout: Arc<Layout>,
}

impl<R> Executor<R> {
    pub fn new(config: &Config<R>) -> Self {
        Self {
            runtime: Arc::clone(&config.runtime),
            identity: Identity::of(&config.pod),
            spec: Spec::of(&config.pod, config.remove),
            pod: Arc::new(config.pod.clone()),
            host: Arc::new(config.host.clone()),
            layout: Arc::new(config.layout.clone()),
        }
    }

    pub fn runtime(&self) -> Arc<R> {
        Arc::clone(&self.runtime)
    }

    pub fn uid(&self) -> &str {
        &self.identity.uid
    }

    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    pub fn pod_name(&self) -> &str {
        &self.identity.name
    }

    pub fn log_path(&self, container: &str, attempt: u32) -> PathBuf {
        self.layout.pod_logs(&self.identity).join(Layout::log_file(container, attempt))
    }

    fn container(&self, name: &str) -> Option<&Container> {
        let spec = self.pod.spec.as_ref()?;
        spec.containers
            .iter()
            .chain(spec.init_containers.iter().flatten())
            .find(|container| container.name == name)
    }

    fn sandbox_config(&self, attempt: u32) -> PodSandboxConfig {
        sandbox_config(&self.pod, attempt, &self.host, &self.layout)
    }

    /// Gives an instance that ended without words of the runtime its own last ones.
    pub fn add_termination_message(&self, instance: &mut Instance) {
        let plan::State::Exited(exit) = &mut instance.state else { return };
        let Some(container) = self.container(&instance.name) else { return };
        if !exit.message.is_empty() {
            return;
        }
        let path = self.layout.termination_log(self.uid(), &instance.name, instance.attempt);
        exit.message = termination::message(&path);
        let to_logs = container.termination_message_policy.as_deref() == Some("FallbackToLogsOnError");
        if exit.message.is_empty() && exit.code != 0 && to_logs {
            exit.message = termination::last_log_lines(&self.log_path(&instance.name, instance.attempt));
        }
    }
}

impl<R: Runtime> Executor<R> {
    pub async fn execute(&self, action: &Action, state: State) -> Result<Effect, Failure> {
        match action {
            Action::PrepareVolumes => self.prepare_volumes().await,
            Action::TeardownVolumes => self.teardown_volumes().await,
            Action::CreateSandbox { attempt } => self.create_sandbox(*attempt).await,
            Action::StopSandbox { id } => {
                let stopped = self.runtime.stop_sandbox(id).await;
                stopped
                    .map(|()| Effect::SandboxStopped(id.clone()))
                    .map_err(|error| Failure::new("KillPodSandboxError", &error))
            }
            Action::RemoveSandbox { id } => {
                let removed = self.runtime.remove_sandbox(id).await;
                removed
                    .map(|()| Effect::Removed(id.clone()))
                    .map_err(|error| Failure::new("RemovePodSandboxError", &error))
            }
            Action::EnsureImage { container, attempt } => self.ensure_image(container, *attempt, state).await,
            Action::StartContainer { container, attempt, .. } => {
                self.start(container, *attempt, &state).await
            }
            Action::StopContainer { id, deadline } => self.stop(id, *deadline, state.now).await,
            Action::RemoveContainer { id } => {
                let removed = self.runtime.remove(id).await;
                removed
                    .map(|()| Effect::Removed(id.clone()))
                    .map_err(|error| Failure::new("RemoveContainerError", &error))
            }
        }
    }

    async fn prepare_volumes(&self) -> Result<Effect, Failure> {
        let pod = Arc::clone(&self.pod);
        let directory = self.layout.pod(self.uid());
        let prepared = blocking(move || {
            files::make_directory(&directory, 0o750).map_err(|error| Failure::new("FailedMount", &error))?;
            let mut paths = Volumes::new();
            for (name, volume) in volumes_of(&pod, &directory)? {
                let path = volume.prepare().map_err(|error| failed_volume(&name, &error))?;
                paths.insert(name, path);
            }
            Ok(paths)
        });
        prepared.await.map(Effect::VolumesReady)
    }

    async fn teardown_volumes(&self) -> Result<Effect, Failure> {
        let pod = Arc::clone(&self.pod);
        let directory = self.layout.pod(self.uid());
        blocking(move || {
            // Every volume is tried before the first failure is told: one that sticks must not keep the others.
            let results: Vec<Result<(), Failure>> = volumes_of(&pod, &directory)?
                .into_iter()
                .map(|(name, volume)| volume.teardown().map_err(|error| failed_volume(&name, &error)))
                .collect();
            results.into_iter().collect::<Result<(), Failure>>()?;
            // Logs stay: somebody may be reading them. Who started the pod removes them when they were read.
            files::remove_tree(&directory).map_err(|error| Failure::new("FailedUnmount", &error))
        })
        .await
        .map(|()| Effect::VolumesGone)
    }

    async fn create_sandbox(&self, attempt: u32) -> Result<Effect, Failure> {
        let logs = self.layout.pod_logs(&self.identity);
        blocking(move || {
            files::make_directory(&logs, 0o755)
                .map_err(|error| Failure::new("FailedCreatePodSandBox", &error))
        })
        .await?;
        let made = self.runtime.run_sandbox(self.sandbox_config(attempt)).await;
        made.map(Effect::SandboxMade).map_err(|error| Failure::new("FailedCreatePodSandBox", &error))
    }

    async fn ensure_image(&self, name: &str, attempt: u32, state: State) -> Result<Effect, Failure> {
        let missing = || {
            Failure::new(
                "CreateContainerConfigError",
                &Missing(format!("container {name:?} is not in the manifest")),
            )
        };
        let container = self.spec.container(name).ok_or_else(missing)?;
        let reference = &container.image;
        let inspect = |error: &RuntimeError| Failure::new("ImageInspectError", error);
        if container.pull != PullPolicy::Always
            && let Some(image) = self.runtime.image(reference).await.map_err(|error| inspect(&error))?
        {
            return Ok(Effect::ImageReady { container: name.to_owned(), attempt, image });
        }
        if container.pull == PullPolicy::Never {
            let text = format!(
                "image {reference:?} of container {name:?} is not on this host and imagePullPolicy is Never; import or pull it first"
            );
            return Err(Failure::new("ErrImageNeverPull", &Missing(text)));
        }
        let mut stopping = state.stopping;
        let config = self.sandbox_config(state.sandbox.map_or(0, |sandbox| sandbox.attempt));
        tokio::select! {
            pulled = self.runtime.pull(reference, config) => {
                pulled.map_err(|error| Failure::new("ErrImagePull", &error))?;
            }
            // A pod that ends does not wait for a download.
            _ = stopping.wait_for(|stopping| *stopping) => return Ok(Effect::Nothing),
        }
        match self.runtime.image(reference).await.map_err(|error| inspect(&error))? {
            Some(image) => Ok(Effect::ImageReady { container: name.to_owned(), attempt, image }),
            None => {
                let text = format!("image {reference:?} was pulled and is not there");
                Err(Failure::new("ImageInspectError", &Missing(text)))
            }
        }
    }

    async fn start(&self, name: &str, attempt: u32, state: &State) -> Result<Effect, Failure> {
        let config_error = |text: String| Failure::new("CreateContainerConfigError", &Missing(text));
        let container = self
            .container(name)
            .ok_or_else(|| config_error(format!("container {name:?} is not in the manifest")))?;
        let sandbox =
            state.sandbox.as_ref().ok_or_else(|| config_error("the pod has no sandbox".to_owned()))?;
        let image =
            state.image.as_ref().ok_or_else(|| config_error(format!("container {name:?} has no image")))?;
        self.write_files(container, attempt, sandbox).await?;
        let setting = Setting {
            host: &self.host,
            layout: &self.layout,
            addresses: if sandbox.addresses.is_empty() { &self.host.addresses } else { &sandbox.addresses },
            volumes: &state.volumes,
        };
        let config = container_config(&self.pod, container, attempt, image, setting)
            .map_err(|error| Failure::new("CreateContainerConfigError", &error))?;
        let created = self.runtime.create(&sandbox.id, config, self.sandbox_config(sandbox.attempt)).await;
        let id = created.map_err(|error| Failure::new("CreateContainerError", &error))?;
        let mut instance = Instance {
            id,
            name: name.to_owned(),
            attempt,
            sandbox: sandbox.id.clone(),
            hash: container_hash(container),
            state: plan::State::Created,
        };
        let started = self.runtime.start(&instance.id).await;
        // The state is asked for after success and failure alike: a program that is not there leaves an exited
        // container with the reason, and a short one may have ended by now.
        let now = self.runtime.state(&instance.id).await;
        match (started, now) {
            (Ok(()), Ok(Some(state))) => {
                instance.state = state;
                Ok(Effect::Instance(instance))
            }
            (Ok(()), _) => {
                instance.state = plan::State::Running { started_at: state.now };
                Ok(Effect::Instance(instance))
            }
            (Err(error), now) => {
                if let Ok(Some(state)) = now {
                    instance.state = state;
                }
                let trouble = not_started(name, error);
                Err(Failure { trouble, instance: Some(Box::new(instance)) })
            }
        }
    }

    async fn write_files(
        &self,
        container: &Container,
        attempt: u32,
        sandbox: &Sandbox,
    ) -> Result<(), Failure> {
        let hosts = mounts_etc_hosts(container).then(|| {
            let addresses = if sandbox.host_network { &[] } else { sandbox.addresses.as_slice() };
            (self.layout.etc_hosts(self.uid()), hosts_file(&self.pod, addresses, &self.host))
        });
        let container_files = files::OfContainer {
            hosts,
            message: self.layout.termination_log(self.uid(), &container.name, attempt),
            log: self.log_path(&container.name, attempt),
        };
        blocking(move || {
            container_files.write().map_err(|error| Failure::new("CreateContainerConfigError", &error))
        })
        .await
    }

    async fn stop(&self, id: &str, deadline: Moment, now: Moment) -> Result<Effect, Failure> {
        let stopped = self.runtime.stop(id, deadline.since(now)).await;
        stopped.map_err(|error| Failure::new("KillContainerError", &error))?;
        // How it ended comes with the next list, which the result of this action asks for.
        Ok(Effect::Nothing)
    }
}

/// The runtime could not start a container's program.
#[derive(Debug, thiserror::Error)]
#[error("start container {name:?}")]
struct NotStarted {
    name: String,
    #[source]
    source: Answer,
}

/// Of a refusal, the container's name instead of its id, which nobody has seen yet.
fn not_started(name: &str, error: RuntimeError) -> Trouble {
    match error {
        RuntimeError::Call { source, .. } => {
            Trouble::new("RunContainerError", &NotStarted { name: name.to_owned(), source: *source })
        }
        error @ RuntimeError::Deadline { .. } => Trouble::new("RunContainerError", &error),
    }
}

/// Runs file work on a thread for blocking work; the pod's task must not wait for a disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Failure::new("InternalError", &error)),
    }
}

fn volumes_of(pod: &Pod, directory: &Path) -> Result<BTreeMap<String, Box<dyn volumes::Volume>>, Failure> {
    let no_spec = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&no_spec);
    let group = spec.security_context.as_ref().and_then(|context| context.fs_group);
    let memory = resources::pod_resources(spec).memory_limit_in_bytes;
    let setting = volumes::Pod {
        directory: directory.to_owned(),
        group: group.and_then(|gid| u32::try_from(gid).ok()),
        memory_bytes: u64::try_from(memory).ok().filter(|bytes| *bytes > 0),
    };
    let bytes =
        |text: &str| Quantity::parse(text).ok().and_then(|quantity| u64::try_from(quantity.value()).ok());
    volumes::of_spec(spec, &setting, bytes).map_err(|error| Failure::new("FailedMount", &error))
}

fn failed_volume(name: &str, error: &volumes::VolumeError) -> Failure {
    let mut failure = Failure::new("FailedMount", error);
    failure.trouble.message =
        format!("MountVolume.SetUp failed for volume {name:?}: {}", failure.trouble.message);
    failure
}
