use k8s_openapi::api::core::v1::{
    Container, ContainerPort, Pod, PodSecurityContext, PodSpec, SecurityContext, Sysctl,
};

use super::{sandbox_config, sysctl_is_safe};
use crate::host::Host;
use crate::layout::Layout;

fn config(spec: PodSpec) -> cri_api::v1::PodSandboxConfig {
    let mut pod = Pod { spec: Some(spec), ..Pod::default() };
    pod.metadata.name = Some("web".to_owned());
    pod.metadata.uid = Some("u1".to_owned());
    let layout = Layout { root: "/r".into(), logs: "/logs".into() };
    sandbox_config(&pod, 3, &Host::default(), &layout)
}

fn with_port() -> Container {
    let port = ContainerPort {
        container_port: 80,
        host_port: Some(8080),
        protocol: Some("UDP".to_owned()),
        ..ContainerPort::default()
    };
    Container { ports: Some(vec![port]), ..Container::default() }
}

#[test]
fn a_sandbox_carries_identity_ports_and_logs() {
    let config = config(PodSpec {
        containers: vec![with_port()],
        init_containers: Some(vec![with_port()]),
        ..PodSpec::default()
    });
    let metadata = config.metadata.unwrap();
    assert_eq!(
        (metadata.name.as_str(), metadata.namespace.as_str(), metadata.attempt),
        ("web", "default", 3)
    );
    assert_eq!((config.hostname.as_str(), config.log_directory.as_str()), ("web", "/logs/default_web_u1"));
    assert_eq!(config.port_mappings.len(), 1, "ports of init containers are not published");
    assert_eq!((config.port_mappings[0].protocol, config.port_mappings[0].host_port), (1, 8080));
    assert!(!config.linux.unwrap().security_context.unwrap().privileged);
}

#[test]
fn in_the_hosts_network_there_is_no_host_name_and_nothing_to_publish() {
    let config =
        config(PodSpec { containers: vec![with_port()], host_network: Some(true), ..PodSpec::default() });
    assert!(config.hostname.is_empty() && config.port_mappings.is_empty());
}

#[test]
fn one_privileged_container_makes_the_sandbox_privileged() {
    let context = SecurityContext { privileged: Some(true), ..SecurityContext::default() };
    let init = Container { security_context: Some(context), ..Container::default() };
    let config = config(PodSpec { init_containers: Some(vec![init]), ..PodSpec::default() });
    assert!(config.linux.unwrap().security_context.unwrap().privileged);
}

#[test]
fn sysctls_reach_the_runtime_in_one_spelling() {
    let sysctl = Sysctl { name: "net/ipv4/tcp_syncookies".to_owned(), value: "1".to_owned() };
    let context = PodSecurityContext { sysctls: Some(vec![sysctl]), ..PodSecurityContext::default() };
    let config = config(PodSpec { security_context: Some(context), ..PodSpec::default() });
    assert_eq!(config.linux.unwrap().sysctls["net.ipv4.tcp_syncookies"], "1");
    assert!(!sysctl_is_safe("kernel.panic"));
}
