//! The task that owns the connection: sends what it is asked, routes what comes back.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use kernel::descriptor::sealed_memory_file;
use kernel::process::Pidfd;
use kernel::socket::Connection;
use launch::protocol::{Exit, INLINE_PLAN_MAX, Launch, Reply, Request};
use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::sync::{mpsc, oneshot};

use super::spawn::{Programs, connect_or_spawn};
use super::{Ask, Event, Start, Started, SupervisorError};

/// Largest message, bytes: an inline plan and what goes with it.
pub(super) const MESSAGE_MAX: usize = INLINE_PLAN_MAX + 64 * 1024;

/// Messages over the socket.
#[derive(Debug)]
pub(super) struct Wire {
    connection: Connection,
    /// A duplicate of the connection that tokio watches. It has a type for datagrams, not for sequenced packets, and
    /// only tells when the socket is ready: what is sent and received goes through `connection`.
    readiness: UnixDatagram,
}

impl Wire {
    pub(super) fn new(connection: Connection) -> io::Result<Self> {
        connection.set_nonblocking(true)?;
        connection.set_send_buffer(4 * 1024 * 1024)?;
        let duplicate = connection.as_fd().try_clone_to_owned()?;
        let readiness = UnixDatagram::from_std(duplicate.into())?;
        Ok(Self { connection, readiness })
    }

    pub(super) async fn send(&self, request: &Request, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let message = postcard::to_stdvec(request).map_err(io::Error::other)?;
        self.readiness.async_io(Interest::WRITABLE, || self.connection.send(&message, descriptors)).await
    }

    /// Receives the next message into `buffer`, which has [`MESSAGE_MAX`] bytes. Nothing is lost when it is dropped
    /// before it is ready.
    pub(super) async fn receive(&self, buffer: &mut [u8]) -> io::Result<(Reply, Vec<OwnedFd>)> {
        let received =
            self.readiness.async_io(Interest::READABLE, || self.connection.receive(buffer)).await?;
        let received = received.ok_or(io::ErrorKind::UnexpectedEof)?;
        let reply = postcard::from_bytes(&buffer[..received.length]).map_err(io::Error::other)?;
        Ok((reply, received.descriptors))
    }
}

/// What is awaited from the supervisor.
#[derive(Default)]
struct Awaited {
    tokens: u64,
    starts: HashMap<u64, oneshot::Sender<Result<Started, SupervisorError>>>,
    /// Exits told to one caller, by process id.
    exits: HashMap<String, oneshot::Sender<Exit>>,
    /// Whose exit waiter is to be dropped if the start fails.
    names: HashMap<u64, String>,
    logs: HashMap<String, Vec<oneshot::Sender<Result<bool, SupervisorError>>>>,
    shutdown: Option<oneshot::Sender<Result<(), SupervisorError>>>,
}

/// Runs until every handle is gone. A supervisor that dies is replaced by a new one; whoever waited for the old one is
/// told that it was lost, and everybody through [`Event::Replaced`].
pub(super) async fn run(
    mut wire: Wire,
    programs: Programs,
    mut inbox: mpsc::Receiver<Ask>,
    events: mpsc::Sender<Event>,
) {
    let mut buffer = vec![0; MESSAGE_MAX];
    loop {
        let mut awaited = Awaited::default();
        let error = loop {
            tokio::select! {
                ask = inbox.recv() => {
                    let Some(ask) = ask else { return };
                    if let Err(error) = awaited.send(&wire, ask).await {
                        break error;
                    }
                }
                reply = wire.receive(&mut buffer) => match reply {
                    Ok((reply, descriptors)) => {
                        if let Some(event) = awaited.route(reply, descriptors)
                            && events.send(event).await.is_err()
                        {
                            return;
                        }
                    }
                    Err(error) => break error,
                }
            }
        };
        if awaited.end() {
            return;
        }
        tracing::error!(%error, "connection to the supervisor is lost");
        match connect_or_spawn(&programs).await {
            Ok((next, known)) if known.is_empty() => {
                wire = next;
                if events.send(Event::Replaced).await.is_err() {
                    return;
                }
            }
            Ok((next, known)) => {
                // The supervisor lives and only the connection broke: what ended meanwhile is told now.
                wire = next;
                for exit in known.into_iter().filter_map(|k| k.process.exit) {
                    if events.send(Event::Exited(exit)).await.is_err() {
                        return;
                    }
                }
            }
            Err(error) => {
                tracing::error!(error = %crate::error::chain(&error), "no supervisor; starts fail until one runs");
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                let Ok((next, _)) = connect_or_spawn(&programs).await else { return };
                wire = next;
                if events.send(Event::Replaced).await.is_err() {
                    return;
                }
            }
        }
    }
}

