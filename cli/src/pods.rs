//! Finding pods and containers by what a person calls them.

use std::collections::HashMap;

use cri_api::v1;
use kubelet::names;

use crate::endpoint::{Connection, ask};
use crate::error::{Error, Result};

/// Every sandbox, the newest first.
pub async fn list(connection: &Connection) -> Result<Vec<v1::PodSandbox>> {
    let request = ask(v1::ListPodSandboxRequest { filter: None });
    let answer = connection.runtime().list_pod_sandbox(request).await;
    let mut items = answer.map_err(|status| Error::call("list", "pods", status))?.into_inner().items;
    items.sort_by_key(|item| std::cmp::Reverse(item.created_at));
    Ok(items)
}

/// The containers of one sandbox, or all, the newest first.
pub async fn containers(connection: &Connection, sandbox: Option<&str>) -> Result<Vec<v1::Container>> {
    let filter =
        sandbox.map(|id| v1::ContainerFilter { pod_sandbox_id: id.to_owned(), ..Default::default() });
    let answer = connection.runtime().list_containers(ask(v1::ListContainersRequest { filter })).await;
    let mut items =
        answer.map_err(|status| Error::call("list", "containers", status))?.into_inner().containers;
    items.sort_by_key(|item| std::cmp::Reverse(item.created_at));
    Ok(items)
}

/// `namespace/name` of a sandbox.
pub fn full_name(sandbox: &v1::PodSandbox) -> String {
    sandbox.metadata.as_ref().map(|data| format!("{}/{}", data.namespace, data.name)).unwrap_or_default()
}

/// Whether `wanted` names a sandbox: `name`, `namespace/name`, or the beginning of its id.
fn matches(sandbox: &v1::PodSandbox, wanted: &str) -> bool {
    let by_name = sandbox.metadata.as_ref().is_some_and(|data| match wanted.split_once('/') {
        Some((namespace, name)) => data.namespace == namespace && data.name == name,
        None => data.name == wanted,
    });
    by_name || (wanted.len() >= 4 && sandbox.id.starts_with(wanted))
}

/// The sandboxes of the pod that `wanted` names, the newest first.
pub async fn find(connection: &Connection, wanted: &str) -> Result<Vec<v1::PodSandbox>> {
    let all = list(connection).await?;
    let found: Vec<v1::PodSandbox> = all.iter().filter(|sandbox| matches(sandbox, wanted)).cloned().collect();
    if found.is_empty() {
        let known: Vec<String> = all.iter().map(full_name).collect();
        let advice = if known.is_empty() {
            "there is none at all".to_owned()
        } else {
            format!("there is {}", known.join(", "))
        };
        return Err(Error::Usage(format!("no pod {wanted:?}; {advice}")));
    }
    let mut names: Vec<String> = found.iter().map(full_name).collect();
    names.dedup();
    if names.len() > 1 {
        let what = format!("{wanted:?} means several pods: {}; write namespace/name", names.join(", "));
        return Err(Error::Usage(what));
    }
    Ok(found)
}

/// A label, or nothing.
pub fn label<'a>(labels: &'a HashMap<String, String>, key: &str) -> &'a str {
    labels.get(key).map(String::as_str).unwrap_or_default()
}

/// `namespace/name` of a container's pod.
pub fn pod_of(container: &v1::Container) -> String {
    let labels = &container.labels;
    format!("{}/{}", label(labels, names::POD_NAMESPACE), label(labels, names::POD_NAME))
}
