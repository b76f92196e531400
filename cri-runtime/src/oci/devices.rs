//! `linux.devices` and the rules of the device cgroup (F-28, F-63).

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use cri_api::v1::{ContainerConfig, Device};
use kernel::cgroup::{Access, DeviceKind, DeviceRule};
use oci_spec::runtime::{
    LinuxDevice, LinuxDeviceBuilder, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType, Spec,
};

use super::process::absolute;
use super::{ResolveError, is_privileged};

/// Most devices one container is given; a directory of the host may be walked.
const DEVICES_MAX: usize = 4096;

/// Below `/dev` of the host and no devices of a container: file systems of their own, links, the console.
const NOT_GIVEN: [&str; 8] = ["pts", "shm", "fd", "mqueue", "hugepages", ".udev", ".lxc", "console"];

/// What every container may use: major, minor, as runc and crun allow. Making any node is harmless: opening it is not
/// allowed by that.
const ALWAYS: [(LinuxDeviceType, Option<i64>, Option<i64>, &str); 11] = [
    (LinuxDeviceType::C, None, None, "m"),
    (LinuxDeviceType::B, None, None, "m"),
    (LinuxDeviceType::C, Some(1), Some(3), "rwm"),
    (LinuxDeviceType::C, Some(1), Some(5), "rwm"),
    (LinuxDeviceType::C, Some(1), Some(7), "rwm"),
    (LinuxDeviceType::C, Some(1), Some(8), "rwm"),
    (LinuxDeviceType::C, Some(1), Some(9), "rwm"),
    (LinuxDeviceType::C, Some(5), Some(0), "rwm"),
    (LinuxDeviceType::C, Some(5), Some(1), "rwm"),
    (LinuxDeviceType::C, Some(5), Some(2), "rwm"),
    (LinuxDeviceType::C, Some(136), None, "rwm"),
];

/// Nodes beside the default ones, and the rules for all of them.
pub(super) struct Devices {
    pub(super) nodes: Vec<LinuxDevice>,
    pub(super) rules: Vec<LinuxDeviceCgroup>,
}

/// The devices of a container: those it asks for, or all of the host for a privileged one.
///
/// # Errors
/// One that does not exist, is no device, or has permissions other than of `r`, `w` and `m`.
pub(super) fn devices(config: &ContainerConfig) -> Result<Devices, ResolveError> {
    let mut found = Devices { nodes: Vec::new(), rules: Vec::new() };
    if is_privileged(config) {
        found.rules.push(rule(true, LinuxDeviceType::A, None, None, "rwm"));
        let mut nodes = Vec::new();
        walk(Path::new("/dev"), Path::new("/dev"), &NOT_GIVEN, &mut nodes)?;
        found.nodes = nodes;
    } else {
        found.rules.push(rule(false, LinuxDeviceType::A, None, None, "rwm"));
        found.rules.extend(ALWAYS.map(|(typ, major, minor, access)| rule(true, typ, major, minor, access)));
    }
    for device in &config.devices {
        let permissions = if device.permissions.is_empty() { "rwm" } else { &device.permissions };
        if Access::parse(permissions).is_none() {
            let reason = "permissions are r, w and m";
            return Err(ResolveError::invalid("devices.permissions", permissions, reason));
        }
        for node in asked_for(device)? {
            found.rules.push(rule(true, node.typ(), Some(node.major()), Some(node.minor()), permissions));
            // What is named explicitly takes the place of what came with privilege.
            found.nodes.retain(|known| known.path() != node.path());
            found.nodes.push(node);
        }
    }
    Ok(found)
}

