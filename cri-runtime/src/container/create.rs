//! Making a container: its root file system, its user, its spec and its record. No process runs: a container that was
//! made and not started costs no process, and recovering it is reading its record.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use cri_api::v1::ContainerConfig;
use kernel::failpoint;
use kernel::mount;

use crate::clock;
use crate::error::{Class, Failure};
use crate::id;
use crate::image::Image;
use crate::launching::resolve_failure;
use crate::oci::{self, ContainerInput};
use crate::record::{
    ContainerRecord, ContainerStage, ImageSnapshot, SandboxRecord, SandboxStage, User, VERSION,
};
use crate::runtime::Runtime;
use crate::sandbox::CreateContainer;
use crate::sandbox::worker::{Container, Worker};

impl Worker {
    /// Makes a container and answers with its id. A retry of the same request gets the id it missed; another request
    /// under the same name takes the place of a container that was never started (G-07, G-10).
    pub(crate) async fn create_container(&mut self, request: CreateContainer) -> Result<String, Failure> {
        if self.record.stage != SandboxStage::Ready || self.is_ending() {
            return Err(Failure::new(
                Class::FailedPrecondition,
                format!("create container in pod sandbox {}: the sandbox is not ready", self.record.id),
            ));
        }
        let CreateContainer { config, request } = request;
        let metadata = config.metadata.clone().filter(|m| !m.name.is_empty()).ok_or_else(|| {
            Failure::new(Class::InvalidArgument, "create container: the metadata has no name")
        })?;
        let twin = self.containers.values().find(|c| {
            c.record
                .config
                .metadata
                .as_ref()
                .is_some_and(|m| m.name == metadata.name && m.attempt == metadata.attempt)
        });
        if let Some(twin) = twin {
            let (id, created) = (twin.record.id.clone(), twin.record.stage == ContainerStage::Created);
            if twin.record.request == request {
                return Ok(id);
            }
            if !created {
                return Err(Failure::new(
                    Class::AlreadyExists,
                    format!(
                        "create container {:?} attempt {}: container {id} has the name",
                        metadata.name, metadata.attempt
                    ),
                ));
            }
            self.erase_container(&id).await?;
        }
        let recorder = self.recorder.clone();
        let begun = recorder.begin("create container", &metadata.name);
        let result = self.make_container(config, request).await;
        begun.end(result.as_ref().err().map(|e| e as _));
        result
    }

    async fn make_container(&mut self, config: ContainerConfig, request: String) -> Result<String, Failure> {
        let sandbox = self.record.clone();
        let recorder = self.recorder.clone();
        let made = self.blocking(move |runtime| make(runtime, &recorder, &sandbox, config, request)).await?;
        let id = made.record.id.clone();
        self.runtime.index.publish_container(made.record.clone());
        let container = Container { rootfs: Some(made.rootfs), ..Container::new(made.record) };
        self.containers.insert(id.clone(), container);
        Ok(id)
    }
}

struct Made {
    record: ContainerRecord,
    rootfs: OwnedFd,
}

fn make(
    runtime: &Runtime,
    recorder: &crate::timeline::Recorder,
    sandbox: &SandboxRecord,
    config: ContainerConfig,
    request: String,
) -> Result<Made, Failure> {
    let name = config.metadata.as_ref().map(|m| m.name.clone()).unwrap_or_default();
    let id = id::generate().map_err(|e| Failure::new(Class::Internal, format!("make an id: {e}")))?;
    let image = recorder.stage("find image", &name, || find_image(runtime, &config))?;
    let record = ContainerRecord {
        version: VERSION,
        sandbox: sandbox.id.clone(),
        created_at: clock::created_at(),
        request,
        image: snapshot(&image, &config),
        user: User { uid: 0, gid: 0, groups: Vec::new() },
        cgroup: group_of(runtime, sandbox, &id)?,
        log: log_path(&sandbox.config.log_directory, &config.log_path)?,
        stage: ContainerStage::Creating,
        config,
        id: id.clone(),
    };
    runtime.images.hold(&image.id, &id).map_err(|e| Failure::because(Class::NotFound, &e))?;
    let result = make_held(runtime, recorder, sandbox, record, &image, &name);
    if result.is_err()
        && let Err(error) = super::remove::erase(runtime, &id)
    {
        tracing::error!(container = %id, %error, "container that failed cannot be undone yet; a restart will");
    }
    result
}

