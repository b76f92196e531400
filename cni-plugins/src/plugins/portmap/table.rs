//! What is in the table of host ports ([`super::rules`]): the only record of who has which port. Everything in it carries
//! its owner, so that it can be found again by nothing else.

use std::net::IpAddr;

use super::Error;
use super::config::{Config, Mapping};
use super::rules::{Family, MAPS, SETS, TABLE, family, octets, port, skeleton};
use crate::nft::expression::interface_name;
use crate::nft::transaction::Added;
use crate::nft::{Element, Owner, Tables};

/// The key of a mapping and the map it belongs to. An unspecified hostIP is no address of a packet: it means every
/// address of its family, which is what a key without hostIP means in the map of one family.
fn key(f: &Family, mapping: &Mapping) -> (&'static str, Vec<u8>) {
    let mut fields = vec![mapping.protocol.number(), 0, 0, 0];
    fields.extend(port(mapping.host_port));
    match mapping.host_ip.filter(|ip| !ip.is_unspecified()) {
        Some(ip) => (f.ip, [octets(ip), fields].concat()),
        None => (f.any, fields),
    }
}

fn value(target: IpAddr, mapping: &Mapping) -> Vec<u8> {
    [octets(target), port(mapping.container_port).to_vec()].concat()
}

/// What is to be in the table for one address of a pod.
pub fn elements(
    target: IpAddr,
    mappings: &[&Mapping],
    interface: Option<&str>,
    config: &Config,
    owner: &Owner,
) -> Vec<(&'static str, Element)> {
    let f = family(target);
    let element = |key, value| Element { key, value, owner: Some(owner.clone()) };
    let mut elements: Vec<(&'static str, Element)> = mappings
        .iter()
        .map(|mapping| {
            let (map, key) = key(f, mapping);
            (map, element(key, value(target, mapping)))
        })
        .collect();
    let pod = octets(target);
    if let Some(interface) = interface {
        elements.push((f.hairpin, element([pod.clone(), interface_name(interface)].concat(), Vec::new())));
        elements.push((f.itself, element([pod.clone(), pod.clone()].concat(), Vec::new())));
        if target.is_ipv4() {
            elements.push((f.local, element(pod.clone(), Vec::new())));
        }
    }
    if config.masquerade_all {
        elements.push((f.all, element(pod, Vec::new())));
    }
    elements
}

fn open() -> Result<Tables, crate::nft::Error> {
    Tables::open(TABLE, skeleton)
}

fn describe(map: &str, key: &[u8]) -> String {
    let (ip, fields) = key.split_at(key.len().saturating_sub(8));
    let protocol = match fields.first() {
        Some(6) => "tcp",
        Some(17) => "udp",
        _ => "sctp",
    };
    let number = fields.get(4..6).map_or(0, |p| u16::from_be_bytes([p[0], p[1]]));
    let ip = match (map, ip.len()) {
        (_, 4) => <[u8; 4]>::try_from(ip).map(|o| format!("{}:", IpAddr::from(o))).unwrap_or_default(),
        (_, 16) => <[u8; 16]>::try_from(ip).map(|o| format!("[{}]:", IpAddr::from(o))).unwrap_or_default(),
        _ => String::new(),
    };
    format!("{ip}{number}/{protocol}")
}

/// Puts all elements in, or none.
///
/// # Errors
/// [`Error::Taken`] if a port is somebody else's.
pub fn add(elements: &[(&'static str, Element)], owner: &Owner) -> Result<(), Error> {
    let mut tables = open().map_err(Error::Publish)?;
    loop {
        let index = match tables.add(elements).map_err(Error::Publish)? {
            Added::All => return Ok(()),
            Added::Taken(index) => index,
        };
        let (set, element) = &elements[index];
        let Some(holder) = tables.get(set, &element.key).map_err(Error::LookUp)? else { continue };
        let is_port = MAPS.contains(set);
        match holder.owner {
            // Left by an ADD of the same attachment that was killed, or of the pod that had the address before and
            // was never deleted: the address is ours, so its entries are stale.
            Some(holder) if holder.same_attachment(owner) || !is_port => {
                tables.remove(vec![(*set, element.key.clone())]).map_err(Error::Publish)?;
            }
            holder => return Err(taken(set, &element.key, holder)),
        }
    }
}

fn taken(map: &str, key: &[u8], holder: Option<Owner>) -> Error {
    let holder = holder.map_or_else(|| "unknown (an entry without an owner)".to_owned(), |o| o.comment);
    Error::Taken { port: describe(map, key), holder }
}

/// Fails if the port of a mapping is another pod's.
///
/// # Errors
/// [`Error::Taken`] if so.
pub fn refuse_others(target: IpAddr, mapping: &Mapping, owner: &Owner) -> Result<(), Error> {
    let (map, key) = key(family(target), mapping);
    let mut tables = open().map_err(Error::LookUp)?;
    if !tables.exists().map_err(Error::LookUp)? {
        return Ok(());
    }
    match tables.get(map, &key).map_err(Error::LookUp)? {
        Some(found) if !found.owner.as_ref().is_some_and(|holder| holder.same_attachment(owner)) => {
            Err(taken(map, &key, found.owner))
        }
        _ => Ok(()),
    }
}

/// Removes everything of one owner. Returns protocol and number of its ports.
///
/// # Errors
/// If the table cannot be read or changed.
pub fn remove_owned(owner: &Owner) -> Result<Vec<(u8, u16)>, Error> {
    remove_where(|found| found.same_attachment(owner))
}

/// Removes everything of the owners `stale` picks. The sets are read as a whole, which needs no configuration and no
/// result, and costs some ten microseconds per hundred ports.
///
/// # Errors
/// If the table cannot be read or changed.
pub fn remove_where(stale: impl Fn(&Owner) -> bool) -> Result<Vec<(u8, u16)>, Error> {
    let mut tables = open().map_err(Error::Remove)?;
    let (mut keys, mut ports) = (Vec::new(), Vec::new());
    if !tables.exists().map_err(Error::Remove)? {
        return Ok(ports);
    }
    for set in SETS {
        for element in tables.list(set).map_err(Error::Remove)? {
            if !element.owner.as_ref().is_some_and(&stale) {
                continue;
            }
            if MAPS.contains(&set)
                && let Some([protocol, _, _, _, high, low, ..]) = element.key.last_chunk::<8>()
            {
                ports.push((*protocol, u16::from_be_bytes([*high, *low])));
            }
            keys.push((set, element.key));
        }
    }
    tables.remove(keys).map_err(Error::Remove)?;
    Ok(ports)
}

/// Whether every mapping leads to `target`.
///
/// # Errors
/// [`Error::Differs`] with the first that does not.
pub fn check(target: IpAddr, mappings: &[&Mapping], owner: &Owner) -> Result<(), Error> {
    let mut tables = open().map_err(Error::LookUp)?;
    for mapping in mappings {
        let (map, key) = key(family(target), mapping);
        let found = tables.get(map, &key).map_err(Error::LookUp)?;
        let same = found.is_some_and(|e| {
            e.value == value(target, mapping) && e.owner.is_some_and(|o| o.same_attachment(owner))
        });
        if !same {
            let to = format!("{target} port {}", mapping.container_port);
            return Err(Error::Differs { port: mapping.to_string(), to });
        }
    }
    Ok(())
}

/// Whether the kernel has nftables.
///
/// # Errors
/// If it has not.
pub fn probe() -> Result<(), Error> {
    open().and_then(|mut tables| tables.exists()).map(|_| ()).map_err(Error::LookUp)
}

/// Deletes the table if no pod has a port in it. For whoever takes the node's network down.
///
/// # Errors
/// If nftables cannot be changed.
pub fn delete_if_unused() -> Result<(), Error> {
    open().and_then(|mut tables| tables.delete_if_empty(&SETS)).map_err(Error::Remove)
}
