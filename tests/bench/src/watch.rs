//! Waiting for a log file to grow, by inotify: no polling that would take CPU from what is measured.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// nix has no `AsRawFd` for it, which tokio asks for.
struct Events(Inotify);

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Events {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// A watched folder.
pub struct Watch {
    folder: PathBuf,
    events: AsyncFd<Events>,
}

impl Watch {
    /// Watches a folder; what happens from now on is not missed.
    pub fn new(folder: &Path) -> Result<Self> {
        let events =
            Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).context("start inotify")?;
        let kinds = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_MOVED_TO;
        events.add_watch(folder, kinds).with_context(|| format!("watch {}", folder.display()))?;
        #[allow(
            deprecated,
            reason = "its successor is unsafe; an inotify owns its descriptor, which is what soundness needs"
        )]
        let events = AsyncFd::with_interest(Events(events), Interest::READABLE).context("watch inotify")?;
        Ok(Self { folder: folder.to_owned(), events })
    }

    /// Waits until a file of the folder has this many bytes.
    pub async fn grown(&self, name: &str, bytes: u64, deadline: Duration) -> Result<()> {
        let path = self.folder.join(name);
        let grown = async {
            while std::fs::metadata(&path).map_or(0, |found| found.len()) < bytes {
                let mut ready = self.events.readable().await.context("wait for inotify")?;
                match ready.try_io(|events| events.get_ref().0.read_events().map_err(std::io::Error::from)) {
                    Ok(read) => drop(read.context("read inotify")?),
                    // Woken for nothing: wait again.
                    Err(_would_block) => {}
                }
            }
            Ok(())
        };
        let late =
            || format!("waited {} s in vain for {bytes} bytes in {}", deadline.as_secs(), path.display());
        tokio::time::timeout(deadline, grown).await.with_context(late)?
    }
}
