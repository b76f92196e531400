//! One group across all hierarchies: making it, joining it, limiting it, listing it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::hierarchy::{Hierarchies, Version, relative};
use super::transaction::{self, Located, Write};
use super::{Error, Limits, Result};
use super::{control, v1, v2};

/// A group, named by one path below every hierarchy. The value is a name: dropping it changes nothing on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    pub(super) hierarchies: Hierarchies,
    /// Without a leading slash.
    pub(super) path: PathBuf,
    /// Set for the group of an exec: a child that exists in the primary hierarchy only.
    pub(super) exec: Option<PathBuf>,
}

/// How a process gets into a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// v1: the `tasks` file of each hierarchy. A single-threaded process that writes `0` into it moves itself.
    pub tasks: Vec<PathBuf>,
    /// The `cgroup2` directory, on v2 and on a hybrid host: for `CLONE_INTO_CGROUP`, or by writing `0` to its
    /// `cgroup.procs`, which is slower.
    pub unified: Option<PathBuf>,
}

impl Cgroup {
    pub(super) fn new(hierarchies: Hierarchies, path: &Path) -> Result<Self> {
        Ok(Self { path: relative(path)?, hierarchies, exec: None })
    }

    /// The path below each hierarchy, with a leading slash, as `/proc/PID/cgroup` prints it.
    pub fn path(&self) -> PathBuf {
        let own = Path::new("/").join(&self.path);
        self.exec.as_ref().map_or(own.clone(), |name| own.join(name))
    }

    /// The hierarchies in which the group lives.
    pub fn hierarchies(&self) -> &Hierarchies {
        &self.hierarchies
    }

    /// Directory of the group in one hierarchy; for the group of an exec elsewhere than in the primary hierarchy the
    /// container's.
    pub(super) fn directory(&self, index: usize) -> PathBuf {
        let directory = self.hierarchies.mounts[index].path.join(&self.path);
        match &self.exec {
            Some(name) if index == self.hierarchies.primary() => directory.join(name),
            _ => directory,
        }
    }

    /// The directories that belong to this group alone.
    pub(super) fn own_directories(&self) -> Vec<PathBuf> {
        match &self.exec {
            Some(_) => vec![self.directory(self.hierarchies.primary())],
            None => (0..self.hierarchies.mounts.len()).map(|index| self.directory(index)).collect(),
        }
    }

    /// Where the files of a controller are, if it is mounted.
    pub(super) fn controller(&self, controller: &str) -> Option<PathBuf> {
        self.hierarchies.index_of(controller).map(|index| self.directory(index))
    }

    /// Directory of the group in the `cgroup2` mount, on v2 and on a hybrid host.
    pub fn unified(&self) -> Option<PathBuf> {
        let index = self.hierarchies.mounts.iter().position(|mount| mount.unified)?;
        Some(self.directory(index))
    }

    /// Makes the group and its ancestors in every hierarchy. A group that exists is left as it is.
    ///
    /// On v2 every ancestor hands all controllers it has to its children; on v1 an empty `cpuset` (in which nothing
    /// may run) takes its parent's CPUs and memory nodes. Directories made here are removed again if a later step
    /// fails.
    ///
    /// # Errors
    /// [`Error::Create`]; [`Error::InternalProcesses`] if an ancestor on v2 holds processes itself; [`Error::Write`].
    pub fn create(&self) -> Result<()> {
        let mut made = Made(Vec::new());
        for mount in self.hierarchies.mounts.iter() {
            let cpuset = mount.controllers.iter().any(|name| name == "cpuset");
            let v2 = self.hierarchies.version() == Version::V2;
            if !v2 {
                self.create_v1(&mount.path, cpuset, &mut made)?;
                continue;
            }
            let mut directory = mount.path.clone();
            for component in &self.path {
                enable_controllers(&directory)?;
                directory.push(component);
                match fs::create_dir(&directory) {
                    Ok(()) => made.0.push(directory.clone()),
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    Err(source) => return Err(Error::Create { path: directory, source }),
                }
            }
        }
        made.0.clear();
        Ok(())
    }

