//! From an OCI runtime spec to a plan.
//!
//! Pure: a function of the spec and the [`Options`], without a look at the host. What the host has to give is listed
//! as [`Need`]s, which [`crate::gather()`] opens. Does not own: defaults (the spec is complete when it gets here), cgroup
//! limits (`linux.resources` and `linux.cgroupsPath` are the daemon's work before the start), annotations.
//!
//! One file per section of the spec. What cannot be carried out is refused by name ([`CompileError::Unsupported`]),
//! never ignored.

use std::path::PathBuf;

use oci_spec::runtime::{LinuxNamespaceType, Process, Spec};
use thiserror::Error;

use crate::plan::{CgroupJoin, FdIndex, Filter, Plan, Signals, Step};

mod capabilities;
mod devices;
mod mount_options;
mod mounts;
mod namespaces;
mod need;
mod process;
mod sysctl;
mod unsupported;

#[cfg(test)]
mod tests;

use need::Needs;
pub use need::{Bind, Change, Need};

/// What a start needs besides the spec.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The root filesystem; takes the place of the spec's `root.path`.
    pub rootfs: Rootfs,
    /// Cgroups to join.
    pub cgroups: Cgroups,
    /// The spec's `linux.seccomp`, compiled. A spec with a profile and no program here is refused.
    pub seccomp: Option<Filter>,
    /// How many descriptors of the caller's own go with the plan. They come first: [`FdIndex`] 0 to `given - 1` are
    /// theirs in the caller's order, those of the [`Need`]s follow.
    pub given: u16,
    /// Namespaces for which the caller gives a descriptor; the spec must list their kind.
    pub namespaces: Vec<GivenNamespace>,
    /// A descriptor to execute in place of looking the first argument up.
    pub executable: Option<FdIndex>,
    /// Environment in place of the spec's, which cannot hold what is not UTF-8.
    pub environment: Option<Vec<Vec<u8>>>,
    /// Signals the program starts with.
    pub signals: Signals,
    /// Path of the terminal's replica side, for a process with `terminal`; it appears as `/dev/console`. The caller
    /// gives the terminal as the standard streams too.
    pub terminal: Option<PathBuf>,
    /// How device nodes come about.
    pub devices: DeviceNodes,
}

/// The root filesystem.
#[derive(Debug, Clone, Default)]
pub enum Rootfs {
    /// Overlay of layers.
    Overlay {
        /// Layers, top first.
        lower: Vec<PathBuf>,
        /// Directory for changes.
        upper: PathBuf,
        /// Empty directory on the filesystem of `upper`.
        work: PathBuf,
    },
    /// A detached mount among the caller's descriptors.
    Given(FdIndex),
    /// A new, empty tmpfs.
    #[default]
    Empty,
}

/// Cgroups to join, and what of them the container sees.
#[derive(Debug, Clone, Default)]
pub struct Cgroups {
    /// The `tasks` file of the cgroup in each v1 hierarchy.
    pub tasks: Vec<PathBuf>,
    /// Directory of the cgroup in the v2 hierarchy.
    pub unified: Option<PathBuf>,
    /// What a mount of type `cgroup` shows.
    pub visible: Vec<VisibleCgroup>,
}

/// A directory that a mount of type `cgroup` shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VisibleCgroup {
    /// Name below the mount's target (`memory`, `cpu,cpuacct`); empty for the one v2 hierarchy at the target itself.
    pub name: String,
    /// Directory on the host: the container's own cgroup, or the whole hierarchy for a container that may see it.
    pub source: PathBuf,
}

impl Cgroups {
    /// Joins `cgroup`; the container sees its own cgroups, or with `host_view` the whole hierarchies.
    pub fn of(cgroup: &kernel::cgroup::Cgroup, host_view: bool) -> Self {
        let join = cgroup.join();
        let depth = cgroup.path().components().count().saturating_sub(1);
        let mut visible = Vec::new();
        let mut show = |directory: &std::path::Path| {
            if let Some(mount) = directory.ancestors().nth(depth) {
                let name = match cgroup.hierarchies().version() {
                    kernel::cgroup::Version::V2 => String::new(),
                    kernel::cgroup::Version::V1 => {
                        mount.file_name().unwrap_or_default().to_string_lossy().into_owned()
                    }
                };
                let source = if host_view { mount } else { directory };
                visible.push(VisibleCgroup { name, source: source.to_owned() });
            }
        };
        join.tasks.iter().filter_map(|tasks| tasks.parent()).for_each(&mut show);
        join.unified.as_deref().into_iter().for_each(&mut show);
        Self { tasks: join.tasks, unified: join.unified, visible }
    }
}

