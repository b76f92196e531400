//! `orlop rm`.

use std::time::Duration;

use cri_api::v1;

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
    // Also without a runtime: `orlop run --keep` leaves a pod and no runtime behind where it started its own.
    endpoint::with_runtime(endpoint, async |connection, signals| {
        endpoint::until_signal(signals, remove_all(connection, options)).await
    })
    .await
}

async fn remove_all(connection: &Connection, options: &RmArgs) -> Result<u8> {
    let mut result = Ok(0);
    for pod in &options.pods {
        if let Err(error) = remove_pod(connection, pod, options.force).await {
            result = result.and(Err(error));
        } else {
            output::print(&format!("{pod}\n"));
        }
    }
    result
}

async fn remove_pod(connection: &Connection, pod: &str, force: bool) -> Result<()> {
    for sandbox in pods::find(connection, pod).await? {
        let name = pods::full_name(&sandbox);
        let containers = pods::containers(connection, Some(&sandbox.id)).await?;
        let running =
            containers.iter().any(|container| container.state() == v1::ContainerState::ContainerRunning);
        if running && !force {
            return Err(Error::Usage(format!("pod {name} is running; stop it first, or remove it with -f")));
        }
        stop_sandbox(connection, &sandbox, GRACE).await?;
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
