//! `mounts`: the defaults of every container, the pod's files, and what the container asks for (F-40 to F-52).

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use cri_api::v1::{Mount as Asked, MountPropagation, NamespaceMode};
use oci_spec::runtime::{Mount, MountBuilder};

use super::namespaces::Modes;
use super::process::absolute;
use super::{ContainerInput, ResolveError, is_privileged, security};

mod propagation;

use propagation::Table;

/// Mount options that a mount may add (F-51).
const OPTIONS: [&str; 12] = [
    "noexec",
    "exec",
    "nodev",
    "dev",
    "nosuid",
    "suid",
    "noatime",
    "relatime",
    "strictatime",
    "nodiratime",
    "nosymfollow",
    "ro",
];

/// The mounts and the propagation that the root needs for them.
pub(super) struct Mounts {
    pub(super) mounts: Vec<Mount>,
    pub(super) root_propagation: Option<&'static str>,
}

/// All mounts, parents first. Host paths that are missing are made.
///
/// # Errors
/// [`ResolveError`], naming the field or the path.
pub(super) fn mounts(input: &ContainerInput<'_>) -> Result<Mounts, ResolveError> {
    let modes = Modes::of(input.sandbox)?;
    let mut asked = Vec::with_capacity(input.config.mounts.len());
    let mut table = Table::default();
    for mount in &input.config.mounts {
        asked.push(of_request(mount, input, &mut table)?);
    }
    let mut mounts = defaults(input, &modes);
    mounts.retain(|default| !asked.iter().any(|mount| replaces(mount.destination(), default.destination())));
    mounts.extend(asked);
    // Stable: what lies deeper comes later, and of two on one path the later one is seen (F-40).
    mounts.sort_by_key(|mount| mount.destination().components().count());
    Ok(Mounts { mounts, root_propagation: root_propagation(&input.config.mounts) })
}

/// A mount over a default takes its place; over the parent of kernel filesystems also of what they hold: the defaults
/// below would cover what the mount was asked to show.
fn replaces(mount: &Path, default: &Path) -> bool {
    mount == default
        || ([Path::new("/dev"), Path::new("/sys")].contains(&mount) && default.starts_with(mount))
}

