//! The specification of the process that holds a pod's namespaces.

use cri_api::v1::{LinuxSandboxSecurityContext, NamespaceMode, PodSandboxConfig};
use oci_spec::runtime::{Linux, LinuxCapabilities, Process, Root, Spec, User};

use super::namespaces::{self, Modes};
use super::{Defaults, ResolveError, SandboxInput, process, seccomp, sysctls, user};

/// Who it is if nobody says: nobody in particular. It needs no right at all.
const USER: u32 = 65535;
/// It is the last to go when memory runs out, since its pod goes with it.
const OOM_SCORE: i32 = -998;

/// Checks what a pod asks for before anything of it is made.
///
/// # Errors
/// [`ResolveError`], naming the field.
pub fn validate_sandbox(config: &PodSandboxConfig) -> Result<(), ResolveError> {
    let modes = Modes::of(config)?;
    let kernel = launch::seccomp::KernelVersion { major: 0, minor: 0 };
    sysctls::sysctls(config, &modes, &Defaults::without_host(kernel))?;
    if let Some(security) = security(config) {
        ids(security)?;
        seccomp::check(security.seccomp.as_ref(), old_profile(security))?;
    }
    Ok(())
}

/// The specification of the process that holds the namespaces of a pod: no mounts, no capabilities, no writable file.
///
/// # Errors
/// [`ResolveError`], naming the field.
pub fn sandbox_spec(input: &SandboxInput<'_>) -> Result<Spec, ResolveError> {
    let config = input.config;
    let modes = Modes::of(config)?;
    let none = LinuxSandboxSecurityContext::default();
    let context = security(config).unwrap_or(&none);
    let ((uid, gid), groups) = ids(context)?;

    let mut who = User::default();
    who.set_uid(uid).set_gid(gid).set_additional_gids((!groups.is_empty()).then_some(groups));
    let mut process = Process::default();
    process
        .set_terminal(Some(false))
        .set_user(who)
        .set_args(Some(vec!["/pause".to_owned()]))
        .set_env(Some(vec![process::DEFAULT_PATH.to_owned()]))
        .set_cwd("/".into())
        .set_capabilities(Some(no_capabilities()))
        .set_rlimits(None)
        .set_no_new_privileges(Some(true))
        .set_oom_score_adj(Some(OOM_SCORE));

    let mut linux = Linux::default();
    linux
        .set_namespaces(Some(namespaces::of_sandbox(&modes)))
        .set_sysctl(Some(sysctls::sysctls(config, &modes, input.defaults)?))
        .set_seccomp(seccomp::of_sandbox(context, input.defaults)?)
        .set_resources(None)
        .set_devices(None)
        .set_masked_paths(None)
        .set_readonly_paths(None);

    let mut root = Root::default();
    root.set_path("/".into()).set_readonly(Some(true));
    let mut spec = Spec::default();
    spec.set_root(Some(root)).set_mounts(Some(Vec::new())).set_process(Some(process)).set_linux(Some(linux));
    spec.set_hostname((modes.network != NamespaceMode::Node).then(|| input.hostname.to_owned()));
    Ok(spec)
}

fn security(config: &PodSandboxConfig) -> Option<&LinuxSandboxSecurityContext> {
    config.linux.as_ref()?.security_context.as_ref()
}

#[expect(deprecated, reason = "older kubelets and crictl configs still send it")]
pub(super) fn old_profile(security: &LinuxSandboxSecurityContext) -> &str {
    &security.seccomp_profile_path
}

fn no_capabilities() -> LinuxCapabilities {
    let mut none = LinuxCapabilities::default();
    let empty = || Some(std::collections::HashSet::new());
    none.set_bounding(empty())
        .set_effective(empty())
        .set_inheritable(empty())
        .set_permitted(empty())
        .set_ambient(empty());
    none
}

/// User and group of the process, and its further groups (F-16).
type Ids = ((u32, u32), Vec<u32>);

fn ids(security: &LinuxSandboxSecurityContext) -> Result<Ids, ResolveError> {
    let uid = security.run_as_user.as_ref().map(|id| user::id("run_as_user", id.value)).transpose()?;
    let gid = security.run_as_group.as_ref().map(|id| user::id("run_as_group", id.value)).transpose()?;
    if let (None, Some(gid)) = (uid, gid) {
        return Err(ResolveError::invalid("run_as_group", gid, "it needs run_as_user"));
    }
    let groups = security.supplemental_groups.iter().map(|id| user::id("supplemental_groups", *id));
    let groups = groups.collect::<Result<_, _>>()?;
    let default_gid = if uid.is_some() { 0 } else { USER };
    Ok(((uid.unwrap_or(USER), gid.unwrap_or(default_gid)), groups))
}
