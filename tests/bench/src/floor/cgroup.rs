//! A group per process, in every v1 hierarchy and the v2 one, with the limits a container gets.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};

/// What is written into a new group, if the hierarchy has the file. Fifteen writes on v1, as an OCI runtime makes for a
/// container with limits.
const LIMITS: [(&str, &str); 18] = [
    ("memory.limit_in_bytes", "134217728"),
    ("cpu.shares", "512"),
    ("cpu.cfs_period_us", "100000"),
    ("cpu.cfs_quota_us", "-1"),
    ("pids.max", "1024"),
    ("devices.deny", "a"),
    ("devices.allow", "c *:* m"),
    ("devices.allow", "b *:* m"),
    ("devices.allow", "c 1:3 rwm"),
    ("devices.allow", "c 1:5 rwm"),
    ("devices.allow", "c 1:7 rwm"),
    ("devices.allow", "c 1:8 rwm"),
    ("devices.allow", "c 1:9 rwm"),
    ("devices.allow", "c 5:0 rwm"),
    ("devices.allow", "c 136:* rwm"),
    // v2; its device filter, a BPF program, is not part of the floor
    ("memory.max", "134217728"),
    ("memory.oom.group", "0"),
    ("cpu.weight", "20"),
];

/// The hierarchies of the host and the group of this program in them.
pub struct Groups {
    /// Each with the limits that are written there.
    v1: Vec<(PathBuf, Vec<(&'static str, &'static str)>)>,
    unified: Option<(PathBuf, Vec<(&'static str, &'static str)>)>,
}

/// The groups of one process.
pub struct Group {
    /// One folder a v1 hierarchy.
    v1: Vec<PathBuf>,
    /// The v2 folder.
    pub unified: Option<PathBuf>,
}

impl Groups {
    /// Makes the parent group `name` in every hierarchy.
    pub fn open(name: &str) -> Result<Self> {
        let table = fs::read_to_string("/proc/self/mountinfo").context("read /proc/self/mountinfo")?;
        let mut groups = Self { v1: Vec::new(), unified: None };
        for line in table.lines() {
            let Some((before, after)) = line.split_once(" - ") else { continue };
            let root = Path::new(before.split(' ').nth(4).unwrap_or_default());
            match after.split(' ').next() {
                Some("cgroup") => {
                    let folder = make(root, name)?;
                    let limits = limits(&folder);
                    groups.v1.push((folder, limits));
                }
                Some("cgroup2") => {
                    let folder = make(root, name)?;
                    // Only what the parent hands down can be limited.
                    let controllers =
                        fs::read_to_string(folder.join("cgroup.controllers")).unwrap_or_default();
                    for controller in controllers.split_whitespace() {
                        fs::write(folder.join("cgroup.subtree_control"), format!("+{controller}"))
                            .with_context(|| format!("enable {controller} in {}", folder.display()))?;
                    }
                    let limits = limits(&folder);
                    groups.unified = Some((folder, limits));
                }
                _ => {}
            }
        }
        Ok(groups)
    }

    /// Makes the group of one process, with limits.
    pub fn create(&self, name: &str) -> Result<Group> {
        let mut group = Group { v1: Vec::with_capacity(self.v1.len()), unified: None };
        for (parent, limits) in self.v1.iter().chain(&self.unified) {
            let folder = parent.join(name);
            fs::create_dir(&folder).with_context(|| format!("make {}", folder.display()))?;
            for (file, value) in limits {
                write(&folder.join(file), value)?;
            }
            group.v1.push(folder);
        }
        if self.unified.is_some() {
            group.unified = group.v1.pop();
        }
        Ok(group)
    }
}

impl Group {
    /// Puts the calling process, which has one thread, into the v1 groups. `tasks` does not wait for an RCU grace period,
    /// `cgroup.procs` does.
    pub fn join(&self) -> Result<()> {
        self.v1.iter().try_for_each(|folder| write(&folder.join("tasks"), "0"))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for folder in self.v1.iter().chain(&self.unified) {
            remove(folder);
        }
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for (folder, _) in self.v1.iter().chain(&self.unified) {
            remove(folder);
        }
    }
}

/// A group whose last process was reaped can be busy for a moment, while the kernel finishes its exit.
fn remove(folder: &Path) {
    for _ in 0..1000 {
        match fs::remove_dir(folder) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return eprintln!("floor: remove {}: {error}", folder.display());
            }
            _ => return,
        }
    }
    eprintln!("floor: remove {}: still busy", folder.display());
}

/// Makes a group and those above it; in v1, each with the CPUs and memory nodes of the one above: a new cpuset is empty,
/// and nothing can join it.
fn make(root: &Path, name: &str) -> Result<PathBuf> {
    let mut folder = root.to_owned();
    for part in Path::new(name).components().filter(|part| matches!(part, Component::Normal(_))) {
        let above = folder.clone();
        folder.push(part);
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let inherit = folder.join("cgroup.clone_children");
        if !inherit.exists() {
            continue;
        }
        for file in ["cpuset.cpus", "cpuset.mems"].iter().filter(|file| folder.join(file).exists()) {
            let above = above.join(file);
            let value = fs::read_to_string(&above).with_context(|| format!("read {}", above.display()))?;
            write(&folder.join(file), value.trim())?;
        }
        write(&inherit, "1")?;
    }
    Ok(folder)
}

fn limits(parent: &Path) -> Vec<(&'static str, &'static str)> {
    LIMITS.into_iter().filter(|(file, _)| parent.join(file).exists()).collect()
}

fn write(path: &Path, value: &str) -> Result<()> {
    fs::write(path, value).with_context(|| format!("write {value:?} to {}", path.display()))
}
