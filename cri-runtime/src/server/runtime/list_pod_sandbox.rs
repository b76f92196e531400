//! ListPodSandbox (G-08).

use cri_api::v1::{
    ListPodSandboxRequest, ListPodSandboxResponse, PodSandbox, PodSandboxFilter, PodSandboxState,
};

use super::select::{has_labels, has_prefix};
use crate::error::Failure;
use crate::record::{SandboxRecord, SandboxStage};
use crate::runtime::Runtime;

pub(super) async fn handle(
    runtime: &Runtime,
    request: ListPodSandboxRequest,
) -> Result<ListPodSandboxResponse, Failure> {
    let filter = request.filter.unwrap_or_default();
    let pods = runtime.index.pods();
    let items = pods.iter().filter(|pod| matches(pod, &filter)).map(|pod| item(pod)).collect();
    Ok(ListPodSandboxResponse { items })
}

fn matches(pod: &SandboxRecord, filter: &PodSandboxFilter) -> bool {
    has_prefix(&pod.id, &filter.id)
        && filter.state.is_none_or(|wanted| wanted.state == i32::from(state(pod)))
        && has_labels(&pod.config.labels, &filter.label_selector)
}

pub(super) fn state(pod: &SandboxRecord) -> PodSandboxState {
    match pod.stage {
        SandboxStage::Ready => PodSandboxState::SandboxReady,
        _ => PodSandboxState::SandboxNotready,
    }
}

fn item(pod: &SandboxRecord) -> PodSandbox {
    PodSandbox {
        id: pod.id.clone(),
        metadata: pod.config.metadata.clone(),
        state: state(pod).into(),
        created_at: pod.created_at,
        labels: pod.config.labels.clone(),
        annotations: pod.config.annotations.clone(),
        runtime_handler: pod.handler.clone(),
    }
}
