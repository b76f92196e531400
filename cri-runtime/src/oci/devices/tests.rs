use cri_api::v1::{LinuxContainerConfig, LinuxContainerSecurityContext};
use oci_spec::runtime::Linux;

use super::*;

fn asking(host: &str, container: &str, permissions: &str) -> ContainerConfig {
    let device = Device {
        host_path: host.to_owned(),
        container_path: container.to_owned(),
        permissions: permissions.to_owned(),
    };
    ContainerConfig { devices: vec![device], ..ContainerConfig::default() }
}

fn spec(rules: Vec<LinuxDeviceCgroup>) -> Spec {
    let limits = kernel::cgroup::Limits::default();
    let mut linux = Linux::default();
    linux.set_resources(Some(super::super::resources::section(&limits, rules)));
    let mut spec = Spec::default();
    spec.set_linux(Some(linux));
    spec
}

#[test]
fn a_container_may_make_any_node_and_open_only_the_harmless() {
    let config = ContainerConfig::default();
    let rules = device_rules(&config, &spec(devices(&config).unwrap().rules));
    assert_eq!(rules[0], DeviceRule::DENY_ALL);
    let allowed: Vec<String> = rules[1..].iter().map(ToString::to_string).collect();
    assert_eq!(allowed.len(), ALWAYS.len());
    assert!(allowed.contains(&"b *:* m".to_owned()) && allowed.contains(&"c 1:3 rwm".to_owned()));
    let opens_block =
        |rule: &DeviceRule| rule.kind != DeviceKind::Char && (rule.access.read || rule.access.write);
    assert!(rules[1..].iter().all(|rule| rule.allow && !opens_block(rule)));
}

#[test]
fn a_device_is_given_under_its_name_in_the_container() {
    let found = devices(&asking("/dev/null", "/dev/mine", "rw")).unwrap();
    let [node] = found.nodes.as_slice() else { panic!("{:?}", found.nodes) };
    assert_eq!((node.path().as_path(), node.major(), node.minor()), (Path::new("/dev/mine"), 1, 3));
    let last = found.rules.last().unwrap();
    assert_eq!((last.allow(), last.major(), last.access().as_deref()), (true, Some(1), Some("rw")));
}

#[test]
fn a_link_to_a_device_and_a_directory_of_devices_are_devices() {
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("link");
    std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
    let found = devices(&asking(link.to_str().unwrap(), "", "")).unwrap();
    assert_eq!(found.nodes[0].minor(), 5);
    let found = devices(&asking(directory.path().to_str().unwrap(), "/dev/all", "")).unwrap();
    assert!(found.nodes.is_empty(), "a link in a directory is found where it points to");
}

#[test]
fn what_is_no_device_is_refused() {
    for (host, container, permissions) in [
        ("/etc/hostname", "/dev/x", "rw"),
        ("/does/not/exist", "/dev/x", "rw"),
        ("relative", "/dev/x", "rw"),
        ("/dev/null", "/dev/../etc/x", "rw"),
        ("/dev/null", "/dev/x", "rwx"),
    ] {
        assert!(devices(&asking(host, container, permissions)).is_err(), "{host} {container} {permissions}");
    }
}

#[test]
fn privilege_is_every_device_of_the_host() {
    let security = LinuxContainerSecurityContext { privileged: true, ..Default::default() };
    let linux = LinuxContainerConfig { security_context: Some(security), ..Default::default() };
    let config = ContainerConfig { linux: Some(linux), ..ContainerConfig::default() };
    let found = devices(&config).unwrap();
    assert!(found.nodes.iter().any(|node| node.path() == Path::new("/dev/null")));
    assert!(!found.nodes.iter().any(|node| node.path().starts_with("/dev/pts")));
    assert_eq!(device_rules(&config, &spec(found.rules)), [DeviceRule::ALLOW_ALL]);
    let mut silent = Spec::default();
    silent.set_linux(None);
    assert_eq!(device_rules(&config, &silent), [DeviceRule::ALLOW_ALL]);
    assert_eq!(device_rules(&ContainerConfig::default(), &silent), [DeviceRule::DENY_ALL]);
}

#[test]
fn a_rule_that_cannot_be_read_denies() {
    let odd = rule(true, LinuxDeviceType::C, Some(1), Some(1 << 40), "rw");
    let rules = device_rules(&ContainerConfig::default(), &spec(vec![odd]));
    assert_eq!(rules, [DeviceRule::DENY_ALL]);
}
