//! Who belongs to a runtime, what CPU it has used, and what memory it holds.
//!
//! Each side has a group of its own with two below it: `runtime`, where the daemon and whatever it starts are, and
//! `pods`, the cgroup parent of its pods. CPU is that of both, so that it does not matter at which moment a runtime moves
//! a child into its container's group; the programs in the containers do next to nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Name of the program that containers run, as the kernel shortens it: no memory of the runtime's.
pub const WORKLOAD: &str = "demo";
const REMOVE_DEADLINE: Duration = Duration::from_secs(10);

/// The groups of one side.
pub struct Account {
    /// `/NAME/SIDE`, as a path in a hierarchy.
    group: PathBuf,
    /// Mount points of every hierarchy.
    hierarchies: Vec<PathBuf>,
    /// The one that counts CPU, and how.
    counter: (PathBuf, Counter),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counter {
    /// v1 `cpuacct.usage`, nanoseconds.
    V1,
    /// v2 `cpu.stat`, microseconds.
    V2,
}

impl Account {
    /// Makes the groups of `side` below the group `name`.
    pub fn open(name: &str, side: &str) -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").context("read /proc/self/mountinfo")?;
        let mut hierarchies = Vec::new();
        let mut counter = None;
        for line in mounts.lines() {
            let Some((before, after)) = line.split_once(" - ") else { continue };
            let root = PathBuf::from(before.split(' ').nth(4).unwrap_or_default());
            let mut words = after.split(' ');
            let kind = words.next().unwrap_or_default();
            if kind == "cgroup" && words.nth(1).unwrap_or_default().split(',').any(|word| word == "cpuacct") {
                counter = Some((root.clone(), Counter::V1));
            } else if kind == "cgroup2" && counter.is_none() {
                counter = Some((root.clone(), Counter::V2));
            }
            if kind.starts_with("cgroup") {
                hierarchies.push(root);
            }
        }
        let account = Self {
            group: Path::new(name.trim_matches('/')).join(side),
            hierarchies,
            counter: counter.context("no cgroup hierarchy counts CPU here")?,
        };
        for root in &account.hierarchies {
            for part in ["runtime", "pods"] {
                make(root, &account.group.join(part))?;
            }
        }
        Ok(account)
    }

    /// The cgroup parent of the side's pods, as CRI takes it.
    pub fn pods(&self) -> String {
        format!("/{}", self.group.join("pods").display())
    }

    /// The file into which a process writes itself to be counted.
    pub fn procs(&self) -> PathBuf {
        self.counted("runtime").join("cgroup.procs")
    }

    fn counted(&self, part: &str) -> PathBuf {
        self.counter.0.join(&self.group).join(part)
    }

    /// Counts processes of this name, which left the group of their starter, with the runtime again. Names are as the
    /// kernel shortens them.
    pub fn adopt(&self, name: &str) -> Result<()> {
        for pid in named(name)? {
            fs::write(self.procs(), pid.to_string())
                .with_context(|| format!("count process {pid} ({name})"))?;
        }
        Ok(())
    }

    /// CPU used so far by the runtime and in its pods.
    pub fn cpu(&self) -> Result<Duration> {
        match self.counter.1 {
            Counter::V1 => Ok(Duration::from_nanos(read(&self.counted("cpuacct.usage"))?.trim().parse()?)),
            Counter::V2 => {
                let text = read(&self.counted("cpu.stat"))?;
                let usage = text
                    .lines()
                    .find_map(|line| line.strip_prefix("usage_usec "))
                    .context("cpu.stat has no usage_usec")?;
                Ok(Duration::from_micros(usage.trim().parse()?))
            }
        }
    }

    /// Proportional set size of everything that is there for the runtime, bytes: its processes and what holds the pods,
    /// without the programs in the containers.
    pub fn memory(&self) -> Result<u64> {
        let mut pids = members(&self.counted("runtime"))?;
        pids.extend(members(&self.counted("pods"))?);
        let own = |pid: &u32| comm(*pid).is_some_and(|name| name != WORKLOAD);
        Ok(pids.iter().filter(|pid| own(pid)).filter_map(|pid| pss(*pid)).sum())
    }

    /// Removes the groups. Everything in them has been ended before.
    pub fn close(&self) -> Result<()> {
        let deadline = Instant::now() + REMOVE_DEADLINE;
        for root in &self.hierarchies {
            loop {
                match remove(&root.join(&self.group)) {
                    Ok(()) => break,
                    // The last process is on its way out.
                    Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
                    Err(error) => {
                        return Err(error)
                            .with_context(|| format!("remove cgroup {}", root.join(&self.group).display()));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Ids of processes with this name.
pub fn named(name: &str) -> Result<Vec<u32>> {
    let entries = fs::read_dir("/proc").context("read /proc")?;
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_string_lossy().parse().ok());
    Ok(pids.filter(|pid| comm(*pid).is_some_and(|found| found == name)).collect())
}

/// Proportional set size of a process, bytes; `None` if it is gone.
pub fn pss(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

fn comm(pid: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/comm")).ok().map(|name| name.trim().to_owned())
}

/// Processes in a group and in all below it.
fn members(group: &Path) -> Result<Vec<u32>> {
    let mut pids: Vec<u32> =
        read(&group.join("cgroup.procs"))?.lines().filter_map(|line| line.parse().ok()).collect();
    for entry in fs::read_dir(group).with_context(|| format!("read {}", group.display()))?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            pids.extend(members(&entry.path())?);
        }
    }
    Ok(pids)
}

fn make(root: &Path, group: &Path) -> Result<()> {
    let mut folder = root.to_owned();
    for part in group {
        let above = folder.clone();
        folder.push(part);
        fs::create_dir_all(&folder).with_context(|| format!("make cgroup {}", folder.display()))?;
        // v1: a new cpuset is empty, and nothing can join it.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if folder.join("tasks").exists() && folder.join(file).exists() {
                write(&folder.join(file), read(&above.join(file))?.trim())?;
            }
        }
        // v2: what a parent does not hand down cannot be limited below it.
        if above.join("cgroup.subtree_control").exists() {
            for controller in read(&above.join("cgroup.controllers"))?.split_whitespace() {
                write(&above.join("cgroup.subtree_control"), &format!("+{controller}"))?;
            }
        }
    }
    Ok(())
}

fn remove(group: &Path) -> std::io::Result<()> {
    if !group.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(group)?.flatten() {
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}

fn write(path: &Path, value: &str) -> Result<()> {
    fs::write(path, value).with_context(|| format!("write {value:?} to {}", path.display()))
}
