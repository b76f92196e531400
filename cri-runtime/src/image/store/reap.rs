//! Removing data that nobody can see any more, in the background (I-42).

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
struct Queue {
    paths: VecDeque<PathBuf>,
    working: bool,
}

/// A queue of directories to remove, and a thread while there are any. A crash loses nothing: what is queued is in
/// `ingest/` already, which is emptied at start.
#[derive(Debug, Clone, Default)]
pub struct Reaper {
    shared: Arc<(Mutex<Queue>, Condvar)>,
}

impl Reaper {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes a directory soon.
    pub fn remove(&self, path: PathBuf) {
        let mut queue = self.lock();
        queue.paths.push_back(path);
        if queue.working {
            return;
        }
        queue.working = true;
        drop(queue);
        let reaper = self.clone();
        let thread = std::thread::Builder::new().name("image-reaper".to_owned());
        // Without a thread (a limit on processes) the caller does the work: slower, but nothing stays.
        if let Err(error) = thread.spawn(move || reaper.work()) {
            tracing::warn!(%error, "start image reaper");
            self.work();
        }
    }

    fn work(&self) {
        while let Some(path) = self.next() {
            remove(&path);
        }
    }

    fn next(&self) -> Option<PathBuf> {
        let mut queue = self.lock();
        let path = queue.paths.pop_front();
        if path.is_none() {
            queue.working = false;
            self.shared.1.notify_all();
        }
        path
    }

    /// Waits until the queue is empty.
    pub fn drain(&self) {
        let mut queue = self.lock();
        while queue.working {
            queue = self.shared.1.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Removes a directory of our own; a failure leaves it for the next start.
pub fn remove(path: &Path) {
    if let Err(error) = kernel::tree::remove_all(path) {
        tracing::warn!(?path, %error, "remove image data");
    }
}
