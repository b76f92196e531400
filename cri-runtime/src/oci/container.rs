//! The specification of a container, section by section.

use cri_api::v1::{LinuxContainerSecurityContext, SeLinuxOption};
use oci_spec::runtime::{Linux, Process, Root, Spec, User};

use super::{
    ContainerInput, ResolveError, Resolved, ResolvedUser, devices, mounts, namespaces, process, resources,
    rlimits, seccomp, security, user,
};

/// Makes the specification of a container.
///
/// # Errors
/// [`ResolveError`], naming what of the request cannot be done.
pub fn resolve(input: &ContainerInput<'_>) -> Result<Resolved, ResolveError> {
    let none = LinuxContainerSecurityContext::default();
    let context = security(input.config).unwrap_or(&none);
    check_privilege(input, context)?;
    check_selinux(input, context)?;
    if !input.config.cdi_devices.is_empty() {
        return Err(ResolveError::Unsupported { field: "CDI_devices" });
    }
    let image = input.image.config().as_ref();
    let image_user = image.and_then(|image| image.user().as_deref()).unwrap_or_default();
    let user = user::resolve(context, image_user, input.rootfs)?;

    let process = process_section(input, context, &user)?;
    let mut linux = linux_section(input, context, &process)?;
    let mounts = mounts::mounts(input)?;
    linux.set_rootfs_propagation(mounts.root_propagation.map(str::to_owned));
    let mut root = Root::default();
    root.set_path("rootfs".into()).set_readonly(Some(context.readonly_rootfs));
    let mut spec = Spec::default();
    spec.set_root(Some(root))
        .set_process(Some(process))
        .set_mounts(Some(mounts.mounts))
        .set_linux(Some(linux))
        // The pod's UTS namespace has its name already.
        .set_hostname(None)
        .set_annotations(Some(annotations(input)));
    Ok(Resolved { spec, user })
}

/// F-17.
fn check_privilege(
    input: &ContainerInput<'_>,
    context: &LinuxContainerSecurityContext,
) -> Result<(), ResolveError> {
    let pod = input.sandbox.linux.as_ref().and_then(|linux| linux.security_context.as_ref());
    if context.privileged && !pod.is_some_and(|pod| pod.privileged) {
        let reason = "no privileged container is allowed in this sandbox";
        return Err(ResolveError::invalid("privileged", true, reason));
    }
    Ok(())
}

/// Without SELinux on the host its options mean nothing; with it, dropping them would leave a container unlabelled.
fn check_selinux(
    input: &ContainerInput<'_>,
    context: &LinuxContainerSecurityContext,
) -> Result<(), ResolveError> {
    let set = |options: &SeLinuxOption| *options != SeLinuxOption::default();
    if input.defaults.selinux && !context.privileged && context.selinux_options.as_ref().is_some_and(set) {
        return Err(ResolveError::Unsupported { field: "selinux_options" });
    }
    Ok(())
}

fn process_section(
    input: &ContainerInput<'_>,
    context: &LinuxContainerSecurityContext,
    user: &ResolvedUser,
) -> Result<Process, ResolveError> {
    let config = input.config;
    let image = input.image.config().as_ref();
    let variables = process::variables(config, image, input.hostname, user.home.as_deref())?;
    let mut who = User::default();
    who.set_uid(user.uid).set_gid(user.gid).set_additional_gids(Some(user.groups.clone()));
    let mut section = Process::default();
    section
        .set_terminal(Some(config.tty))
        .set_user(who)
        .set_args(Some(process::arguments(config, image)?))
        .set_env(Some(process::text(&variables)))
        .set_cwd(process::working_directory(config, image)?)
        .set_capabilities(Some(security::capabilities(context, input.defaults)?))
        .set_rlimits(Some(rlimits::rlimits(input.defaults)))
        .set_no_new_privileges(Some(context.no_new_privs))
        .set_apparmor_profile(security::apparmor(context, input.defaults)?)
        .set_oom_score_adj(Some(resources::oom_score(config)?));
    Ok(section)
}

fn linux_section(
    input: &ContainerInput<'_>,
    context: &LinuxContainerSecurityContext,
    process: &Process,
) -> Result<Linux, ResolveError> {
    let devices = devices::devices(input.config)?;
    let limits = resources::limits(input.config)?;
    let (masked, read_only) = security::paths(context);
    let capabilities = process.capabilities().clone().unwrap_or_default();
    let mut section = Linux::default();
    section
        .set_namespaces(Some(namespaces::of_container(input)?))
        .set_cgroups_path(Some(input.cgroup.to_owned()))
        .set_resources(Some(resources::section(&limits, devices.rules)))
        .set_devices(Some(devices.nodes))
        .set_seccomp(seccomp::of_container(context, &capabilities, input.defaults)?)
        .set_masked_paths(Some(masked))
        .set_readonly_paths(Some(read_only))
        .set_sysctl(None);
    Ok(section)
}

/// What other OCI runtimes and their hooks are told. Only the runtime's own keys: an image's labels and a pod's
/// annotations never end where a trusted key is read (CVE-2026-53488).
fn annotations(input: &ContainerInput<'_>) -> std::collections::HashMap<String, String> {
    let metadata = input.config.metadata.clone().unwrap_or_default();
    let pod = input.sandbox.metadata.clone().unwrap_or_default();
    [
        ("io.kubernetes.cri.container-type", "container".to_owned()),
        ("io.kubernetes.cri.container-name", metadata.name),
        ("io.kubernetes.cri.sandbox-name", pod.name),
        ("io.kubernetes.cri.sandbox-namespace", pod.namespace),
        ("io.kubernetes.cri.sandbox-uid", pod.uid),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}
