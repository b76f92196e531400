//! Whether a process of the host has a port that a pod is to get.
//!
//! Nothing in the kernel keeps a port from being redirected while somebody listens on it: the process would go on
//! listening and never hear from anybody again. A bind of our own tells a free port quickly; one that is refused has a
//! closer look at who has the port, because a connection the host opened itself has it as well and is no reason to
//! refuse a pod, neither while it lasts nor in TIME_WAIT.
//!
//! SCTP is not looked at: its sockets need a kernel module that most hosts never load, and asking would load it.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, setsockopt, socket, sockopt,
};

use super::config::{Mapping, Protocol};

/// State of a listening TCP socket in `/proc/net/tcp` (`TCP_LISTEN`).
const LISTENING: &str = "0A";
/// State of a UDP socket that takes datagrams from anybody (`TCP_CLOSE`); a connected one is a client.
const UNCONNECTED: &str = "07";

/// Whether a process in this thread's network namespace listens on the port of a mapping for this family of addresses.
///
/// # Errors
/// If sockets cannot be made, or the kernel's list of them cannot be read.
pub fn is_there(mapping: &Mapping, v4: bool) -> io::Result<bool> {
    let (kind, name, state) = match mapping.protocol {
        Protocol::Tcp => (SockType::Stream, "tcp", LISTENING),
        Protocol::Udp => (SockType::Datagram, "udp", UNCONNECTED),
        Protocol::Sctp => return Ok(false),
    };
    let any: IpAddr = if v4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let wanted = SocketAddr::new(mapping.host_ip.unwrap_or(any), mapping.host_port);
    if can_bind(wanted, kind)? {
        return Ok(false);
    }
    // A socket of IPv6 may take connections of IPv4 too.
    let tables = if v4 { &["", "6"][..] } else { &["6"][..] };
    for table in tables {
        let path = format!("/proc/thread-self/net/{name}{table}");
        match File::open(path) {
            Ok(file) => {
                if listed(BufReader::new(file), wanted, state)? {
                    return Ok(true);
                }
            }
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// Binds without listening, so that no client gets a connection that nobody means.
fn can_bind(address: SocketAddr, kind: SockType) -> io::Result<bool> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let probe = match socket(family, kind, SockFlag::SOCK_CLOEXEC, None) {
        Ok(probe) => probe,
        // Nobody listens in a family the kernel does not have.
        Err(Errno::EAFNOSUPPORT) => return Ok(true),
        Err(error) => return Err(error.into()),
    };
    if kind == SockType::Stream {
        // Past what servers that ended left in TIME_WAIT; a listening socket is in the way all the same (socket(7)).
        setsockopt(&probe, sockopt::ReuseAddr, &true)?;
    }
    if address.is_ipv6() {
        setsockopt(&probe, sockopt::Ipv6V6Only, &true)?;
    }
    match bind(probe.as_raw_fd(), &SockaddrStorage::from(address)) {
        Err(Errno::EADDRINUSE) => Ok(false),
        // Anything else, such as an address the host does not have yet, says nothing of listeners.
        _ => Ok(true),
    }
}

/// Whether a table of sockets has one in this state that gets what is sent to `wanted`.
fn listed(table: impl BufRead, wanted: SocketAddr, state: &str) -> io::Result<bool> {
    for line in table.lines().skip(1) {
        let line = line?;
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (local, its_state) = (fields.next(), fields.nth(1));
        if its_state != Some(state) {
            continue;
        }
        if let Some((ip, port)) = local.and_then(parse)
            && port == wanted.port()
            && meet(ip, wanted.ip())
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether something sent to the one address may reach a socket at the other.
fn meet(local: IpAddr, wanted: IpAddr) -> bool {
    // 0.0.0.0 as a mapped address is every address of IPv4; :: is every address of both.
    let local = local.to_canonical();
    let every = local.is_unspecified() && (local.is_ipv6() || wanted.is_ipv4());
    every || local == wanted || (wanted.is_unspecified() && local.is_ipv4() == wanted.is_ipv4())
}

/// An address as `/proc/net` writes it: words of four bytes in the machine's order, and the port as a number.
fn parse(text: &str) -> Option<(IpAddr, u16)> {
    let (ip, port) = text.split_once(':')?;
    let mut octets = [0; 16];
    let words = ip.len() / 8;
    for (index, word) in octets.chunks_exact_mut(4).take(words).enumerate() {
        let number = u32::from_str_radix(ip.get(index * 8..index * 8 + 8)?, 16).ok()?;
        word.copy_from_slice(&number.to_ne_bytes());
    }
    let ip = match words {
        1 => IpAddr::from(*octets.first_chunk::<4>()?),
        4 => IpAddr::from(octets),
        _ => return None,
    };
    Some((ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests;
