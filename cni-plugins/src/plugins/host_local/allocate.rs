//! One address of each range set for one attachment.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Error;
use super::config::Config;
use super::range::{Range, RangeSet};
use super::store::{Locked, Reserved, Store};
use crate::result::IpConfig;

/// Reserves; on failure nothing stays reserved.
pub fn allocate(
    store: &Store,
    config: &Config,
    container_id: &str,
    ifname: &str,
) -> Result<Vec<IpConfig>, Error> {
    let locked = store.lock()?;
    if let Some(ip) = locked.marked(container_id, ifname)?.unwrap_or_default().first() {
        return Err(Error::Duplicate {
            ip: *ip,
            container_id: container_id.to_owned(),
            ifname: ifname.to_owned(),
            network: config.network.clone(),
        });
    }
    let mut attachment = Attachment { locked: &locked, config, container_id, ifname };
    let reserved = attachment.reserve_all();
    if reserved.is_err() {
        // The error to report is the one that came first; a lease that cannot be removed now is found by DEL.
        if let Err(error) = locked.release(container_id, ifname) {
            tracing::warn!(%error, container_id, "release leases after a failed ADD");
        }
    }
    reserved
}

struct Attachment<'a> {
    locked: &'a Locked<'a>,
    config: &'a Config,
    container_id: &'a str,
    ifname: &'a str,
}

impl Attachment<'_> {
    fn reserve_all(&mut self) -> Result<Vec<IpConfig>, Error> {
        self.locked.remember(self.container_id, self.ifname)?;
        let sets = self.config.sets.iter().enumerate();
        sets.map(|(index, set)| {
            let wanted = self.config.requested.iter().copied().find(|ip| set.range_of(*ip).is_some());
            let (ip, range) = match wanted {
                Some(ip) => self.reserve_requested(set, ip)?,
                None => self.reserve_next(index, set)?,
            };
            let address = IpNet::new(ip, range.subnet.prefix_len()).unwrap_or(IpNet::from(ip));
            Ok(IpConfig::new(address, Some(range.gateway)))
        })
        .collect()
    }

    fn reserve_requested<'s>(&self, set: &'s RangeSet, ip: IpAddr) -> Result<(IpAddr, &'s Range), Error> {
        let outside = || Error::Outside { ip, network: self.config.network.clone() };
        let range = set.range_of(ip).filter(|range| range.gateway != ip).ok_or_else(outside)?;
        match self.locked.reserve(ip, self.container_id, self.ifname)? {
            Reserved::Yes => Ok((ip, range)),
            Reserved::InUse => Err(Error::Taken {
                ip,
                network: self.config.network.clone(),
                holder: self.locked.holder(ip)?.unwrap_or_default(),
            }),
        }
    }

    fn reserve_next<'s>(&self, index: usize, set: &'s RangeSet) -> Result<(IpAddr, &'s Range), Error> {
        for (ip, range) in set.after(self.locked.last_reserved(index)?) {
            if self.locked.reserve(ip, self.container_id, self.ifname)? == Reserved::Yes {
                self.locked.set_last_reserved(index, ip)?;
                return Ok((ip, range));
            }
        }
        // The walk found none free; the numbers are for whoever has to act on it.
        let used = self.locked.addresses()?.into_iter().filter(|ip| set.range_of(*ip).is_some()).count();
        Err(Error::Exhausted {
            network: self.config.network.clone(),
            range: set.to_string(),
            used: used as u128,
            size: set.size(),
        })
    }
}
