use std::path::Path;

use cri_api::v1::security_profile::ProfileType;
use cri_api::v1::{LinuxContainerSecurityContext, NamespaceMode};
use k8s_openapi::api::core::v1::{Container, PodSecurityContext, PodSpec, SeccompProfile, SecurityContext};

use super::{ImageUser, SecurityError, container_security, namespaces};

fn merge(
    pod: PodSecurityContext,
    own: SecurityContext,
    image: &ImageUser,
) -> Result<LinuxContainerSecurityContext, SecurityError> {
    let spec = PodSpec { security_context: Some(pod), ..PodSpec::default() };
    let container = Container { security_context: Some(own), ..Container::default() };
    container_security(&spec, &container, image, Path::new("/seccomp"), true)
}

fn merged(pod: PodSecurityContext, own: SecurityContext) -> LinuxContainerSecurityContext {
    merge(pod, own, &ImageUser::default()).unwrap()
}

#[test]
fn the_container_overrides_the_pod() {
    let pod = PodSecurityContext {
        run_as_user: Some(1000),
        run_as_group: Some(1000),
        fs_group: Some(2000),
        supplemental_groups: Some(vec![3000, 2000]),
        ..PodSecurityContext::default()
    };
    let own = SecurityContext { run_as_user: Some(7), ..SecurityContext::default() };
    let context = merged(pod, own);
    assert_eq!(context.run_as_user.unwrap().value, 7);
    assert_eq!(context.run_as_group.unwrap().value, 1000);
    assert_eq!(context.supplemental_groups, [2000, 3000]);
}

#[test]
fn the_images_user_is_used_when_the_manifest_names_none() {
    let named = ImageUser { uid: None, username: "app".to_owned() };
    let context = merge(PodSecurityContext::default(), SecurityContext::default(), &named).unwrap();
    assert_eq!((context.run_as_user, context.run_as_username.as_str()), (None, "app"));
    let context = merged(PodSecurityContext::default(), SecurityContext::default());
    assert_eq!(context.run_as_user.unwrap().value, 0);
}

#[test]
fn non_root_is_kept_or_the_container_does_not_start() {
    let non_root = || SecurityContext { run_as_non_root: Some(true), ..SecurityContext::default() };
    let named = ImageUser { uid: None, username: "app".to_owned() };
    let numbered = ImageUser { uid: Some(5), username: String::new() };
    let none = PodSecurityContext::default;
    assert_eq!(merge(none(), non_root(), &ImageUser::default()), Err(SecurityError::ImageIsRoot));
    assert!(merge(none(), non_root(), &numbered).is_ok());
    let error = merge(none(), non_root(), &named).unwrap_err();
    assert!(error.to_string().contains("image has non-numeric user (app), cannot verify user is non-root"));
    let root = SecurityContext { run_as_user: Some(0), ..non_root() };
    assert_eq!(merge(none(), root, &numbered), Err(SecurityError::UserIsRoot));
    let pod = PodSecurityContext { run_as_user: Some(9), ..none() };
    assert!(merge(pod, non_root(), &named).is_ok());
}

#[test]
fn a_privileged_container_is_neither_masked_nor_filtered_by_default() {
    let own = SecurityContext { privileged: Some(true), ..SecurityContext::default() };
    let context = merged(PodSecurityContext::default(), own);
    assert!(context.masked_paths.is_empty() && context.readonly_paths.is_empty());
    assert_eq!(context.seccomp.unwrap().profile_type(), ProfileType::Unconfined);
    let context = merged(PodSecurityContext::default(), SecurityContext::default());
    assert!(context.masked_paths.contains(&"/proc/kcore".to_owned()));
    assert_eq!(context.seccomp.unwrap().profile_type(), ProfileType::RuntimeDefault);
}

#[test]
fn local_seccomp_profiles_are_below_the_root() {
    let profile =
        SeccompProfile { type_: "Localhost".to_owned(), localhost_profile: Some("a/b.json".to_owned()) };
    let pod = PodSecurityContext { seccomp_profile: Some(profile), ..PodSecurityContext::default() };
    let seccomp = merged(pod, SecurityContext::default()).seccomp.unwrap();
    assert_eq!(
        (seccomp.profile_type(), seccomp.localhost_ref.as_str()),
        (ProfileType::Localhost, "/seccomp/a/b.json")
    );
}

#[test]
fn namespace_modes_follow_the_spec() {
    let plain = namespaces(&PodSpec::default());
    assert_eq!(
        (plain.network(), plain.pid(), plain.ipc()),
        (NamespaceMode::Pod, NamespaceMode::Container, NamespaceMode::Pod)
    );
    let host = PodSpec {
        host_network: Some(true),
        host_ipc: Some(true),
        share_process_namespace: Some(true),
        ..PodSpec::default()
    };
    let host = namespaces(&host);
    assert_eq!(
        (host.network(), host.pid(), host.ipc()),
        (NamespaceMode::Node, NamespaceMode::Pod, NamespaceMode::Node)
    );
}
