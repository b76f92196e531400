//! ExecSync. An exit code that is not zero is an answer, not an error.

use std::sync::Arc;
use std::time::Duration;

use cri_api::v1::{ExecSyncRequest, ExecSyncResponse};

use crate::container::exec_sync::exec_sync;
use crate::error::{Class, Failure};
use crate::runtime::Runtime;

pub(super) async fn handle(
    runtime: &Arc<Runtime>,
    request: ExecSyncRequest,
) -> Result<ExecSyncResponse, Failure> {
    let container = runtime.index.container(&request.container_id)?;
    let timeout = u64::try_from(request.timeout).map_err(|_| {
        let text = format!("execute in container {}: timeout {} is negative", container.id, request.timeout);
        Failure::new(Class::InvalidArgument, text)
    })?;
    let output = exec_sync(runtime, &container, request.cmd, Duration::from_secs(timeout)).await?;
    Ok(ExecSyncResponse { stdout: output.stdout, stderr: output.stderr, exit_code: output.exit_code })
}
