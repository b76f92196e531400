//! Removing a container. Its log stays: it belongs to the kubelet.

use std::time::Duration;

use kernel::failpoint;
use tokio::sync::oneshot;

use super::create;
use crate::error::{Class, Failure};
use crate::record::{ContainerRecord, ContainerStage};
use crate::runtime::Runtime;
use crate::sandbox::worker::Worker;
use crate::sandbox::{Reply, remove_group};

impl Worker {
    /// Removes a container, killing it first if it runs. The reply goes out when it is gone.
    pub(crate) async fn remove_container(&mut self, id: &str, reply: Reply<()>) {
        let Some(container) = self.containers.get_mut(id) else {
            let _ = reply.send(Ok(()));
            return;
        };
        if container.is_running() {
            container.remove_replies.push(reply);
            // The stop has nobody of its own to answer.
            self.stop_container(id, Duration::ZERO, oneshot::channel().0).await;
            return;
        }
        let _ = reply.send(self.erase_container(id).await);
    }

    /// Removes a container that does not run.
    pub(crate) async fn erase_container(&mut self, id: &str) -> Result<(), Failure> {
        let container = self.container(id)?;
        container.rootfs = None;
        let mut record = container.record.clone();
        record.stage = ContainerStage::Removing;
        self.blocking(move |runtime| {
            create::put(runtime, &record)?;
            failpoint::hit("container.remove.recorded");
            finish(runtime, &record)
        })
        .await?;
        self.containers.remove(id);
        self.runtime.index.remove_container(id);
        Ok(())
    }
}

/// Gives back everything of a container whose record says that it is being removed.
pub(crate) fn finish(runtime: &Runtime, record: &ContainerRecord) -> Result<(), Failure> {
    remove_group(runtime, &record.cgroup)?;
    failpoint::hit("container.remove.cgroup");
    erase(runtime, &record.id)
}

/// Gives back layer, spec, hold on the image and record of a container without processes. Also what undoes a creation.
pub(crate) fn erase(runtime: &Runtime, id: &str) -> Result<(), Failure> {
    let internal = |e: &(dyn std::error::Error + 'static)| Failure::because(Class::Internal, e);
    let dir = runtime.config.container_dir(id);
    runtime.trash.throw(&dir, id).map_err(|e| {
        Failure::new(Class::Internal, format!("remove layer of container {id} at {}: {e}", dir.display()))
    })?;
    failpoint::hit("container.remove.layer");
    runtime.records.remove_spec(id).map_err(|e| internal(&e))?;
    runtime.images.release(id).map_err(|e| internal(&e))?;
    runtime.records.remove::<ContainerRecord>(id).map_err(|e| internal(&e))?;
    failpoint::hit("container.remove.removed");
    let trash = runtime.trash.clone();
    tokio::task::spawn_blocking(move || trash.empty());
    Ok(())
}
