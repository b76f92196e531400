//! Following a log file as it grows, without asking again and again: inotify tells.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::time::timeout;

use super::{Line, LineReader};

/// A file system that does not notify (some network file systems) is looked at this often.
const LOOK: Duration = Duration::from_secs(1);

/// What is known of the instance that writes a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It may write, now or later.
    Live,
    /// It has ended: what is in the file is all.
    Ended,
}

/// A growing file. The file may not be there yet, and may be removed while it is read.
struct Tail {
    path: PathBuf,
    file: Option<File>,
    inotify: Inotify,
    /// The same queue as a second descriptor, for waiting.
    ready: AsyncFd<OwnedFd>,
    watched: Option<PathBuf>,
}

impl Tail {
    fn open(path: &Path) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let queue = inotify.as_fd().try_clone_to_owned()?;
        #[allow(
            deprecated,
            reason = "its successor is unsafe for the sake of types that lend descriptors they do not own"
        )]
        let ready = AsyncFd::with_interest(queue, Interest::READABLE)?;
        Ok(Self { path: path.to_owned(), file: None, inotify, ready, watched: None })
    }

    /// Watches the file, or as long as it is missing its nearest existing directory.
    fn watch(&mut self) -> io::Result<()> {
        let missing = self.path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/")).to_owned();
        if self.watched.as_ref() == Some(&missing) {
            return Ok(());
        }
        let flags = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
        self.inotify.add_watch(&missing, flags)?;
        self.watched = Some(missing);
        Ok(())
    }

    fn read(&mut self, chunk: &mut [u8]) -> io::Result<usize> {
        if self.file.is_none() {
            match File::open(&self.path) {
                Ok(file) => self.file = Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
                Err(error) => return Err(error),
            }
        }
        self.file.as_mut().map_or(Ok(0), |file| file.read(chunk))
    }

    /// Waits until something may have changed.
    async fn changed(&mut self) -> io::Result<()> {
        if let Ok(ready) = timeout(LOOK, self.ready.readable()).await {
            let mut ready = ready?;
            // What the events say is in the file anyway; they only have to be taken.
            while self.inotify.read_events().is_ok_and(|events| !events.is_empty()) {}
            ready.clear_ready();
        }
        Ok(())
    }
}

/// Hands every line of the log at `path` to `line`, until the instance has ended and its log is read to the end. With
/// `last`, of what is there already only so many lines.
pub async fn follow(
    path: &Path,
    last: Option<usize>,
    mut attempt: watch::Receiver<Attempt>,
    mut line: impl FnMut(&Line),
) -> io::Result<()> {
    let mut tail = Tail::open(path)?;
    let mut reader = LineReader::default();
    let mut chunk = vec![0; 64 * 1024];
    let mut backlog = last.map(|_| VecDeque::new());
    loop {
        // Looked at before reading: what it wrote before it ended is then read below.
        let ended = *attempt.borrow_and_update() == Attempt::Ended;
        tail.watch()?;
        loop {
            let length = tail.read(&mut chunk)?;
            if length == 0 {
                break;
            }
            let lines = reader.feed(&chunk[..length]);
            match &mut backlog {
                None => lines.iter().for_each(&mut line),
                Some(backlog) => {
                    backlog.extend(lines);
                    backlog.drain(..backlog.len().saturating_sub(last.unwrap_or(0)));
                }
            }
        }
        backlog.take().iter().flatten().for_each(&mut line);
        if ended {
            reader.finish().iter().for_each(&mut line);
            return Ok(());
        }
        tokio::select! {
            changed = tail.changed() => changed?,
            known = attempt.changed() => if known.is_err() {
                // Whoever knew about the instance is gone: this is all there will be.
                attempt = watch::channel(Attempt::Ended).1;
            },
        }
    }
}

#[cfg(test)]
mod tests;
