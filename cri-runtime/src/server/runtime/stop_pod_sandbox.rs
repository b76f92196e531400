//! StopPodSandbox. A pod that does not exist is stopped (G-04).

use cri_api::v1::{StopPodSandboxRequest, StopPodSandboxResponse};

use super::ask;
use crate::error::{Class, Failure};
use crate::runtime::Runtime;
use crate::sandbox::Command;

pub(super) async fn handle(
    runtime: &Runtime,
    request: StopPodSandboxRequest,
) -> Result<StopPodSandboxResponse, Failure> {
    match runtime.index.inbox(&request.pod_sandbox_id) {
        Ok(inbox) => ask::gone_is_done(ask::ask(&inbox, |reply| Command::Stop { reply }).await)?,
        Err(failure) if failure.class == Class::NotFound => {}
        Err(failure) => return Err(failure),
    }
    Ok(StopPodSandboxResponse {})
}
