//! `orlop stop`.

use std::time::Duration;

use cri_api::v1;

use super::holder::Holder;
use crate::args::StopArgs;
use crate::endpoint::{self, Connection};
use crate::error::{Error, Result};
use crate::output;
use crate::pods;

/// What a runtime gets beyond the grace to kill a container and answer.
const MARGIN: Duration = Duration::from_secs(60);

/// Stops every pod that is named; each is tried before the first failure is told.
pub async fn stop(endpoint: Option<&str>, options: &StopArgs) -> Result<u8> {
    let connection = endpoint::connect(endpoint).await?;
    let mut result = Ok(0);
    for pod in &options.pods {
        if let Err(error) = stop_pod(&connection, pod, options.time).await {
            result = result.and(Err(error));
        } else {
            output::print(&format!("{pod}\n"));
        }
    }
    result
}

async fn stop_pod(connection: &Connection, pod: &str, grace: Duration) -> Result<()> {
    let sandboxes = pods::find(connection, pod).await?;
    let mut grace = grace;
    if let Some(holder) = sandboxes.iter().find_map(Holder::of) {
        if holder.end(grace).await? {
            return Ok(());
        }
        // It has asked the containers already, and makes nothing new.
        grace = Duration::ZERO;
    }
    for sandbox in &sandboxes {
        stop_sandbox(connection, sandbox, grace).await?;
    }
    Ok(())
}

/// Stops the containers of a sandbox together, then the sandbox.
pub async fn stop_sandbox(connection: &Connection, sandbox: &v1::PodSandbox, grace: Duration) -> Result<()> {
    let mut stops = tokio::task::JoinSet::new();
    for container in pods::containers(connection, Some(&sandbox.id)).await? {
        if container.state() != v1::ContainerState::ContainerRunning {
            continue;
        }
        let mut runtime = connection.runtime();
        stops.spawn(async move {
            let timeout = i64::try_from(grace.as_secs()).unwrap_or(i64::MAX);
            let mut request =
                tonic::Request::new(v1::StopContainerRequest { container_id: container.id.clone(), timeout });
            request.set_timeout(grace + MARGIN);
            match runtime.stop_container(request).await {
                Err(status) if status.code() != tonic::Code::NotFound => {
                    Err(Error::call("stop container", output::short(&container.id), status))
                }
                _ => Ok(()),
            }
        });
    }
    let mut result = Ok(());
    while let Some(ended) = stops.join_next().await {
        if let Ok(ended) = ended {
            result = result.and(ended);
        }
    }
    result?;
    let mut request = tonic::Request::new(v1::StopPodSandboxRequest { pod_sandbox_id: sandbox.id.clone() });
    request.set_timeout(MARGIN);
    match connection.runtime().stop_pod_sandbox(request).await {
        Err(status) if status.code() != tonic::Code::NotFound => {
            Err(Error::call("stop pod", &pods::full_name(sandbox), status))
        }
        _ => Ok(()),
    }
}
