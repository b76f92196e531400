//! A container's log file.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use kernel::path;

use crate::error::{Class, Failure};
use crate::record::{ContainerRecord, ContainerStage};
use crate::sandbox::worker::Worker;

/// Log agents that are not root read it by their group (L-06).
const MODE: u32 = 0o640;
/// `O_RDWR|O_CREAT|O_APPEND|O_NOFOLLOW`: appended to (and read once, to see a torn last line), and never somebody else's file behind a link. `O_NONBLOCK`
/// keeps a FIFO that was put there from blocking the open.
const FLAGS: i32 = libc::O_RDWR | libc::O_CREAT | libc::O_APPEND | libc::O_NOFOLLOW | libc::O_NONBLOCK;

/// Opens the log of a container for appending; `None` if its output is discarded.
///
/// The pod's log directory belongs to the kubelet and may be a link; what is below it is resolved without links.
pub(super) fn open(record: &ContainerRecord) -> Result<Option<OwnedFd>, Failure> {
    let Some(log) = &record.log else { return Ok(None) };
    let below = Path::new(&record.config.log_path);
    let fail = |e: io::Error| {
        let error = io::Error::new(e.kind(), format!("open log {}: {e}", log.display()));
        Failure::because(Class::Internal, &error)
    };
    let depth = below.components().count();
    let directory = log.ancestors().nth(depth).unwrap_or(Path::new("/"));
    let root = path::open_dir(directory).map_err(fail)?;
    if let Some(parent) = below.parent().filter(|p| p.as_os_str() != OsStr::new("")) {
        path::mkdir_all_in_root(root.as_fd(), parent, 0o755).map_err(fail)?;
    }
    path::open_beneath(root.as_fd(), below, FLAGS, MODE).map(Some).map_err(fail)
}

impl Worker {
    /// Switches the log of a running container to a new file at its path, and returns when nothing more is written to
    /// the old one (L-07).
    pub(crate) async fn reopen_log(&mut self, id: &str) -> Result<(), Failure> {
        let container = self.container(id)?;
        if !matches!(container.record.stage, ContainerStage::Started { .. }) {
            let text = format!("reopen log of container {id}: it is not running");
            return Err(Failure::new(Class::FailedPrecondition, text));
        }
        let record = container.record.clone();
        let Some(log) = self.blocking(move |_| open(&record)).await? else { return Ok(()) };
        match self.runtime.supervisor.reopen_log(id, log).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                let text = format!("reopen log of container {id}: it has just ended");
                Err(Failure::new(Class::FailedPrecondition, text))
            }
            Err(error) => Err(crate::launching::supervisor_failure("reopen log", &error)),
        }
    }
}
