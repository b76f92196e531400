//! ListContainers (G-08).

use cri_api::v1::{
    Container, ContainerFilter, ContainerState, ListContainersRequest, ListContainersResponse,
};

use super::select::{has_labels, has_prefix};
use crate::error::Failure;
use crate::record::{ContainerRecord, ContainerStage};
use crate::runtime::Runtime;

pub(super) async fn handle(
    runtime: &Runtime,
    request: ListContainersRequest,
) -> Result<ListContainersResponse, Failure> {
    let filter = request.filter.unwrap_or_default();
    let all = runtime.index.containers();
    let containers = all.iter().filter(|c| matches(c, &filter)).map(|c| item(c)).collect();
    Ok(ListContainersResponse { containers })
}

pub(super) fn matches(container: &ContainerRecord, filter: &ContainerFilter) -> bool {
    has_prefix(&container.id, &filter.id)
        && has_prefix(&container.sandbox, &filter.pod_sandbox_id)
        && filter.state.is_none_or(|wanted| wanted.state == i32::from(state(container)))
        && has_labels(&container.config.labels, &filter.label_selector)
}

pub(super) fn state(container: &ContainerRecord) -> ContainerState {
    match container.stage {
        ContainerStage::Creating | ContainerStage::Created => ContainerState::ContainerCreated,
        ContainerStage::Started { .. } => ContainerState::ContainerRunning,
        ContainerStage::Exited(_) | ContainerStage::Removing => ContainerState::ContainerExited,
    }
}

fn item(container: &ContainerRecord) -> Container {
    Container {
        id: container.id.clone(),
        pod_sandbox_id: container.sandbox.clone(),
        metadata: container.config.metadata.clone(),
        // The kubelet takes a container without one for invalid.
        image: Some(container.config.image.clone().unwrap_or_default()),
        image_ref: container.image.reference.clone(),
        image_id: container.image.id.clone(),
        state: state(container).into(),
        created_at: container.created_at,
        labels: container.config.labels.clone(),
        annotations: container.config.annotations.clone(),
    }
}
