//! What this host and this daemon give to every container.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use kernel::cgroup::{Hierarchies, Version};
use launch::seccomp::{Arch, KernelVersion};
use oci_spec::runtime::Capability;

use super::security;

/// Open files of a process: what containers have come to expect, as far as the host allows.
const OPEN_FILES: u64 = 1_048_576;

/// A fact of the host that cannot be found out.
#[derive(Debug, thiserror::Error)]
#[error("read {path}")]
pub struct DefaultsError {
    path: &'static str,
    #[source]
    source: io::Error,
}

/// What this host and this daemon give to every container.
#[derive(Debug, Clone)]
pub struct Defaults {
    /// Capabilities of a container that asks for nothing.
    pub capabilities: Vec<Capability>,
    /// Capabilities this daemon can give at all: its own bounding set.
    pub available: Vec<Capability>,
    /// Whether added capabilities become inheritable, too (CVE-2022-27652: better not).
    pub inheritable: bool,
    /// Set in every pod with a network namespace of its own, unless the pod says otherwise (F-08).
    pub network_sysctls: BTreeMap<String, String>,
    /// Largest number of open files, soft and hard.
    pub open_files: u64,
    /// Refuse every host path that does not exist, as CRI has it, instead of making a directory, as users expect
    /// (F-41).
    pub reject_missing_host_paths: bool,
    /// Refused even so: a directory in their place would break the host.
    pub never_made: Vec<PathBuf>,
    /// Whether limits go to cgroup v2.
    pub unified: bool,
    /// Whether the kernel enforces AppArmor profiles.
    pub apparmor: bool,
    /// AppArmor profile of `RuntimeDefault`, if one has been loaded.
    pub apparmor_profile: Option<String>,
    /// Whether the kernel enforces SELinux labels.
    pub selinux: bool,
    /// The machine, for filters; `None` where none can be made.
    pub arch: Option<Arch>,
    /// The running kernel.
    pub kernel: KernelVersion,
}

impl Defaults {
    /// Looks at the host.
    ///
    /// # Errors
    /// [`DefaultsError`], naming the file that could not be read.
    pub fn of_host() -> Result<Self, DefaultsError> {
        let read = |path: &'static str| {
            std::fs::read_to_string(path).map_err(|source| DefaultsError { path, source })
        };
        let release = "/proc/sys/kernel/osrelease";
        let kernel = KernelVersion::parse(&read(release)?)
            .map_err(|error| DefaultsError { path: release, source: io::Error::other(error) })?;
        let version = Hierarchies::of_host(Path::new("/sys/fs/cgroup")).map(|found| found.version());
        // A kernel without the module has no such file.
        let apparmor = std::fs::read_to_string("/sys/module/apparmor/parameters/enabled");
        Ok(Self {
            available: security::bounding_set(&read("/proc/self/status")?),
            open_files: open_files(&read("/proc/self/limits")?).min(OPEN_FILES),
            unified: version.is_ok_and(|version| version == Version::V2),
            apparmor: apparmor.is_ok_and(|text| text.starts_with('Y')),
            selinux: Path::new("/sys/fs/selinux/enforce").exists(),
            arch: Arch::native(),
            ..Self::without_host(kernel)
        })
    }

    /// What does not depend on the host.
    pub(super) fn without_host(kernel: KernelVersion) -> Self {
        let sysctl = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Self {
            capabilities: security::DEFAULT.to_vec(),
            available: security::ALL.to_vec(),
            inheritable: false,
            network_sysctls: [
                sysctl("net.ipv4.ip_unprivileged_port_start", "0"),
                sysctl("net.ipv4.ping_group_range", "0 2147483647"),
            ]
            .into(),
            open_files: OPEN_FILES,
            reject_missing_host_paths: false,
            never_made: vec![PathBuf::from("/etc/hostname")],
            unified: false,
            apparmor: false,
            apparmor_profile: None,
            selinux: false,
            arch: Some(Arch::X86_64),
            kernel,
        }
    }
}

/// The hard limit of `Max open files` in the text of `/proc/PID/limits`.
fn open_files(limits: &str) -> u64 {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap_or_default();
    match line.split_whitespace().nth(1) {
        Some("unlimited") | None => OPEN_FILES,
        Some(number) => number.parse().unwrap_or(OPEN_FILES),
    }
}
