//! ReopenContainerLog: from now on the log goes to a new file at the container's log path (L-07).

use cri_api::v1::{ReopenContainerLogRequest, ReopenContainerLogResponse};

use super::ask::ask;
use crate::error::Failure;
use crate::runtime::Runtime;
use crate::sandbox::Command;

pub(super) async fn handle(
    runtime: &Runtime,
    request: ReopenContainerLogRequest,
) -> Result<ReopenContainerLogResponse, Failure> {
    let container = runtime.index.container(&request.container_id)?;
    let inbox = runtime.index.inbox(&container.sandbox)?;
    let id = container.id.clone();
    ask(&inbox, |reply| Command::ReopenLog { id, reply }).await?;
    Ok(ReopenContainerLogResponse {})
}
