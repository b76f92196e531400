//! From the end of a process to the moment when nobody asks for it any more.

use std::os::fd::AsFd;

use kernel::failpoint;
use kernel::process::{ExitStatus, Reap, next_ended_child, reap, wall_clock};
use launch::plan::Failure;
use launch::protocol::{Exit, Reply};

use super::Server;
use crate::logline::Stream;
use crate::notice::{Level, notice};
use crate::process::{Phase, Process};
use crate::record;

impl Server {
    /// Deals with every child that has ended: its own processes, and orphans that fell to it as subreaper.
    pub(super) fn reap_children(&mut self) {
        loop {
            let pid = match next_ended_child() {
                Ok(Some(pid)) => pid,
                Ok(None) => return,
                Err(error) => return notice(Level::Error, "children not waited for", &[("error", &error)]),
            };
            match self.processes.find_unreaped(pid) {
                // The kernel names the same child again and again: look past those that are held.
                Some(slot) if self.is_held(slot) => return self.reap_behind_held(),
                Some(slot) => self.end_process(slot),
                None if reap_orphan(pid) => {}
                None => return,
            }
        }
    }

    fn is_held(&self, slot: usize) -> bool {
        matches!(
            self.processes.get(slot).map(|process| &process.phase),
            Some(Phase::Ended { held: true, .. })
        )
    }

    /// Looks at every child, because a zombie that is held hides the others.
    fn reap_behind_held(&mut self) {
        let children = match self.enclosure.children() {
            Ok(children) => children,
            Err(error) => return notice(Level::Error, "children not listed", &[("error", &error)]),
        };
        for pid in children {
            match self.processes.find_unreaped(pid) {
                Some(slot) if self.is_held(slot) => {}
                Some(slot) => self.end_process(slot),
                // It may run still.
                None => _ = reap_orphan(pid),
            }
        }
    }

    fn end_process(&mut self, slot: usize) {
        // What it reported before it ended comes first: a program that ran, however shortly, was started.
        self.read_report(slot);
        let Some(process) = self.processes.get_mut(slot) else { return };
        let status = match process.pidfd.try_wait(Reap::Leave) {
            Ok(Some(status)) => status,
            Ok(None) => return,
            Err(error) => {
                // Not a child any more: nobody will ever say how it ended.
                notice(Level::Error, "exit status lost", &[("id", &process.id), ("error", &error)]);
                ExitStatus { code: 255, signal: 0 }
            }
        };
        match &process.phase {
            Phase::Running => self.settle(slot, status),
            Phase::Starting(starting) => {
                // Somebody else holds the report open; the child is gone all the same.
                let (token, _) = (starting.token, self.poll.remove(starting.report.as_fd()));
                let failure = Failure { step: "launch".to_owned(), object: String::new(), errno: 0 };
                self.bury(slot, Some((token, failure)));
            }
            Phase::Failing { token, failure } => {
                let answer = Some((*token, failure.clone()));
                self.bury(slot, answer);
            }
            Phase::Abandoned => self.bury(slot, None),
            Phase::Ended { .. } => {}
        }
    }

    /// Removes a child that never ran its program, then tells the daemon.
    fn bury(&mut self, slot: usize, answer: Option<(u64, Failure)>) {
        self.discard(slot);
        if let Some((token, failure)) = answer {
            self.daemons.tell(&self.poll, &Reply::Failed { token, failure }, &[]);
        }
    }

