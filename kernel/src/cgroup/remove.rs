//! Removing a group.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::control;
use super::{Cgroup, Error, Result};

/// First pause between two attempts; doubled up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_micros(200);
const PAUSE_MAX: Duration = Duration::from_millis(20);

impl Cgroup {
    /// Removes the group and everything below it in all hierarchies, deepest first. A group that does not exist is
    /// removed. Every hierarchy is tried; the first failure is reported.
    ///
    /// A group whose last process has just ended stays busy for an instant, of which the kernel sends no event on v1:
    /// the removal is tried again until `deadline` from now.
    ///
    /// # Errors
    /// [`Error::Remove`], with EBUSY if processes are left.
    pub fn remove(&self, deadline: Duration) -> Result<()> {
        let end = Instant::now() + deadline;
        let mut first = Ok(());
        for directory in self.own_directories() {
            let removed = remove_tree(&directory, end);
            first = first.and(removed);
        }
        first
    }
}

fn remove_tree(top: &Path, end: Instant) -> Result<()> {
    let mut pause = PAUSE;
    loop {
        let outcome = remove_once(top)?;
        let Some(busy) = outcome else { return Ok(()) };
        if Instant::now() >= end {
            return Err(busy);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// One pass; `Some` is the error of a group that was busy.
fn remove_once(top: &Path) -> Result<Option<Error>> {
    // The common case is a leaf, and costs one system call.
    if fs::remove_dir(top).is_ok() {
        return Ok(None);
    }
    let mut order: Vec<PathBuf> = vec![top.to_owned()];
    let mut next = 0;
    while let Some(directory) = order.get(next) {
        let below = control::children(directory)?;
        order.extend(below);
        next += 1;
    }
    for directory in order.into_iter().rev() {
        match fs::remove_dir(&directory) {
            Ok(()) => {}
            Err(error) if control::is_absent(&error) => {}
            Err(source) => {
                let busy = source.raw_os_error() == Some(libc::EBUSY);
                let error = Error::Remove { path: directory, source };
                return if busy { Ok(Some(error)) } else { Err(error) };
            }
        }
    }
    Ok(None)
}
