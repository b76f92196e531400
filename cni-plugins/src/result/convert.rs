//! Between [`CniResult`] and the JSON of each version (cni.md 1.2).

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::types::{CniResult, Dns, IpConfig, RouteConfig};
use super::version::{SpecVersion, UnknownVersion};

/// Why a result cannot be read or written in a version.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// Another version than any published one.
    #[error("convert result")]
    Version(#[from] UnknownVersion),
    /// Not of the shape its version prescribes.
    #[error("decode result of CNI {version}")]
    Decode {
        /// Its version.
        version: SpecVersion,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// 0.1.0 and 0.2.0 consist of addresses.
    #[error("convert result to CNI {0}: it has no IP address")]
    NoAddress(SpecVersion),
    /// It does not fit into JSON.
    #[error("encode result")]
    Encode(#[source] serde_json::Error),
}

/// The only form of results before 0.3.0.
#[derive(Serialize, Deserialize)]
struct OldResult {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ip4: Option<OldIp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ip6: Option<OldIp>,
    #[serde(default)]
    dns: Dns,
}

#[derive(Serialize, Deserialize)]
struct OldIp {
    ip: IpNet,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gateway: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    routes: Vec<OldRoute>,
}

#[derive(Serialize, Deserialize)]
struct OldRoute {
    dst: IpNet,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gw: Option<IpAddr>,
}

/// Reads a result. Without a `cniVersion` of its own it has that of the configuration, `default`.
///
/// # Errors
/// If it is not of its version's shape.
pub fn decode(value: &Value, default: SpecVersion) -> Result<CniResult, ConvertError> {
    let version = match value.get("cniVersion").and_then(Value::as_str) {
        Some(text) => text.parse()?,
        None => default,
    };
    let broken = |source| ConvertError::Decode { version, source };
    if version < SpecVersion::V0_3_0 {
        let old = OldResult::deserialize(value).map_err(broken)?;
        return Ok(from_old(old));
    }
    let mut result = CniResult::deserialize(value).map_err(broken)?;
    result.extra.remove("cniVersion");
    for ip in &mut result.ips {
        ip.extra.remove("version");
    }
    Ok(result)
}

fn from_old(old: OldResult) -> CniResult {
    let mut result = CniResult { dns: old.dns, ..CniResult::default() };
    for ip in old.ip4.into_iter().chain(old.ip6) {
        result.routes.extend(ip.routes.into_iter().map(|r| RouteConfig::new(r.dst, r.gw)));
        result.ips.push(IpConfig::new(ip.ip, ip.gateway));
    }
    result
}

fn to_old(result: &CniResult, version: SpecVersion) -> Result<OldResult, ConvertError> {
    let family = |v4: bool| {
        let ip = result.ips.iter().find(|ip| ip.address.addr().is_ipv4() == v4)?;
        let routes = result.routes.iter().filter(|r| r.dst.addr().is_ipv4() == v4);
        let routes = routes.map(|r| OldRoute { dst: r.dst, gw: r.gw }).collect();
        Some(OldIp { ip: ip.address, gateway: ip.gateway, routes })
    };
    let old = OldResult { ip4: family(true), ip6: family(false), dns: result.dns.clone() };
    if old.ip4.is_none() && old.ip6.is_none() {
        return Err(ConvertError::NoAddress(version));
    }
    Ok(old)
}

/// Writes a result in the shape of `version`, with its `cniVersion`.
///
/// # Errors
/// [`ConvertError::NoAddress`] for versions that cannot do without.
pub fn encode(result: &CniResult, version: SpecVersion) -> Result<Value, ConvertError> {
    let mut value = if version < SpecVersion::V0_3_0 {
        serde_json::to_value(to_old(result, version)?)
    } else {
        serde_json::to_value(result)
    }
    .map_err(ConvertError::Encode)?;
    if (SpecVersion::V0_3_0..SpecVersion::V1_0_0).contains(&version) {
        for_each(&mut value, "ips", |ip| {
            let v6 = ip.get("address").and_then(Value::as_str).is_some_and(|a| a.contains(':'));
            ip.insert("version".to_owned(), json!(if v6 { "6" } else { "4" }));
        });
        for_each(&mut value, "interfaces", |i| remove(i, &["mtu", "socketPath", "pciID"]));
        for_each(&mut value, "routes", |r| remove(r, &["mtu", "advmss", "priority", "table", "scope"]));
    }
    value["cniVersion"] = json!(version.as_str());
    Ok(value)
}

fn remove(object: &mut Map<String, Value>, keys: &[&str]) {
    for key in keys {
        object.remove(*key);
    }
}

fn for_each(value: &mut Value, list: &str, change: impl Fn(&mut Map<String, Value>)) {
    let items = value.get_mut(list).and_then(Value::as_array_mut);
    items.into_iter().flatten().filter_map(Value::as_object_mut).for_each(change);
}
