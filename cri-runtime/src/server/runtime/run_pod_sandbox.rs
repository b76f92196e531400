//! RunPodSandbox.

use std::sync::Arc;

use cri_api::v1::{RunPodSandboxRequest, RunPodSandboxResponse};

use crate::creation::digest;
use crate::error::{Class, Failure};
use crate::runtime::Runtime;
use crate::sandbox::{self, RunRequest};

pub(super) async fn handle(
    runtime: &Arc<Runtime>,
    request: RunPodSandboxRequest,
) -> Result<RunPodSandboxResponse, Failure> {
    let digest = digest(&request);
    let config = request
        .config
        .ok_or_else(|| Failure::new(Class::InvalidArgument, "run pod sandbox: the request has no config"))?;
    let request = RunRequest { config, handler: request.runtime_handler, digest };
    let pod_sandbox_id = sandbox::run(runtime, request).await?;
    Ok(RunPodSandboxResponse { pod_sandbox_id })
}
