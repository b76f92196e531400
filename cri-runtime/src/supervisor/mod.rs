//! The daemon's half of the conversation with the supervisor, the parent of every container.
//!
//! One task owns the connection; everybody else holds a [`Supervisor`], which sends it requests and awaits the answers.
//! Exits that nobody waits for by id go to the one receiver given out by [`start`]. The supervisor outlives the daemon:
//! [`start`] connects to the one that is there and makes one only if there is none.

mod connection;
mod spawn;

use std::os::fd::OwnedFd;
use std::time::Duration;

use launch::plan::Failure as StepFailure;
use launch::protocol::{Exit, Process, Stdio, StepTime};
use tokio::sync::{mpsc, oneshot};

pub use spawn::{Programs, exit_records};

/// Longest time a start may take before its caller is told so; the supervisor itself gives up earlier.
const ANSWER_DEADLINE: Duration = Duration::from_secs(60);

/// Why the supervisor did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// It could not be started or reached.
    #[error("{operation} supervisor")]
    Reach {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// It speaks another version.
    #[error(
        "speak to supervisor: it has protocol version {theirs}, this daemon {ours}; stop all pods and restart it"
    )]
    Version {
        /// The supervisor's.
        theirs: u32,
        /// Ours.
        ours: u32,
    },
    /// It ended or the connection broke while an answer was awaited.
    #[error("speak to supervisor: the connection was lost")]
    Lost,
    /// No answer came in time.
    #[error("speak to supervisor: no answer within {} s", ANSWER_DEADLINE.as_secs())]
    Deadline,
    /// A step of the launch failed; nothing of the process is left.
    #[error("{0}")]
    Step(StepFailure),
    /// It refused.
    #[error("ask supervisor: {0}")]
    Refused(String),
}

/// What to start.
#[derive(Debug)]
pub struct Start {
    /// Identity of the process.
    pub id: String,
    /// The encoded plan.
    pub plan: Vec<u8>,
    /// Descriptors the plan refers to.
    pub descriptors: Vec<OwnedFd>,
    /// Where its streams go.
    pub stdio: Stdio,
    /// Descriptors of `stdio`.
    pub streams: Vec<OwnedFd>,
    /// Whether its exit is recorded and kept until it is forgotten.
    pub record: bool,
}

/// A started process.
#[derive(Debug)]
pub struct Started {
    /// Process id.
    pub pid: i32,
    /// Field 22 of `/proc/PID/stat`.
    pub start_time: u64,
    /// Nanoseconds since the epoch.
    pub started_at: i64,
    /// How long each step took.
    pub steps: Vec<StepTime>,
    /// The process.
    pub pidfd: kernel::process::Pidfd,
    /// The write end of its standard input, if it was asked for.
    pub stdin: Option<OwnedFd>,
}

/// A process the supervisor had when the daemon connected.
#[derive(Debug)]
pub struct Known {
    /// Who and how.
    pub process: Process,
    /// The process; `None` once it has been reaped.
    pub pidfd: Option<kernel::process::Pidfd>,
    /// The write end of its standard input, if it has one.
    pub stdin: Option<OwnedFd>,
}

/// What the supervisor says on its own.
#[derive(Debug)]
pub enum Event {
    /// A recorded process ended.
    Exited(Exit),
    /// The supervisor is gone and a new one runs: nobody reads the logs of what it had started, and their exits will
    /// not be told.
    Replaced,
}

enum Ask {
    Start(Start, oneshot::Sender<Result<Started, SupervisorError>>, Option<oneshot::Sender<Exit>>),
    ReopenLog(String, OwnedFd, oneshot::Sender<Result<bool, SupervisorError>>),
    Forget(String),
    Shutdown(oneshot::Sender<Result<(), SupervisorError>>),
}

/// A handle on the supervisor.
#[derive(Debug, Clone)]
pub struct Supervisor {
    asks: mpsc::Sender<Ask>,
}

/// Connects to the supervisor at the socket of `programs`, starting one if there is none.
///
/// Returns the handle, what it already runs, and where its events arrive.
///
/// # Errors
/// It cannot be reached or started, or speaks another version.
pub async fn start(
    programs: Programs,
) -> Result<(Supervisor, Vec<Known>, mpsc::Receiver<Event>), SupervisorError> {
    let (connection, known) = spawn::connect_or_spawn(&programs).await?;
    let (asks, inbox) = mpsc::channel(256);
    // Exits must never be dropped and never block the connection on one slow pod: the receiver only routes them.
    let (events, receiver) = mpsc::channel(4096);
    tokio::spawn(connection::run(connection, programs, inbox, events));
    Ok((Supervisor { asks }, known, receiver))
}

impl Supervisor {
    async fn ask<T>(
        &self,
        ask: Ask,
        answer: oneshot::Receiver<Result<T, SupervisorError>>,
    ) -> Result<T, SupervisorError> {
        self.asks.send(ask).await.map_err(|_| SupervisorError::Lost)?;
        match tokio::time::timeout(ANSWER_DEADLINE, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(SupervisorError::Lost),
            Err(_) => Err(SupervisorError::Deadline),
        }
    }

    /// Starts a process.
    ///
    /// # Errors
    /// A step of its plan failed, or the supervisor did not answer.
    pub async fn start(&self, start: Start) -> Result<Started, SupervisorError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Ask::Start(start, reply, None), answer).await
    }

    /// Starts a process whose exit is told to the caller alone.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn exec(&self, start: Start) -> Result<(Started, oneshot::Receiver<Exit>), SupervisorError> {
        let (reply, answer) = oneshot::channel();
        let (exit, exited) = oneshot::channel();
        Ok((self.ask(Ask::Start(start, reply, Some(exit)), answer).await?, exited))
    }

    /// Directs the log of a process to another file; false if it has no log.
    ///
    /// # Errors
    /// The supervisor did not answer.
    pub async fn reopen_log(&self, id: &str, log: OwnedFd) -> Result<bool, SupervisorError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Ask::ReopenLog(id.to_owned(), log, reply), answer).await
    }

    /// Lets the supervisor forget an ended process whose exit is on record.
    pub async fn forget(&self, id: &str) {
        // A connection that is gone has forgotten already.
        let _ = self.asks.send(Ask::Forget(id.to_owned())).await;
    }

    /// Ends the supervisor, if it has no process left.
    ///
    /// # Errors
    /// It still has processes, or did not answer.
    pub async fn shutdown(&self) -> Result<(), SupervisorError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Ask::Shutdown(reply), answer).await
    }
}
