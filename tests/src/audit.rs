//! What a runtime has on the host, seen from outside: processes, namespaces, mounts, links, nftables rules, cgroups of
//! every hierarchy, files.
//!
//! A [`Snapshot`] is a set of sentences. A story takes one when the runtime has no pods, does its worst, removes the
//! pods, and demands that [`Snapshot::added_to`] finds nothing. Things are attributed to the runtime by its own names, so that
//! others at work on the same machine are neither blamed nor excused.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::patience;
use crate::runtime::Runtime;

/// Names by which things of one runtime are recognised.
#[derive(Debug, Clone)]
pub struct Marks {
    directory: PathBuf,
    name: String,
    bridge: String,
    /// `10.64.3.` of `10.64.3.0/24`.
    addresses: String,
}

/// Parts of the directory that grow by design and say nothing of a leftover.
const GROWING: [&str; 3] = ["root/timelines", "root/images", "certs.d"];

impl Marks {
    /// The marks of a runtime that was started at least once.
    ///
    /// # Errors
    /// It was not.
    pub fn of(runtime: &Runtime) -> Result<Self> {
        let subnet = runtime.subnet()?;
        let addresses = subnet.rsplit_once('.').context("the subnet is not IPv4")?.0.to_owned() + ".";
        Ok(Self {
            directory: runtime.directory(),
            name: runtime.name()?,
            bridge: runtime.bridge()?,
            addresses,
        })
    }

    /// Everything the runtime has on the host now.
    ///
    /// # Errors
    /// `/proc` or the directory cannot be read.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let mut found = BTreeSet::new();
        self.processes(&mut found)?;
        self.mounts(&mut found)?;
        self.links(&mut found)?;
        self.rules(&mut found)?;
        self.cgroups(&mut found)?;
        files(&self.directory, &self.directory, &mut found)?;
        Ok(Snapshot(found))
    }

    /// Waits until the runtime has no more than in `before`: what is removed in the background has time to go.
    ///
    /// # Errors
    /// Something stayed; the message lists it.
    pub fn settles_to(&self, before: &Snapshot) -> Result<()> {
        let mut left = Vec::new();
        let settled = patience::until_now("nothing is left behind", || {
            left = self.snapshot()?.added_to(before);
            Ok(left.is_empty().then_some(()))
        });
        settled.with_context(|| format!("left behind:\n  {}", left.join("\n  ")))
    }

    /// Processes in the runtime's cgroups or with its directory on their command line, and their namespaces.
    fn processes(&self, found: &mut BTreeSet<String>) -> Result<()> {
        let ours = self.directory.to_string_lossy().into_owned();
        for entry in fs::read_dir("/proc").context("open /proc")?.flatten() {
            let path = entry.path();
            // Processes end while they are being looked at; what cannot be read any more is gone.
            let groups = fs::read_to_string(path.join("cgroup")).unwrap_or_default();
            if groups.contains(&format!("/{}", self.name)) {
                let command = fs::read(path.join("cmdline")).unwrap_or_default();
                let command = String::from_utf8_lossy(&command).replace('\0', " ");
                found.insert(format!(
                    "process {command}in cgroup {}",
                    groups.lines().next().unwrap_or_default()
                ));
            }
            // A namespace that is kept alive by a descriptor alone shows only here.
            let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
            let belongs = name.starts_with("cri-runtime") || name.starts_with("orlop-superviso");
            if belongs && self.holds_files_of(&path, &ours) {
                for (kind, count) in namespaces_held(&path) {
                    found.insert(format!("{} descriptors of {kind} namespaces in {}", count, name.trim()));
                }
            }
        }
        Ok(())
    }

    fn holds_files_of(&self, process: &Path, directory: &str) -> bool {
        let command = fs::read(process.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&command).contains(directory)
            || targets(process).any(|target| target.starts_with(directory))
    }

    fn mounts(&self, found: &mut BTreeSet<String>) -> Result<()> {
        let table = fs::read_to_string("/proc/self/mountinfo").context("read /proc/self/mountinfo")?;
        let ours = self.directory.to_string_lossy().into_owned();
        for line in table.lines() {
            if line.contains(&ours) || line.contains(&self.name) {
                let fields: Vec<&str> = line.split(' ').collect();
                found.insert(format!(
                    "mount {} {}",
                    fields.get(3).unwrap_or(&""),
                    fields.get(4).unwrap_or(&"")
                ));
            }
        }
        Ok(())
    }

    /// The bridge and the links that are ports of it.
    fn links(&self, found: &mut BTreeSet<String>) -> Result<()> {
        for entry in fs::read_dir("/sys/class/net").context("open /sys/class/net")?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let master = fs::read_link(entry.path().join("master")).unwrap_or_default();
            if name == self.bridge || master.file_name().is_some_and(|master| master == self.bridge.as_str())
            {
                found.insert(format!("link {name}"));
            }
        }
        Ok(())
    }

    fn rules(&self, found: &mut BTreeSet<String>) -> Result<()> {
        let output = match Command::new("nft").args(["list", "ruleset"]).output() {
            Ok(output) => output,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                eprintln!("SKIPPED nftables in the audit: no nft (apt-get install -y nftables)");
                return Ok(());
            }
            Err(error) => return Err(error).context("run nft"),
        };
        if !output.status.success() {
            bail!("list nftables rules: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let marked =
                [&self.name, &self.bridge, &self.addresses].iter().any(|mark| line.contains(mark.as_str()));
            if marked || line.contains(&self.name.replace('-', "_")) {
                found.insert(format!("nftables {}", line.trim()));
            }
        }
        Ok(())
    }

    fn cgroups(&self, found: &mut BTreeSet<String>) -> Result<()> {
        let table = fs::read_to_string("/proc/self/mountinfo").context("read /proc/self/mountinfo")?;
        for line in table.lines() {
            let Some((before, after)) = line.split_once(" - ") else { continue };
            if after.starts_with("cgroup") {
                let root = before.split(' ').nth(4).unwrap_or_default();
                folders(&Path::new(root).join(&self.name), found);
            }
        }
        Ok(())
    }
}

