//! CreateContainer.

use cri_api::v1::{CreateContainerRequest, CreateContainerResponse};

use super::ask::ask;
use crate::creation::digest;
use crate::error::{Class, Failure};
use crate::runtime::Runtime;
use crate::sandbox::{Command, CreateContainer};

pub(super) async fn handle(
    runtime: &Runtime,
    request: CreateContainerRequest,
) -> Result<CreateContainerResponse, Failure> {
    let digest = digest(&request);
    let inbox = runtime.index.inbox(&request.pod_sandbox_id)?;
    let config = request
        .config
        .ok_or_else(|| Failure::new(Class::InvalidArgument, "create container: the request has no config"))?;
    let request = Box::new(CreateContainer { config, request: digest });
    let container_id = ask(&inbox, |reply| Command::CreateContainer { request, reply }).await?;
    Ok(CreateContainerResponse { container_id })
}
