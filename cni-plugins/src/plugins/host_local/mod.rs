//! `host-local`: gives out addresses of ranges, remembered in files of this host.
//!
//! Owns the lease files, in the reference plugin's format, so that a node can change between both at any time
//! (cni.md 3.2). Does not own interfaces: the plugin that delegates to it does.
//!
//! An address goes round the whole range before it is given out again. That is what makes it safe to release an
//! address whose veth pair the kernel has still to remove (see [`crate::call::Teardown`]).

mod allocate;
mod config;
mod range;
mod resolv_conf;
mod store;

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

pub use range::{Range, RangeError, RangeSet};
pub use store::Store;

use super::Plugin;
use crate::call::Call;
use crate::error::{Code, Error as CniError};
use crate::result::CniResult;
use config::Config;

/// The plugin.
#[derive(Debug, Clone, Copy)]
pub struct HostLocal;

/// Failures of address management.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A range of the configuration makes no sense.
    #[error("invalid range in network {network}")]
    Range {
        /// Network.
        network: String,
        /// What is wrong.
        #[source]
        source: RangeError,
    },
    /// A lease file or its directory.
    #[error("access lease {}", path.display())]
    Lease {
        /// File or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Somebody holds the lock of the lease directory.
    #[error("lock leases in {}: held by another process for more than {seconds} s", path.display())]
    Locked {
        /// Directory.
        path: PathBuf,
        /// How long was waited.
        seconds: u64,
    },
    /// The second ADD of an attachment.
    #[error(
        "{ip} has been allocated to {container_id} {ifname} of network {network}, duplicate allocation is not allowed"
    )]
    Duplicate {
        /// Its address.
        ip: IpAddr,
        /// Container.
        container_id: String,
        /// Interface.
        ifname: String,
        /// Network.
        network: String,
    },
    /// Every address is in use.
    #[error("no address left in network {network}: {used} of {size} in use in {range}")]
    Exhausted {
        /// Network.
        network: String,
        /// The range set.
        range: String,
        /// Leases in it.
        used: u128,
        /// Addresses in it.
        size: u128,
    },
    /// A requested address belongs to somebody else.
    #[error("requested address {ip} of network {network} is in use by {holder}")]
    Taken {
        /// Address.
        ip: IpAddr,
        /// Network.
        network: String,
        /// Content of the lease.
        holder: String,
    },
    /// A requested address is not one the network gives out.
    #[error("requested address {ip} is not in a range of network {network}")]
    Outside {
        /// Address.
        ip: IpAddr,
        /// Network.
        network: String,
    },
    /// CHECK found no lease.
    #[error("{container_id} {ifname} has no address in network {network}")]
    NoLease {
        /// Container.
        container_id: String,
        /// Interface.
        ifname: String,
        /// Network.
        network: String,
    },
    /// `resolvConf` cannot be read.
    #[error("read {}", path.display())]
    ResolvConf {
        /// File.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl From<Error> for CniError {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::Range { .. } | Error::Outside { .. } => Code::INVALID_CONFIG,
            // The caller may try again: addresses come back.
            Error::Exhausted { .. } | Error::Locked { .. } => Code::TRY_AGAIN,
            Error::NoLease { .. } => Code::CHECK_FAILED,
            Error::Lease { .. } | Error::ResolvConf { .. } => Code::IO,
            Error::Duplicate { .. } | Error::Taken { .. } => Code::INTERNAL,
        };
        CniError::from_source(code, &error)
    }
}

impl Plugin for HostLocal {
    fn name(&self) -> &'static str {
        "host-local"
    }

    fn add(&self, call: &Call<'_>) -> Result<CniResult, CniError> {
        let config = Config::of(call)?;
        let mut result = CniResult { routes: config.routes.clone(), ..CniResult::default() };
        if let Some(path) = &config.resolv_conf {
            result.dns = resolv_conf::read(path)?;
        }
        let store = Store::open(&config.directory)?;
        result.ips = allocate::allocate(&store, &config, &call.container_id, &call.ifname)?;
        Ok(result)
    }

    fn del(&self, call: &Call<'_>) -> Result<(), CniError> {
        let directory = config::directory(call)?;
        match Store::open_existing(&directory)? {
            Some(store) => Ok(store.release(&call.container_id, &call.ifname)?),
            None => Ok(()),
        }
    }

    fn check(&self, call: &Call<'_>) -> Result<(), CniError> {
        let directory = config::directory(call)?;
        let leases = match Store::open_existing(&directory)? {
            Some(store) => store.leases_of(&call.container_id, &call.ifname)?,
            None => Vec::new(),
        };
        if leases.is_empty() {
            return Err(Error::NoLease {
                container_id: call.container_id.clone(),
                ifname: call.ifname.clone(),
                network: call.config.name.clone(),
            }
            .into());
        }
        Ok(())
    }

    fn gc(&self, call: &Call<'_>) -> Result<(), CniError> {
        let valid = call.config.valid_attachments()?;
        match Store::open_existing(&config::directory(call)?)? {
            Some(store) => Ok(store.retain(&valid)?),
            None => Ok(()),
        }
    }

    /// A pool without a free address is no reason to be unready: it would take the node away from pods that run.
    fn status(&self, call: &Call<'_>) -> Result<(), CniError> {
        let config = Config::of(call).map_err(|e| CniError { code: Code::UNAVAILABLE, ..e })?;
        match std::fs::metadata(&config.directory) {
            Ok(found) if !found.is_dir() => {
                let msg = format!("{} is not a directory", config.directory.display());
                Err(CniError::new(Code::UNAVAILABLE, msg))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
