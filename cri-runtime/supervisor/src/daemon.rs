//! The daemons that talk to this supervisor: the one in charge, and those that have not introduced themselves yet.
//!
//! Owns: their connections and what could not be sent yet. Does not own: what is said ([`crate::server`]). Nothing
//! here ever waits for a daemon: while one does not read, its requests are not read either, so what is kept for it is
//! bounded by what it had asked for; after [`STALL`] it is given up.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use kernel::event::{Interest, Poll};
use kernel::socket::{Connection, Received};
use launch::protocol::{Reply, Request};

use crate::notice::{Level, notice};
use crate::token::Token;

/// How long a connection may take to introduce itself, or to read what was sent to it.
pub const STALL: Duration = Duration::from_secs(30);
/// Most connections that have not introduced themselves; the oldest goes first.
const STRANGERS: usize = 8;
/// Most messages kept for a daemon.
const QUEUE: usize = 1 << 14;
/// Messages on their way that the daemon has not read.
const SEND_BUFFER: i32 = 1 << 20;

struct Packet {
    content: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

struct Peer {
    serial: u32,
    socket: Connection,
    queue: VecDeque<Packet>,
    /// Since when something is awaited of it: a greeting, or that it reads.
    awaited_since: Option<Instant>,
    broken: bool,
}

/// What came from a connection.
pub enum Incoming {
    /// A request and its descriptors.
    Request(Request, Vec<OwnedFd>),
    /// Something that is no request.
    Unreadable,
    /// Nothing for now.
    Nothing,
}

/// All connections.
#[derive(Default)]
pub struct Daemons {
    peers: Vec<Peer>,
    in_charge: Option<u32>,
    serials: u32,
}

impl Daemons {
    /// Adds a connection, if it is root's.
    ///
    /// # Errors
    /// Whatever setting it up returns; [`io::ErrorKind::PermissionDenied`] for other users.
    pub fn add(&mut self, poll: &Poll, socket: Connection) -> io::Result<()> {
        if socket.peer_uid()? != 0 {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        socket.set_nonblocking(true)?;
        socket.set_send_buffer(SEND_BUFFER)?;
        self.serials = self.serials.wrapping_add(1);
        let serial = self.serials;
        poll.add(socket.as_fd(), Token::Daemon(serial).encode(), Interest::Read)?;
        let in_charge = self.in_charge;
        let strangers = self.peers.iter().filter(|peer| Some(peer.serial) != in_charge).count();
        if strangers >= STRANGERS
            && let Some(oldest) = self.peers.iter_mut().find(|peer| Some(peer.serial) != in_charge)
        {
            oldest.broken = true;
        }
        let awaited_since = Some(Instant::now());
        self.peers.push(Peer { serial, socket, queue: VecDeque::new(), awaited_since, broken: false });
        Ok(())
    }

    fn peer(&mut self, serial: u32) -> Option<&mut Peer> {
        self.peers.iter_mut().find(|peer| peer.serial == serial && !peer.broken)
    }

    /// Puts a connection in charge. The one before it is closed.
    pub fn put_in_charge(&mut self, serial: u32) {
        let before = self.in_charge.replace(serial).filter(|&before| before != serial);
        if let Some(before) = before.and_then(|before| self.peer(before)) {
            before.broken = true;
        }
        if let Some(peer) = self.peer(serial) {
            peer.awaited_since = None;
        }
    }

    /// Whether this connection is in charge.
    pub fn is_in_charge(&self, serial: u32) -> bool {
        self.in_charge == Some(serial)
    }

    /// Takes the next request of a connection.
    pub fn receive(&mut self, serial: u32, buffer: &mut [u8]) -> Incoming {
        let Some(peer) = self.peer(serial).filter(|peer| peer.queue.is_empty()) else {
            return Incoming::Nothing;
        };
        match peer.socket.receive(buffer) {
            Ok(Some(Received { length, descriptors })) => match postcard::from_bytes(&buffer[..length]) {
                Ok(request) => Incoming::Request(request, descriptors),
                Err(_) => Incoming::Unreadable,
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Incoming::Nothing,
            Ok(None) => {
                peer.broken = true;
                Incoming::Nothing
            }
            Err(error) => {
                notice(Level::Warn, "request not received", &[("error", &error)]);
                peer.broken = true;
                Incoming::Nothing
            }
        }
    }

    /// Says something to the daemon in charge, if there is one.
    pub fn tell(&mut self, poll: &Poll, reply: &Reply, descriptors: &[BorrowedFd<'_>]) {
        if let Some(serial) = self.in_charge {
            self.answer(poll, serial, reply, descriptors);
        }
    }

    /// Says something on one connection: now, or when there is room.
    pub fn answer(&mut self, poll: &Poll, serial: u32, reply: &Reply, descriptors: &[BorrowedFd<'_>]) {
        let Some(peer) = self.peer(serial) else { return };
        if let Err(error) = peer.send(poll, reply, descriptors) {
            notice(Level::Warn, "daemon not reached", &[("error", &error)]);
            peer.broken = true;
        }
    }

    /// Sends what is waiting on a connection that has room again.
    pub fn flush(&mut self, poll: &Poll, serial: u32) {
        let Some(peer) = self.peer(serial) else { return };
        if let Err(error) = peer.flush(poll) {
            notice(Level::Warn, "daemon not reached", &[("error", &error)]);
            peer.broken = true;
        }
    }

    /// Closes what is broken; true if the one in charge was among it, or was replaced.
    pub fn close_broken(&mut self, poll: &Poll) -> bool {
        let now = Instant::now();
        let mut lost = false;
        self.peers.retain(|peer| {
            let overdue = peer.awaited_since.is_some_and(|since| now.duration_since(since) > STALL);
            if !peer.broken && !overdue {
                return true;
            }
            // Closing takes it out of the set as well; nobody else holds this socket.
            let _ = poll.remove(peer.socket.as_fd());
            if self.in_charge == Some(peer.serial) {
                self.in_charge = None;
                lost = true;
            }
            false
        });
        lost
    }

    /// Whether something is awaited of anybody.
    pub fn has_deadline(&self) -> bool {
        self.peers.iter().any(|peer| peer.awaited_since.is_some())
    }
}

impl Peer {
    fn send(&mut self, poll: &Poll, reply: &Reply, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let content = postcard::to_stdvec(reply).map_err(|_| io::ErrorKind::InvalidData)?;
        if self.queue.is_empty() {
            match self.socket.send(&content, descriptors) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
        if self.queue.len() >= QUEUE {
            return Err(io::Error::other("it does not read"));
        }
        let descriptors = descriptors.iter().map(|fd| fd.try_clone_to_owned()).collect::<io::Result<_>>()?;
        self.queue.push_back(Packet { content, descriptors });
        if self.queue.len() == 1 {
            self.awaited_since = Some(Instant::now());
            poll.modify(self.socket.as_fd(), Token::Daemon(self.serial).encode(), Interest::Write)?;
        }
        Ok(())
    }

    fn flush(&mut self, poll: &Poll) -> io::Result<()> {
        while let Some(packet) = self.queue.front() {
            let descriptors: Vec<_> = packet.descriptors.iter().map(AsFd::as_fd).collect();
            match self.socket.send(&packet.content, &descriptors) {
                Ok(()) => {
                    self.queue.pop_front();
                    self.awaited_since = Some(Instant::now());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.queue.shrink_to_fit();
        self.awaited_since = None;
        poll.modify(self.socket.as_fd(), Token::Daemon(self.serial).encode(), Interest::Read)
    }
}
