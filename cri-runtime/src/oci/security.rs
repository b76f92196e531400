//! Capabilities, masked paths, labels: what a container may do beyond files and limits (F-62, F-63, F-66, F-67, F-69).

use std::collections::HashSet;

use cri_api::v1::security_profile::ProfileType;
use cri_api::v1::{LinuxContainerSecurityContext, SecurityProfile};
use oci_spec::runtime::Capability::{self, *};
use oci_spec::runtime::LinuxCapabilities;

use super::{Defaults, ResolveError};

/// All capabilities in the order of their numbers.
pub(super) const ALL: [Capability; 41] = [
    Chown,
    DacOverride,
    DacReadSearch,
    Fowner,
    Fsetid,
    Kill,
    Setgid,
    Setuid,
    Setpcap,
    LinuxImmutable,
    NetBindService,
    NetBroadcast,
    NetAdmin,
    NetRaw,
    IpcLock,
    IpcOwner,
    SysModule,
    SysRawio,
    SysChroot,
    SysPtrace,
    SysPacct,
    SysAdmin,
    SysBoot,
    SysNice,
    SysResource,
    SysTime,
    SysTtyConfig,
    Mknod,
    Lease,
    AuditWrite,
    AuditControl,
    Setfcap,
    MacOverride,
    MacAdmin,
    Syslog,
    WakeAlarm,
    BlockSuspend,
    AuditRead,
    Perfmon,
    Bpf,
    CheckpointRestore,
];

/// What images have been built for since Docker chose it.
pub(super) const DEFAULT: [Capability; 14] = [
    Chown,
    DacOverride,
    Fsetid,
    Fowner,
    Mknod,
    NetRaw,
    Setgid,
    Setuid,
    Setfcap,
    Setpcap,
    NetBindService,
    SysChroot,
    Kill,
    AuditWrite,
];

/// The bounding set in the text of `/proc/PID/status`.
pub(super) fn bounding_set(status: &str) -> Vec<Capability> {
    let mask = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(u64::MAX);
    (0u32..)
        .zip(ALL)
        .filter(|(number, _)| mask >> number & 1 == 1)
        .map(|(_, capability)| capability)
        .collect()
}

/// The name as the kernel's documentation spells it.
pub(super) fn name(capability: Capability) -> String {
    format!("CAP_{capability}")
}

/// The capability sets.
///
/// The order is containerd's: all added, all dropped, single ones added, single ones dropped. So a single drop wins
/// over a single addition, and "drop ALL, add X" leaves X.
///
/// # Errors
/// An unknown name; one that this daemon does not have to give.
pub(super) fn capabilities(
    security: &LinuxContainerSecurityContext,
    defaults: &Defaults,
) -> Result<LinuxCapabilities, ResolveError> {
    let available: HashSet<Capability> = defaults.available.iter().copied().collect();
    if security.privileged {
        return Ok(sets(&available, &HashSet::new(), &HashSet::new()));
    }
    let none = cri_api::v1::Capability::default();
    let asked = security.capabilities.as_ref().unwrap_or(&none);
    let all = |names: &[String]| names.iter().any(|name| name.eq_ignore_ascii_case("ALL"));
    let mut held: HashSet<Capability> = defaults.capabilities.iter().copied().collect();
    held.retain(|capability| available.contains(capability));
    if all(&asked.add_capabilities) {
        held.clone_from(&available);
    }
    if all(&asked.drop_capabilities) {
        held.clear();
    }
    for capability in single("capabilities.add_capabilities", &asked.add_capabilities)? {
        if !available.contains(&capability) {
            let reason = "the runtime does not have it to give";
            return Err(ResolveError::invalid("capabilities.add_capabilities", name(capability), reason));
        }
        held.insert(capability);
    }
    let dropped = single("capabilities.drop_capabilities", &asked.drop_capabilities)?;
    for capability in &dropped {
        held.remove(capability);
    }
    let mut ambient: HashSet<Capability> =
        single("capabilities.add_ambient_capabilities", &asked.add_ambient_capabilities)?
            .into_iter()
            .collect();
    if all(&asked.add_ambient_capabilities) {
        ambient.clone_from(&available);
    }
    ambient.retain(|capability| available.contains(capability) && !dropped.contains(capability));
    held.extend(&ambient);
    let mut inheritable = if defaults.inheritable { held.clone() } else { HashSet::new() };
    // Only what is inheritable can be ambient (capabilities(7)).
    inheritable.extend(&ambient);
    Ok(sets(&held, &inheritable, &ambient))
}

