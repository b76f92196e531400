//! A synchronous netlink socket: many requests in one system call, one outcome for each, and never an endless wait.

use std::io;
use std::os::fd::AsRawFd;

use netlink_packet_core::Emitable;
use netlink_packet_route::RouteNetlinkMessage;
use nix::sys::socket::{MsgFlags, recv, setsockopt, sockopt};
use nix::sys::time::TimeVal;

/// Requests one after the other, each answered by an acknowledgement, data, or both.
#[derive(Debug)]
pub struct Socket {
    inner: netlink_sys::Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

/// Which part of the kernel a socket talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Links, addresses, routes.
    Route,
    /// nftables and conntrack.
    Netfilter,
}

/// Failures of the conversation itself; an error the kernel gives to a request is in its [`Outcome`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No socket.
    #[error("open netlink socket")]
    Open(#[source] io::Error),
    /// The requests did not go out.
    #[error("send netlink request")]
    Send(#[source] io::Error),
    /// No answer, or not within the deadline.
    #[error("receive netlink answer")]
    Receive(#[source] io::Error),
    /// An answer that cannot be read.
    #[error("decode netlink answer: {0}")]
    Decode(String),
    /// The kernel refused a request.
    #[error("{request} refused by the kernel{}", extended(.message))]
    Refused {
        /// What was asked.
        request: &'static str,
        /// The kernel's own words, where it has some.
        message: String,
        /// The errno.
        #[source]
        source: io::Error,
    },
}

fn extended(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(" ({message})") }
}

impl Error {
    /// The errno of a refusal; `None` for failures of the conversation.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Refused { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }
}

/// One message to the kernel.
#[derive(Debug, Clone)]
pub struct Request {
    kind: u16,
    flags: u16,
    body: Vec<u8>,
    name: &'static str,
}

pub(crate) const NLM_F_REQUEST: u16 = 0x1;
pub(crate) const NLM_F_ACK: u16 = 0x4;
pub(crate) const NLM_F_DUMP: u16 = 0x300;
pub(crate) const NLM_F_EXCL: u16 = 0x200;
pub(crate) const NLM_F_CREATE: u16 = 0x400;
const NLM_F_DUMP_INTR: u16 = 0x10;
/// The acknowledgement carries no copy of the request, only its header.
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;
const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const HEADER: usize = 16;
/// Netlink answers from the same system call that carries the request, so this only ends a wait that a kernel lock
/// holder (another rtnl user) made unreasonable.
const DEADLINE_SECONDS: i64 = 10;
/// Kernel dumps fill at most 32 KiB per datagram when the reader offers that much.
const BUFFER: usize = 64 * 1024;

impl Request {
    /// A message of an arbitrary kind; `name` says in errors what was asked.
    pub fn new(name: &'static str, kind: u16, flags: u16, body: Vec<u8>) -> Self {
        Self { kind, flags: flags | NLM_F_REQUEST, body, name }
    }

    /// An rtnetlink message; it is acknowledged unless it is a dump.
    pub fn route(name: &'static str, message: RouteNetlinkMessage, flags: u16) -> Self {
        let mut body = vec![0; message.buffer_len()];
        message.emit(&mut body);
        let flags = if flags & NLM_F_DUMP == NLM_F_DUMP { flags } else { flags | NLM_F_ACK };
        Self::new(name, message.message_type(), flags, body)
    }

    fn expects_end(&self) -> bool {
        self.flags & NLM_F_ACK != 0 || self.flags & NLM_F_DUMP == NLM_F_DUMP
    }
}

/// What became of one request.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Errno, 0 for success.
    pub errno: i32,
    /// The kernel's extended message, often empty.
    pub message: String,
    /// Kind and body of each message that came as data.
    pub data: Vec<(u16, Vec<u8>)>,
    name: &'static str,
    /// The table changed while it was dumped.
    pub interrupted: bool,
}

impl Outcome {
    /// The data, unless the kernel refused.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub fn ok(self) -> Result<Vec<(u16, Vec<u8>)>, Error> {
        self.ok_or_tolerate(&[])
    }

    /// Like [`Self::ok`], but the given errnos count as success: what is to be made is there already, or what is to
    /// be removed is gone.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub fn ok_or_tolerate(self, errnos: &[i32]) -> Result<Vec<(u16, Vec<u8>)>, Error> {
        if self.errno == 0 || errnos.contains(&self.errno) {
            return Ok(self.data);
        }
        Err(Error::Refused {
            request: self.name,
            message: self.message,
            source: io::Error::from_raw_os_error(self.errno),
        })
    }
}

impl Socket {
    /// Opens a socket in the network namespace of the calling thread.
    ///
    /// # Errors
    /// [`Error::Open`].
    pub fn open(protocol: Protocol) -> Result<Self, Error> {
        let number = match protocol {
            Protocol::Route => netlink_sys::protocols::NETLINK_ROUTE,
            Protocol::Netfilter => netlink_sys::protocols::NETLINK_NETFILTER,
        };
        let mut inner = netlink_sys::Socket::new(number).map_err(Error::Open)?;
        inner.bind_auto().map_err(Error::Open)?;
        inner.set_ext_ack(true).map_err(Error::Open)?;
        inner.set_cap_ack(true).map_err(Error::Open)?;
        if protocol == Protocol::Route {
            // The kernel then filters a dump by the interface in its header (Linux 4.20).
            inner.set_netlink_get_strict_chk(true).map_err(Error::Open)?;
        }
        let deadline = TimeVal::new(DEADLINE_SECONDS, 0);
        setsockopt(&inner, sockopt::ReceiveTimeout, &deadline).map_err(|e| Error::Open(e.into()))?;
        setsockopt(&inner, sockopt::SendTimeout, &deadline).map_err(|e| Error::Open(e.into()))?;
        Ok(Self { inner, sequence: 0, buffer: vec![0; BUFFER] })
    }

