//! What a pod's configuration needs to know of the machine it runs on. Read once, then a plain value.

use std::net::IpAddr;
use std::path::Path;

use crate::dns::ResolvConf;

/// Facts of the host.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// The node's name (`spec.nodeName`).
    pub node_name: String,
    /// The node's addresses, the primary one first (`status.hostIP`).
    pub addresses: Vec<IpAddr>,
    /// Physical memory in bytes.
    pub memory_bytes: i64,
    /// Processors, in thousandths.
    pub cpu_millis: i64,
    /// Whether cgroups are version 2.
    pub cgroup_v2: bool,
    /// The host's resolver configuration.
    pub resolv_conf: ResolvConf,
    /// The host's hosts file, for pods in the host's network.
    pub hosts_file: String,
    /// Name servers of a cluster; empty where there is none.
    pub cluster_dns: Vec<String>,
    /// Domain of a cluster, `cluster.local`.
    pub cluster_domain: String,
    /// Give containers the runtime's seccomp profile when they ask for none (`seccompDefault`).
    pub seccomp_default: bool,
    /// Under which cgroup pods are put; empty leaves the choice to the runtime.
    pub cgroup_parent: String,
}

/// A fact of the host that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("read {path}")]
pub struct HostError {
    /// The file.
    pub path: String,
    /// Why.
    #[source]
    pub source: std::io::Error,
}

impl Host {
    /// Reads the facts from `/proc` and `/etc`. Name servers of a cluster are not among them.
    ///
    /// # Errors
    /// `/proc/meminfo` or the host's name is unreadable. Missing resolver and hosts files count as empty.
    pub fn read() -> Result<Self, HostError> {
        let meminfo = required("/proc/meminfo")?;
        let name = required("/proc/sys/kernel/hostname")?;
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(Self {
            node_name: name.trim().to_lowercase(),
            addresses: primary_address().into_iter().collect(),
            memory_bytes: total_memory(&meminfo),
            cpu_millis: i64::try_from(processors).unwrap_or(1) * 1000,
            cgroup_v2: Path::new("/sys/fs/cgroup/cgroup.controllers").exists(),
            resolv_conf: host_resolver()?,
            hosts_file: optional("/etc/hosts")?,
            cluster_dns: Vec::new(),
            cluster_domain: "cluster.local".to_owned(),
            seccomp_default: true,
            cgroup_parent: String::new(),
        })
    }
}

fn required(path: &str) -> Result<String, HostError> {
    std::fs::read_to_string(path).map_err(|source| HostError { path: path.to_owned(), source })
}

fn optional(path: &str) -> Result<String, HostError> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        other => other.map_err(|source| HostError { path: path.to_owned(), source }),
    }
}

fn total_memory(meminfo: &str) -> i64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes =
        line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse::<i64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

/// systemd-resolved listens on 127.0.0.53, which inside a pod's own network is nobody; the servers behind it are in
/// its other file.
fn host_resolver() -> Result<ResolvConf, HostError> {
    let plain = ResolvConf::parse(&optional("/etc/resolv.conf")?);
    let is_stub = |server: &String| server.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if plain.servers.is_empty() || !plain.servers.iter().all(is_stub) {
        return Ok(plain);
    }
    let behind = ResolvConf::parse(&optional("/run/systemd/resolve/resolv.conf")?);
    Ok(if behind.servers.is_empty() { plain } else { behind })
}

/// The address the kernel would use towards the outside. Connecting a datagram socket sends nothing: it only asks the
/// routing table. The address asked about is reserved for documentation (RFC 5737).
fn primary_address() -> Option<IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|address| !address.is_unspecified())
}
