//! PodSandboxStatus. The kubelet recreates a pod whose namespaces or address are not what it asked for (trap 3).

use std::collections::HashMap;

use cri_api::v1::{
    LinuxPodSandboxStatus, Namespace, PodIp, PodSandboxNetworkStatus, PodSandboxStatus,
    PodSandboxStatusRequest, PodSandboxStatusResponse,
};

use super::container_status;
use super::list_pod_sandbox::state;
use crate::clock;
use crate::error::Failure;
use crate::record::{Network, SandboxRecord};
use crate::runtime::Runtime;

pub(super) async fn handle(
    runtime: &Runtime,
    request: PodSandboxStatusRequest,
) -> Result<PodSandboxStatusResponse, Failure> {
    let pod = runtime.index.pod(&request.pod_sandbox_id)?;
    let containers = runtime.index.containers_of(&pod.id);
    Ok(PodSandboxStatusResponse {
        status: Some(status(&pod)),
        info: if request.verbose { info(&pod) } else { HashMap::new() },
        // Statuses and timestamp go together: a timestamp alone says that there are no containers.
        containers_statuses: containers.iter().map(|c| container_status::status(c)).collect(),
        timestamp: clock::now(),
    })
}

fn status(pod: &SandboxRecord) -> PodSandboxStatus {
    let ips: Vec<String> = match &pod.network {
        Network::Attached { ips } => ips.iter().map(ToString::to_string).collect(),
        Network::None | Network::Attempted => Vec::new(),
    };
    let mut ips = ips.into_iter();
    let security = pod.config.linux.as_ref().and_then(|linux| linux.security_context.as_ref());
    PodSandboxStatus {
        id: pod.id.clone(),
        metadata: pod.config.metadata.clone(),
        state: state(pod).into(),
        created_at: pod.created_at,
        network: Some(PodSandboxNetworkStatus {
            ip: ips.next().unwrap_or_default(),
            additional_ips: ips.map(|ip| PodIp { ip }).collect(),
        }),
        linux: Some(LinuxPodSandboxStatus {
            namespaces: Some(Namespace {
                options: Some(security.and_then(|s| s.namespace_options.clone()).unwrap_or_default()),
            }),
        }),
        labels: pod.config.labels.clone(),
        annotations: pod.config.annotations.clone(),
        runtime_handler: pod.handler.clone(),
    }
}

/// What `crictl inspectp` prints below `info`.
fn info(pod: &SandboxRecord) -> HashMap<String, String> {
    let pid = pod.pause.as_ref().map_or(0, |pause| pause.pid);
    let network = (pid != 0).then(|| format!("/proc/{pid}/ns/net"));
    let info = serde_json::json!({
        "pid": pid,
        "runtimeHandler": pod.handler,
        "cgroup": pod.cgroup,
        "networkNamespace": pod.netns.as_ref().map(|path| path.display().to_string()).or(network),
    });
    HashMap::from([("info".to_owned(), info.to_string())])
}