/// The nodes one entry stands for: a device, a link to one, or a directory of them.
fn asked_for(device: &Device) -> Result<Vec<LinuxDevice>, ResolveError> {
    let host = Path::new(&device.host_path);
    if !host.is_absolute() {
        return Err(ResolveError::invalid(
            "devices.host_path",
            &device.host_path,
            "it is not an absolute path",
        ));
    }
    let inside = if device.container_path.is_empty() { &device.host_path } else { &device.container_path };
    let inside = absolute("devices.container_path", Path::new(inside))?;
    let failed = |source| ResolveError::Device { path: host.to_owned(), source };
    let metadata = fs::metadata(host).map_err(failed)?;
    let mut nodes = Vec::new();
    if metadata.is_dir() {
        walk(host, &inside, &[], &mut nodes)?;
    } else {
        nodes.push(node(&metadata, inside).ok_or_else(|| failed(io::Error::other("not a device")))?);
    }
    Ok(nodes)
}

/// All devices below a directory of the host. What disappears meanwhile was not there.
fn walk(
    directory: &Path,
    inside: &Path,
    skipped: &[&str],
    nodes: &mut Vec<LinuxDevice>,
) -> Result<(), ResolveError> {
    let failed = |source| ResolveError::Device { path: directory.to_owned(), source };
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        if skipped.iter().any(|skipped| name == **skipped) {
            continue;
        }
        // Links are not followed: what they point to is found where it is, or is not below here.
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(failed(source)),
        };
        let inside = inside.join(&name);
        if metadata.is_dir() {
            walk(&entry.path(), &inside, skipped, nodes)?;
        } else {
            nodes.extend(node(&metadata, inside));
        }
        if nodes.len() > DEVICES_MAX {
            return Err(failed(io::Error::other(format!("more than {DEVICES_MAX} devices"))));
        }
    }
    Ok(())
}

fn node(metadata: &fs::Metadata, inside: PathBuf) -> Option<LinuxDevice> {
    let typ = match metadata.file_type() {
        typ if typ.is_block_device() => LinuxDeviceType::B,
        typ if typ.is_char_device() => LinuxDeviceType::C,
        _ => return None,
    };
    let number = metadata.rdev();
    LinuxDeviceBuilder::default()
        .path(inside)
        .typ(typ)
        .major(i64::from(libc::major(number)))
        .minor(i64::from(libc::minor(number)))
        .file_mode(metadata.mode() & 0o7777)
        .uid(metadata.uid())
        .gid(metadata.gid())
        .build()
        .ok()
}

fn rule(
    allow: bool,
    typ: LinuxDeviceType,
    major: Option<i64>,
    minor: Option<i64>,
    access: &str,
) -> LinuxDeviceCgroup {
    let mut builder = LinuxDeviceCgroupBuilder::default().allow(allow).typ(typ).access(access);
    if let Some(major) = major {
        builder = builder.major(major);
    }
    if let Some(minor) = minor {
        builder = builder.minor(minor);
    }
    builder.build().expect("every field of the builder has a default")
}

/// The specification's device rules, for the cgroup. A rule that cannot be read denies everything: what is not
/// understood must not open a disk.
pub fn device_rules(config: &ContainerConfig, spec: &Spec) -> Vec<DeviceRule> {
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    let listed = resources.and_then(|resources| resources.devices().as_ref());
    match listed {
        Some(rules) => rules.iter().map(|rule| of_spec(rule).unwrap_or(DeviceRule::DENY_ALL)).collect(),
        None if is_privileged(config) => vec![DeviceRule::ALLOW_ALL],
        None => vec![DeviceRule::DENY_ALL],
    }
}

fn of_spec(rule: &LinuxDeviceCgroup) -> Option<DeviceRule> {
    let number = |number: Option<i64>| match number {
        None | Some(-1) => Some(None),
        Some(number) => u32::try_from(number).ok().map(Some),
    };
    Some(DeviceRule {
        allow: rule.allow(),
        kind: match rule.typ() {
            None | Some(LinuxDeviceType::A) => DeviceKind::All,
            Some(LinuxDeviceType::B) => DeviceKind::Block,
            Some(LinuxDeviceType::C | LinuxDeviceType::U) => DeviceKind::Char,
            Some(LinuxDeviceType::P) => return None,
        },
        major: number(rule.major())?,
        minor: number(rule.minor())?,
        access: Access::parse(rule.access().as_deref().unwrap_or("rwm"))?,
    })
}

#[cfg(test)]
mod tests;
