//! `loopback`: sets `lo` up. The kernel gives it 127.0.0.1/8 and ::1/128 by itself.

use std::io;

use nix::libc::ENODEV;

use super::Plugin;
use crate::call::Call;
use crate::error::{Code, Error as CniError};
use crate::netlink::{self, Protocol, Socket, address, link};
use crate::netns::Netns;
use crate::result::{CniResult, Interface, IpConfig};

/// The plugin. The interface is always `lo`, whatever the caller names.
#[derive(Debug, Clone, Copy)]
pub struct Loopback;

const NAME: &str = "lo";

/// Failures of the loopback plugin.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A thread inside.
    #[error("enter the network namespace of the container")]
    Enter(#[from] io::Error),
    /// The interface.
    #[error("set up interface lo")]
    SetUp(#[source] netlink::Error),
    /// The interface.
    #[error("set down interface lo")]
    SetDown(#[source] netlink::Error),
    /// There is none.
    #[error("set up interface lo: it does not exist")]
    Missing,
    /// Somebody else uses it.
    #[error("interface lo has address {0}, which is no loopback address")]
    ForeignAddress(ipnet::IpNet),
    /// CHECK.
    #[error("interface lo is down")]
    Down,
}

impl From<Error> for CniError {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::Down | Error::ForeignAddress(_) => Code::CHECK_FAILED,
            _ => Code::INTERNAL,
        };
        CniError::from_source(code, &error)
    }
}

/// Sets `lo` up and says what it is like.
pub(crate) fn set_up(netns: &Netns) -> Result<CniResult, Error> {
    netns.enter(|| {
        let mut socket = Socket::open(Protocol::Route).map_err(Error::SetUp)?;
        let lo = link::find(&mut socket, NAME).map_err(Error::SetUp)?.ok_or(Error::Missing)?;
        socket.request(link::set_up(lo.index)).map_err(Error::SetUp)?;
        let addresses = address::list(&mut socket, Some(lo.index)).map_err(Error::SetUp)?;
        if let Some(foreign) = addresses.iter().find(|a| !a.net.addr().is_loopback()) {
            return Err(Error::ForeignAddress(foreign.net));
        }
        let interface = Interface {
            name: NAME.to_owned(),
            mac: link::mac_text(&lo),
            sandbox: netns.path().to_owned(),
            ..Interface::default()
        };
        let ips = addresses.iter().map(|a| IpConfig { interface: Some(0), ..IpConfig::new(a.net, None) });
        Ok(CniResult { interfaces: vec![interface], ips: ips.collect(), ..CniResult::default() })
    })
}

fn set_down(netns: &Netns) -> Result<(), Error> {
    netns.enter(|| {
        let mut socket = Socket::open(Protocol::Route).map_err(Error::SetDown)?;
        let outcome = socket.exchange(&[link::set_down(NAME)]).map_err(Error::SetDown)?.remove(0);
        outcome.ok_or_tolerate(&[ENODEV]).map(|_| ()).map_err(Error::SetDown)
    })
}

impl Plugin for Loopback {
    fn name(&self) -> &'static str {
        "loopback"
    }

    fn add(&self, call: &Call<'_>) -> Result<CniResult, CniError> {
        let result = set_up(call.netns()?)?;
        Ok(call.config.prev_result.clone().unwrap_or(result))
    }

    fn del(&self, call: &Call<'_>) -> Result<(), CniError> {
        match &call.netns {
            Some(netns) => Ok(set_down(netns)?),
            None => Ok(()),
        }
    }

    fn check(&self, call: &Call<'_>) -> Result<(), CniError> {
        call.netns()?.enter(|| {
            let mut socket = Socket::open(Protocol::Route).map_err(Error::SetUp)?;
            let lo = link::find(&mut socket, NAME).map_err(Error::SetUp)?.ok_or(Error::Missing)?;
            if lo.up { Ok(()) } else { Err(Error::Down) }
        })?;
        Ok(())
    }

    /// There is nothing outside the namespace.
    fn gc(&self, _call: &Call<'_>) -> Result<(), CniError> {
        Ok(())
    }

    fn status(&self, _call: &Call<'_>) -> Result<(), CniError> {
        Ok(())
    }
}
