//! Profiles as they are written: the JSON of Docker and Podman, which Kubernetes' Localhost profiles use.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::policy::{Compare, Condition, Policy, Rule};
use super::{Action, Arch, Error, Result};

/// A profile whose conditions on capabilities, kernel and architecture are still open.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Profile {
    pub(super) default_action: String,
    #[serde(default)]
    pub(super) default_errno_ret: Option<u32>,
    /// Podman's name for the number beside it.
    #[serde(default)]
    pub(super) default_errno: Option<String>,
    #[serde(default)]
    pub(super) arch_map: Option<Vec<ArchEntry>>,
    #[serde(default)]
    pub(super) architectures: Option<Vec<String>>,
    #[serde(default)]
    pub(super) flags: Option<Vec<String>>,
    /// Both only matter to `SCMP_ACT_NOTIFY`, which is refused.
    #[serde(default)]
    pub(super) listener_path: Option<String>,
    #[serde(default)]
    pub(super) listener_metadata: Option<String>,
    #[serde(default)]
    pub(super) syscalls: Option<Vec<Syscalls>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ArchEntry {
    pub(super) architecture: String,
    #[serde(default)]
    pub(super) sub_architectures: Option<Vec<String>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Syscalls {
    #[serde(default)]
    pub(super) names: Vec<String>,
    /// The form of profiles before 2017.
    #[serde(default)]
    pub(super) name: Option<String>,
    pub(super) action: String,
    #[serde(default)]
    pub(super) errno_ret: Option<u32>,
    #[serde(default)]
    pub(super) errno: Option<String>,
    #[serde(default)]
    pub(super) args: Option<Vec<Argument>>,
    #[serde(default)]
    pub(super) comment: Option<String>,
    #[serde(default)]
    pub(super) includes: Option<Conditions>,
    #[serde(default)]
    pub(super) excludes: Option<Conditions>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Argument {
    pub(super) index: u32,
    pub(super) value: u64,
    #[serde(default)]
    pub(super) value_two: u64,
    pub(super) op: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Conditions {
    #[serde(default)]
    pub(super) caps: Option<Vec<String>>,
    #[serde(default)]
    pub(super) arches: Option<Vec<String>>,
    #[serde(default)]
    pub(super) min_kernel: Option<String>,
}

/// The first two numbers of a kernel release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelVersion {
    /// First.
    pub major: u32,
    /// Second.
    pub minor: u32,
}

impl KernelVersion {
    /// Reads the start of a release such as `6.1.0-18-amd64`.
    ///
    /// # Errors
    /// [`Error::KernelVersion`] if it does not start with two numbers.
    pub fn parse(release: &str) -> Result<Self> {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit());
        let mut number = || numbers.next()?.parse::<u32>().ok();
        match (number(), number()) {
            (Some(major), Some(minor)) => Ok(Self { major, minor }),
            _ => Err(Error::KernelVersion(release.to_owned())),
        }
    }
}

/// What the conditions of a profile are decided by.
#[derive(Debug, Clone)]
pub struct Context {
    /// Bounding set of the container, as `CAP_SYS_ADMIN`.
    pub capabilities: BTreeSet<String>,
    /// The machine's architecture.
    pub native: Arch,
    /// The running kernel.
    pub kernel: KernelVersion,
}

impl Profile {
    /// Reads a profile.
    ///
    /// # Errors
    /// [`Error::Read`] for what is not JSON or has a field no profile has: a misspelt field silently dropped would
    /// leave a hole.
    pub fn parse(json: &[u8]) -> Result<Self> {
        serde_json::from_slice(json).map_err(Error::Read)
    }

    /// Decides the conditions for one container.
    ///
    /// # Errors
    /// Whatever the profile names that does not exist; see [`Error`].
    pub fn resolve(&self, context: &Context) -> Result<Policy> {
        numbered(self.default_errno.as_deref(), self.default_errno_ret)?;
        let default = Action::parse(&self.default_action, self.default_errno_ret)?;
        let mut rules = Vec::new();
        for (index, syscalls) in self.syscalls.iter().flatten().enumerate() {
            // Read before it is left out: a profile is right or wrong, whatever container it is for.
            let rule = syscalls.rule(index)?;
            if syscalls.applies(context)? {
                rules.push(rule);
            }
        }
        let flags = self.flags.iter().flatten().try_fold(0, |flags, name| Ok(flags | flag(name)?))?;
        Ok(Policy { default, architectures: self.resolve_architectures(context.native)?, rules, flags })
    }

    fn resolve_architectures(&self, native: Arch) -> Result<Vec<Arch>> {
        let mut names: Vec<&str> = Vec::new();
        match (&self.architectures, &self.arch_map) {
            (Some(architectures), Some(map)) if !architectures.is_empty() && !map.is_empty() => {
                return Err(Error::Architectures);
            }
            (architectures, map) => {
                names.extend(architectures.iter().flatten().map(String::as_str));
                for entry in map.iter().flatten() {
                    if Arch::parse(&entry.architecture)? == Some(native) {
                        names.extend(entry.sub_architectures.iter().flatten().map(String::as_str));
                    }
                }
            }
        }
        let mut found = vec![native];
        for name in names {
            found.extend(Arch::parse(name)?);
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }
}

impl Syscalls {
    fn rule(&self, index: usize) -> Result<Rule> {
        numbered(self.errno.as_deref(), self.errno_ret)?;
        let names: Vec<String> = self.name.iter().chain(&self.names).cloned().collect();
        let Some(first) = names.first() else { return Err(Error::NoNames(index)) };
        let conditions =
            self.args.iter().flatten().map(|argument| argument.condition(first)).collect::<Result<_>>()?;
        let action = Action::parse(&self.action, self.errno_ret)?;
        Ok(Rule { names, action, conditions })
    }

    fn applies(&self, context: &Context) -> Result<bool> {
        let native = context.native.condition_name();
        let older = |version: &Option<String>| match version {
            Some(version) => KernelVersion::parse(version).map(|least| context.kernel < least),
            None => Ok(false),
        };
        if let Some(includes) = &self.includes {
            let arches = includes.arches.as_deref().unwrap_or_default();
            let caps = includes.caps.as_deref().unwrap_or_default();
            let wrong_arch = !arches.is_empty() && !arches.iter().any(|arch| arch == native);
            let lacking = caps.iter().any(|cap| !context.capabilities.contains(cap));
            if older(&includes.min_kernel)? || wrong_arch || lacking {
                return Ok(false);
            }
        }
        if let Some(excludes) = &self.excludes {
            let arch = excludes.arches.iter().flatten().any(|arch| arch == native);
            let cap = excludes.caps.iter().flatten().any(|cap| context.capabilities.contains(cap));
            let new_enough = excludes.min_kernel.is_some() && !older(&excludes.min_kernel)?;
            if arch || cap || new_enough {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Argument {
    fn condition(&self, syscall: &str) -> Result<Condition> {
        let argument = u8::try_from(self.index)
            .ok()
            .filter(|index| *index < 6)
            .ok_or_else(|| Error::ArgumentIndex { syscall: syscall.to_owned(), index: self.index })?;
        Ok(Condition { argument, compare: compare(&self.op, self.value, self.value_two)? })
    }
}

/// Reads a comparison; for a masked one `value` is the mask and `second` what is expected under it.
pub(super) fn compare(name: &str, value: u64, second: u64) -> Result<Compare> {
    Ok(match name {
        "SCMP_CMP_NE" => Compare::NotEqual(value),
        "SCMP_CMP_LT" => Compare::Less(value),
        "SCMP_CMP_LE" => Compare::LessOrEqual(value),
        "SCMP_CMP_EQ" => Compare::Equal(value),
        "SCMP_CMP_GE" => Compare::GreaterOrEqual(value),
        "SCMP_CMP_GT" => Compare::Greater(value),
        "SCMP_CMP_MASKED_EQ" => Compare::Masked { mask: value, value: second },
        unknown => return Err(Error::UnknownComparison(unknown.to_owned())),
    })
}

/// `SECCOMP_FILTER_FLAG_*`. Thread synchronisation means nothing to a process with one thread.
pub(super) fn flag(name: &str) -> Result<u32> {
    Ok(match name {
        "SECCOMP_FILTER_FLAG_TSYNC" => 1,
        "SECCOMP_FILTER_FLAG_LOG" => 1 << 1,
        "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => 1 << 2,
        // Only with a listener, which is refused with its action; the kernel would refuse the flag alone.
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" => 0,
        unknown => return Err(Error::UnknownFlag(unknown.to_owned())),
    })
}

/// A name of an errno is taken only beside its number.
fn numbered(name: Option<&str>, number: Option<u32>) -> Result<()> {
    match (name, number) {
        (Some(name), None) if !name.is_empty() => Err(Error::ErrnoName(name.to_owned())),
        _ => Ok(()),
    }
}
