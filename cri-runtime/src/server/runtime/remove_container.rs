//! RemoveContainer. A container that does not exist is removed (G-04).

use cri_api::v1::{RemoveContainerRequest, RemoveContainerResponse};

use super::ask::{ask, gone_is_done};
use crate::error::{Class, Failure};
use crate::runtime::Runtime;
use crate::sandbox::Command;

pub(super) async fn handle(
    runtime: &Runtime,
    request: RemoveContainerRequest,
) -> Result<RemoveContainerResponse, Failure> {
    let container = match runtime.index.container(&request.container_id) {
        Ok(container) => container,
        Err(failure) if failure.class == Class::NotFound => return Ok(RemoveContainerResponse {}),
        Err(failure) => return Err(failure),
    };
    let inbox = runtime.index.inbox(&container.sandbox)?;
    let id = container.id.clone();
    gone_is_done(ask(&inbox, |reply| Command::RemoveContainer { id, reply }).await)?;
    Ok(RemoveContainerResponse {})
}
