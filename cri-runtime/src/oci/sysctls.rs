//! `linux.sysctl`: kernel parameters of the pod, set once when its namespaces are made (F-08).

use std::collections::HashMap;

use cri_api::v1::{NamespaceMode, PodSandboxConfig};

use super::namespaces::Modes;
use super::{Defaults, ResolveError};

/// Parameters of the IPC namespace (`ipc/ipc_sysctl.c`); those below `fs.mqueue.` too.
const IPC: [&str; 12] = [
    "kernel.auto_msgmni",
    "kernel.msg_next_id",
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.sem_next_id",
    "kernel.shm_next_id",
    "kernel.shm_rmid_forced",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
];

/// All parameters of a pod: the defaults and its own.
///
/// # Errors
/// A parameter that no namespace of this pod owns would change the host; one with odd characters would be another
/// parameter than the one that was checked (CVE-2022-0811).
pub(super) fn sysctls(
    config: &PodSandboxConfig,
    modes: &Modes,
    defaults: &Defaults,
) -> Result<HashMap<String, String>, ResolveError> {
    let mut all = HashMap::new();
    if modes.network == NamespaceMode::Pod {
        all.extend(defaults.network_sysctls.clone());
    }
    for (name, value) in config.linux.iter().flat_map(|linux| &linux.sysctls) {
        let dotted = dotted(name)?;
        if value.contains(['\0', '\n']) {
            return Err(ResolveError::invalid("linux.sysctls", name, "its value is more than one line"));
        }
        check(&dotted, modes).map_err(|reason| ResolveError::invalid("linux.sysctls", name, reason))?;
        all.insert(dotted, value.clone());
    }
    Ok(all)
}

/// The name with dots: `net/ipv4/conf/eth0.1/forwarding` and `net.ipv4.conf.eth0/1.forwarding` are two spellings of
/// one parameter (sysctl.d(5)): whichever separator comes first separates.
fn dotted(name: &str) -> Result<String, ResolveError> {
    let refused = |reason| ResolveError::invalid("linux.sysctls", name, reason);
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '_' | '-' | ':' | '@');
    if name.is_empty() || !name.chars().all(good) {
        return Err(refused("not the name of a kernel parameter"));
    }
    let slashes = name.find('/').is_some_and(|slash| name.find('.').is_none_or(|dot| slash < dot));
    let dotted = if slashes {
        name.chars()
            .map(|c| {
                if c == '/' {
                    '.'
                } else if c == '.' {
                    '/'
                } else {
                    c
                }
            })
            .collect()
    } else {
        name.to_owned()
    };
    if dotted
        .split('.')
        .any(|part| part.is_empty() || part.split('/').any(|piece| piece.is_empty() || piece == ".."))
    {
        return Err(refused("not the name of a kernel parameter"));
    }
    Ok(dotted)
}

fn check(name: &str, modes: &Modes) -> Result<(), &'static str> {
    let ipc = IPC.contains(&name) || name.starts_with("fs.mqueue.");
    if name.starts_with("net.") {
        match modes.network {
            NamespaceMode::Node => Err("the pod is in the network namespace of the host"),
            _ => Ok(()),
        }
    } else if ipc {
        match modes.ipc {
            NamespaceMode::Node => Err("the pod is in the IPC namespace of the host"),
            _ => Ok(()),
        }
    } else {
        Err("not a parameter of a namespace, so it would change the host")
    }
}

#[cfg(test)]
mod tests;
