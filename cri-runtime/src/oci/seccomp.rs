//! `linux.seccomp`: which profile holds (F-68), and its compiled form.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cri_api::v1::security_profile::ProfileType;
use cri_api::v1::{LinuxContainerSecurityContext, LinuxSandboxSecurityContext, SecurityProfile};
use launch::plan::Filter;
use launch::seccomp::{self, Arch, Context, Policy, Profile};
use oci_spec::runtime::{LinuxCapabilities, LinuxSeccomp};
use sha2::{Digest, Sha256};

use super::{Defaults, ResolveError, sandbox, security};
use crate::seccomp::Filters;

/// Largest profile read, bytes.
const PROFILE_MAX: u64 = 4 << 20;
const RUNTIME_DEFAULT: &str = "RuntimeDefault";

/// Which profile.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Choice {
    Unconfined,
    RuntimeDefault,
    Localhost(PathBuf),
}

/// The profile of a container, decided for its capabilities. A privileged container has none, whatever is asked for.
///
/// # Errors
/// A profile that is named wrongly, cannot be read or is no profile.
pub(super) fn of_container(
    security: &LinuxContainerSecurityContext,
    capabilities: &LinuxCapabilities,
    defaults: &Defaults,
) -> Result<Option<LinuxSeccomp>, ResolveError> {
    if security.privileged {
        return Ok(None);
    }
    #[expect(deprecated, reason = "older kubelets still send it")]
    let old = security.seccomp_profile_path.as_str();
    let bounding = capabilities.bounding().iter().flatten().map(|capability| security::name(*capability));
    profile(choose(security.seccomp.as_ref(), old)?, bounding.collect(), defaults)
}

/// The profile of the process that holds a pod's namespaces (F-18); it has no capabilities.
pub(super) fn of_sandbox(
    security: &LinuxSandboxSecurityContext,
    defaults: &Defaults,
) -> Result<Option<LinuxSeccomp>, ResolveError> {
    let choice = choose(security.seccomp.as_ref(), sandbox::old_profile(security))?;
    profile(choice, BTreeSet::new(), defaults)
}

/// Checks how a profile is named.
pub(super) fn check(named: Option<&SecurityProfile>, old: &str) -> Result<(), ResolveError> {
    choose(named, old).map(drop)
}

/// Nothing named is unconfined; the old text counts only where the newer field is not there.
fn choose(named: Option<&SecurityProfile>, old: &str) -> Result<Choice, ResolveError> {
    let localhost = |field, path: &str| {
        if path.is_empty() {
            return Err(ResolveError::Missing { field });
        }
        let path = Path::new(path);
        if !path.is_absolute() {
            return Err(ResolveError::invalid(field, path.display(), "it is not an absolute path"));
        }
        Ok(Choice::Localhost(path.to_owned()))
    };
    let Some(named) = named else {
        return match old {
            "" | "unconfined" => Ok(Choice::Unconfined),
            "runtime/default" | "docker/default" => Ok(Choice::RuntimeDefault),
            other => match other.strip_prefix("localhost/") {
                Some(path) => localhost("seccomp_profile_path", path),
                None => Err(ResolveError::invalid("seccomp_profile_path", other, "unknown form")),
            },
        };
    };
    match ProfileType::try_from(named.profile_type) {
        Ok(ProfileType::RuntimeDefault) => Ok(Choice::RuntimeDefault),
        Ok(ProfileType::Unconfined) => Ok(Choice::Unconfined),
        Ok(ProfileType::Localhost) => {
            let path = named.localhost_ref.strip_prefix("localhost/").unwrap_or(&named.localhost_ref);
            localhost("seccomp.localhost_ref", path)
        }
        Err(_) => Err(ResolveError::invalid("seccomp.profile_type", named.profile_type, "unknown type")),
    }
}

fn profile(
    choice: Choice,
    capabilities: BTreeSet<String>,
    defaults: &Defaults,
) -> Result<Option<LinuxSeccomp>, ResolveError> {
    let (profile, name) = match choice {
        Choice::Unconfined => return Ok(None),
        Choice::RuntimeDefault => (seccomp::runtime_default(), RUNTIME_DEFAULT.to_owned()),
        Choice::Localhost(path) => {
            let name = path.display().to_string();
            let read = kernel::file::read_bounded(&path, PROFILE_MAX);
            let json = read.map_err(|source| ResolveError::ReadProfile { path, source })?;
            let profile = Profile::parse(&json);
            (profile.map_err(|source| ResolveError::Profile { profile: name.clone(), source })?, name)
        }
    };
    let native = defaults.arch.ok_or(ResolveError::Unsupported { field: "seccomp on this architecture" })?;
    let context = Context { capabilities, native, kernel: defaults.kernel };
    let policy = profile.resolve(&context);
    let policy = policy.map_err(|source| ResolveError::Profile { profile: name, source })?;
    Ok(Some(LinuxSeccomp::from(&policy)))
}

/// The program of a specification's profile, from memory where it was compiled before.
///
/// # Errors
/// A profile that cannot be compiled.
pub fn filter(filters: &Filters, seccomp: &LinuxSeccomp) -> Result<Filter, ResolveError> {
    let failed = |source| ResolveError::Profile { profile: "of the container".to_owned(), source };
    let policy = Policy::try_from(seccomp).map_err(failed)?;
    let native = Arch::native().ok_or(ResolveError::Unsupported { field: "seccomp on this architecture" })?;
    let program = filters.get(key(&policy), || policy.compile(native).map(|filter| filter.program));
    Ok(Filter { program: program.map_err(failed)?.to_vec(), flags: policy.flags })
}

/// The same for equal policies, and with a cryptographic hash for those only: the wrong filter must never be found.
fn key(policy: &Policy) -> String {
    hex::encode(Sha256::digest(format!("{policy:?}")))
}

#[cfg(test)]
mod tests;
