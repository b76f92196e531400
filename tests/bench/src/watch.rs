//! Waiting for a log file to grow, by inotify: no polling that would take CPU from what is measured.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A watched folder.
pub struct Watch {
    folder: PathBuf,
    events: AsyncFd<Inotify>,
}

impl Watch {
    /// Watches a folder; what happens from now on is not missed.
    pub fn new(folder: &Path) -> Result<Self> {
        let events = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).context("start inotify")?;
        let kinds = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_MOVED_TO;
        events.add_watch(folder, kinds).with_context(|| format!("watch {}", folder.display()))?;
        let events = AsyncFd::with_interest(events, Interest::READABLE).context("watch inotify")?;
        Ok(Self { folder: folder.to_owned(), events })
    }

    /// Waits until a file of the folder has this many bytes.
    pub async fn grown(&self, name: &str, bytes: u64, deadline: Duration) -> Result<()> {
        let path = self.folder.join(name);
        let grown = async {
            while std::fs::metadata(&path).map_or(0, |found| found.len()) < bytes {
                let mut ready = self.events.readable().await.context("wait for inotify")?;
                match ready.try_io(|events| events.get_ref().read_events().map_err(std::io::Error::from)) {
                    Ok(read) => drop(read.context("read inotify")?),
                    // Woken for nothing: wait again.
                    Err(_would_block) => {}
                }
            }
            Ok(())
        };
        let late = || format!("waited {} s in vain for {bytes} bytes in {}", deadline.as_secs(), path.display());
        tokio::time::timeout(deadline, grown).await.with_context(late)?
    }
}