fn defaults(input: &ContainerInput<'_>, modes: &Modes) -> Vec<Mount> {
    let access = if is_privileged(input.config) { "rw" } else { "ro" };
    let mut list = vec![
        fresh("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        fresh("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        fresh(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        fresh("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        fresh("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", access]),
        fresh("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", access]),
    ];
    let shm = match (&input.shm, modes.ipc) {
        (Some(shm), _) => Some(shm.clone()),
        (None, NamespaceMode::Node) => Some(PathBuf::from("/dev/shm")),
        (None, _) => None,
    };
    match shm {
        Some(shm) => {
            list.push(bind("/dev/shm".into(), shm, &["rbind", "rprivate", "nosuid", "nodev", "noexec"]))
        }
        None => list.push(fresh(
            "/dev/shm",
            "tmpfs",
            "shm",
            &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
        )),
    }
    // A file of the pod is writable for the container unless its whole root is not.
    let read_only = security(input.config).is_some_and(|security| security.readonly_rootfs);
    let options = ["rbind", "rprivate", if read_only { "ro" } else { "rw" }];
    for (path, name) in
        [("/etc/hosts", "hosts"), ("/etc/hostname", "hostname"), ("/etc/resolv.conf", "resolv.conf")]
    {
        list.push(bind(path.into(), input.files.join(name), &options));
    }
    list
}

fn of_request(asked: &Asked, input: &ContainerInput<'_>, table: &mut Table) -> Result<Mount, ResolveError> {
    if asked.image.as_ref().is_some_and(|image| !image.image.is_empty()) {
        return Err(ResolveError::Unsupported { field: "mounts.image" });
    }
    if !asked.uid_mappings.is_empty() || !asked.gid_mappings.is_empty() {
        return Err(ResolveError::Unsupported { field: "mounts.uidMappings" });
    }
    if asked.container_path.is_empty() {
        return Err(ResolveError::Missing { field: "mounts.container_path" });
    }
    let inside = absolute("mounts.container_path", Path::new(&asked.container_path))?;
    let host = Path::new(&asked.host_path);
    if !host.is_absolute() || asked.host_path.contains('\0') {
        return Err(ResolveError::invalid(
            "mounts.host_path",
            &asked.host_path,
            "it is not an absolute path",
        ));
    }
    if asked.selinux_relabel && input.defaults.selinux {
        return Err(ResolveError::Unsupported { field: "mounts.selinux_relabel" });
    }
    let mut options = vec!["rbind"];
    options.push(propagation(asked)?.1);
    match (asked.readonly, asked.recursive_read_only) {
        (false, true) => {
            let reason = "it needs readonly";
            return Err(ResolveError::invalid("mounts.recursive_read_only", &asked.container_path, reason));
        }
        (true, true) if asked.propagation != i32::from(MountPropagation::PropagationPrivate) => {
            let reason = "it needs private propagation";
            return Err(ResolveError::invalid("mounts.recursive_read_only", &asked.container_path, reason));
        }
        (true, true) => options.push("rro"),
        (true, false) => options.push("ro"),
        (false, false) => options.push("rw"),
    }
    for option in &asked.mount_options {
        if !OPTIONS.contains(&option.as_str()) {
            return Err(ResolveError::invalid("mounts.mount_options", option, "not an option of a mount"));
        }
        options.push(option);
    }
    make_missing(host, input)?;
    check_propagation(asked, host, table)?;
    Ok(bind(inside, host.to_owned(), &options))
}

/// F-41: CRI says that a missing host path is an error, users of both peers rely on a directory being made.
fn make_missing(host: &Path, input: &ContainerInput<'_>) -> Result<(), ResolveError> {
    let failed = |operation, source| ResolveError::HostPath { operation, path: host.to_owned(), source };
    match fs::metadata(host) {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(failed("look at", source)),
    }
    let defaults = input.defaults;
    if defaults.reject_missing_host_paths || defaults.never_made.iter().any(|path| path == host) {
        return Err(ResolveError::AbsentHostPath { path: host.to_owned() });
    }
    fs::DirBuilder::new().recursive(true).mode(0o755).create(host).map_err(|source| failed("make", source))
}

/// The propagation asked for, and the option that says it.
fn propagation(asked: &Asked) -> Result<(MountPropagation, &'static str), ResolveError> {
    let unknown = |_| ResolveError::invalid("mounts.propagation", asked.propagation, "unknown propagation");
    let propagation = MountPropagation::try_from(asked.propagation).map_err(unknown)?;
    Ok((
        propagation,
        match propagation {
            MountPropagation::PropagationPrivate => "rprivate",
            MountPropagation::PropagationHostToContainer => "rslave",
            MountPropagation::PropagationBidirectional => "rshared",
        },
    ))
}

/// F-44: a mount cannot pass on what its own mount on the host does not.
fn check_propagation(asked: &Asked, host: &Path, table: &mut Table) -> Result<(), ResolveError> {
    let (propagation, _) = propagation(asked)?;
    let refused =
        |propagation, needed| ResolveError::Propagation { path: host.to_owned(), propagation, needed };
    if propagation == MountPropagation::PropagationPrivate {
        return Ok(());
    }
    let failed = |source| ResolveError::HostPath { operation: "look at", path: host.to_owned(), source };
    let source = table.of(&fs::canonicalize(host).map_err(failed)?)?;
    match propagation {
        MountPropagation::PropagationBidirectional if !source.shared => {
            Err(refused("BIDIRECTIONAL", "shared"))
        }
        MountPropagation::PropagationHostToContainer if !source.shared && !source.slave => {
            Err(refused("HOST_TO_CONTAINER", "shared or a slave"))
        }
        _ => Ok(()),
    }
}

/// The strongest propagation any mount needs the root to have.
fn root_propagation(asked: &[Asked]) -> Option<&'static str> {
    let has = |propagation| asked.iter().any(|mount| mount.propagation == i32::from(propagation));
    if has(MountPropagation::PropagationBidirectional) {
        Some("rshared")
    } else if has(MountPropagation::PropagationHostToContainer) {
        Some("rslave")
    } else {
        None
    }
}

fn fresh(destination: &str, typ: &str, source: &str, options: &[&str]) -> Mount {
    mount(destination.into(), typ, source.into(), options)
}

fn bind(destination: PathBuf, source: PathBuf, options: &[&str]) -> Mount {
    mount(destination, "bind", source, options)
}

fn mount(destination: PathBuf, typ: &str, source: PathBuf, options: &[&str]) -> Mount {
    let options: Vec<String> = options.iter().map(ToString::to_string).collect();
    MountBuilder::default()
        .destination(destination)
        .typ(typ)
        .source(source)
        .options(options)
        .build()
        .expect("every field of the builder has a default")
}

#[cfg(test)]
mod tests;
