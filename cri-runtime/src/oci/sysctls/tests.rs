use cri_api::v1::LinuxPodSandboxConfig;
use launch::seccomp::KernelVersion;

use super::*;

const POD: Modes =
    Modes { network: NamespaceMode::Pod, pid: NamespaceMode::Container, ipc: NamespaceMode::Pod };
const HOST: Modes =
    Modes { network: NamespaceMode::Node, pid: NamespaceMode::Node, ipc: NamespaceMode::Node };

fn resolve(name: &str, value: &str, modes: &Modes) -> Result<HashMap<String, String>, ResolveError> {
    let linux = LinuxPodSandboxConfig {
        sysctls: [(name.to_owned(), value.to_owned())].into(),
        ..LinuxPodSandboxConfig::default()
    };
    let config = PodSandboxConfig { linux: Some(linux), ..PodSandboxConfig::default() };
    sysctls(&config, modes, &Defaults::without_host(KernelVersion { major: 6, minor: 1 }))
}

#[test]
fn parameters_of_the_pods_namespaces_are_set() {
    for name in
        ["net.core.somaxconn", "kernel.shmmni", "kernel.shm_rmid_forced", "fs.mqueue.msg_max", "kernel.sem"]
    {
        assert_eq!(resolve(name, "7", &POD).unwrap().get(name).map(String::as_str), Some("7"), "{name}");
        assert!(resolve(name, "7", &HOST).is_err(), "{name}");
    }
    let slashes = resolve("net/ipv4/conf/eth0.1/forwarding", "1", &POD).unwrap();
    assert!(slashes.contains_key("net.ipv4.conf.eth0/1.forwarding"));
}

#[test]
fn the_host_is_never_changed() {
    for name in [
        "vm.swappiness",
        "kernel.core_pattern",
        "kernel.shm_rmid_forced+kernel.core_pattern",
        "kernel.shm_rmid_forced ",
        "net..core",
        "net.../../kernel.core_pattern",
        "",
        "/",
        "kernel",
    ] {
        assert!(resolve(name, "1", &POD).is_err(), "{name:?}");
    }
    assert!(resolve("net.core.somaxconn", "1\n2", &POD).is_err());
}

#[test]
fn unprivileged_ports_and_ping_work_in_a_pod_network() {
    let own = resolve("net.ipv4.ip_unprivileged_port_start", "80", &POD).unwrap();
    assert_eq!(own.get("net.ipv4.ip_unprivileged_port_start").map(String::as_str), Some("80"));
    assert_eq!(own.get("net.ipv4.ping_group_range").map(String::as_str), Some("0 2147483647"));
    let config = PodSandboxConfig::default();
    let host = sysctls(&config, &HOST, &Defaults::without_host(KernelVersion { major: 6, minor: 1 }));
    assert!(host.unwrap().is_empty());
}
