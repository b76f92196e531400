//! What can go wrong with a group, by operation.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Result of an operation on a group.
pub type Result<T> = std::result::Result<T, Error>;

/// An operation on a group that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Neither version is mounted where it was looked for.
    #[error("find cgroup mounts below {root}: none; mount cgroup2 there")]
    NotMounted {
        /// The directory that was searched.
        root: PathBuf,
    },
    /// A group path that is empty, the root, or climbs.
    #[error("use cgroup path {path:?}: it must name a group below the root, without `..`")]
    Path {
        /// As given.
        path: PathBuf,
    },
    /// A directory of the group could not be made.
    #[error("create cgroup {path}")]
    Create {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// An ancestor holds processes, so that v2 cannot hand controllers to its children.
    #[error(
        "enable controllers {controllers} in {path}: the group itself holds processes; \
         move them into a child group first"
    )]
    InternalProcesses {
        /// The ancestor.
        path: PathBuf,
        /// Space separated.
        controllers: String,
    },
    /// A limit needs a controller that the host or the parent group does not offer.
    #[error("set {file} of cgroup {path}: controller {controller} is not available there")]
    Controller {
        /// The group.
        path: PathBuf,
        /// The controller.
        controller: String,
        /// The control file wanted.
        file: String,
    },
    /// A limit that makes no sense, found before anything was written.
    #[error("use limit {name} = {value}: {reason}")]
    Limit {
        /// Field of [`super::Limits`] or name of the control file.
        name: String,
        /// As given.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The new memory limit is below what the group uses: v2 would kill it at once.
    #[error("set memory limit {limit} of cgroup {path}: it uses {usage} bytes")]
    MemoryInUse {
        /// The group.
        path: PathBuf,
        /// Wanted, bytes.
        limit: u64,
        /// Present use, bytes.
        usage: u64,
    },
    /// A control file refused a value. What had been written before was put back.
    #[error("write {value:?} to {path}")]
    Write {
        /// The control file.
        path: PathBuf,
        /// The value.
        value: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A control file refused a value, and so did another its former value.
    #[error("restore {} after a refused write to {path}", .unrestored.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", "))]
    Restore {
        /// The control file that refused first.
        path: PathBuf,
        /// Files that do not hold their former value.
        unrestored: Vec<PathBuf>,
        /// Why the first write was refused.
        #[source]
        source: io::Error,
    },
    /// A control file could not be read.
    #[error("read {path}")]
    Read {
        /// The control file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A control file does not hold what its documentation says.
    #[error("parse {path}: unexpected content {content:?}")]
    Content {
        /// The control file.
        path: PathBuf,
        /// The start of what it holds.
        content: String,
    },
    /// A process could not be signalled or watched.
    #[error("kill process {pid} of cgroup {path}")]
    Kill {
        /// The group.
        path: PathBuf,
        /// The process.
        pid: i32,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Processes are left although all of them were killed.
    #[error("kill cgroup {path}: {} processes left after {deadline:?}, first {:?}", .left.len(), .left.first())]
    StillPopulated {
        /// The group.
        path: PathBuf,
        /// Who is left, typically in uninterruptible sleep.
        left: Vec<i32>,
        /// How long it was tried.
        deadline: Duration,
    },
    /// A directory of the group could not be removed.
    #[error("remove cgroup {path}")]
    Remove {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The device program of a v2 group could not be loaded or attached.
    #[error("{operation} device program of cgroup {path}")]
    DeviceProgram {
        /// `load` or `attach`.
        operation: &'static str,
        /// The group.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}
