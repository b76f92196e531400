//! What the daemon and the supervisor say to each other over one `SOCK_SEQPACKET` connection.
//!
//! One packet is one message, encoded with postcard, with its descriptors attached (`SCM_RIGHTS`). The daemon sends
//! [`Request`]s; the supervisor answers with [`Reply`]s and sends [`Reply::Exited`] on its own. Everything an outsider
//! wrote has been validated and compiled by the daemon before it gets here.
//!
//! The supervisor outlives daemons: a daemon that finds another [`VERSION`] in [`Reply::Welcome`] asks it to execute
//! its own binary in place ([`Request::Upgrade`]) before anything else.

use serde::{Deserialize, Serialize};

use crate::plan::Failure;

/// Version of this protocol; raised whenever a message changes shape.
pub const VERSION: u32 = 1;

/// Descriptor on which the supervisor finds its bound and listening `SOCK_SEQPACKET` socket when it is executed.
pub const LISTENER_FD: i32 = 3;
/// Descriptor of the directory in which it writes one exit record per process with [`Launch::record`].
pub const EXITS_FD: i32 = 4;

/// Plans larger than this travel in a memfd, which is then the first descriptor of the packet.
pub const INLINE_PLAN_MAX: usize = 64 * 1024;

/// Most descriptors one packet can carry (the kernel's `SCM_MAX_FD`).
pub const MAX_FDS: usize = 253;

/// From the daemon to the supervisor.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// First message of a connection. The newest connection is the one that gets [`Reply::Exited`]; an older one is
    /// closed. Answered by [`Reply::Welcome`], then by one [`Reply::Known`] for each process.
    Hello {
        /// The daemon's [`VERSION`].
        version: u32,
    },
    /// Start a process. Descriptors: the memfd of the plan if [`Launch::plan`] is empty, then those the plan refers
    /// to by index, then those of [`Launch::stdio`]. Answered by [`Reply::Started`] or [`Reply::Failed`].
    Launch(Launch),
    /// Write the log of this process to the attached descriptor from now on. Answered by [`Reply::LogReopened`].
    ReopenLog {
        /// Identity given at launch.
        id: String,
    },
    /// The daemon has read the exit record of this process; forget it (and reap it, if it was kept because the
    /// record could not be written).
    Forget {
        /// Identity given at launch.
        id: String,
    },
    /// Execute the attached supervisor binary, a sealed memfd, in place, keeping processes and descriptors. The
    /// connection ends when that succeeds; otherwise answered by [`Reply::Refused`].
    Upgrade,
    /// End if no process is left; otherwise answered by [`Reply::Refused`].
    Shutdown,
    /// Let go of the write end of this process's standard input. Until then the supervisor holds one, so that a
    /// daemon that goes away does not end the input; the reader sees its end when the daemon has closed its own too.
    CloseStdin {
        /// Identity given at launch.
        id: String,
    },
}

/// One process to start.
#[derive(Debug, Serialize, Deserialize)]
pub struct Launch {
    /// Echoed in the answer.
    pub token: u64,
    /// Identity of the process among all of this supervisor: the container, pod or exec id (64 hex digits).
    pub id: String,
    /// Encoded [`crate::plan::Plan`], or empty when it travels in a memfd.
    pub plan: Vec<u8>,
    /// Where its standard streams go.
    pub stdio: Stdio,
    /// Write `<exits>/<id>` when it ends, and keep it in the list of known processes until [`Request::Forget`].
    /// False for exec'd processes: their exit is reported once and not kept.
    pub record: bool,
}

/// Where the standard streams of a process go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stdio {
    /// All three on the plan's `/dev/null` of the supervisor. No descriptor.
    Null,
    /// Three descriptors: standard input, output and error, used as they are.
    Passed,
    /// One descriptor, the log file (open for appending and reading: a torn last line is looked for), or none if `log` is false: output is read and discarded.
    /// The supervisor makes the pipes, reads them and writes CRI log lines (L-01 to L-09).
    Logged {
        /// A log descriptor is attached.
        log: bool,
        /// Longest content of one log line, bytes; longer lines are split into `P` pieces (L-03). 0 and everything
        /// above 1 MiB count as 1 MiB: what is held of an unfinished line is bounded.
        max_line: u32,
        /// Keep a pipe open for standard input, returned in [`Reply::Started`]; otherwise it is `/dev/null`.
        stdin: bool,
    },
}

/// From the supervisor to the daemon.
#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    /// Answer to [`Request::Hello`].
    Welcome {
        /// The supervisor's [`VERSION`].
        version: u32,
        /// Its process id.
        pid: i32,
        /// How many [`Reply::Known`] follow.
        processes: u32,
    },
    /// One process this supervisor knows, running or ended and not yet forgotten. Descriptors: its pidfd, then, while
    /// it runs, the ends of its pipes that [`Reply::Started`] would carry.
    Known(Process),
    /// The process executes its program. Descriptors: pidfd; for [`Stdio::Logged`] also the read ends of standard
    /// output and error (escrow) and, with `stdin`, the write end of standard input.
    Started {
        /// From the request.
        token: u64,
        /// Process id in the supervisor's pid namespace.
        pid: i32,
        /// Field 22 of `/proc/PID/stat`: with the pid an identity that survives pid reuse. Clock ticks since boot.
        start_time: u64,
        /// Wall clock, nanoseconds since the epoch.
        started_at: i64,
        /// Duration of each step of the plan, in order, nanoseconds.
        steps: Vec<StepTime>,
    },
    /// The process could not be started; nothing of it is left.
    Failed {
        /// From the request.
        token: u64,
        /// Which step, which object, which errno.
        failure: Failure,
    },
    /// A process ended and, with [`Launch::record`], its exit record is in place; or that could not be written (disk
    /// full), and the process is kept as a zombie until it can, or until [`Request::Forget`].
    Exited(Exit),
    /// Answer to [`Request::ReopenLog`]; false if no such process is logged.
    LogReopened {
        /// From the request.
        id: String,
        /// Whether it was done.
        done: bool,
    },
    /// The request could not be carried out.
    Refused {
        /// One line.
        reason: String,
    },
}

/// Duration of one executed step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepTime {
    /// Name of the step (`clone`, `rootfs`, `mount /proc`, ...).
    pub name: String,
    /// Nanoseconds.
    pub nanos: u64,
}

/// A process the supervisor keeps.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Process {
    /// Identity given at launch.
    pub id: String,
    /// Process id.
    pub pid: i32,
    /// Field 22 of `/proc/PID/stat`.
    pub start_time: u64,
    /// Wall clock, nanoseconds since the epoch.
    pub started_at: i64,
    /// Set when it has ended.
    pub exit: Option<Exit>,
}

/// How a process ended. Also the content of an exit record (JSON).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Identity given at launch.
    pub id: String,
    /// Process id.
    pub pid: i32,
    /// Wait status as `waitid` gives it: exit code 0-255 if `signal` is 0.
    pub code: i32,
    /// Signal that ended it, or 0.
    pub signal: i32,
    /// Wall clock, nanoseconds since the epoch.
    pub started_at: i64,
    /// Wall clock, nanoseconds since the epoch.
    pub finished_at: i64,
    /// Log bytes that could not be written (disk full, L-08).
    pub log_bytes_dropped: u64,
}

impl Exit {
    /// The exit code as CRI reports it: 128 + n for a death by signal n.
    pub fn cri_code(&self) -> i32 {
        if self.signal == 0 { self.code } else { 128 + self.signal }
    }
}