/// A namespace given as a descriptor.
#[derive(Debug, Clone, Copy)]
pub struct GivenNamespace {
    /// Its kind.
    pub kind: LinuxNamespaceType,
    /// A namespace, or the pidfd of a process in it.
    pub fd: FdIndex,
}

/// How device nodes come about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DeviceNodes {
    /// The child makes them.
    #[default]
    Made,
    /// They are bind mounted from the host: without `CAP_MKNOD` in the initial user namespace they cannot be made.
    Bound,
}

/// A plan, and what must be opened for it.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// The plan.
    pub plan: Plan,
    /// One descriptor each, in this order, after those the caller gives ([`Options::given`]).
    pub needs: Vec<Need>,
}

/// A spec that cannot become a plan. The message names the field; the caller knows whose spec it is.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum CompileError {
    /// The field asks for what this runtime does not do.
    #[error("carry out {field}: not supported")]
    Unsupported {
        /// Field of the spec, as its JSON spells it.
        field: String,
    },
    /// The field is needed.
    #[error("find {field}: missing")]
    Missing {
        /// Field of the spec, as its JSON spells it.
        field: String,
    },
    /// The start needs more descriptors than one packet carries.
    #[error("pass {wanted} descriptors: the kernel takes {most} at once; use fewer mounts")]
    TooManyDescriptors {
        /// How many.
        wanted: usize,
        /// How many there may be.
        most: usize,
    },
    /// The field has a value that makes no sense.
    #[error("use {field} {value:?}: {reason}")]
    Invalid {
        /// Field of the spec, as its JSON spells it.
        field: String,
        /// The value.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl CompileError {
    fn unsupported(field: impl Into<String>) -> Self {
        Self::Unsupported { field: field.into() }
    }

    fn missing(field: impl Into<String>) -> Self {
        Self::Missing { field: field.into() }
    }

    fn invalid(field: impl Into<String>, value: impl Into<String>, reason: &'static str) -> Self {
        Self::Invalid { field: field.into(), value: value.into(), reason }
    }
}

/// Compiles the start of a container's first process.
pub fn compile(spec: &Spec, options: &Options) -> Result<Compiled, CompileError> {
    let process = spec.process().as_ref().ok_or_else(|| CompileError::missing("process"))?;
    unsupported::check(spec, process, options)?;
    let mut needs = Needs::after(options.given);
    let namespaces = namespaces::compile(spec, options, &mut needs)?;
    let cgroup = cgroups(options, &mut needs);

    let mut steps = Vec::new();
    if namespaces.cgroup {
        steps.push(Step::CgroupNamespace);
    }
    steps.extend([Step::Keyring, Step::Session]);
    if let Some(name) = spec.hostname() {
        steps.push(Step::Hostname(namespaces.uts_name(name, "hostname")?));
    }
    if let Some(name) = spec.domainname() {
        steps.push(Step::Domainname(namespaces.uts_name(name, "domainname")?));
    }
    sysctl::compile(spec, &namespaces, &mut steps)?;
    mounts::compile(spec, process, options, &mut needs, &mut steps)?;
    process::compile(process, options, &mut steps)?;
    let plan = Plan {
        clone_flags: namespaces.created,
        join: namespaces.join,
        pid_namespace: namespaces.pid,
        cgroup,
        steps,
        program: process::program(process, options)?,
    };
    Ok(Compiled { plan, needs: needs.into_vec()? })
}

/// Compiles an additional process of a running container. `target` is the pidfd of the container's process: its
/// namespaces are joined through it, all at once, as far as the spec lists them.
///
/// `process` is complete: user, capabilities, limits and labels of the container, its own arguments.
pub fn compile_exec(
    spec: &Spec,
    process: &Process,
    target: FdIndex,
    options: &Options,
) -> Result<Compiled, CompileError> {
    unsupported::check(spec, process, options)?;
    let mut needs = Needs::after(options.given);
    let (join, pid_namespace) = namespaces::compile_exec(spec, target)?;
    let cgroup = cgroups(options, &mut needs);
    let mut steps = vec![Step::Keyring, Step::Session];
    process::compile(process, options, &mut steps)?;
    let plan = Plan {
        clone_flags: 0,
        join: vec![join],
        pid_namespace,
        cgroup,
        steps,
        program: process::program(process, options)?,
    };
    Ok(Compiled { plan, needs: needs.into_vec()? })
}

fn cgroups(options: &Options, needs: &mut Needs) -> CgroupJoin {
    CgroupJoin {
        unified: options.cgroups.unified.clone().map(|path| needs.add(Need::CgroupDirectory(path))),
        tasks: options.cgroups.tasks.iter().cloned().map(|path| needs.add(Need::CgroupTasks(path))).collect(),
    }
}
