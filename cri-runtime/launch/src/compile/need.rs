//! What the daemon must open for a plan.

use std::path::PathBuf;

use kernel::namespace::Kind;

use super::CompileError;
use crate::plan::FdIndex;
use crate::protocol::MAX_FDS;

/// One descriptor to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// A detached overlay mount.
    Overlay {
        /// Layers, top first.
        lower: Vec<PathBuf>,
        /// Directory for changes.
        upper: PathBuf,
        /// Work directory.
        work: PathBuf,
    },
    /// A detached bind mount.
    Bind(Bind),
    /// A detached bind mount of the host's null device, proven to be character device 1:3 (CVE-2025-31133).
    NullDevice,
    /// A namespace.
    Namespace {
        /// Its kind.
        kind: Kind,
        /// Where it is pinned, or `/proc/PID/ns/...`.
        path: PathBuf,
    },
    /// The `tasks` file of a v1 cgroup, for writing.
    CgroupTasks(PathBuf),
    /// The directory of a v2 cgroup.
    CgroupDirectory(PathBuf),
}

/// A bind mount and what is changed about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bind {
    /// What is mounted. A symbolic link is followed when it is opened.
    pub source: PathBuf,
    /// With everything mounted below.
    pub recursive: bool,
    /// `MOUNT_ATTR_*` flags of the topmost mount.
    pub attributes: Change,
    /// `MOUNT_ATTR_*` flags of all mounts.
    pub recursive_attributes: Change,
    /// Propagation of all mounts, as `MS_*`; `MS_PRIVATE` if nothing was asked for.
    pub propagation: u64,
}

/// Flags to set and to clear.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Change {
    /// Set.
    pub set: u64,
    /// Cleared.
    pub clear: u64,
}

impl Change {
    /// Whether nothing changes.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// Collects needs and hands out the indexes of their descriptors.
#[derive(Debug)]
pub(super) struct Needs {
    given: u16,
    needs: Vec<Need>,
}

impl Needs {
    pub(super) fn after(given: u16) -> Self {
        Self { given, needs: Vec::new() }
    }

    pub(super) fn add(&mut self, need: Need) -> FdIndex {
        // Indexes that do not fit belong to a plan that into_vec refuses.
        let position = u16::try_from(self.needs.len()).unwrap_or(u16::MAX);
        self.needs.push(need);
        FdIndex(self.given.saturating_add(position))
    }

    /// The needs, unless they are more than a packet has room for beside the memfd of the plan and three streams.
    pub(super) fn into_vec(self) -> Result<Vec<Need>, CompileError> {
        const MOST: usize = MAX_FDS - 4;
        match usize::from(self.given) + self.needs.len() {
            wanted if wanted > MOST => Err(CompileError::TooManyDescriptors { wanted, most: MOST }),
            _ => Ok(self.needs),
        }
    }
}
