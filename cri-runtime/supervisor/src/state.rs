//! What one program of this process leaves to the next: all it knows, with the numbers of the descriptors it kept.
//!
//! Owns: the shape of that, and how it is read back. It travels in a memory file; the other descriptors are simply
//! not closed by `execve`. A field is only ever added behind the others, with [`STATE_VERSION`] raised, and older
//! versions stay readable: the program before cannot be asked again.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use kernel::descriptor::take_inherited;
use kernel::process::Pidfd;
use launch::protocol::Exit;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::log::{Log, Parts, Sink};
use crate::logline::Stream;
use crate::process::{Phase, Process};

/// Version of [`State`].
pub const STATE_VERSION: u32 = 1;

/// Why a state cannot be taken over.
#[derive(Debug, Error)]
pub enum StateError {
    /// The memory file cannot be read.
    #[error("read state")]
    Read(#[source] io::Error),
    /// It is not a state.
    #[error("decode state")]
    Decode(#[source] postcard::Error),
    /// A newer program wrote it.
    #[error("understand state of version {found}, newer than {STATE_VERSION}")]
    Version {
        /// Its version.
        found: u32,
    },
    /// A descriptor it names was not kept.
    #[error("take descriptor {number} of {owner}")]
    Descriptor {
        /// Its number.
        number: RawFd,
        /// Whose it is.
        owner: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// All a supervisor knows.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    /// [`STATE_VERSION`] of the program that wrote it. Always the first field.
    pub version: u32,
    /// The listening socket.
    pub listener: RawFd,
    /// Directory of exit records.
    pub exits: RawFd,
    /// What the enclosure keeps of the world outside.
    pub enclosure: [RawFd; 4],
    /// Soft and hard limit of open descriptors that processes are started with.
    pub descriptor_limit: [u64; 2],
    /// Every process that runs, or has ended and is not forgotten.
    pub processes: Vec<Saved>,
}

/// A process.
#[derive(Debug, Serialize, Deserialize)]
pub struct Saved {
    id: String,
    pid: i32,
    pidfd: RawFd,
    start_time: u64,
    started_at: i64,
    record: bool,
    forgotten: bool,
    exit: Option<Exit>,
    held: bool,
    stdin: Option<RawFd>,
    log: Option<SavedLog>,
}

/// The log of a process.
#[derive(Debug, Serialize, Deserialize)]
struct SavedLog {
    pipes: [RawFd; 2],
    ended: [bool; 2],
    held: [Vec<u8>; 2],
    file: Option<RawFd>,
    dropped: u64,
    max_line: u32,
}

const STREAMS: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

impl Saved {
    /// What is to be saved of a process; `None` if it has not executed its program and never will.
    pub fn of(process: &Process) -> Option<Self> {
        let (exit, held) = match &process.phase {
            Phase::Running => (None, false),
            Phase::Ended { exit, held } => (Some(exit.clone()), *held),
            Phase::Starting(_) | Phase::Failing { .. } | Phase::Abandoned => return None,
        };
        let log = process.log.as_ref().map(|log| SavedLog {
            pipes: STREAMS.map(|stream| log.pipe(stream).as_raw_fd()),
            ended: STREAMS.map(|stream| log.has_ended(stream)),
            held: STREAMS.map(|stream| log.held(stream).to_vec()),
            file: log.sink().file().map(AsRawFd::as_raw_fd),
            dropped: log.sink().dropped(),
            max_line: log.max_line(),
        });
        Some(Self {
            id: process.id.clone(),
            pid: process.pid,
            pidfd: process.pidfd.as_raw_fd(),
            start_time: process.start_time,
            started_at: process.started_at,
            record: process.record,
            forgotten: process.forgotten,
            exit,
            held,
            stdin: process.stdin.as_ref().map(AsRawFd::as_raw_fd),
            log,
        })
    }

    /// The process again.
    ///
    /// # Errors
    /// [`StateError::Descriptor`].
    pub fn restore(self) -> Result<Process, StateError> {
        let take = |number| take(number, &self.id);
        let log = match self.log {
            None => None,
            Some(saved) => {
                let file = saved.file.map(take).transpose()?.map(File::from);
                let parts = Parts {
                    pipes: [take(saved.pipes[0])?, take(saved.pipes[1])?],
                    ended: saved.ended,
                    held: saved.held,
                    sink: Sink::resume(file, saved.dropped),
                    max_line: saved.max_line,
                };
                let number = saved.pipes[0];
                let failed = |source| StateError::Descriptor { number, owner: self.id.clone(), source };
                Some(Log::from_parts(parts).map_err(failed)?)
            }
        };
        Ok(Process {
            pid: self.pid,
            pidfd: Pidfd::from(take(self.pidfd)?),
            start_time: self.start_time,
            started_at: self.started_at,
            record: self.record,
            forgotten: self.forgotten,
            phase: match self.exit {
                Some(exit) => Phase::Ended { exit, held: self.held },
                None => Phase::Running,
            },
            log,
            stdin: self.stdin.map(take).transpose()?,
            id: self.id,
        })
    }
}

/// Takes a descriptor that was kept over `execve`.
///
/// # Errors
/// [`StateError::Descriptor`].
pub fn take(number: RawFd, owner: &str) -> Result<OwnedFd, StateError> {
    take_inherited(number).map_err(|source| StateError::Descriptor {
        number,
        owner: owner.to_owned(),
        source,
    })
}

/// Reads the state that the program before left in the memory file with this number.
///
/// # Errors
/// [`StateError`].
pub fn read(number: RawFd) -> Result<State, StateError> {
    let mut file = File::from(take(number, "state")?);
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_end(&mut bytes)).map_err(StateError::Read)?;
    let (version, _) = postcard::take_from_bytes::<u32>(&bytes).map_err(StateError::Decode)?;
    if version > STATE_VERSION {
        return Err(StateError::Version { found: version });
    }
    postcard::from_bytes(&bytes).map_err(StateError::Decode)
}
