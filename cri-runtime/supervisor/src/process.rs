//! The processes this supervisor is the parent of.
//!
//! ```text
//!              report: failed, deadline            reaped: tell
//!   Starting ---------------------------> Failing -------------> gone
//!     |   \  its daemon went away                    reaped
//!     |    `--------------------------> Abandoned ------------> gone
//!     | report: executed
//!     v          ended: drain the log, write the record, reap, tell       Forget, streams ended
//!   Running ----------------------------------------------------> Ended -------------------> gone
//!                                                      ^     | record not written: held as a zombie, tried again
//!                                                      `-----'
//! ```
//! Owns what is known of each, and the table of them. The transitions are in [`crate::server`].

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use kernel::process::Pidfd;
use launch::plan::Failure;
use launch::protocol::{self, Exit, StepTime};

use crate::log::Log;
use crate::logline::Stream;

/// One child of the supervisor.
#[derive(Debug)]
pub struct Process {
    /// Identity given at launch.
    pub id: String,
    /// Process id.
    pub pid: i32,
    /// The process itself.
    pub pidfd: Pidfd,
    /// Field 22 of `/proc/PID/stat`; 0 until it runs.
    pub start_time: u64,
    /// Wall clock, nanoseconds since the epoch; 0 until it runs.
    pub started_at: i64,
    /// Its exit is written to a record and kept until it is forgotten.
    pub record: bool,
    /// Nobody asks for it any more; it is only here because its streams are still open.
    pub forgotten: bool,
    /// How far it got.
    pub phase: Phase,
    /// Its output, if that is logged.
    pub log: Option<Log>,
    /// Write end of its standard input, held so that a daemon that goes away does not close it.
    pub stdin: Option<OwnedFd>,
}

/// How far a process got.
#[derive(Debug)]
pub enum Phase {
    /// Between clone and execve.
    Starting(Starting),
    /// Could not be started, and is not reaped yet.
    Failing {
        /// Of the request.
        token: u64,
        /// To be told.
        failure: Failure,
    },
    /// Was to be started for a daemon that is gone, and is not reaped yet.
    Abandoned,
    /// Executes its program.
    Running,
    /// Has ended.
    Ended {
        /// How.
        exit: Exit,
        /// It is still a zombie, because its record could not be written.
        held: bool,
    },
}

/// A start under way.
#[derive(Debug)]
pub struct Starting {
    /// Of the request.
    pub token: u64,
    /// What the clone took.
    pub clone: StepTime,
    /// Read end of the report.
    pub report: File,
    /// What it said so far.
    pub received: Vec<u8>,
    /// When it is given up.
    pub deadline: Instant,
}

impl Process {
    /// How it ended, once it has.
    pub fn exit(&self) -> Option<&Exit> {
        match &self.phase {
            Phase::Ended { exit, .. } => Some(exit),
            _ => None,
        }
    }

    /// Whether a daemon is told of it in the answer to its greeting.
    pub fn is_known(&self) -> bool {
        !self.forgotten && matches!(self.phase, Phase::Running | Phase::Ended { .. })
    }

    /// Whether its identity is taken.
    pub fn has_name(&self) -> bool {
        !self.forgotten && !matches!(self.phase, Phase::Abandoned)
    }

    /// Whether a stream of it can still bring something.
    pub fn is_logging(&self) -> bool {
        let open = |log: &Log| !(log.has_ended(Stream::Stdout) && log.has_ended(Stream::Stderr));
        self.log.as_ref().is_some_and(open)
    }

    /// What the protocol says of it.
    pub fn describe(&self) -> protocol::Process {
        protocol::Process {
            id: self.id.clone(),
            pid: self.pid,
            start_time: self.start_time,
            started_at: self.started_at,
            exit: self.exit().cloned(),
        }
    }

    /// The descriptors a daemon gets: pidfd, and while it runs the read ends of its output and the write end of its
    /// standard input.
    pub fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let mut descriptors = vec![self.pidfd.as_fd()];
        if self.exit().is_none() {
            if let Some(log) = &self.log {
                descriptors.extend([log.pipe(Stream::Stdout), log.pipe(Stream::Stderr)]);
            }
            descriptors.extend(self.stdin.as_ref().map(AsFd::as_fd));
        }
        descriptors
    }
}

/// All processes, each in a slot that it keeps.
#[derive(Debug, Default)]
pub struct Table {
    slots: Vec<Option<Box<Process>>>,
}

impl Table {
    /// Adds a process and returns its slot.
    pub fn insert(&mut self, process: Process) -> usize {
        let process = Some(Box::new(process));
        match self.slots.iter().position(Option::is_none) {
            Some(free) => {
                self.slots[free] = process;
                free
            }
            None => {
                self.slots.push(process);
                self.slots.len() - 1
            }
        }
    }

    /// Takes a process out.
    pub fn remove(&mut self, slot: usize) -> Option<Box<Process>> {
        self.slots.get_mut(slot)?.take()
    }

    /// The process in a slot.
    pub fn get(&self, slot: usize) -> Option<&Process> {
        self.slots.get(slot)?.as_deref()
    }

    /// The process in a slot.
    pub fn get_mut(&mut self, slot: usize) -> Option<&mut Process> {
        self.slots.get_mut(slot)?.as_deref_mut()
    }

    /// All processes with their slots.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Process)> {
        self.slots.iter().enumerate().filter_map(|(slot, process)| Some((slot, process.as_deref()?)))
    }

    /// Slots of the processes for which `wanted` holds.
    pub fn slots(&self, wanted: impl Fn(&Process) -> bool) -> Vec<usize> {
        self.iter().filter(|(_, process)| wanted(process)).map(|(slot, _)| slot).collect()
    }

    /// Slot of the process that has this identity.
    pub fn find(&self, id: &str) -> Option<usize> {
        self.iter().find(|(_, process)| process.has_name() && process.id == id).map(|(slot, _)| slot)
    }

    /// Slot of the process that has this pid, as long as it is not reaped.
    pub fn find_unreaped(&self, pid: i32) -> Option<usize> {
        let reaped = |process: &Process| matches!(process.phase, Phase::Ended { held: false, .. });
        self.iter().find(|(_, process)| process.pid == pid && !reaped(process)).map(|(slot, _)| slot)
    }
}
