//! The one loop of the supervisor: what happens to whom when a descriptor is ready.
//!
//! One file per matter: [`requests`] of daemons, [`start`] and [`end`] of processes, [`output`] they write,
//! [`upgrade`] of this program. Nothing in it waits for anybody: descriptors are read as far as they go and writes to
//! daemons are queued. Only log files and exit records are written in place.

mod end;
mod output;
mod requests;
mod start;
mod upgrade;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use kernel::event::{Event, Interest, Poll, Signals};
use kernel::socket::Listener;
use thiserror::Error;

use crate::daemon::Daemons;
use crate::enclosure::Enclosure;
use crate::log::Pump;
use crate::notice::{Level, notice};
use crate::process::{Phase, Process, Table};
use crate::token::Token;

/// How often deadlines are looked at and records tried again, while there are any.
const TICK: Duration = Duration::from_secs(1);
/// Requests of one connection that are served before others get their turn.
const TURN: usize = 16;
/// How long no connection is accepted after accepting one failed, for want of descriptors for instance.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Why the supervisor cannot go on.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The loop cannot be set up.
    #[error("set up {what}")]
    SetUp {
        /// Which part.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel refuses to wait.
    #[error("wait for events")]
    Wait(#[source] io::Error),
    /// The state a former program left cannot be read.
    #[error("take over from the program before")]
    Resume(#[from] crate::state::StateError),
}

/// Everything the supervisor is.
pub struct Server {
    poll: Poll,
    listener: Listener,
    signals: Signals,
    exits: OwnedFd,
    enclosure: Enclosure,
    processes: Table,
    daemons: Daemons,
    pump: Pump,
    accept_again: Option<Instant>,
    done: bool,
}

impl Server {
    /// A supervisor without processes that listens on `listener` and writes exit records into the directory `exits`.
    ///
    /// # Errors
    /// [`ServeError::SetUp`].
    pub fn new(listener: Listener, exits: OwnedFd, enclosure: Enclosure) -> Result<Self, ServeError> {
        let set_up = |what| move |source| ServeError::SetUp { what, source };
        let poll = Poll::new().map_err(set_up("event set"))?;
        listener.set_nonblocking(true).map_err(set_up("listener"))?;
        poll.add(listener.as_fd(), Token::Listener.encode(), Interest::Read).map_err(set_up("listener"))?;
        let signals = Signals::collect(&[libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGHUP])
            .map_err(set_up("signals"))?;
        poll.add(signals.as_fd(), Token::Signals.encode(), Interest::Read).map_err(set_up("signals"))?;
        Ok(Self {
            poll,
            listener,
            signals,
            exits,
            enclosure,
            processes: Table::default(),
            daemons: Daemons::default(),
            pump: Pump::default(),
            accept_again: None,
            done: false,
        })
    }

    /// Serves until it is asked to end and no process is left.
    ///
    /// # Errors
    /// [`ServeError::Wait`].
    pub fn run(mut self) -> Result<(), ServeError> {
        // Signals that came before they were collected, or between two programs, are not announced again.
        self.reap_children();
        let mut ready = Vec::new();
        while !self.done {
            let timeout = self.has_deadline().then_some(TICK);
            self.poll.wait(&mut ready, timeout).map_err(ServeError::Wait)?;
            for event in &ready {
                self.dispatch(*event);
            }
            if self.daemons.close_broken(&self.poll) {
                self.abandon_starts();
            }
            if timeout.is_some() {
                self.look_at_deadlines();
            }
        }
        notice(Level::Info, "ended", &[]);
        Ok(())
    }

    fn dispatch(&mut self, event: Event) {
        match Token::decode(event.token) {
            Some(Token::Listener) => self.accept(),
            Some(Token::Signals) => self.take_signals(),
            Some(Token::Daemon(serial)) => {
                if event.writable {
                    self.daemons.flush(&self.poll, serial);
                }
                if event.readable {
                    self.serve_requests(serial);
                }
            }
            Some(Token::Report(slot)) => self.read_report(slot as usize),
            Some(Token::Output(slot, stream)) => self.pump_output(slot as usize, stream),
            None => {}
        }
    }

    fn accept(&mut self) {
        for _ in 0..TURN {
            match self.listener.accept() {
                Ok(socket) => {
                    if let Err(error) = self.daemons.add(&self.poll, socket) {
                        notice(Level::Warn, "connection refused", &[("error", &error)]);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    // The listener stays readable: without a pause this would spin.
                    notice(Level::Error, "connection not accepted", &[("error", &error)]);
                    if self.poll.remove(self.listener.as_fd()).is_ok() {
                        self.accept_again = Some(Instant::now() + ACCEPT_PAUSE);
                    }
                    return;
                }
            }
        }
    }

    fn take_signals(&mut self) {
        loop {
            match self.signals.take() {
                Ok(Some(libc::SIGCHLD)) => self.reap_children(),
                Ok(Some(signal)) if self.is_idle() => {
                    notice(Level::Info, "asked to end", &[("signal", &signal)]);
                    self.done = true;
                }
                // Its processes would lose their parent, their log and their exit codes.
                Ok(Some(signal)) => {
                    notice(Level::Warn, "signal ignored, processes are left", &[("signal", &signal)])
                }
                Ok(None) => return,
                Err(error) => return notice(Level::Error, "signals not read", &[("error", &error)]),
            }
        }
    }

    /// Whether nothing would be lost if this program ended.
    fn is_idle(&self) -> bool {
        let settled = |process: &Process| matches!(process.phase, Phase::Ended { held: false, .. });
        self.processes.iter().all(|(_, process)| settled(process) && !process.is_logging())
    }

    fn has_deadline(&self) -> bool {
        let waits =
            |process: &Process| matches!(process.phase, Phase::Starting(_) | Phase::Ended { held: true, .. });
        self.accept_again.is_some()
            || self.daemons.has_deadline()
            || self.processes.iter().any(|(_, process)| waits(process))
    }

    fn look_at_deadlines(&mut self) {
        let now = Instant::now();
        if self.accept_again.is_some_and(|at| at <= now) {
            match self.poll.add(self.listener.as_fd(), Token::Listener.encode(), Interest::Read) {
                Ok(()) => self.accept_again = None,
                Err(_) => self.accept_again = Some(now + ACCEPT_PAUSE),
            }
        }
        self.give_up_starts(now);
        self.retry_records();
    }
}
