//! `root`, `mounts`, `linux.rootfsPropagation`, `linux.maskedPaths`, `linux.readonlyPaths`.
//!
//! The order of the steps: the root, then what lies directly in it (`/dev` and its nodes), then ever deeper (F-40),
//! read-only and masked paths, and the root read-only at last.

use std::path::{Component, Path};

use kernel::mount::{attribute, propagation};
use oci_spec::runtime::{Mount, Process, Spec};

use super::mount_options::{self, MountOptions};
use super::need::{Bind, Needs};
use super::{CompileError, Need, Options, Rootfs, devices};
use crate::plan::{Fresh, Link, MountOption, Resolve, Root, Step};

use std::os::unix::ffi::OsStrExt;

/// What may be mounted below `/proc`: single files that show the container its own limits (lxcfs). Anything else
/// there could redirect what the runtime or a security module writes (CVE-2019-16884, CVE-2023-28642).
const ALLOWED_IN_PROC: [&str; 9] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/net/dev",
];

/// Trees of the kernel and the runtime, which an image must not move with a link.
const FIXED: [&str; 3] = ["/proc", "/sys", "/dev"];

pub(super) fn compile(
    spec: &Spec,
    process: &Process,
    options: &Options,
    needs: &mut Needs,
    steps: &mut Vec<Step>,
) -> Result<(), CompileError> {
    steps.push(Step::Root(root(options, needs)));
    let mut mounts: Vec<&Mount> = spec.mounts().iter().flatten().collect();
    mounts.sort_by_key(|mount| depth(mount.destination()));
    let dev = mounts.iter().position(|mount| mount.destination() == Path::new("/dev"));
    let dev_is_bound = dev.is_some_and(|position| mounts[position].typ().as_deref() != Some("tmpfs"));
    let mut devices = devices::Placement::new(spec, process, options, dev.is_some(), dev_is_bound)?;
    if dev.is_none() {
        devices.place(needs, steps);
    }
    for (position, mount) in mounts.iter().enumerate() {
        compile_mount(mount, options, needs, steps)?;
        if dev == Some(position) {
            devices.place(needs, steps);
        }
    }
    let Some(linux) = spec.linux() else { return Ok(()) };
    let paths = |list: &Option<Vec<String>>, field| {
        list.iter().flatten().map(|path| target(Path::new(path), field)).collect::<Result<Vec<_>, _>>()
    };
    let read_only = paths(linux.readonly_paths(), "linux.readonlyPaths")?;
    if !read_only.is_empty() {
        steps.push(Step::ReadOnlyPaths(read_only));
    }
    let masked = paths(linux.masked_paths(), "linux.maskedPaths")?;
    if !masked.is_empty() {
        steps.push(Step::MaskedPaths { paths: masked, null: needs.add(Need::NullDevice) });
    }
    if let Some(name) = linux.rootfs_propagation().as_deref().filter(|name| !name.is_empty()) {
        let parsed = mount_options::parse(&[name.to_owned()]).ok();
        let Some(kind) = parsed.and_then(|parsed| parsed.propagation) else {
            return Err(CompileError::invalid("linux.rootfsPropagation", name, "not a propagation"));
        };
        // A new root is private already.
        if kind != propagation::PRIVATE {
            steps.push(Step::Propagation(kind));
        }
    }
    if spec.root().as_ref().is_some_and(|root| root.readonly() == Some(true)) {
        steps.push(Step::Remount { target: b"/".to_vec(), attributes: attribute::RDONLY });
    }
    Ok(())
}

fn root(options: &Options, needs: &mut Needs) -> Root {
    match &options.rootfs {
        Rootfs::Overlay { lower, upper, work } => Root::Tree(needs.add(Need::Overlay {
            lower: lower.clone(),
            upper: upper.clone(),
            work: work.clone(),
        })),
        Rootfs::Given(fd) => Root::Tree(*fd),
        Rootfs::Empty => Root::Empty,
    }
}

fn depth(path: &Path) -> usize {
    path.components().filter(|component| matches!(component, Component::Normal(_))).count()
}

/// A path in the container: absolute and without `..`.
pub(super) fn target(path: &Path, field: &str) -> Result<Vec<u8>, CompileError> {
    let bytes = path.as_os_str().as_bytes();
    let plain = path.components().all(|component| component != Component::ParentDir);
    if !path.is_absolute() || !plain || bytes.contains(&0) {
        let value = path.to_string_lossy();
        return Err(CompileError::invalid(field, value, "not an absolute path without `..` and NUL"));
    }
    // Components drop what is said twice: `//` and `/./`.
    Ok(path.components().collect::<std::path::PathBuf>().into_os_string().into_encoded_bytes())
}

fn resolve(target: &[u8]) -> Resolve {
    let path = Path::new(std::ffi::OsStr::from_bytes(target));
    if FIXED.iter().any(|fixed| path.starts_with(fixed)) { Resolve::NoLinks } else { Resolve::InRoot }
}

