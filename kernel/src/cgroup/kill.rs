//! Ending every process of a group.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::control;
use super::hierarchy::Version;
use super::{Cgroup, Error, Result};

/// Longest wait for the processes of one round before the group is listed again: a fork that slipped through is
/// found by the next round, not by waiting.
const ROUND: Duration = Duration::from_millis(100);

impl Cgroup {
    /// Kills every process of the group and of the groups below it, and returns when none is left. An empty or
    /// missing group is killed.
    ///
    /// v2 has `cgroup.kill` since Linux 5.14, which no fork escapes. Elsewhere: list, kill through pidfds, wait, and
    /// list again; from the second round on a v1 group is frozen while it is listed, so that a fork bomb cannot outrun
    /// the loop. A frozen group is thawed, since a frozen v1 process does not die.
    ///
    /// # Errors
    /// [`Error::StillPopulated`] after `deadline`: a process in uninterruptible sleep. [`Error::Kill`],
    /// [`Error::Read`].
    pub fn kill(&self, deadline: Duration) -> Result<()> {
        let end = Instant::now() + deadline;
        let top = self.directory(self.hierarchies.primary());
        if self.hierarchies.version() == Version::V2 {
            match control::write(&top.join("cgroup.kill"), "1") {
                Ok(()) => {}
                Err(error) if control::is_absent(&error) => {}
                Err(source) => {
                    return Err(Error::Write { path: top.join("cgroup.kill"), value: "1".into(), source });
                }
            }
        }
        let mut round = 0u32;
        loop {
            let frozen = (round > 0).then(|| self.freeze(end)).transpose()?.flatten();
            let (left, handles) = self.signal_all()?;
            self.thaw(frozen)?;
            if left.is_empty() {
                return Ok(());
            }
            let now = Instant::now();
            if now >= end {
                return Err(Error::StillPopulated { path: self.path(), left, deadline });
            }
            if handles.is_empty() {
                // Listed but no longer there to be waited for: it is on its way out of the list.
                std::thread::sleep(Duration::from_micros(200));
            }
            wait_for_exits(&handles, (now + ROUND).min(end)).map_err(|source| Error::Kill {
                path: self.path(),
                pid: left[0],
                source,
            })?;
            round += 1;
        }
    }

    /// Sends SIGKILL to every process listed. Returns who was listed, and a descriptor of each that still was there.
    fn signal_all(&self) -> Result<(Vec<i32>, Vec<OwnedFd>)> {
        let listed = self.procs()?;
        let failed = |pid| move |source| Error::Kill { path: self.path(), pid, source };
        let mut handles = Vec::with_capacity(listed.len());
        for &pid in &listed {
            if let Some(handle) = open_pidfd(pid).map_err(failed(pid))? {
                handles.push((pid, handle));
            }
        }
        // A listed process may have ended and its id been given to a stranger before the descriptor was opened. What
        // is still listed now is the process its descriptor refers to.
        let confirmed: HashSet<i32> =
            if handles.is_empty() { HashSet::new() } else { self.procs()?.into_iter().collect() };
        for (pid, handle) in &handles {
            if confirmed.contains(pid) {
                send_kill(handle).map_err(failed(*pid))?;
            }
        }
        Ok((listed, handles.into_iter().map(|(_, handle)| handle).collect()))
    }

    /// Holds a v1 group still, if the host has the freezer. Gives up quietly at the end of a round: freezing helps
    /// against forks, it is not what kills.
    fn freeze(&self, end: Instant) -> Result<Option<PathBuf>> {
        let Some(path) = self.freezer() else { return Ok(None) };
        if control::write(&path, "FROZEN").is_err() {
            return Ok(None);
        }
        let until = (Instant::now() + ROUND).min(end);
        while control::read_if_present(&path)?.is_some_and(|state| state == "FREEZING")
            && Instant::now() < until
        {
            // The kernel completes freezing as the state is read; there is no event for it.
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(Some(path))
    }

    /// Lets a v1 group run, frozen by us or by whoever paused the container.
    fn thaw(&self, frozen: Option<PathBuf>) -> Result<()> {
        let Some(path) = frozen.or_else(|| self.freezer()) else { return Ok(()) };
        match control::write(&path, "THAWED") {
            Err(source) if !control::is_absent(&source) => {
                Err(Error::Write { path, value: "THAWED".into(), source })
            }
            _ => Ok(()),
        }
    }

    fn freezer(&self) -> Option<PathBuf> {
        match self.hierarchies.version() {
            // v2 kills frozen processes, too.
            Version::V2 => None,
            Version::V1 => self.controller("freezer").map(|directory| directory.join("freezer.state")),
        }
    }
}

/// A descriptor of the process, or `None` if it has ended. Close-on-exec by definition (pidfd_open(2)).
fn open_pidfd(pid: i32) -> io::Result<Option<OwnedFd>> {
    // SAFETY: pidfd_open takes two integers and returns a new descriptor or -1.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if fd < 0 {
        let error = io::Error::last_os_error();
        // EINVAL: the thread group's leader has gone while other threads end.
        return match error.raw_os_error() {
            Some(libc::ESRCH | libc::EINVAL) => Ok(None),
            _ => Err(error),
        };
    }
    let fd = i32::try_from(fd).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    // SAFETY: the descriptor was just returned by the kernel and nobody else has it.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) }))
}

fn send_kill(handle: &OwnedFd) -> io::Result<()> {
    // SAFETY: pidfd_send_signal reads its third argument only if it is not null.
    let sent = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            handle.as_raw_fd(),
            libc::SIGKILL,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    if sent == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(libc::ESRCH) { Ok(()) } else { Err(error) }
}

/// Waits until all of the processes have ended, or the time is over.
fn wait_for_exits(handles: &[OwnedFd], end: Instant) -> io::Result<()> {
    let mut pending: Vec<libc::pollfd> = handles
        .iter()
        .map(|handle| libc::pollfd { fd: handle.as_raw_fd(), events: libc::POLLIN, revents: 0 })
        .collect();
    while !pending.is_empty() {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        // Rounded up: a remainder below a millisecond must not become a busy loop.
        let milliseconds = i32::try_from(left.as_millis() + 1).unwrap_or(i32::MAX);
        let count = libc::nfds_t::try_from(pending.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: the pointer and the count describe `pending`, which outlives the call.
        let ready = unsafe { libc::poll(pending.as_mut_ptr(), count, milliseconds) };
        if ready < 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
            continue;
        }
        pending.retain(|entry| entry.revents == 0);
    }
    Ok(())
}
