//! Status: whether the runtime and its network are ready, and what the handlers can do.

use std::collections::HashMap;

use cri_api::v1::{
    RuntimeCondition, RuntimeFeatures, RuntimeHandler, RuntimeHandlerFeatures, RuntimeStatus, StatusRequest,
    StatusResponse,
};

use launch::seccomp::KernelVersion;

use super::super::blocking;
use crate::error::{Failure, chain};
use crate::runtime::Runtime;
use std::sync::Arc;

/// First kernel that makes a whole tree of mounts read-only in one step (`mount_setattr`).
const RECURSIVE_READ_ONLY: KernelVersion = KernelVersion { major: 5, minor: 12 };

pub(super) async fn handle(
    runtime: &Arc<Runtime>,
    request: StatusRequest,
) -> Result<StatusResponse, Failure> {
    let network = {
        let runtime = runtime.clone();
        blocking(move || runtime.network.status()).await?
    };
    let ready = |kind: &str, problem: Option<(&str, String)>| {
        let status = problem.is_none();
        let (reason, message) = problem.map_or_else(Default::default, |(r, m)| (r.to_owned(), m));
        RuntimeCondition { r#type: kind.to_owned(), status, reason, message }
    };
    let network = network.err().map(|e| {
        // Reason and the beginning of the message are those that tools look for.
        ("NetworkPluginNotReady", format!("Network plugin returns error: {}", chain(&e)))
    });
    Ok(StatusResponse {
        status: Some(RuntimeStatus {
            conditions: vec![ready("RuntimeReady", None), ready("NetworkReady", network)],
        }),
        info: if request.verbose { info(runtime) } else { HashMap::new() },
        runtime_handlers: vec![RuntimeHandler {
            name: String::new(),
            features: Some(RuntimeHandlerFeatures {
                recursive_read_only_mounts: runtime.defaults.kernel >= RECURSIVE_READ_ONLY,
                user_namespaces: false,
            }),
        }],
        features: Some(RuntimeFeatures {
            supplemental_groups_policy: true,
            user_namespaces_host_network: false,
            mount_options: false,
        }),
    })
}

/// critest reads `stateDir` out of `config`.
fn info(runtime: &Runtime) -> HashMap<String, String> {
    let config = &runtime.config;
    let info = serde_json::json!({
        "rootDir": config.root,
        "stateDir": config.state,
        "socket": config.socket,
        "cgroupDriver": "cgroupfs",
        "cgroupParent": config.cgroup_parent,
        "certsDirs": config.certs_d,
        "cniConfDir": config.cni_conf_dir,
        "cniBinDirs": config.cni_bin_dirs,
        "network": {
            "name": config.network.name, "bridge": config.network.bridge, "subnet": config.network.subnet,
        },
    });
    HashMap::from([("config".to_owned(), info.to_string())])
}