fn folders(folder: &Path, found: &mut BTreeSet<String>) {
    // A group may go away while it is being looked at.
    let Ok(entries) = fs::read_dir(folder) else { return };
    found.insert(format!("cgroup {}", folder.display()));
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            folders(&entry.path(), found);
        }
    }
}

fn files(top: &Path, folder: &Path, found: &mut BTreeSet<String>) -> Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("open {}", folder.display())),
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let short = path.strip_prefix(top).unwrap_or(&path);
        if GROWING.iter().any(|growing| short == Path::new(growing)) {
            continue;
        }
        found.insert(format!("file {}", short.display()));
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            files(top, &path, found)?;
        }
    }
    Ok(())
}

fn targets(process: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(process.join("fd")).ok();
    entries
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .map(|target| target.to_string_lossy().into_owned())
}

/// How many descriptors of each kind of namespace a process holds.
fn namespaces_held(process: &Path) -> Vec<(&'static str, usize)> {
    ["net:", "pid:", "ipc:", "uts:", "mnt:", "user:"]
        .into_iter()
        .map(|kind| {
            (kind.trim_end_matches(':'), targets(process).filter(|target| target.starts_with(kind)).count())
        })
        .filter(|(_, count)| *count > 0)
        .collect()
}

/// What a runtime had on the host at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot(BTreeSet<String>);

impl Snapshot {
    /// What this snapshot has and `before` had not.
    pub fn added_to(&self, before: &Self) -> Vec<String> {
        self.0.difference(&before.0).cloned().collect()
    }

    /// A snapshot without anything.
    pub fn empty() -> Self {
        Self(BTreeSet::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(directory: &Path) -> Marks {
        Marks {
            directory: directory.to_owned(),
            name: "orlop-audit-test".to_owned(),
            bridge: "orlaudit".to_owned(),
            addresses: "10.127.254.".to_owned(),
        }
    }

    #[test]
    fn a_new_file_is_found_and_growing_parts_are_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let marks = marks(folder.path());
        let before = marks.snapshot().expect("a snapshot");
        fs::create_dir_all(folder.path().join("root/timelines/pod")).expect("a folder");
        fs::create_dir_all(folder.path().join("state")).expect("a folder");
        fs::write(folder.path().join("state/record"), "x").expect("a file");
        let added = marks.snapshot().expect("a snapshot").added_to(&before);
        assert_eq!(added, ["file root", "file state", "file state/record"]);
    }

    #[test]
    fn a_process_that_holds_a_namespace_is_counted() {
        let own = fs::File::open("/proc/self/ns/net").expect("a namespace");
        let held = namespaces_held(Path::new("/proc/self"));
        drop(own);
        assert!(held.iter().any(|(kind, count)| *kind == "net" && *count >= 1), "{held:?}");
    }
}