    /// Log, record, reap, tell: in this order. Until the record is in place the zombie keeps the status.
    fn settle(&mut self, slot: usize, status: ExitStatus) {
        let finished_at = wall_clock();
        let Some(process) = self.processes.get_mut(slot) else { return };
        process.stdin = None;
        if let Some(log) = &mut process.log {
            self.pump.drain(log);
        }
        let exit = Exit {
            id: process.id.clone(),
            pid: process.pid,
            code: status.code,
            signal: status.signal,
            started_at: process.started_at,
            finished_at,
            log_bytes_dropped: process.log.as_ref().map_or(0, |log| log.sink().dropped()),
        };
        let held = process.record
            && match record::write(self.exits.as_fd(), &exit) {
                Ok(()) => false,
                Err(error) => {
                    notice(
                        Level::Error,
                        "exit record not written",
                        &[("id", &process.id), ("error", &error)],
                    );
                    true
                }
            };
        process.phase = Phase::Ended { exit: exit.clone(), held };
        if !held {
            reap_process(process);
        }
        self.release_streams(slot);
        failpoint::hit("supervisor.exit.tell");
        self.daemons.tell(&self.poll, &Reply::Exited(exit), &[]);
        let Some(process) = self.processes.get_mut(slot) else { return };
        process.forgotten = !process.record;
        self.remove_if_over(slot);
    }

    /// Stops watching the streams of a process that have ended, and lets go of its log when both have. A child of the
    /// process may still write to the others.
    fn release_streams(&mut self, slot: usize) {
        let Some(process) = self.processes.get_mut(slot) else { return };
        let Some(log) = &process.log else { return };
        for stream in [Stream::Stdout, Stream::Stderr].into_iter().filter(|&stream| log.has_ended(stream)) {
            // One that ended before the process did is not in the set any more.
            let _ = self.poll.remove(log.pipe(stream));
        }
        if !process.is_logging() {
            process.log = None;
        }
    }

    /// Tries again to write the records of processes that are held.
    pub(super) fn retry_records(&mut self) {
        let held = self.processes.slots(|process| matches!(process.phase, Phase::Ended { held: true, .. }));
        for slot in held {
            let Some(process) = self.processes.get_mut(slot) else { continue };
            let Phase::Ended { exit, held } = &mut process.phase else { continue };
            if record::write(self.exits.as_fd(), exit).is_ok() {
                *held = false;
                reap_process(process);
                notice(Level::Info, "exit record written after all", &[("id", &process.id)]);
                // Others may have ended behind it.
                self.reap_children();
            }
        }
    }

    /// Nobody asks for this process any more.
    pub(super) fn forget(&mut self, id: &str) {
        let Some(slot) = self.processes.find(id) else { return };
        let Some(process) = self.processes.get_mut(slot) else { return };
        let Phase::Ended { held, .. } = &mut process.phase else {
            return notice(Level::Warn, "process still runs and is not forgotten", &[("id", &id)]);
        };
        if std::mem::take(held) {
            reap_process(process);
        }
        process.forgotten = true;
        self.remove_if_over(slot);
    }

    /// Takes a process out of the table once nobody asks for it and its streams have ended.
    pub(super) fn remove_if_over(&mut self, slot: usize) {
        if self.processes.get(slot).is_some_and(|process| process.forgotten && !process.is_logging()) {
            self.processes.remove(slot);
        }
    }

    /// Takes a child out of the table that is of no interest, and reaps it.
    fn discard(&mut self, slot: usize) {
        let Some(process) = self.processes.remove(slot) else { return };
        if let Some(log) = &process.log {
            for stream in
                [Stream::Stdout, Stream::Stderr].into_iter().filter(|&stream| !log.has_ended(stream))
            {
                // Closing takes it out of the set as well.
                let _ = self.poll.remove(log.pipe(stream));
            }
        }
        reap_process(&process);
    }
}

/// Reaps an orphan if it has ended; false if that failed.
fn reap_orphan(pid: i32) -> bool {
    let reaped = reap(pid);
    if let Err(error) = &reaped {
        notice(Level::Error, "orphan not reaped", &[("pid", &pid), ("error", error)]);
    }
    reaped.is_ok()
}

fn reap_process(process: &Process) {
    if let Err(error) = process.pidfd.try_wait(Reap::Now) {
        notice(Level::Error, "process not reaped", &[("id", &process.id), ("error", &error)]);
    }
}
