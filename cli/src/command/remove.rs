//! `orlop rm`.

use std::time::Duration;

use cri_api::v1;

use super::holder::Holder;
use super::stop::stop_sandbox;
use crate::args::RmArgs;
use crate::endpoint::{self, Connection, ask};
use crate::error::{Error, Result};
use crate::output;
use crate::pods;

/// The grace of a container that is removed by force.
const GRACE: Duration = Duration::from_secs(2);

/// Removes every pod that is named; each is tried before the first failure is told.
pub async fn remove(endpoint: Option<&str>, options: &RmArgs) -> Result<u8> {
    let ended = if options.force { end_holders(endpoint, &options.pods).await? } else { Vec::new() };
    // Also without a runtime: `orlop run --keep` leaves a pod and no runtime behind where it started its own.
    endpoint::with_runtime(endpoint, async |connection, signals| {
        endpoint::until_signal(signals, remove_all(connection, options, &ended)).await
    })
    .await
}

/// Ends the pods that an `orlop run` holds, which may take its runtime along; returns which.
async fn end_holders(endpoint: Option<&str>, pods: &[String]) -> Result<Vec<String>> {
    let mut held = Vec::new();
    // Without a runtime that runs there is nobody who holds anything; a pod that is not there is told later.
    let Ok(connection) = endpoint::connect(endpoint).await else { return Ok(held) };
    for pod in pods {
        if let Ok(sandboxes) = pods::find(&connection, pod).await
            && let Some(holder) = sandboxes.iter().find_map(Holder::of)
            && holder.end(GRACE).await?
        {
            held.push(pod.clone());
        }
    }
    Ok(held)
}

async fn remove_all(connection: &Connection, options: &RmArgs, ended: &[String]) -> Result<u8> {
    let mut result = Ok(0);
    for pod in &options.pods {
        let removed = match pods::find(connection, pod).await {
            // Its holder has removed it.
            Err(Error::Usage(_)) if ended.contains(pod) => Ok(()),
            Ok(sandboxes) => remove_pod(connection, &sandboxes, options.force).await,
            Err(error) => Err(error),
        };
        if let Err(error) = removed {
            result = result.and(Err(error));
        } else {
            output::print(&format!("{pod}\n"));
        }
    }
    result
}

async fn remove_pod(connection: &Connection, sandboxes: &[v1::PodSandbox], force: bool) -> Result<()> {
    for sandbox in sandboxes {
        let name = pods::full_name(sandbox);
        let containers = pods::containers(connection, Some(&sandbox.id)).await?;
        let running =
            containers.iter().any(|container| container.state() == v1::ContainerState::ContainerRunning);
        if running && !force {
            return Err(Error::Usage(format!("pod {name} is running; stop it first, or remove it with -f")));
        }
        stop_sandbox(connection, sandbox, GRACE).await?;
        let request = ask(v1::RemovePodSandboxRequest { pod_sandbox_id: sandbox.id.clone() });
        match connection.runtime().remove_pod_sandbox(request).await {
            Err(status) if status.code() != tonic::Code::NotFound => {
                return Err(Error::call("remove pod", &name, status));
            }
            _ => {}
        }
    }
    Ok(())
}