fn compile_mount(
    mount: &Mount,
    options: &Options,
    needs: &mut Needs,
    steps: &mut Vec<Step>,
) -> Result<(), CompileError> {
    let field = format!("mounts {}", mount.destination().display());
    let target = target(mount.destination(), "mounts.destination")?;
    if target == b"/" {
        return Err(CompileError::invalid("mounts.destination", "/", "the root is not a mount of the list"));
    }
    let mapped = |mappings: &Option<Vec<_>>| mappings.as_ref().is_some_and(|mappings| !mappings.is_empty());
    if mapped(mount.uid_mappings()) || mapped(mount.gid_mappings()) {
        return Err(CompileError::unsupported(format!("{field} uidMappings, gidMappings")));
    }
    let parsed = mount_options::parse(mount.options().as_deref().unwrap_or_default())
        .map_err(|option| CompileError::unsupported(format!("{field} option {option}")))?;
    let typ = mount.typ().as_deref().unwrap_or_default();
    if parsed.bind.is_some() || typ == "bind" {
        check_proc(mount.destination())?;
        let bind = bind(mount, parsed, &field)?;
        let resolve = resolve(&target);
        steps.push(Step::Attach { target, tree: needs.add(Need::Bind(bind)), resolve });
        return Ok(());
    }
    match typ {
        "proc" if mount.destination() != Path::new("/proc") => {
            Err(CompileError::invalid(field, typ, "procfs belongs at /proc"))
        }
        "cgroup" | "cgroup2" => {
            check_proc(mount.destination())?;
            cgroup(target, &parsed, options, &field, needs, steps)
        }
        "proc" | "sysfs" | "mqueue" | "tmpfs" | "devpts" => {
            if typ != "proc" {
                check_proc(mount.destination())?;
            }
            if !parsed.recursive_attributes.is_empty()
                || parsed.propagation.is_some_and(|kind| kind != propagation::PRIVATE)
            {
                return Err(CompileError::unsupported(format!(
                    "{field} recursive option or propagation of {typ}"
                )));
            }
            steps.push(Step::Mount(fresh(target, typ, mount, parsed)));
            Ok(())
        }
        _ => Err(CompileError::unsupported(format!("{field} type {typ:?}"))),
    }
}

/// Refuses what could hide procfs from the runtime.
fn check_proc(destination: &Path) -> Result<(), CompileError> {
    if destination.starts_with("/proc") && !ALLOWED_IN_PROC.iter().any(|path| destination == Path::new(path))
    {
        let value = destination.to_string_lossy();
        return Err(CompileError::invalid("mounts.destination", value, "nothing may be mounted over /proc"));
    }
    Ok(())
}

fn bind(mount: &Mount, parsed: MountOptions, field: &str) -> Result<Bind, CompileError> {
    let source = mount.source().clone().ok_or_else(|| CompileError::missing(format!("{field} source")))?;
    if !source.is_absolute() {
        let value = source.to_string_lossy();
        return Err(CompileError::invalid(format!("{field} source"), value, "not an absolute path"));
    }
    if let Some(option) = parsed.data.first() {
        return Err(CompileError::unsupported(format!("{field} option {option} of a bind mount")));
    }
    Ok(Bind {
        source,
        recursive: parsed.bind.unwrap_or(false),
        attributes: parsed.attributes,
        recursive_attributes: parsed.recursive_attributes,
        propagation: parsed.propagation.unwrap_or(propagation::PRIVATE),
    })
}

fn fresh(target: Vec<u8>, typ: &str, mount: &Mount, parsed: MountOptions) -> Fresh {
    let resolve = resolve(&target);
    let source =
        mount.source().as_ref().map_or(typ.to_owned(), |source| source.to_string_lossy().into_owned());
    let options = parsed
        .data
        .iter()
        .map(|option| match option.split_once('=') {
            Some((key, value)) => MountOption { key: key.to_owned(), value: Some(value.to_owned()) },
            None => MountOption { key: option.clone(), value: None },
        })
        .collect();
    Fresh { target, filesystem: typ.to_owned(), source, options, attributes: parsed.attributes.set, resolve }
}

/// The container's cgroups are bound from the host, not mounted: that shows the same in either kind of cgroup
/// namespace and on either version, and only what the daemon chose to show.
fn cgroup(
    target: Vec<u8>,
    parsed: &MountOptions,
    options: &Options,
    field: &str,
    needs: &mut Needs,
    steps: &mut Vec<Step>,
) -> Result<(), CompileError> {
    // `nsdelegate` and `memory_recursiveprot` belong to the host's one cgroup2 instance; a bind mount keeps them.
    if options.cgroups.visible.is_empty() {
        return Err(CompileError::missing(format!("{field}: cgroups to show")));
    }
    let resolve = resolve(&target);
    let mut show = |target: Vec<u8>, source: &Path, steps: &mut Vec<Step>| {
        let bind = Bind {
            source: source.to_owned(),
            attributes: parsed.attributes,
            propagation: propagation::PRIVATE,
            ..Bind::default()
        };
        steps.push(Step::Attach { target, tree: needs.add(Need::Bind(bind)), resolve });
    };
    if let [only] = options.cgroups.visible.as_slice()
        && only.name.is_empty()
    {
        show(target, &only.source, steps);
        return Ok(());
    }
    let attributes = parsed.attributes.set;
    steps.push(Step::Mount(Fresh {
        target: target.clone(),
        filesystem: "tmpfs".to_owned(),
        source: "cgroup".to_owned(),
        options: vec![MountOption { key: "mode".to_owned(), value: Some("755".to_owned()) }],
        attributes: attributes & !attribute::RDONLY,
        resolve,
    }));
    let below = |name: &str| [&target, b"/".as_slice(), name.as_bytes()].concat();
    let mut links = Vec::new();
    for visible in &options.cgroups.visible {
        show(below(&visible.name), &visible.source, steps);
        if visible.name.contains(',') {
            // Two controllers in one hierarchy: each is found by its own name too.
            let names = visible.name.split(',').filter(|name| !name.is_empty());
            links.extend(
                names.map(|name| Link { path: below(name), target: visible.name.clone().into_bytes() }),
            );
        }
    }
    if !links.is_empty() {
        steps.push(Step::Links(links));
    }
    if attributes & attribute::RDONLY != 0 {
        steps.push(Step::Remount { target, attributes: attribute::RDONLY });
    }
    Ok(())
}
