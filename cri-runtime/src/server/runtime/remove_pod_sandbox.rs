//! RemovePodSandbox. A pod that does not exist is removed (G-04).

use cri_api::v1::{RemovePodSandboxRequest, RemovePodSandboxResponse};

use super::ask;
use crate::error::{Class, Failure};
use crate::runtime::Runtime;
use crate::sandbox::Command;

pub(super) async fn handle(
    runtime: &Runtime,
    request: RemovePodSandboxRequest,
) -> Result<RemovePodSandboxResponse, Failure> {
    match runtime.index.inbox(&request.pod_sandbox_id) {
        Ok(inbox) => ask::gone_is_done(ask::ask(&inbox, |reply| Command::Remove { reply }).await)?,
        Err(failure) if failure.class == Class::NotFound => {}
        Err(failure) => return Err(failure),
    }
    Ok(RemovePodSandboxResponse {})
}