impl Awaited {
    /// Everybody who waits learns that the supervisor is gone; true if that is what somebody asked for.
    fn end(self) -> bool {
        for reply in self.starts.into_values() {
            let _ = reply.send(Err(SupervisorError::Lost));
        }
        for reply in self.logs.into_values().flatten() {
            let _ = reply.send(Err(SupervisorError::Lost));
        }
        self.shutdown.is_some_and(|reply| {
            let _ = reply.send(Ok(()));
            true
        })
    }

    async fn send(&mut self, wire: &Wire, ask: Ask) -> io::Result<()> {
        match ask {
            Ask::Start(start, reply, exit) => self.send_start(wire, start, reply, exit).await,
            Ask::ReopenLog(id, log, reply) => {
                self.logs.entry(id.clone()).or_default().push(reply);
                wire.send(&Request::ReopenLog { id }, &[log.as_fd()]).await
            }
            Ask::Forget(id) => wire.send(&Request::Forget { id }, &[]).await,
            Ask::Shutdown(reply) => {
                self.shutdown = Some(reply);
                wire.send(&Request::Shutdown, &[]).await
            }
        }
    }

    async fn send_start(
        &mut self,
        wire: &Wire,
        start: Start,
        reply: oneshot::Sender<Result<Started, SupervisorError>>,
        exit: Option<oneshot::Sender<Exit>>,
    ) -> io::Result<()> {
        let Start { id, mut plan, descriptors, stdio, streams, record } = start;
        let large = if plan.len() > INLINE_PLAN_MAX {
            Some(sealed_memory_file(c"plan", &std::mem::take(&mut plan))?)
        } else {
            None
        };
        let descriptors: Vec<BorrowedFd<'_>> =
            large.iter().chain(&descriptors).chain(&streams).map(AsFd::as_fd).collect();
        self.tokens += 1;
        let token = self.tokens;
        self.starts.insert(token, reply);
        if let Some(exit) = exit {
            self.exits.insert(id.clone(), exit);
            self.names.insert(token, id.clone());
        }
        let sent = wire.send(&Request::Launch(Launch { token, id, plan, stdio, record }), &descriptors).await;
        match sent {
            // A message the socket will never take concerns this start alone.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput || error.raw_os_error() == Some(90) => {
                if let Some(reply) = self.starts.remove(&token) {
                    let _ =
                        reply.send(Err(SupervisorError::Reach { operation: "send start to", source: error }));
                }
                Ok(())
            }
            other => other,
        }
    }

    fn route(&mut self, reply: Reply, descriptors: Vec<OwnedFd>) -> Option<Event> {
        match reply {
            Reply::Started { token, pid, start_time, started_at, steps } => {
                self.names.remove(&token);
                let mut descriptors = descriptors.into_iter();
                let pidfd = descriptors.next().map(Pidfd::from);
                let stdin = descriptors.nth(2);
                if let (Some(reply), Some(pidfd)) = (self.starts.remove(&token), pidfd) {
                    let _ = reply.send(Ok(Started { pid, start_time, started_at, steps, pidfd, stdin }));
                }
            }
            Reply::Failed { token, failure } => {
                if let Some(id) = self.names.remove(&token) {
                    self.exits.remove(&id);
                }
                if let Some(reply) = self.starts.remove(&token) {
                    let _ = reply.send(Err(SupervisorError::Step(failure)));
                }
            }
            Reply::Exited(exit) => match self.exits.remove(&exit.id) {
                Some(waiter) => {
                    let _ = waiter.send(exit);
                }
                None => return Some(Event::Exited(exit)),
            },
            Reply::LogReopened { id, done } => {
                for reply in self.logs.remove(&id).unwrap_or_default() {
                    let _ = reply.send(Ok(done));
                }
            }
            Reply::Refused { reason } => match self.shutdown.take() {
                Some(reply) => {
                    let _ = reply.send(Err(SupervisorError::Refused(reason)));
                }
                None => tracing::error!(%reason, "supervisor refused a request"),
            },
            Reply::Welcome { .. } | Reply::Known(_) => tracing::error!("supervisor introduced itself twice"),
        }
        None
    }
}
