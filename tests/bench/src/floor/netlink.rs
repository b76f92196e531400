//! The few rtnetlink messages of a veth pair, and a socket to send them.

use std::io::{IoSlice, IoSliceMut};
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result, bail};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recvmsg, sendmsg, setsockopt,
    socket, sockopt,
};
use nix::sys::time::TimeVal;

/// Longest wait for the kernel's answer, which normally is there when `send` returns, seconds.
const DEADLINE: i64 = 10;
const ACKNOWLEDGE: u16 = libc::NLM_F_REQUEST as u16 | libc::NLM_F_ACK as u16;
const CREATE: u16 = ACKNOWLEDGE | libc::NLM_F_CREATE as u16 | libc::NLM_F_EXCL as u16;
const VETH_INFO_PEER: u16 = 1;

/// A request under construction: header, body, nested attributes.
pub struct Message(Vec<u8>);

impl Message {
    fn new(kind: u16, flags: u16, body: &[u8]) -> Self {
        let mut bytes = vec![0; 16];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(body);
        Self(bytes)
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    fn name(&mut self, kind: u16, name: &str) -> &mut Self {
        let mut bytes = name.as_bytes().to_vec();
        bytes.push(0);
        self.attribute(kind, &bytes)
    }

    fn nested(&mut self, kind: u16, inside: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.0.len();
        self.attribute(kind, &[]);
        inside(self);
        let length = u16::try_from(self.0.len() - start).unwrap_or(u16::MAX);
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self
    }

    fn finish(mut self) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0
    }
}

/// `struct ifinfomsg`.
fn link(index: i32, up: bool) -> [u8; 16] {
    let flags = if up { libc::IFF_UP as u32 } else { 0 };
    let mut bytes = [0; 16];
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes[8..12].copy_from_slice(&flags.to_ne_bytes());
    bytes[12..16].copy_from_slice(&flags.to_ne_bytes());
    bytes
}

/// A bridge that is up.
pub fn bridge(index: i32, name: &str) -> Message {
    let mut message = Message::new(libc::RTM_NEWLINK, CREATE, &link(index, true));
    message.name(libc::IFLA_IFNAME, name).nested(libc::IFLA_LINKINFO, |info| {
        info.name(libc::IFLA_INFO_KIND, "bridge");
    });
    message
}

/// A veth pair in one message: this end up and a port of the bridge, the other end born in its namespace. The other end
/// cannot be born up: ENOTCONN (trap 17). The kernel takes the other end's index only if this end's is given too.
pub fn veth(
    index: i32,
    name: &str,
    bridge: i32,
    peer: &str,
    peer_index: i32,
    namespace: BorrowedFd<'_>,
) -> Message {
    let mut message = Message::new(libc::RTM_NEWLINK, CREATE, &link(index, true));
    message.name(libc::IFLA_IFNAME, name).attribute(libc::IFLA_MASTER, &bridge.to_ne_bytes()).nested(
        libc::IFLA_LINKINFO,
        |info| {
            info.name(libc::IFLA_INFO_KIND, "veth").nested(libc::IFLA_INFO_DATA, |data| {
                data.nested(VETH_INFO_PEER, |other| {
                    other.0.extend_from_slice(&link(peer_index, false));
                    other.name(libc::IFLA_IFNAME, peer);
                    other.attribute(libc::IFLA_NET_NS_FD, &namespace.as_raw_fd().to_ne_bytes());
                });
            });
        },
    );
    message
}

/// Brings a link up.
pub fn up(index: i32) -> Message {
    Message::new(libc::RTM_NEWLINK, ACKNOWLEDGE, &link(index, true))
}

/// Gives a link an address.
pub fn address(index: i32, address: Ipv4Addr, prefix: u8) -> Message {
    let mut body = vec![libc::AF_INET as u8, prefix, 0, 0];
    body.extend_from_slice(&index.to_ne_bytes());
    let mut message = Message::new(libc::RTM_NEWADDR, CREATE, &body);
    message.attribute(libc::IFA_LOCAL, &address.octets()).attribute(libc::IFA_ADDRESS, &address.octets());
    message
}

/// The default route.
pub fn default_route(gateway: Ipv4Addr, index: i32) -> Message {
    let body = [
        libc::AF_INET as u8,
        0,
        0,
        0,
        libc::RT_TABLE_MAIN,
        libc::RTPROT_BOOT,
        libc::RT_SCOPE_UNIVERSE,
        libc::RTN_UNICAST,
        0,
        0,
        0,
        0,
    ];
    let mut message = Message::new(libc::RTM_NEWROUTE, CREATE, &body);
    message.attribute(libc::RTA_GATEWAY, &gateway.octets()).attribute(libc::RTA_OIF, &index.to_ne_bytes());
    message
}

/// A socket in the network namespace in which it was opened.
pub struct Socket(OwnedFd);

impl Socket {
    /// Opens it.
    pub fn open() -> Result<Self> {
        let fd =
            socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)
                .context("open netlink socket")?;
        setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::new(DEADLINE, 0))
            .context("limit the wait for netlink")?;
        Ok(Self(fd))
    }

    /// Sends all messages at once; every one has to be accepted.
    pub fn exchange(&self, messages: Vec<Message>) -> Result<()> {
        let mut waiting = messages.len();
        let datagram: Vec<u8> = messages.into_iter().flat_map(Message::finish).collect();
        let kernel = NetlinkAddr::new(0, 0);
        sendmsg(self.0.as_raw_fd(), &[IoSlice::new(&datagram)], &[], MsgFlags::empty(), Some(&kernel))
            .context("send to netlink")?;
        let mut buffer = [0; 8192];
        while waiting > 0 {
            let received = recvmsg::<NetlinkAddr>(
                self.0.as_raw_fd(),
                &mut [IoSliceMut::new(&mut buffer)],
                None,
                MsgFlags::empty(),
            )
            .context("receive from netlink")?
            .bytes;
            let mut rest = &buffer[..received];
            while rest.len() >= 20 {
                let length = u32::from_ne_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
                let errno = -i32::from_ne_bytes([rest[16], rest[17], rest[18], rest[19]]);
                if errno != 0 {
                    bail!("netlink refused a message: {}", std::io::Error::from_raw_os_error(errno));
                }
                waiting = waiting.saturating_sub(1);
                rest = rest.get(length.next_multiple_of(4).max(20)..).unwrap_or_default();
            }
        }
        Ok(())
    }
}