fn make_held(
    runtime: &Runtime,
    recorder: &crate::timeline::Recorder,
    sandbox: &SandboxRecord,
    mut record: ContainerRecord,
    image: &Image,
    name: &str,
) -> Result<Made, Failure> {
    put(runtime, &record)?;
    failpoint::hit("container.create.intent");
    let rootfs = recorder.stage("mount root", name, || {
        make_layer(runtime, &record.id)?;
        failpoint::hit("container.create.layer");
        mount_root(runtime, &record)
    })?;
    let resolved = recorder.stage("resolve", name, || -> Result<_, Failure> {
        let hostname = crate::sandbox::hostname(&sandbox.config);
        let files = runtime.config.pod_files(&sandbox.id);
        let input = ContainerInput {
            id: &record.id,
            sandbox: &sandbox.config,
            holder: sandbox.pause.as_ref().map_or(0, |pause| pause.pid),
            config: &record.config,
            image: &image.config,
            rootfs: rootfs.as_fd(),
            hostname: &hostname,
            files: &files,
            shm: crate::sandbox::shares_ipc(&sandbox.config).then(|| crate::sandbox::shm_path(&files)),
            cgroup: Path::new(&record.cgroup),
            defaults: &runtime.defaults,
        };
        oci::resolve(&input).map_err(|e| resolve_failure(&e))
    })?;
    record.user =
        User { uid: resolved.user.uid, gid: resolved.user.gid, groups: resolved.user.groups.clone() };
    runtime
        .records
        .put_spec(&record.id, &resolved.spec)
        .map_err(|e| Failure::because(Class::Internal, &e))?;
    failpoint::hit("container.create.spec");
    record.stage = ContainerStage::Created;
    put(runtime, &record)?;
    failpoint::hit("container.create.created");
    Ok(Made { record, rootfs })
}

/// Writes a container's record.
pub(crate) fn put(runtime: &Runtime, record: &ContainerRecord) -> Result<(), Failure> {
    runtime.records.put(record).map_err(|e| Failure::because(Class::Internal, &e))
}

/// The image a container is to be made of. It must be here: nothing is pulled on the way.
fn find_image(runtime: &Runtime, config: &ContainerConfig) -> Result<std::sync::Arc<Image>, Failure> {
    let named = config.image.as_ref().map_or("", |image| image.image.as_str());
    if named.is_empty() {
        return Err(Failure::new(Class::InvalidArgument, "create container: the config names no image"));
    }
    runtime.images.status(named).ok_or_else(|| {
        Failure::new(Class::NotFound, format!("find image {named:?}: not found; pull it first"))
    })
}

/// What must be told of the image after it is gone.
fn snapshot(image: &Image, config: &ContainerConfig) -> ImageSnapshot {
    let spec = config.image.clone().unwrap_or_default();
    let asked = if spec.user_specified_image.is_empty() { spec.image } else { spec.user_specified_image };
    ImageSnapshot {
        id: image.id.to_string(),
        name: image.repo_tags.first().cloned().unwrap_or(asked),
        reference: image.repo_digests.first().cloned().unwrap_or_else(|| image.id.to_string()),
        stop_signal: image.config.config().as_ref().and_then(|c| c.stop_signal().clone()),
        layers: image.layers.clone(),
    }
}

fn group_of(runtime: &Runtime, sandbox: &SandboxRecord, id: &str) -> Result<String, Failure> {
    let pod = crate::sandbox::PodCgroup::of(&sandbox.config, &sandbox.id, &runtime.config.cgroup_parent)?;
    Ok(pod.process(id))
}

/// The absolute path of a container's log, below the pod's log directory and nowhere else (F-03).
fn log_path(directory: &str, path: &str) -> Result<Option<PathBuf>, Failure> {
    if directory.is_empty() || path.is_empty() {
        return Ok(None);
    }
    if Path::new(path).components().any(|c| !matches!(c, Component::Normal(_) | Component::CurDir)) {
        let text = format!("create container: log path {path:?} leaves the pod's log directory");
        return Err(Failure::new(Class::InvalidArgument, text));
    }
    Ok(Some(Path::new(directory).join(path)))
}

fn make_layer(runtime: &Runtime, id: &str) -> Result<(), Failure> {
    let dir = runtime.config.container_dir(id);
    for part in ["upper", "work"] {
        let path = dir.join(part);
        fs::create_dir_all(&path).map_err(|e| {
            Failure::because(
                Class::Internal,
                &std::io::Error::new(e.kind(), format!("make directory {}: {e}", path.display())),
            )
        })?;
    }
    Ok(())
}

/// Mounts the root file system of a container, attached nowhere.
pub(super) fn mount_root(runtime: &Runtime, record: &ContainerRecord) -> Result<OwnedFd, Failure> {
    let dir = runtime.config.container_dir(&record.id);
    mount::overlay(&record.image.layers, &dir.join("upper"), &dir.join("work")).map_err(|e| {
        let text = format!("mount root of container {} over image {}: {e}", record.id, record.image.id);
        Failure::new(Class::Internal, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_stays_in_the_directory_of_its_pod() {
        let path = log_path("/var/log/pods/p", "web/0.log").unwrap();
        assert_eq!(path, Some(PathBuf::from("/var/log/pods/p/web/0.log")));
        assert_eq!(log_path("", "web/0.log").unwrap(), None);
        assert_eq!(log_path("/var/log", "").unwrap(), None);
        for bad in ["../x", "/etc/passwd", "a/../../b"] {
            assert_eq!(log_path("/var/log", bad).unwrap_err().class, Class::InvalidArgument);
        }
    }
}
