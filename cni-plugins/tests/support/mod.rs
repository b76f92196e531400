//! A host made for one test: its own network namespace with an uplink to an "outside", and pods.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cni_plugins::call::{Arguments, Call, NetConfig, Teardown};
use cni_plugins::error::Error;
use cni_plugins::invoke::delegate::OwnBinary;
use cni_plugins::netlink::link::{self, Mac, Veth};
use cni_plugins::netlink::{Protocol, Socket, address, route};
use cni_plugins::netns::Netns;
use cni_plugins::{plugins, result};
use kernel::namespace;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The addresses of the uplink.
pub const HOST_IP: &str = "192.0.2.1";
pub const OUTSIDE_IP: &str = "192.0.2.2";
pub const HOST_IP6: &str = "2001:db8::1";

/// Without root there are no namespaces; says so and returns false.
pub fn can_run(test: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED {test}: it needs root to make network namespaces");
    }
    root
}

pub struct Host {
    pub net: OwnedFd,
    pub outside: OwnedFd,
    pub directory: TempDir,
}

pub struct Pod {
    pub net: OwnedFd,
    pub id: String,
}

impl Pod {
    pub fn new(id: &str) -> Self {
        Self { net: namespace::create_net().expect("network namespace of a pod"), id: id.to_owned() }
    }

    /// A path by which other processes can open the namespace.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.net.as_raw_fd())
    }

    pub fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        namespace::run_in(self.net.as_fd(), || Ok(f())).expect("enter pod")
    }
}

impl Host {
    pub fn new() -> Self {
        let net = namespace::create_net().expect("network namespace of a host");
        let outside = namespace::create_net().expect("network namespace of the outside");
        let host = Self { net, outside, directory: TempDir::new().expect("directory") };
        host.run(|| connect(&host.outside).expect("connect host and outside"));
        host
    }

    /// Runs on a thread that is in the host's namespace; so are the processes it starts.
    pub fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        namespace::run_in(self.net.as_fd(), || Ok(f())).expect("enter host")
    }

    pub fn outside<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        namespace::run_in(self.outside.as_fd(), || Ok(f())).expect("enter outside")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A plugin directory with our binary under every name.
    pub fn plugin_dir(&self) -> PathBuf {
        let directory = self.path("bin");
        if !directory.exists() {
            fs::create_dir(&directory).expect("plugin directory");
            for name in plugins::names() {
                std::os::unix::fs::symlink(binary(), directory.join(name)).expect("link");
            }
        }
        directory
    }

    pub fn links(&self) -> Vec<String> {
        self.run(|| {
            let mut socket = Socket::open(Protocol::Route).expect("socket");
            let mut names: Vec<String> =
                link::list(&mut socket).expect("links").into_iter().map(|link| link.name).collect();
            names.sort();
            names
        })
    }

    pub fn has_veth_of_pods(&self) -> bool {
        self.links().iter().any(|name| name.starts_with("veth"))
    }

    /// The addresses leased in a network.
    pub fn leases(&self, network: &str) -> Vec<String> {
        let directory = self.path("leases").join(network);
        let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
        let names = entries.map(|e| e.expect("entry").file_name().to_string_lossy().into_owned());
        let mut leases: Vec<String> = names.filter(|name| name.parse::<IpAddr>().is_ok()).collect();
        leases.sort();
        leases
    }

    /// What nft shows of our host ports; `None` without nft.
    pub fn ruleset(&self) -> Option<String> {
        self.run(|| {
            let output = Command::new("nft").args(["list", "ruleset"]).output().ok()?;
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(String::from_utf8_lossy(&output.stdout).into_owned())
        })
    }
}

pub fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_cni-plugins"))
}

fn connect(outside: &OwnedFd) -> io::Result<()> {
    let netlink = |e: cni_plugins::netlink::Error| io::Error::other(format!("{e}: {:?}", e.errno()));
    let mut socket = Socket::open(Protocol::Route).map_err(netlink)?;
    let (mac, host_mac, peer_mac) = (Mac::random()?, Mac::random()?, Mac::random()?);
    socket.request(link::set_up(1)).map_err(netlink)?;
    socket.request(link::create_bridge("uplink", mac, None)).map_err(netlink)?;
    let bridge = link::find(&mut socket, "uplink").map_err(netlink)?.expect("uplink").index;
    let veth = Veth {
        host_name: "port0",
        host_mac,
        peer_name: "eth0",
        peer_mac,
        peer_netns: outside.as_fd(),
        bridge,
        mtu: None,
    };
    socket.request(link::create_veth(&veth)).map_err(netlink)?;
    for ip in [format!("{HOST_IP}/24"), format!("{HOST_IP6}/64")] {
        socket.request(address::add(bridge, ip.parse().expect("address"), false)).map_err(netlink)?;
    }
    namespace::run_in(outside.as_fd(), || {
        let mut socket = Socket::open(Protocol::Route).map_err(netlink)?;
        socket.request(link::set_up(1)).map_err(netlink)?;
        let eth0 = link::find(&mut socket, "eth0").map_err(netlink)?.expect("eth0").index;
        for ip in [format!("{OUTSIDE_IP}/24"), "2001:db8::2/64".to_owned()] {
            socket.request(address::add(eth0, ip.parse().expect("address"), false)).map_err(netlink)?;
        }
        socket.request(link::set_up(eth0)).map_err(netlink)?;
        // So that a wrongly redirected packet could be told from one that has no way.
        let pods = "198.51.100.0/24".parse().expect("subnet");
        let via = HOST_IP.parse().ok();
        socket.request(route::add(&route::Route::new(pods, via, eth0))).map_err(netlink)?;
        Ok(())
    })
}

