//! Removes every pod of a runtime over CRI: what `scripts/dev-runtime --wipe` asks for first.
#![forbid(unsafe_code)]

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;
use cri_api::v1::{ListPodSandboxRequest, RemovePodSandboxRequest, StopPodSandboxRequest};

/// Stop and remove every pod of a runtime.
#[derive(Parser)]
#[command(version, after_help = "Example:\n  remove-pods unix:///run/orlop/orlop.sock")]
struct Options {
    /// CRI endpoint.
    endpoint: String,
}

/// Longest wait for the connection.
const CONNECT: Duration = Duration::from_secs(10);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let options = Options::parse();
    let mut client = cri_api::client::runtime(cri_api::client::connect(&options.endpoint, CONNECT).await?);
    let pods = client
        .list_pod_sandbox(ListPodSandboxRequest::default())
        .await
        .context("list pods")?
        .into_inner()
        .items;
    let mut failed = 0;
    for pod in pods {
        let stop = StopPodSandboxRequest { pod_sandbox_id: pod.id.clone() };
        // A pod that cannot be stopped in good order is removed all the same: removal stops by force.
        if let Err(status) = client.stop_pod_sandbox(stop).await {
            eprintln!("stop pod {}: {}", pod.id, status.message());
        }
        let remove = RemovePodSandboxRequest { pod_sandbox_id: pod.id.clone() };
        if let Err(status) = client.remove_pod_sandbox(remove).await {
            eprintln!("remove pod {}: {}", pod.id, status.message());
            failed += 1;
        }
    }
    if failed > 0 {
        bail!("{failed} pods could not be removed");
    }
    Ok(())
}
