//! The network of a node that has no configuration: a bridge of its own, addresses, host ports.

use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde_json::{Value, json};

use crate::error::{Error as CniError, FirstError};
use crate::invoke::conflist::{self, BUILT_IN, Conflist, ConflistError};
use crate::netlink::{self, Protocol, Socket, link, route};
use crate::plugins::{bridge, portmap};

/// What can be chosen about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Builtin {
    /// Name of the network.
    pub name: String,
    /// Name of the bridge.
    pub bridge: String,
    /// Subnets, one or two of different families; a pod gets an address of each.
    pub subnets: Vec<IpNet>,
    /// Largest packet in bytes; that of the interface with the default route if `None`.
    pub mtu: Option<u32>,
}

impl Default for Builtin {
    fn default() -> Self {
        let subnet = ipnet::Ipv4Net::new_assert([10, 85, 0, 0].into(), 16);
        Self {
            name: "orlop".to_owned(),
            bridge: "orlop0".to_owned(),
            subnets: vec![subnet.into()],
            mtu: None,
        }
    }
}

/// Where leases are, below the state directory.
fn leases(state_dir: &Path) -> PathBuf {
    state_dir.join("networks")
}

impl Builtin {
    /// The network as a configuration list, which is how every plugin and the cache see it.
    pub(super) fn conflist(&self, state_dir: &Path) -> Result<Conflist, ConflistError> {
        let ranges: Vec<Value> = self.subnets.iter().map(|net| json!([{ "subnet": net }])).collect();
        let mut bridge = json!({
            "type": "bridge",
            "bridge": self.bridge,
            "isDefaultGateway": true,
            "ipMasq": true,
            // A pod reaches itself through its own service address.
            "hairpinMode": true,
            "ipam": { "type": "host-local", "dataDir": leases(state_dir), "ranges": ranges },
        });
        if let Some(mtu) = self.mtu.or_else(default_route_mtu) {
            bridge["mtu"] = json!(mtu);
        }
        let list = json!({
            "cniVersion": "1.1.0",
            "name": self.name,
            BUILT_IN: true,
            "plugins": [bridge, { "type": "portmap", "capabilities": { "portMappings": true } }],
        });
        conflist::parse(Path::new("built-in.conflist"), list.to_string().as_bytes())
    }

    /// Removes the bridge, its masquerading, unused tables and leases.
    pub(super) fn take_down(&self, state_dir: &Path) -> Result<(), CniError> {
        let mut steps = FirstError::default();
        steps.collect(bridge::delete_bridge(&self.bridge));
        steps.collect(bridge::forget_masquerade(&self.bridge));
        steps.collect(portmap::delete_if_unused());
        let directory = leases(state_dir).join(&self.name);
        match std::fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                let msg = format!("remove leases {}: {error}", directory.display());
                steps.collect(Err::<(), _>(CniError::new(crate::error::Code::IO, msg)));
            }
            _ => {}
        }
        steps.finish()
    }
}

/// What the way out of this host takes; larger packets of pods would be fragmented or lost there.
fn default_route_mtu() -> Option<u32> {
    let look = || -> Result<Option<u32>, netlink::Error> {
        let mut socket = Socket::open(Protocol::Route)?;
        let routes = route::list(&mut socket)?;
        let default =
            routes.iter().filter(|r| r.to.prefix_len() == 0).min_by_key(|r| r.priority.unwrap_or(0));
        let Some(index) = default.and_then(|r| r.link) else { return Ok(None) };
        Ok(link::find_index(&mut socket, index)?.map(|link| link.mtu))
    };
    look().unwrap_or_else(|error| {
        tracing::warn!(%error, "look up MTU of the default route; pods get the kernel's default");
        None
    })
}
