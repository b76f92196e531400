//! A pod's network: a namespace, a veth pair from a bridge into it, an address, the default route.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns, unshare};

use super::netlink::{self, Socket};

const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 254, 0, 1);
const PREFIX: u8 = 16;
/// Chosen by us, so that no answer has to be read to know them. Loopback is always 1.
const LOOPBACK: i32 = 1;
const BRIDGE: i32 = 4096;
const INSIDE: i32 = 2048;
const FIRST: i32 = 65_536;

/// The bridge, in the network namespace of this process.
pub struct Network {
    own: OwnedFd,
    socket: Socket,
    pods: u32,
}

impl Network {
    /// Leaves for a new network namespace and makes the bridge there.
    pub fn open() -> Result<Self> {
        unshare(CloneFlags::CLONE_NEWNET).context("make the host's network namespace")?;
        let socket = Socket::open()?;
        socket.exchange(vec![
            netlink::up(LOOPBACK),
            netlink::bridge(BRIDGE, "floor0"),
            netlink::address(BRIDGE, GATEWAY, PREFIX),
        ])?;
        Ok(Self { own: current()?, socket, pods: 0 })
    }

    /// A connected network namespace; it ends with its last descriptor and process.
    pub fn pod(&mut self) -> Result<OwnedFd> {
        // Three bytes of the address count pods; the gateway and the network's own address are left out.
        self.pods = self.pods % 60_000 + 1;
        unshare(CloneFlags::CLONE_NEWNET).context("make network namespace")?;
        let inside = current().and_then(|namespace| Ok((namespace, Socket::open()?)));
        setns(self.own.as_fd(), CloneFlags::CLONE_NEWNET)
            .context("return to the host's network namespace")?;
        let (namespace, socket) = inside?;
        let name = format!("floor{}", self.pods);
        let index = FIRST + i32::try_from(self.pods).context("number a link")?;
        self.socket.exchange(vec![netlink::veth(index, &name, BRIDGE, "eth0", INSIDE, namespace.as_fd())])?;
        let address = Ipv4Addr::from_bits(GATEWAY.to_bits() + self.pods);
        socket.exchange(vec![
            netlink::up(LOOPBACK),
            netlink::address(INSIDE, address, PREFIX),
            netlink::up(INSIDE),
            netlink::default_route(GATEWAY, INSIDE),
        ])?;
        Ok(namespace)
    }
}

fn current() -> Result<OwnedFd> {
    Ok(File::open("/proc/self/ns/net").context("open the current network namespace")?.into())
}
