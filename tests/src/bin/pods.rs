//! Lists or removes the pods of a runtime over CRI, for scripts: one JSON object a line, no table to parse.
#![forbid(unsafe_code)]

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use cri_api::v1::runtime_service_client::RuntimeServiceClient;
use cri_api::v1::{
    ContainerState, ListContainersRequest, ListPodSandboxRequest, PodSandboxState, PodSandboxStatusRequest,
    RemovePodSandboxRequest, StopPodSandboxRequest,
};
use serde_json::json;
use tonic::transport::Channel;

/// List or remove the pods of a runtime.
#[derive(Parser)]
#[command(
    version,
    after_help = "\
Examples:
  pods list unix:///run/orlop/orlop.sock
  pods remove unix:///run/orlop/orlop.sock"
)]
struct Options {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// One line for each pod: name, state, address, containers.
    List {
        /// CRI endpoint.
        endpoint: String,
    },
    /// Stop and remove every pod.
    Remove {
        /// CRI endpoint.
        endpoint: String,
    },
}

/// Longest wait for the connection.
const CONNECT: Duration = Duration::from_secs(10);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    match Options::parse().verb {
        Verb::List { endpoint } => list(connect(&endpoint).await?).await,
        Verb::Remove { endpoint } => remove(connect(&endpoint).await?).await,
    }
}

async fn connect(endpoint: &str) -> Result<RuntimeServiceClient<Channel>> {
    Ok(cri_api::client::runtime(cri_api::client::connect(endpoint, CONNECT).await?))
}

async fn list(mut client: RuntimeServiceClient<Channel>) -> Result<()> {
    let pods = client
        .list_pod_sandbox(ListPodSandboxRequest::default())
        .await
        .context("list pods")?
        .into_inner()
        .items;
    let containers = client
        .list_containers(ListContainersRequest::default())
        .await
        .context("list containers")?
        .into_inner()
        .containers;
    for pod in pods {
        let request = PodSandboxStatusRequest { pod_sandbox_id: pod.id.clone(), verbose: false };
        let status =
            client.pod_sandbox_status(request).await.context("ask for a pod's status")?.into_inner().status;
        let inside: Vec<_> = containers
            .iter()
            .filter(|container| container.pod_sandbox_id == pod.id)
            .map(|container| {
                let name = container.metadata.as_ref().map_or("", |metadata| metadata.name.as_str());
                json!({"name": name, "running": container.state() == ContainerState::ContainerRunning})
            })
            .collect();
        let metadata = pod.metadata.clone().unwrap_or_default();
        let line = json!({
            "id": pod.id, "name": metadata.name, "namespace": metadata.namespace,
            "ready": pod.state() == PodSandboxState::SandboxReady,
            "address": status.and_then(|status| status.network).unwrap_or_default().ip,
            "containers": inside,
        });
        println!("{line}");
    }
    Ok(())
}

async fn remove(mut client: RuntimeServiceClient<Channel>) -> Result<()> {
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
