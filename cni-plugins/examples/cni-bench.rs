//! What ADD and DEL cost: in process, as our executable, and as the reference plugins, in turn on the same host.
//!
//! ```text
//! cargo build --release -p cni-plugins && cargo run --release -p cni-plugins --example cni-bench -- [RUNS] [PEER_DIR]
//! ```
//! Everything happens in network namespaces made for it. Prints p50, p95 and minimum in milliseconds.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use cni_plugins::invoke::capabilities::{Capabilities, PortMapping};
use cni_plugins::invoke::{Attachment, Network, NetworkConfig, pod_arguments};
use kernel::namespace;
use serde_json::json;

struct Side {
    name: &'static str,
    network: Network,
    ports: bool,
    add: Vec<Duration>,
    del: Vec<Duration>,
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let runs = arguments.next().map_or(Ok(100), |n| n.parse()).context("RUNS is no number")?;
    let peer = PathBuf::from(arguments.next().unwrap_or_else(|| "/usr/lib/cni".to_owned()));
    let directory = tempfile::tempdir()?;
    let host = namespace::create_net().context("make a network namespace (root is needed)")?;
    namespace::run_in(host.as_fd(), || bench(directory.path(), &peer, runs).map_err(std::io::Error::other))?;
    Ok(())
}

fn bench(directory: &Path, peer: &Path, runs: usize) -> Result<()> {
    let mut sides = Vec::new();
    for ports in [false, true] {
        sides.push(built_in(directory, ports)?);
        sides.push(executed(
            directory,
            if ports { "ours executed, 1 port" } else { "ours executed" },
            &copies(directory)?,
            ports,
        )?);
        if peer.join("bridge").exists() {
            sides.push(executed(
                directory,
                if ports { "peer executed, 1 port" } else { "peer executed" },
                peer,
                ports,
            )?);
        }
    }
    for run in 0..runs + 5 {
        for (index, side) in sides.iter_mut().enumerate() {
            let id = format!("bench{index}-{run}");
            // The sides share the host, so each has a port of its own.
            let port = if side.ports { Some(20000 + index as u16) } else { None };
            let (add, del) =
                once(&side.network, &id, port).with_context(|| format!("{}, run {run}", side.name))?;
            if run >= 5 {
                side.add.push(add);
                side.del.push(del);
            }
        }
    }
    println!(
        "{:<24} {:>8} {:>8} {:>8}   {:>8} {:>8} {:>8}",
        "ms, bridge + host-local", "ADD p50", "p95", "min", "DEL p50", "p95", "min"
    );
    for side in &mut sides {
        let [a, b, c] = figures(&mut side.add);
        let [d, e, f] = figures(&mut side.del);
        println!("{:<24} {a:>8.2} {b:>8.2} {c:>8.2}   {d:>8.2} {e:>8.2} {f:>8.2}", side.name);
    }
    parallel(&sides[0].network, "in process", 30)?;
    status(&sides[0].network, runs);
    let crowd = crowd(&built_in(directory, true)?.network, 300)?;
    println!("in process, 1 port, with 300 such pods: ADD p50 {:.2} ms, DEL p50 {:.2} ms", crowd.0, crowd.1);
    Ok(())
}

fn base(directory: &Path) -> NetworkConfig {
    NetworkConfig {
        conf_dir: directory.join("none"),
        cache_dir: directory.join("cache"),
        own_binary: None,
        ..NetworkConfig::new(directory.join("state"))
    }
}

fn built_in(directory: &Path, ports: bool) -> Result<Side> {
    let name = if ports { "in process, 1 port" } else { "in process" };
    Ok(Side { name, network: Network::new(base(directory)), ports, add: Vec::new(), del: Vec::new() })
}

/// Copies of our binary: links would be recognised as ourselves and called in process.
fn copies(directory: &Path) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let binary = own.ancestors().nth(2).context("target directory")?.join("cni-plugins");
    let bin = directory.join("bin");
    std::fs::create_dir_all(&bin)?;
    for name in cni_plugins::plugins::names() {
        if !bin.join(name).exists() {
            std::fs::copy(&binary, bin.join(name))
                .with_context(|| format!("copy {}; build it first", binary.display()))?;
        }
    }
    Ok(bin)
}

