//! `linux.sysctl`: kernel parameters that belong to a namespace of the container.

use kernel::namespace::Kind;
use oci_spec::runtime::Spec;

use super::CompileError;
use super::namespaces::Namespaces;
use crate::plan::{Step, Sysctl};

const FIELD: &str = "linux.sysctl";

/// The parameters of `kernel` that are per IPC namespace.
const IPC: [&str; 8] = [
    "kernel/msgmax",
    "kernel/msgmnb",
    "kernel/msgmni",
    "kernel/sem",
    "kernel/shmall",
    "kernel/shmmax",
    "kernel/shmmni",
    "kernel/shm_rmid_forced",
];

pub(super) fn compile(
    spec: &Spec,
    namespaces: &Namespaces,
    steps: &mut Vec<Step>,
) -> Result<(), CompileError> {
    let parameters = spec.linux().as_ref().and_then(|linux| linux.sysctl().as_ref());
    let mut sysctls = Vec::new();
    for (name, value) in parameters.into_iter().flatten() {
        let path = path(name)?;
        let Some(kind) = namespace_of(&path) else {
            return Err(CompileError::invalid(FIELD, name, "not a parameter of a namespace"));
        };
        // A parameter of the host's namespace would change the host.
        if !namespaces.owns(kind) {
            return Err(CompileError::invalid(
                FIELD,
                name,
                "the container shares this namespace with the host",
            ));
        }
        if value.contains(['\0', '\n']) {
            return Err(CompileError::invalid(FIELD, name, "value with a NUL or a line feed"));
        }
        sysctls.push(Sysctl { path, value: value.clone() });
    }
    if !sysctls.is_empty() {
        // The spec's map has no order; a plan does.
        sysctls.sort_by(|one, other| one.path.cmp(&other.path));
        steps.push(Step::Sysctls(sysctls));
    }
    Ok(())
}

/// `net.ipv4.ip_forward` and `net/ipv4/ip_forward` are the same; which separator comes first decides, so that an
/// interface name may contain the other one (`sysctl.d(5)`).
fn path(name: &str) -> Result<String, CompileError> {
    let path = match name.find(['.', '/']) {
        Some(position) if name[position..].starts_with('.') => name
            .chars()
            .map(|c| {
                if c == '.' {
                    '/'
                } else if c == '/' {
                    '.'
                } else {
                    c
                }
            })
            .collect(),
        _ => name.to_owned(),
    };
    let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains(['\0', '\n']);
    if path.split('/').count() < 2 || !path.split('/').all(plain) {
        return Err(CompileError::invalid(FIELD, name, "not the name of a parameter"));
    }
    Ok(path)
}

fn namespace_of(path: &str) -> Option<Kind> {
    if path.starts_with("net/") {
        Some(Kind::Net)
    } else if path.starts_with("fs/mqueue/") || IPC.contains(&path) {
        Some(Kind::Ipc)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spelled_with_dots_or_slashes() {
        assert_eq!(path("net.ipv4.ip_forward").as_deref(), Ok("net/ipv4/ip_forward"));
        assert_eq!(path("net.ipv4.conf.eth0/1.forwarding").as_deref(), Ok("net/ipv4/conf/eth0.1/forwarding"));
        assert_eq!(path("net/ipv4/conf/eth0.1/forwarding").as_deref(), Ok("net/ipv4/conf/eth0.1/forwarding"));
        for name in
            ["", "net", "net..ipv4", "net/../kernel/core_pattern", "net/./x", "/net/ipv4", "net/ipv4/"]
        {
            assert!(path(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn only_parameters_of_namespaces_are_known() {
        assert_eq!(namespace_of("net/core/somaxconn"), Some(Kind::Net));
        assert_eq!(namespace_of("kernel/shmmax"), Some(Kind::Ipc));
        assert_eq!(namespace_of("fs/mqueue/msg_max"), Some(Kind::Ipc));
        for path in
            ["kernel/core_pattern", "kernel/hostname", "vm/swappiness", "kernel/shmmax2", "netfilter/x"]
        {
            assert_eq!(namespace_of(path), None, "{path}");
        }
    }
}