    /// Sends all requests in one datagram and collects the outcome of each, in order. The kernel works through all
    /// of them even if one is refused. A request without acknowledgement and dump flag gets no outcome of its own
    /// unless it fails.
    ///
    /// # Errors
    /// Of the conversation only; look into every [`Outcome`].
    pub fn exchange(&mut self, requests: &[Request]) -> Result<Vec<Outcome>, Error> {
        let first = self.sequence.wrapping_add(1);
        let mut datagram = Vec::with_capacity(requests.iter().map(|r| r.body.len() + HEADER + 3).sum());
        for (request, sequence) in requests.iter().zip(first..) {
            let length = u32::try_from(request.body.len() + HEADER)
                .map_err(|_| Error::Decode(format!("{} is too long", request.name)))?;
            datagram.extend_from_slice(&length.to_ne_bytes());
            datagram.extend_from_slice(&request.kind.to_ne_bytes());
            datagram.extend_from_slice(&request.flags.to_ne_bytes());
            datagram.extend_from_slice(&sequence.to_ne_bytes());
            datagram.extend_from_slice(&0u32.to_ne_bytes());
            datagram.extend_from_slice(&request.body);
            datagram.resize(datagram.len().next_multiple_of(4), 0);
            self.sequence = sequence;
        }
        // connect-less: destination 0 is the kernel.
        let kernel = netlink_sys::SocketAddr::new(0, 0);
        self.inner.send_to(&datagram, &kernel, 0).map_err(Error::Send)?;
        self.collect(requests, first)
    }

    /// One request, its data.
    ///
    /// # Errors
    /// Of the conversation, or [`Error::Refused`].
    pub fn request(&mut self, request: Request) -> Result<Vec<(u16, Vec<u8>)>, Error> {
        let mut outcomes = self.exchange(std::slice::from_ref(&request))?;
        outcomes.pop().unwrap_or_default().ok()
    }

    fn collect(&mut self, requests: &[Request], first: u32) -> Result<Vec<Outcome>, Error> {
        let mut outcomes: Vec<Outcome> =
            requests.iter().map(|r| Outcome { name: r.name, ..Outcome::default() }).collect();
        let mut open: Vec<bool> = requests.iter().map(Request::expects_end).collect();
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut result = Ok(());
        // A refused message that asked for no acknowledgement is the frame of a batch: the rest gets no answer.
        let framed = |outcomes: &[Outcome]| {
            outcomes.iter().zip(requests).any(|(o, request)| o.errno != 0 && !request.expects_end())
        };
        while result.is_ok() && open.contains(&true) && !framed(&outcomes) {
            result = match recv(self.inner.as_raw_fd(), &mut buffer, MsgFlags::MSG_TRUNC) {
                Ok(length) if length > buffer.len() => {
                    Err(Error::Decode(format!("datagram of {length} bytes is larger than the buffer")))
                }
                Ok(length) => consume(&buffer[..length], first, &mut outcomes, &mut open),
                Err(nix::Error::EINTR) => Ok(()),
                Err(errno) => Err(Error::Receive(errno.into())),
            };
        }
        self.buffer = buffer;
        result.map(|()| outcomes)
    }
}

fn consume(mut rest: &[u8], first: u32, outcomes: &mut [Outcome], open: &mut [bool]) -> Result<(), Error> {
    while rest.len() >= HEADER {
        let length = read_u32(rest, 0) as usize;
        if length < HEADER || length > rest.len() {
            return Err(Error::Decode(format!("message of {length} bytes in {} bytes", rest.len())));
        }
        let (kind, flags, sequence) = (read_u16(rest, 4), read_u16(rest, 6), read_u32(rest, 8));
        let body = &rest[HEADER..length];
        rest = &rest[length.next_multiple_of(4).min(rest.len())..];
        // A stray answer to an exchange that ended with an error belongs to nobody.
        let index = sequence.wrapping_sub(first) as usize;
        let Some(outcome) = outcomes.get_mut(index) else { continue };
        outcome.interrupted |= flags & NLM_F_DUMP_INTR != 0;
        match kind {
            NLMSG_NOOP => {}
            NLMSG_ERROR | NLMSG_DONE => {
                let errno = if body.len() >= 4 { read_u32(body, 0) as i32 } else { 0 };
                open[index] = false;
                // nfnetlink may report a message twice: as refused, then as part of a batch that was undone.
                if outcome.errno == 0 {
                    outcome.errno = errno.unsigned_abs() as i32;
                    if kind == NLMSG_ERROR && flags & NLM_F_ACK_TLVS != 0 && flags & NLM_F_CAPPED != 0 {
                        outcome.message = extended_message(body.get(4 + HEADER..).unwrap_or_default());
                    }
                }
            }
            _ => outcome.data.push((kind, body.to_vec())),
        }
    }
    Ok(())
}

fn extended_message(attributes: &[u8]) -> String {
    super::attribute::iterate(attributes)
        .find(|(kind, _)| *kind == NLMSGERR_ATTR_MSG)
        .map(|(_, text)| String::from_utf8_lossy(text).trim_end_matches('\0').to_owned())
        .unwrap_or_default()
}

fn read_u16(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

fn read_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
