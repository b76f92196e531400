//! Which hierarchies the host mounts, and where.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Cgroup, Error, Result};

/// The controllers of cgroup v1; other words in the super options of such a mount are options.
const V1_CONTROLLERS: [&str; 15] = [
    "cpu",
    "cpuacct",
    "cpuset",
    "memory",
    "devices",
    "freezer",
    "pids",
    "hugetlb",
    "blkio",
    "net_cls",
    "net_prio",
    "perf_event",
    "rdma",
    "misc",
    "debug",
];

/// Which version carries the controllers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// One mount per controller; with a `cgroup2` mount beside them the layout is called hybrid.
    V1,
    /// One mount for everything.
    V2,
}

/// One mounted hierarchy in which every group has a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// Mount point.
    pub(super) path: PathBuf,
    /// v1 controllers attached to it; empty for `name=...` and for `cgroup2`.
    pub(super) controllers: Vec<String>,
    /// Whether it is a `cgroup2` mount.
    pub(super) unified: bool,
}

/// The mounted hierarchies of the host. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchies {
    pub(super) version: Version,
    pub(super) mounts: Arc<[Mount]>,
}

impl Hierarchies {
    /// Reads the hierarchies mounted at or directly below `root`, usually `/sys/fs/cgroup`, from this process' mount
    /// table.
    ///
    /// # Errors
    /// [`Error::Read`] if the mount table cannot be read, [`Error::NotMounted`] if there is no hierarchy.
    pub fn of_host(root: &Path) -> Result<Self> {
        let table = Path::new("/proc/self/mountinfo");
        let text = fs::read(table).map_err(|source| Error::Read { path: table.to_owned(), source })?;
        Self::detect(root, &text)
    }

    /// Finds the hierarchies at or directly below `root` in the text of a `mountinfo` file (proc_pid_mountinfo(5)).
    ///
    /// The layout is v1 as soon as one v1 controller is mounted: a controller lives in one version at a time, and a
    /// host with both is hybrid.
    ///
    /// # Errors
    /// [`Error::NotMounted`] if there is neither a v1 controller nor a `cgroup2` mount.
    pub fn detect(root: &Path, mountinfo: &[u8]) -> Result<Self> {
        // By mount point: a later mount on the same point hides the earlier one.
        let mut found: BTreeMap<PathBuf, Mount> = BTreeMap::new();
        for line in mountinfo.split(|&byte| byte == b'\n') {
            let Some(mount) = parse_line(line) else { continue };
            if mount.path == root || mount.path.parent() == Some(root) {
                found.insert(mount.path.clone(), mount);
            }
        }
        let v1 = found.values().any(|mount| !mount.controllers.is_empty());
        let mounts: Arc<[Mount]> = if v1 {
            found.into_values().collect()
        } else {
            found.into_values().filter(|mount| mount.unified).take(1).collect()
        };
        if mounts.is_empty() {
            return Err(Error::NotMounted { root: root.to_owned() });
        }
        Ok(Self { version: if v1 { Version::V1 } else { Version::V2 }, mounts })
    }

    /// Which version carries the controllers.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Mount point of a v1 controller, or of the one `cgroup2` mount whatever the controller. On v2 it says nothing
    /// about whether the controller is enabled.
    pub fn mount_of(&self, controller: &str) -> Option<&Path> {
        let index = self.index_of(controller)?;
        Some(&self.mounts[index].path)
    }

    /// Mount point of the `cgroup2` hierarchy, on v2 and on a hybrid host.
    pub fn unified(&self) -> Option<&Path> {
        self.mounts.iter().find(|mount| mount.unified).map(|mount| mount.path.as_path())
    }

    /// The group with this path, whether it exists or not. Use [`Cgroup::create`] to make it.
    ///
    /// # Errors
    /// [`Error::Path`] if the path is empty, the root, or has a `..`.
    pub fn group(&self, path: &Path) -> Result<Cgroup> {
        Cgroup::new(self.clone(), path)
    }

    pub(super) fn index_of(&self, controller: &str) -> Option<usize> {
        match self.version {
            Version::V2 => Some(0),
            Version::V1 => {
                self.mounts.iter().position(|mount| mount.controllers.iter().any(|name| name == controller))
            }
        }
    }

    /// The hierarchy by which the processes of a group are listed, and in which an exec gets a group of its own:
    /// the freezer, because there a group can be held still while it is killed.
    pub(super) fn primary(&self) -> usize {
        ["freezer", "pids"].iter().find_map(|name| self.index_of(name)).unwrap_or(0)
    }
}

/// Fields of a `mountinfo` line: id, parent, device, root, mount point, options, tags, `-`, type, source, super options.
fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&byte| byte == b' ');
    let path = unescape(fields.nth(4)?);
    let mut rest = fields.skip_while(|field| *field != b"-").skip(1);
    let kind = rest.next()?;
    let options = rest.nth(1)?;
    match kind {
        b"cgroup2" => Some(Mount { path, controllers: Vec::new(), unified: true }),
        b"cgroup" => {
            let controllers = String::from_utf8_lossy(options)
                .split(',')
                .filter(|option| V1_CONTROLLERS.contains(option))
                .map(str::to_owned)
                .collect();
            Some(Mount { path, controllers, unified: false })
        }
        _ => None,
    }
}

/// Undoes the octal escapes of space, tab, newline and backslash.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        if let (b'\\', Some(octal)) = (first, tail.get(..3)) {
            let value = std::str::from_utf8(octal).ok().and_then(|text| u8::from_str_radix(text, 8).ok());
            if let Some(value) = value {
                bytes.push(value);
                rest = &tail[3..];
                continue;
            }
        }
        bytes.push(*first);
        rest = tail;
    }
    PathBuf::from(OsString::from_vec(bytes))
}

/// The group path without its leading slash, or an error if it is not the name of a group.
pub(super) fn relative(path: &Path) -> Result<PathBuf> {
    use std::path::Component;
    let refused = || Error::Path { path: path.to_owned() };
    let mut relative = PathBuf::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) if is_name(name) => relative.push(name),
            _ => return Err(refused()),
        }
    }
    if relative.as_os_str().is_empty() { Err(refused()) } else { Ok(relative) }
}

/// Newlines are refused by the kernel, NUL by every system call; both here, before anything has been made.
fn is_name(name: &OsStr) -> bool {
    !name.as_bytes().iter().any(|byte| matches!(byte, 0 | b'\n'))
}

#[cfg(test)]
mod tests;
