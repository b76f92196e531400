//! One flush of the file system for all who wait for one (I-40).
//!
//! Layers finish in bursts. A flush that starts after a layer's last write covers it, so whoever comes while one runs
//! waits for the next, and that next one serves all of them.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};

#[derive(Debug, Default)]
struct State {
    running: bool,
    started: u64,
    finished: u64,
    /// The last flush that failed, and its errno.
    failed: Option<(u64, i32)>,
}

/// Flushes one file system.
#[derive(Debug)]
pub struct GroupSync {
    directory: File,
    state: Mutex<State>,
    changed: Condvar,
}

impl GroupSync {
    /// `directory` is somewhere on the file system.
    pub fn new(directory: &Path) -> io::Result<Self> {
        Ok(Self { directory: File::open(directory)?, state: Mutex::default(), changed: Condvar::new() })
    }

    /// Returns when everything written before the call is durable. Blocks as long as the disk takes: `syncfs` knows no
    /// deadline, and a result before it ends would be a lie.
    pub fn sync(&self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let ticket = state.started + 1;
        while state.finished < ticket {
            if state.running {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.running = true;
            state.started += 1;
            drop(state);
            let result = kernel::file::sync_filesystem(self.directory.as_fd());
            state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.running = false;
            state.finished = state.started;
            if let Err(error) = result {
                state.failed = Some((state.finished, error.raw_os_error().unwrap_or(libc::EIO)));
            }
            self.changed.notify_all();
        }
        match state.failed {
            // Which write got lost the kernel does not say: everybody who waited since must assume it was theirs.
            Some((flush, errno)) if flush >= ticket => Err(io::Error::from_raw_os_error(errno)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_callers_all_return() {
        let directory = tempfile::tempdir().unwrap();
        let sync = GroupSync::new(directory.path()).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..5).for_each(|_| sync.sync().unwrap()));
            }
        });
        let state = sync.state.lock().unwrap();
        assert!(state.started == state.finished && (5..=40).contains(&state.finished), "{state:?}");
    }
}
