//! ContainerStatus. Answers from the record alone, also after the image is gone.

use std::collections::HashMap;

use cri_api::v1::{
    ContainerResources, ContainerStatus, ContainerStatusRequest, ContainerStatusResponse, ContainerUser,
    ImageSpec, LinuxContainerUser,
};

use super::list_containers::state;
use crate::container::stop_signal;
use crate::error::{Class, Failure};
use crate::record::{ContainerRecord, ContainerStage};
use crate::runtime::Runtime;

pub(super) async fn handle(
    runtime: &Runtime,
    request: ContainerStatusRequest,
) -> Result<ContainerStatusResponse, Failure> {
    let container = runtime.index.container(&request.container_id)?;
    let info = if request.verbose { info(runtime, &container)? } else { HashMap::new() };
    Ok(ContainerStatusResponse { status: Some(status(&container)), info })
}

/// The status as it is told here and inside the status of the pod.
pub(super) fn status(container: &ContainerRecord) -> ContainerStatus {
    let config = &container.config;
    let mut status = ContainerStatus {
        id: container.id.clone(),
        metadata: config.metadata.clone(),
        state: state(container).into(),
        created_at: container.created_at,
        image: Some(ImageSpec {
            image: container.image.name.clone(),
            ..config.image.clone().unwrap_or_default()
        }),
        image_ref: container.image.reference.clone(),
        image_id: container.image.id.clone(),
        labels: config.labels.clone(),
        annotations: config.annotations.clone(),
        mounts: config.mounts.clone(),
        log_path: container.log.as_ref().map(|path| path.display().to_string()).unwrap_or_default(),
        resources: Some(ContainerResources {
            linux: config.linux.as_ref().and_then(|linux| linux.resources.clone()),
            windows: None,
        }),
        user: Some(ContainerUser {
            linux: Some(LinuxContainerUser {
                uid: container.user.uid.into(),
                gid: container.user.gid.into(),
                supplemental_groups: container.user.groups.iter().map(|gid| i64::from(*gid)).collect(),
            }),
        }),
        stop_signal: crate::container::signal::to_cri(stop_signal(container)).into(),
        ..Default::default()
    };
    match &container.stage {
        ContainerStage::Started { started_at, .. } => status.started_at = *started_at,
        ContainerStage::Exited(exited) => {
            status.started_at = exited.started_at;
            status.finished_at = exited.finished_at;
            status.exit_code = exited.code;
            status.reason.clone_from(&exited.reason);
            status.message.clone_from(&exited.message);
        }
        ContainerStage::Creating | ContainerStage::Created | ContainerStage::Removing => {}
    }
    status
}

/// What `crictl inspect` prints below `info`; scripts read `.info.pid` and `.info.runtimeSpec`.
fn info(runtime: &Runtime, container: &ContainerRecord) -> Result<HashMap<String, String>, Failure> {
    let spec = runtime.records.spec(&container.id).map_err(|e| Failure::because(Class::Internal, &e))?;
    let pid = match &container.stage {
        ContainerStage::Started { process, .. } => process.pid,
        _ => 0,
    };
    let info = serde_json::json!({
        "sandboxID": container.sandbox,
        "pid": pid,
        "cgroup": container.cgroup,
        "imageLayers": container.image.layers,
        "runtimeSpec": spec,
    });
    Ok(HashMap::from([("info".to_owned(), info.to_string())]))
}