/// The two ways a plugin is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    InProcess,
    Executable,
}

pub const WAYS: [Way; 2] = [Way::InProcess, Way::Executable];

/// One call, as libcni would make it.
pub struct Request<'a> {
    pub plugin: &'a str,
    pub verb: &'a str,
    pub id: &'a str,
    pub netns: Option<String>,
    pub arguments: &'a str,
    pub config: &'a Value,
}

impl<'a> Request<'a> {
    pub fn new(plugin: &'a str, verb: &'a str, pod: &'a Pod, config: &'a Value) -> Self {
        Self { plugin, verb, id: &pod.id, netns: Some(pod.path()), arguments: "", config }
    }
}

impl Way {
    /// Calls a plugin in the host's namespace; its result, or null.
    pub fn call(self, host: &Host, request: &Request<'_>) -> Result<Value, Error> {
        match self {
            Self::InProcess => host.run(|| in_process(request)),
            Self::Executable => host.run(|| executable(&host.plugin_dir(), &[], request)),
        }
    }
}

fn in_process(request: &Request<'_>) -> Result<Value, Error> {
    let plugin = plugins::find(request.plugin).expect("built in");
    let config = NetConfig::parse(request.config.to_string().as_bytes())?;
    let version = config.version;
    let call = Call {
        container_id: request.id.to_owned(),
        netns: request.netns.as_ref().and_then(|path| Netns::open(path).ok()),
        ifname: "eth0".to_owned(),
        arguments: Arguments::parse(request.arguments)?,
        path: Vec::new(),
        config,
        teardown: Teardown::Link,
        own_binary: &OwnBinary::NONE,
    };
    match request.verb {
        "ADD" => Ok(result::encode(&plugin.add(&call)?, version).expect("encoded")),
        "DEL" => plugin.del(&call).map(|()| Value::Null),
        "CHECK" => plugin.check(&call).map(|()| Value::Null),
        "GC" => plugin.gc(&call).map(|()| Value::Null),
        "STATUS" => plugin.status(&call).map(|()| Value::Null),
        other => panic!("{other}"),
    }
}

/// Executes a plugin of a directory; `environment` comes on top of CNI's own.
pub fn executable(
    directory: &Path,
    environment: &[(&str, &str)],
    request: &Request<'_>,
) -> Result<Value, Error> {
    let mut variables: HashMap<&str, String> = HashMap::from([
        ("CNI_COMMAND", request.verb.to_owned()),
        ("CNI_CONTAINERID", request.id.to_owned()),
        ("CNI_IFNAME", "eth0".to_owned()),
        ("CNI_PATH", directory.display().to_string()),
        ("CNI_ARGS", request.arguments.to_owned()),
    ]);
    if let Some(netns) = &request.netns {
        variables.insert("CNI_NETNS", netns.clone());
    }
    variables.extend(environment.iter().map(|(k, v)| (*k, (*v).to_owned())));
    let mut child = Command::new(directory.join(request.plugin))
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap_or_default())
        .envs(variables)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start plugin");
    let mut stdin = child.stdin.take().expect("stdin");
    io::Write::write_all(&mut stdin, request.config.to_string().as_bytes()).expect("write configuration");
    drop(stdin);
    let output = child.wait_with_output().expect("output");
    let stdout = String::from_utf8_lossy(&output.stdout);
    if output.status.success() {
        return Ok(if stdout.trim().is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&stdout).expect("JSON")
        });
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("no error on stdout: {stdout:?} {stderr:?}")))
}

/// A bridge configuration whose leases are below the host's directory.
pub fn bridge_config(host: &Host, ranges: &[&str]) -> Value {
    let ranges: Vec<Value> = ranges.iter().map(|subnet| json!([{ "subnet": subnet }])).collect();
    json!({
        "cniVersion": "1.1.0", "name": "test", "type": "bridge", "bridge": "cni0", "isDefaultGateway": true,
        "ipMasq": true, "hairpinMode": true,
        "ipam": { "type": "host-local", "dataDir": host.path("leases"), "ranges": ranges },
    })
}

/// A copy with one more field.
pub fn with(config: &Value, key: &str, value: Value) -> Value {
    let mut config = config.clone();
    config[key] = value;
    config
}

/// What differs between two runs of the same thing.
pub fn normalized(value: &Value) -> Value {
    let mut value = value.clone();
    for interface in value["interfaces"].as_array_mut().into_iter().flatten() {
        for key in ["mac", "sandbox"] {
            if interface.get(key).is_some() {
                interface[key] = json!(format!("<{key}>"));
            }
        }
    }
    value
}

/// The address of the container in a result.
pub fn ip_of(result: &Value, v4: bool) -> IpAddr {
    let ips = result["ips"].as_array().expect("ips");
    let addresses = ips.iter().map(|ip| ip["address"].as_str().expect("address"));
    let mut addresses =
        addresses.map(|a| a.split('/').next().expect("address").parse::<IpAddr>().expect("IP"));
    addresses.find(|ip| ip.is_ipv4() == v4).expect("address of the family")
}

pub fn socket_address(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip.parse().expect("IP"), port)
}
