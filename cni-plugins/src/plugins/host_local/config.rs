//! What a configuration says to `host-local`, under every name the reference plugin knows it by.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::Deserialize;

use super::Error;
use super::range::{Range, RangeError, RangeSet, validate};
use crate::call::Call;
use crate::error::{Code, Error as CniError};
use crate::result::RouteConfig;

/// Where the reference plugin keeps its leases.
const DEFAULT_DIRECTORY: &str = "/var/lib/cni/networks";

/// What ADD needs.
#[derive(Debug)]
pub struct Config {
    pub network: String,
    pub sets: Vec<RangeSet>,
    pub requested: Vec<IpAddr>,
    pub routes: Vec<RouteConfig>,
    pub directory: PathBuf,
    pub resolv_conf: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Fields {
    ipam: Ipam,
    #[serde(rename = "runtimeConfig", default)]
    runtime: Runtime,
    #[serde(default)]
    args: Args,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ipam {
    subnet: Option<IpNet>,
    range_start: Option<IpAddr>,
    range_end: Option<IpAddr>,
    gateway: Option<IpAddr>,
    #[serde(default)]
    ranges: Option<Vec<Vec<RangeFields>>>,
    #[serde(default)]
    routes: Option<Vec<RouteConfig>>,
    resolv_conf: Option<PathBuf>,
}

#[derive(Deserialize, Clone)]
#[serde(rename_all = "camelCase")]
struct RangeFields {
    subnet: IpNet,
    range_start: Option<IpAddr>,
    range_end: Option<IpAddr>,
    gateway: Option<IpAddr>,
}

#[derive(Deserialize, Default)]
struct Runtime {
    #[serde(rename = "ipRanges", default)]
    ip_ranges: Option<Vec<Vec<RangeFields>>>,
    #[serde(default)]
    ips: Option<Vec<String>>,
}

#[derive(Deserialize, Default)]
struct Args {
    #[serde(default)]
    cni: CniArgs,
}

#[derive(Deserialize, Default)]
struct CniArgs {
    #[serde(default)]
    ips: Option<Vec<String>>,
}

/// The directory of the network's leases; all that DEL and CHECK need to know.
pub fn directory(call: &Call<'_>) -> Result<PathBuf, CniError> {
    let data_dir =
        call.config.fields.get("ipam").and_then(|ipam| ipam.get("dataDir")).and_then(|v| v.as_str());
    let base = data_dir.filter(|dir| !dir.is_empty()).unwrap_or(DEFAULT_DIRECTORY);
    Ok(PathBuf::from(base).join(&call.config.name))
}

/// An address, with or without the prefix length that callers like to add.
fn requested_ip(text: &str) -> Result<IpAddr, CniError> {
    let bare = text.split_once('/').map_or(text, |(ip, _)| ip);
    bare.parse().map_err(|_| {
        CniError::new(Code::INVALID_CONFIG, format!("requested address {text:?} is no IP address"))
    })
}

impl Config {
    pub fn of(call: &Call<'_>) -> Result<Self, CniError> {
        let fields: Fields = call.config.plugin()?;
        let network = call.config.name.clone();
        let mut requested = Vec::new();
        let listed = fields.runtime.ips.into_iter().chain(fields.args.cni.ips).flatten();
        for text in listed.chain(call.arguments.get("IP").map(str::to_owned)) {
            let ip = requested_ip(&text)?;
            if !requested.contains(&ip) {
                requested.push(ip);
            }
        }
        let broken = |source| Error::Range { network: network.clone(), source };
        let mut sets = Vec::new();
        // What the runtime asks for comes first, then the short form, then the list, as in the reference.
        let short = fields.ipam.subnet.map(|subnet| {
            vec![vec![RangeFields {
                subnet,
                range_start: fields.ipam.range_start,
                range_end: fields.ipam.range_end,
                gateway: fields.ipam.gateway,
            }]]
        });
        for set in fields.runtime.ip_ranges.into_iter().chain(short).chain(fields.ipam.ranges).flatten() {
            let ranges: Result<Vec<Range>, RangeError> =
                set.iter().map(|r| Range::new(r.subnet, r.range_start, r.range_end, r.gateway)).collect();
            sets.push(RangeSet(ranges.map_err(broken)?));
        }
        validate(&sets).map_err(broken)?;
        if let Some(ip) = requested.iter().find(|ip| sets.iter().all(|set| set.range_of(**ip).is_none())) {
            return Err(Error::Outside { ip: *ip, network }.into());
        }
        Ok(Self {
            sets,
            requested,
            routes: fields.ipam.routes.unwrap_or_default(),
            directory: directory(call)?,
            resolv_conf: fields.ipam.resolv_conf.filter(|path| !path.as_os_str().is_empty()),
            network,
        })
    }
}
