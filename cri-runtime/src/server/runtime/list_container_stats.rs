//! ListContainerStats: of the running containers that fit the filter. One that ends meanwhile is left out and fails
//! nothing.

use std::sync::Arc;

use cri_api::v1::{ContainerFilter, ListContainerStatsRequest, ListContainerStatsResponse};

use super::super::blocking;
use super::{container_stats, list_containers};
use crate::error::Failure;
use crate::record::ContainerStage;
use crate::runtime::Runtime;

pub(super) async fn handle(
    runtime: &Arc<Runtime>,
    request: ListContainerStatsRequest,
) -> Result<ListContainerStatsResponse, Failure> {
    let filter = request.filter.unwrap_or_default();
    let filter = ContainerFilter {
        id: filter.id,
        pod_sandbox_id: filter.pod_sandbox_id,
        label_selector: filter.label_selector,
        state: None,
    };
    let mut containers = runtime.index.containers();
    containers.retain(|c| {
        matches!(c.stage, ContainerStage::Started { .. }) && list_containers::matches(c, &filter)
    });
    let runtime = runtime.clone();
    let stats = blocking(move || {
        let stats = containers.iter().filter_map(|container| {
            container_stats::stats(&runtime, container)
                .inspect_err(
                    |error| tracing::debug!(container = %container.id, %error, "left out of the statistics"),
                )
                .ok()
        });
        stats.collect()
    })
    .await?;
    Ok(ListContainerStatsResponse { stats })
}
