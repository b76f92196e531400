//! StopContainer. A container that does not exist is stopped (G-04).

use std::time::Duration;

use cri_api::v1::{StopContainerRequest, StopContainerResponse};

use super::ask::{ask, gone_is_done};
use crate::error::{Class, Failure};
use crate::runtime::Runtime;
use crate::sandbox::Command;

pub(super) async fn handle(
    runtime: &Runtime,
    request: StopContainerRequest,
) -> Result<StopContainerResponse, Failure> {
    let container = match runtime.index.container(&request.container_id) {
        Ok(container) => container,
        Err(failure) if failure.class == Class::NotFound => return Ok(StopContainerResponse {}),
        Err(failure) => return Err(failure),
    };
    let inbox = runtime.index.inbox(&container.sandbox)?;
    // Zero and less kill at once.
    let timeout = Duration::from_secs(u64::try_from(request.timeout).unwrap_or(0));
    let id = container.id.clone();
    gone_is_done(ask(&inbox, |reply| Command::StopContainer { id, timeout, reply }).await)?;
    Ok(StopContainerResponse {})
}