fn sets(
    held: &HashSet<Capability>,
    inheritable: &HashSet<Capability>,
    ambient: &HashSet<Capability>,
) -> LinuxCapabilities {
    let mut sets = LinuxCapabilities::default();
    sets.set_bounding(Some(held.clone()))
        .set_effective(Some(held.clone()))
        .set_permitted(Some(held.clone()))
        .set_inheritable(Some(inheritable.clone()))
        .set_ambient(Some(ambient.clone()));
    sets
}

/// The single ones of a list: with or without `CAP_`, in any case.
fn single(field: &'static str, names: &[String]) -> Result<Vec<Capability>, ResolveError> {
    let named = |text: &String| {
        let upper = text.to_ascii_uppercase();
        let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
        let found = ALL.into_iter().find(|capability| capability.to_string() == short);
        found.ok_or_else(|| ResolveError::invalid(field, text, "unknown capability"))
    };
    names.iter().filter(|name| !name.eq_ignore_ascii_case("ALL")).map(named).collect()
}

/// Masked and read-only paths: exactly what is asked for (F-67), and none for a privileged container.
pub(super) fn paths(security: &LinuxContainerSecurityContext) -> (Vec<String>, Vec<String>) {
    if security.privileged {
        return (Vec::new(), Vec::new());
    }
    (security.masked_paths.clone(), security.readonly_paths.clone())
}

/// The AppArmor profile.
///
/// # Errors
/// A profile that is named and not loaded, or cannot be enforced.
pub(super) fn apparmor(
    security: &LinuxContainerSecurityContext,
    defaults: &Defaults,
) -> Result<Option<String>, ResolveError> {
    if security.privileged {
        return Ok(None);
    }
    let Some(name) = apparmor_name(security)? else {
        return Ok(defaults.apparmor_profile.clone().filter(|_| defaults.apparmor));
    };
    if name.is_empty() {
        return Ok(None);
    }
    let refused = |reason| Err(ResolveError::AppArmor { profile: name.clone(), reason });
    if !defaults.apparmor {
        return refused("this host does not enforce AppArmor");
    }
    const LOADED: &str = "/sys/kernel/security/apparmor/profiles";
    let loaded =
        std::fs::read_to_string(LOADED).map_err(|source| ResolveError::Host { path: LOADED, source })?;
    // `name (enforce)`
    let is_loaded =
        loaded.lines().any(|line| line.rsplit_once(" (").is_some_and(|(loaded, _)| loaded == name));
    if is_loaded { Ok(Some(name)) } else { refused("it is not loaded on this host") }
}

/// `None` for the default, an empty name for no profile.
fn apparmor_name(security: &LinuxContainerSecurityContext) -> Result<Option<String>, ResolveError> {
    #[expect(deprecated, reason = "older kubelets still send it")]
    let old = security.apparmor_profile.as_str();
    let profile = |profile: &SecurityProfile| match ProfileType::try_from(profile.profile_type) {
        Ok(ProfileType::RuntimeDefault) => Ok(None),
        Ok(ProfileType::Unconfined) => Ok(Some(String::new())),
        Ok(ProfileType::Localhost) if profile.localhost_ref.is_empty() => {
            Err(ResolveError::Missing { field: "apparmor.localhost_ref" })
        }
        Ok(ProfileType::Localhost) => {
            let name = profile.localhost_ref.strip_prefix("localhost/").unwrap_or(&profile.localhost_ref);
            Ok(Some(name.to_owned()))
        }
        Err(_) => Err(ResolveError::invalid("apparmor.profile_type", profile.profile_type, "unknown type")),
    };
    match (&security.apparmor, old) {
        (Some(named), _) => profile(named),
        (None, "" | "runtime/default") => Ok(None),
        (None, "unconfined") => Ok(Some(String::new())),
        (None, old) => match old.strip_prefix("localhost/") {
            Some(name) => Ok(Some(name.to_owned())),
            None => Err(ResolveError::invalid("apparmor_profile", old, "unknown form")),
        },
    }
}

#[cfg(test)]
mod tests;
