//! `orlop ps` and `orlop pods`.

use cri_api::v1;
use serde_json::json;

use crate::args::{Format, ListArgs};
use crate::endpoint::{self, ask};
use crate::error::Result;
use crate::output;
use crate::pods;

fn container_state(state: v1::ContainerState) -> &'static str {
    match state {
        v1::ContainerState::ContainerCreated => "Created",
        v1::ContainerState::ContainerRunning => "Running",
        v1::ContainerState::ContainerExited => "Exited",
        v1::ContainerState::ContainerUnknown => "Unknown",
    }
}

/// Containers.
pub async fn containers(endpoint: Option<&str>, options: &ListArgs) -> Result<u8> {
    let connection = endpoint::connect(endpoint).await?;
    let mut rows = Vec::new();
    let mut values = Vec::new();
    for container in pods::containers(&connection, None).await? {
        if !options.all && container.state() != v1::ContainerState::ContainerRunning {
            continue;
        }
        let state = container_state(container.state());
        let metadata = container.metadata.clone().unwrap_or_default();
        let image = container.image.as_ref().map(|image| match image.user_specified_image.as_str() {
            "" => image.image.clone(),
            given => given.to_owned(),
        });
        let image = image.unwrap_or_default();
        rows.push(vec![
            output::short(&container.id).to_owned(),
            pods::pod_of(&container),
            metadata.name.clone(),
            state.to_owned(),
            metadata.attempt.to_string(),
            output::age(container.created_at),
            image.clone(),
        ]);
        values.push(json!({
            "id": container.id, "pod": pods::pod_of(&container), "sandbox": container.pod_sandbox_id,
            "name": metadata.name, "attempt": metadata.attempt, "state": state,
            "createdAt": container.created_at, "image": image, "imageRef": container.image_ref,
        }));
    }
    match options.output.output {
        Format::Json => output::print_json(&values.into()),
        Format::Table => {
            let headings = ["CONTAINER", "POD", "NAME", "STATE", "RESTARTS", "AGE", "IMAGE"];
            output::print(&output::table(&headings, &rows));
        }
    }
    Ok(0)
}

/// Pods.
pub async fn pods(endpoint: Option<&str>, options: &ListArgs) -> Result<u8> {
    let connection = endpoint::connect(endpoint).await?;
    let mut rows = Vec::new();
    let mut values = Vec::new();
    for sandbox in pods::list(&connection).await? {
        let ready = sandbox.state() == v1::PodSandboxState::SandboxReady;
        if !options.all && !ready {
            continue;
        }
        let state = if ready { "Ready" } else { "NotReady" };
        let metadata = sandbox.metadata.clone().unwrap_or_default();
        let request = v1::PodSandboxStatusRequest { pod_sandbox_id: sandbox.id.clone(), verbose: false };
        // A sandbox that goes away between list and question has no address any more.
        let status = connection.runtime().pod_sandbox_status(ask(request)).await.ok();
        let network = status.and_then(|answer| answer.into_inner().status).and_then(|status| status.network);
        let address = network.map(|network| network.ip).unwrap_or_default();
        rows.push(vec![
            output::short(&sandbox.id).to_owned(),
            metadata.namespace.clone(),
            metadata.name.clone(),
            state.to_owned(),
            if address.is_empty() { "-".to_owned() } else { address.clone() },
            output::age(sandbox.created_at),
        ]);
        values.push(json!({
            "id": sandbox.id, "namespace": metadata.namespace, "name": metadata.name, "uid": metadata.uid,
            "attempt": metadata.attempt, "state": state, "address": address, "createdAt": sandbox.created_at,
            "labels": sandbox.labels,
        }));
    }
    match options.output.output {
        Format::Json => output::print_json(&values.into()),
        Format::Table => {
            let headings = ["SANDBOX", "NAMESPACE", "NAME", "STATE", "ADDRESS", "AGE"];
            output::print(&output::table(&headings, &rows));
        }
    }
    Ok(0)
}
