use std::collections::BTreeMap;
use std::path::PathBuf;

use cri_api::v1::ContainerConfig;
use k8s_openapi::api::core::v1::{Container, EnvVar, Pod, PodSpec, VolumeMount};

use super::{ContainerError, Image, Setting, container_config};
use crate::host::Host;
use crate::layout::Layout;

fn config(container: &Container, volumes: &[(&str, &str)]) -> Result<ContainerConfig, ContainerError> {
    let mut pod = Pod { spec: Some(PodSpec::default()), ..Pod::default() };
    pod.metadata.name = Some("web".to_owned());
    pod.metadata.uid = Some("u1".to_owned());
    let volumes: BTreeMap<String, PathBuf> =
        volumes.iter().map(|(name, path)| ((*name).to_owned(), PathBuf::from(path))).collect();
    let layout = Layout { root: "/r".into(), logs: "/logs".into() };
    let setting = Setting { host: &Host::default(), layout: &layout, addresses: &[], volumes: &volumes };
    container_config(&pod, container, 2, &Image { id: "sha256:aa".to_owned(), ..Image::default() }, setting)
}

fn mounting(path: &str) -> Container {
    let mount =
        VolumeMount { name: "data".to_owned(), mount_path: path.to_owned(), ..VolumeMount::default() };
    Container { name: "c".to_owned(), volume_mounts: Some(vec![mount]), ..Container::default() }
}

#[test]
fn command_and_arguments_see_the_environment() {
    let variable = EnvVar { name: "A".to_owned(), value: Some("x".to_owned()), value_from: None };
    let container = Container {
        name: "c".to_owned(),
        image: Some("demo".to_owned()),
        command: Some(vec!["sh".to_owned(), "$(A)".to_owned()]),
        args: Some(vec!["$$(A)".to_owned(), "$(B)".to_owned()]),
        env: Some(vec![variable]),
        ..Container::default()
    };
    let config = config(&container, &[]).unwrap();
    assert_eq!(
        (config.command, config.args),
        (vec!["sh".to_owned(), "x".to_owned()], vec!["$(A)".to_owned(), "$(B)".to_owned()])
    );
    assert_eq!(config.log_path, "c/2.log");
    let image = config.image.unwrap();
    assert_eq!((image.image.as_str(), image.user_specified_image.as_str()), ("sha256:aa", "demo"));
    assert_eq!(config.annotations["io.kubernetes.container.restartCount"], "2");
}

#[test]
fn every_container_gets_hosts_and_a_termination_log() {
    let config = config(&mounting("data"), &[("data", "/v/data")]).unwrap();
    let mounts: Vec<(&str, &str)> =
        config.mounts.iter().map(|mount| (mount.container_path.as_str(), mount.host_path.as_str())).collect();
    let expected = [
        ("/data", "/v/data"),
        ("/etc/hosts", "/r/pods/u1/etc-hosts"),
        ("/dev/termination-log", "/r/pods/u1/containers/c/00000002"),
    ];
    assert_eq!(mounts, expected);
}

#[test]
fn a_container_with_its_own_hosts_file_keeps_it() {
    let config = config(&mounting("/etc/hosts/"), &[("data", "/v/data")]).unwrap();
    assert_eq!(
        config.mounts.iter().filter(|mount| mount.container_path.starts_with("/etc/hosts")).count(),
        1
    );
}

#[test]
fn a_volume_that_is_not_there_is_named() {
    let error = config(&mounting("/data"), &[]).unwrap_err();
    assert_eq!(error.to_string(), "mount volume \"data\": not prepared");
}
