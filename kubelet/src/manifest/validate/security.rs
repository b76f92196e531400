//! Rules for the security contexts of a pod and its containers.

use k8s_openapi::api::core::v1::{AppArmorProfile, PodSpec, SeccompProfile, SecurityContext};

use super::super::error::Problem;
use super::super::path::Path;
use super::Place;
use crate::sandbox::sysctl_is_safe;

pub(super) fn pod(spec: &PodSpec, place: Place<'_>, path: &Path) -> Result<(), Problem> {
    let Some(context) = &spec.security_context else { return Ok(()) };
    let ids = [
        ("runAsUser", context.run_as_user),
        ("runAsGroup", context.run_as_group),
        ("fsGroup", context.fs_group),
    ];
    for (field, id) in ids {
        identity(id, place, &path.field(field))?;
    }
    for (index, group) in context.supplemental_groups.iter().flatten().enumerate() {
        identity(Some(*group), place, &path.field("supplementalGroups").index(index))?;
    }
    if let Some(policy) = &context.supplemental_groups_policy {
        place.one_of(&path.field("supplementalGroupsPolicy"), policy, &["Merge", "Strict"])?;
    }
    if let Some(policy) = &context.fs_group_change_policy {
        place.one_of(&path.field("fsGroupChangePolicy"), policy, &["Always", "OnRootMismatch"])?;
    }
    seccomp(context.seccomp_profile.as_ref(), place, &path.field("seccompProfile"))?;
    app_armor(context.app_armor_profile.as_ref(), place, &path.field("appArmorProfile"))?;
    let mut seen = std::collections::BTreeSet::new();
    for (index, sysctl) in context.sysctls.iter().flatten().enumerate() {
        let at = path.field("sysctls").index(index).field("name");
        // Both spellings of a sysctl are one parameter (net/ipv4/x and net.ipv4.x).
        if !seen.insert(sysctl.name.replace('/', ".")) {
            return Err(place.problem(&at, format!("the sysctl {:?} is given twice", sysctl.name)));
        }
        if !sysctl_is_safe(&sysctl.name) {
            let what = format!("{:?} is not one of the sysctls that are safe for a pod to set", sysctl.name);
            return Err(place.problem(&at, what));
        }
        if spec.host_network == Some(true) && sysctl.name.replace('/', ".").starts_with("net.") {
            return Err(place.problem(&at, "cannot be set with hostNetwork: true; it would change the host"));
        }
        if spec.host_ipc == Some(true) && sysctl.name.replace('/', ".").starts_with("kernel.shm") {
            return Err(place.problem(&at, "cannot be set with hostIPC: true; it would change the host"));
        }
    }
    Ok(())
}

pub(super) fn container(context: &SecurityContext, place: Place<'_>, path: &Path) -> Result<(), Problem> {
    identity(context.run_as_user, place, &path.field("runAsUser"))?;
    identity(context.run_as_group, place, &path.field("runAsGroup"))?;
    seccomp(context.seccomp_profile.as_ref(), place, &path.field("seccompProfile"))?;
    app_armor(context.app_armor_profile.as_ref(), place, &path.field("appArmorProfile"))?;
    if context.allow_privilege_escalation == Some(false) {
        let at = path.field("allowPrivilegeEscalation");
        if context.privileged == Some(true) {
            return Err(place.problem(&at, "cannot be false with privileged: true"));
        }
        let added = context.capabilities.iter().flat_map(|c| c.add.iter().flatten());
        if added.into_iter().any(|name| name == "SYS_ADMIN" || name == "CAP_SYS_ADMIN") {
            return Err(place.problem(&at, "cannot be false with the capability SYS_ADMIN"));
        }
    }
    Ok(())
}

/// User and group ids are 0 to 2^31-1 in Kubernetes.
fn identity(id: Option<i64>, place: Place<'_>, path: &Path) -> Result<(), Problem> {
    match id {
        Some(id) if !(0..=i64::from(i32::MAX)).contains(&id) => {
            Err(place.problem(path, format!("{id} must be between 0 and {}", i32::MAX)))
        }
        _ => Ok(()),
    }
}

fn seccomp(profile: Option<&SeccompProfile>, place: Place<'_>, path: &Path) -> Result<(), Problem> {
    let Some(profile) = profile else { return Ok(()) };
    place.one_of(&path.field("type"), &profile.type_, &["RuntimeDefault", "Unconfined", "Localhost"])?;
    localhost(&profile.type_, profile.localhost_profile.as_deref(), place, path)?;
    let file = profile.localhost_profile.as_deref().unwrap_or_default();
    if file.starts_with('/') || file.split('/').any(|part| part == "..") {
        let what = format!("{file:?} must be a relative path without \"..\"");
        return Err(place.problem(&path.field("localhostProfile"), what));
    }
    Ok(())
}

fn app_armor(profile: Option<&AppArmorProfile>, place: Place<'_>, path: &Path) -> Result<(), Problem> {
    let Some(profile) = profile else { return Ok(()) };
    place.one_of(&path.field("type"), &profile.type_, &["RuntimeDefault", "Unconfined", "Localhost"])?;
    localhost(&profile.type_, profile.localhost_profile.as_deref(), place, path)
}

fn localhost(kind: &str, profile: Option<&str>, place: Place<'_>, path: &Path) -> Result<(), Problem> {
    let at = path.field("localhostProfile");
    match (kind, profile.filter(|profile| !profile.is_empty())) {
        ("Localhost", None) => Err(place.problem(&at, "is required with type: Localhost")),
        (kind, Some(_)) if kind != "Localhost" => {
            Err(place.problem(&at, "is only allowed with type: Localhost"))
        }
        _ => Ok(()),
    }
}