    /// Makes the group in one v1 hierarchy, the leaf first: its parents are there for all groups of a pod but the first
    /// one, and a host has a dozen hierarchies.
    fn create_v1(&self, mount: &Path, cpuset: bool, made: &mut Made) -> Result<()> {
        let leaf = mount.join(&self.path);
        let mut missing = vec![leaf.as_path()];
        while let Some(&directory) = missing.last() {
            match fs::create_dir(directory) {
                Ok(()) => made.0.push(directory.to_owned()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound && directory != mount => {
                    missing.extend(directory.parent());
                    continue;
                }
                Err(source) => return Err(Error::Create { path: directory.to_owned(), source }),
            }
            if cpuset {
                inherit_cpuset(directory)?;
            }
            missing.pop();
        }
        Ok(())
    }

    /// Whether the group exists in any hierarchy.
    pub fn exists(&self) -> bool {
        self.own_directories().iter().any(|directory| directory.is_dir())
    }

    /// What a process must open to get into the group.
    pub fn join(&self) -> Join {
        let tasks = (0..self.hierarchies.mounts.len())
            .filter(|&index| !self.hierarchies.mounts[index].unified)
            .map(|index| self.directory(index).join("tasks"))
            .collect();
        Join { tasks, unified: self.unified() }
    }

    /// Sets the limits, all or none: if a value is refused, those already written are put back.
    ///
    /// # Errors
    /// [`Error::Limit`] and [`Error::MemoryInUse`] before anything is written, [`Error::Controller`] if the host does
    /// not offer what a limit needs, [`Error::Write`], [`Error::Restore`].
    pub fn apply(&self, limits: &Limits) -> Result<()> {
        limits.validate()?;
        let writes = match self.hierarchies.version() {
            Version::V1 => v1::writes(limits, self.current_v1()?)?,
            Version::V2 => {
                self.check_memory_in_use(limits)?;
                v2::writes(limits, &self.current_v2()?)?
            }
        };
        let mut located = Vec::with_capacity(writes.len());
        for write in writes {
            located.extend(self.locate(write)?);
        }
        transaction::run(&located)
    }

    /// Where a write goes; `None` for one that a host without the controller or file does without.
    fn locate(&self, write: Write) -> Result<Option<Located>> {
        let directory = self.controller(&write.controller);
        let path = directory.map(|directory| directory.join(&write.file));
        if let Some(path) = path.filter(|path| path.exists()) {
            return Ok(Some(Located { path, value: write.value }));
        }
        // The kubelet limits huge pages of every size to 0, also where there is no such controller (F-86).
        if write.optional || (write.controller == "hugetlb" && !self.has_hugetlb()) {
            return Ok(None);
        }
        Err(Error::Controller { path: self.path(), controller: write.controller, file: write.file })
    }

    fn has_hugetlb(&self) -> bool {
        let Some(directory) = self.controller("hugetlb") else { return false };
        match self.hierarchies.version() {
            Version::V1 => true,
            Version::V2 => control::read(&directory.join("cgroup.controllers"))
                .is_ok_and(|list| list.split(' ').any(|name| name == "hugetlb")),
        }
    }

    fn current_v1(&self) -> Result<v1::Current> {
        let number = |controller, file| match self.controller(controller) {
            Some(directory) => control::number(&directory.join(file)),
            None => Ok(None),
        };
        Ok(v1::Current {
            memory_and_swap: number("memory", "memory.memsw.limit_in_bytes")?,
            period_us: number("cpu", "cpu.cfs_period_us")?,
        })
    }

    fn current_v2(&self) -> Result<v2::Current> {
        let directory = self.directory(0);
        let bandwidth = control::read_if_present(&directory.join("cpu.max"))?;
        Ok(v2::Current {
            quota: bandwidth.and_then(|text| text.split(' ').next().map(str::to_owned)),
            memory: control::number(&directory.join("memory.max"))?,
        })
    }

    /// v1 refuses a limit below the present use; v2 takes it and kills. The same answer for both.
    fn check_memory_in_use(&self, limits: &Limits) -> Result<()> {
        let Some(limit) = limits.memory_limit.and_then(|limit| u64::try_from(limit).ok()) else {
            return Ok(());
        };
        let usage = control::number(&self.directory(0).join("memory.current"))?.unwrap_or(0);
        if usage > limit { Err(Error::MemoryInUse { path: self.path(), limit, usage }) } else { Ok(()) }
    }

    /// Process ids of the group and of all groups below it, in the caller's PID namespace, without duplicates.
    /// Empty if the group does not exist.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Content`].
    pub fn procs(&self) -> Result<Vec<i32>> {
        let mut found = Vec::new();
        let mut pending = vec![self.directory(self.hierarchies.primary())];
        while let Some(directory) = pending.pop() {
            let path = directory.join("cgroup.procs");
            match control::read(&path) {
                // 0 stands for a process outside of the caller's PID namespace.
                Ok(text) => {
                    for line in text.lines().filter(|line| *line != "0") {
                        found.push(line.parse().map_err(|_| control::unexpected(&path, line))?);
                    }
                }
                Err(error) if control::is_absent(&error) => {}
                // A threaded group lists its processes at the root of its threaded subtree only.
                Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {}
                Err(source) => return Err(Error::Read { path, source }),
            }
            pending.extend(control::children(&directory)?);
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }
}

/// Directories to remove again unless everything succeeded.
struct Made(Vec<PathBuf>);

impl Drop for Made {
    fn drop(&mut self) {
        for directory in self.0.drain(..).rev() {
            // Somebody else may use it by now; it is no more than an empty directory.
            drop(fs::remove_dir(directory));
        }
    }
}

/// Hands the controllers a v2 group has to its children, as far as it does not yet.
fn enable_controllers(directory: &Path) -> Result<()> {
    let Some(available) = control::read_if_present(&directory.join("cgroup.controllers"))? else {
        return Ok(());
    };
    let target = directory.join("cgroup.subtree_control");
    let enabled = control::read_named(&target)?;
    let missing: Vec<&str> = v2::CONTROLLERS
        .into_iter()
        .filter(|name| {
            available.split(' ').any(|has| has == *name) && !enabled.split(' ').any(|has| has == *name)
        })
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let value = missing.iter().map(|name| format!("+{name}")).collect::<Vec<_>>().join(" ");
    let Err(error) = control::write(&target, &value) else { return Ok(()) };
    // No internal processes (cgroups(7)): only the root of the hierarchy may have both members and controllers.
    if error.raw_os_error() == Some(libc::EBUSY) {
        return Err(Error::InternalProcesses { path: directory.to_owned(), controllers: missing.join(" ") });
    }
    // The kernel takes all or none. One that cannot be enabled (cpu beside realtime processes) does not keep the
    // others off; a limit that needs it says so later.
    let refused = missing.iter().filter(|name| control::write(&target, &format!("+{name}")).is_err()).count();
    if refused == missing.len() { Err(Error::Write { path: target, value, source: error }) } else { Ok(()) }
}

/// A new `cpuset` of v1 is empty, and a process cannot join an empty one.
fn inherit_cpuset(directory: &Path) -> Result<()> {
    let Some(parent) = directory.parent() else { return Ok(()) };
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let path = directory.join(file);
        if control::read_named(&path)?.is_empty() {
            let mut value = control::read_named(&parent.join(file))?;
            if value.is_empty() {
                // Somebody makes the parent at this moment. The root of the hierarchy is never empty.
                inherit_cpuset(parent)?;
                value = control::read_named(&parent.join(file))?;
            }
            control::write(&path, &value).map_err(|source| Error::Write { path, value, source })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