fn executed(directory: &Path, name: &'static str, bin: &Path, ports: bool) -> Result<Side> {
    let conf_dir = directory.join(name.replace([' ', ','], "-"));
    std::fs::create_dir_all(&conf_dir)?;
    let bridge = json!({ "type": "bridge", "bridge": "cni0", "isDefaultGateway": true, "hairpinMode": true,
        "ipam": { "type": "host-local", "dataDir": directory.join("leases"), "ranges": [[{ "subnet": "10.1.0.0/16" }]] } });
    let mut plugins = vec![bridge];
    if ports {
        plugins.push(json!({ "type": "portmap", "capabilities": { "portMappings": true } }));
    }
    let list = json!({ "cniVersion": "1.0.0", "name": "bench", "plugins": plugins });
    std::fs::write(conf_dir.join("10.conflist"), list.to_string())?;
    let config = NetworkConfig { conf_dir, bin_dirs: vec![bin.to_owned()], builtin: None, ..base(directory) };
    Ok(Side { name, network: Network::new(config), ports, add: Vec::new(), del: Vec::new() })
}

fn attach(network: &Network, id: &str, netns: &OwnedFd, port: Option<u16>) -> Result<Duration> {
    let path = format!("/proc/{}/fd/{}", std::process::id(), netns.as_raw_fd());
    let mapping =
        |host_port| PortMapping { host_port, container_port: 80, protocol: "tcp".into(), host_ip: None };
    let started = Instant::now();
    network.add(&Attachment {
        container_id: id,
        netns: netns.as_fd(),
        netns_path: &path,
        ifname: "eth0",
        arguments: pod_arguments("bench", id, id, id),
        capabilities: Capabilities {
            port_mappings: port.map(mapping).into_iter().collect(),
            ..Capabilities::default()
        },
    })?;
    Ok(started.elapsed())
}

fn detach(network: &Network, id: &str, netns: OwnedFd) -> Result<Duration> {
    let path = format!("/proc/{}/fd/{}", std::process::id(), netns.as_raw_fd());
    let started = Instant::now();
    network.del(id, Some((netns.as_fd(), &path)))?;
    drop(netns);
    Ok(started.elapsed())
}

fn once(network: &Network, id: &str, port: Option<u16>) -> Result<(Duration, Duration)> {
    let netns = namespace::create_net()?;
    let add = attach(network, id, &netns, port)?;
    Ok((add, detach(network, id, netns)?))
}

fn figures(samples: &mut [Duration]) -> [f64; 3] {
    samples.sort();
    let at = |part: f64| {
        samples.get(((samples.len() - 1) as f64 * part) as usize).map_or(0.0, |d| d.as_secs_f64() * 1e3)
    };
    [at(0.5), at(0.95), at(0.0)]
}

fn parallel(network: &Network, name: &str, count: usize) -> Result<()> {
    let namespaces = (0..count).map(|_| namespace::create_net()).collect::<std::io::Result<Vec<_>>>()?;
    let started = Instant::now();
    std::thread::scope(|scope| {
        let add =
            |(index, netns)| attach(network, &format!("parallel{index}"), netns, Some(30000 + index as u16));
        let threads: Vec<_> =
            namespaces.iter().enumerate().map(|pair| scope.spawn(move || add(pair))).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| anyhow::anyhow!("panic"))?.map(|_| ()))
    })?;
    println!(
        "{name}: {count} parallel ADD with a port each: {:.1} ms",
        started.elapsed().as_secs_f64() * 1e3
    );
    for (index, netns) in namespaces.into_iter().enumerate() {
        detach(network, &format!("parallel{index}"), netns)?;
    }
    Ok(())
}

fn status(network: &Network, runs: usize) {
    let mut samples: Vec<Duration> = (0..runs)
        .map(|_| {
            let started = Instant::now();
            if let Err(reason) = network.status() {
                println!("STATUS: {reason}");
            }
            started.elapsed()
        })
        .collect();
    println!("in process STATUS p50 {:.3} ms", figures(&mut samples)[0]);
}

fn crowd(network: &Network, count: u16) -> Result<(f64, f64)> {
    let namespaces = (0..count).map(|_| namespace::create_net()).collect::<std::io::Result<Vec<_>>>()?;
    let (mut add, mut del) = (Vec::new(), Vec::new());
    for (index, netns) in namespaces.iter().enumerate() {
        add.push(attach(network, &format!("crowd{index}"), netns, Some(40000 + index as u16))?);
    }
    let mut last = add.split_off(add.len() - 50);
    for (index, netns) in namespaces.into_iter().enumerate() {
        del.push(detach(network, &format!("crowd{index}"), netns)?);
    }
    Ok((figures(&mut last)[0], figures(&mut del[..50])[0]))
}
