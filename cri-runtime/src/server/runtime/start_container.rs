//! StartContainer.

use cri_api::v1::{StartContainerRequest, StartContainerResponse};

use super::ask::ask;
use crate::error::Failure;
use crate::runtime::Runtime;
use crate::sandbox::Command;

pub(super) async fn handle(
    runtime: &Runtime,
    request: StartContainerRequest,
) -> Result<StartContainerResponse, Failure> {
    let container = runtime.index.container(&request.container_id)?;
    let inbox = runtime.index.inbox(&container.sandbox)?;
    let id = container.id.clone();
    ask(&inbox, |reply| Command::StartContainer { id, reply }).await?;
    Ok(StartContainerResponse {})
}
