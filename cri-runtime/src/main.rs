//! `cri-runtime`: parse the command line, run the daemon.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use cri_runtime::config::{BuiltinNetwork, Config, executable_dir, normalise_cgroup};
use cri_runtime::daemon;

/// The CRI runtime of Orlop: pods, containers and images for a kubelet, crictl or `orlop`.
///
/// Containers belong to a supervisor process and go on when this daemon ends or is replaced.
#[derive(Debug, Parser)]
#[command(name = "cri-runtime", version, after_help = EXAMPLES)]
struct Arguments {
    /// Data that survives a reboot: images, writable layers, timelines
    #[arg(long, default_value = "/var/lib/orlop", value_name = "DIR")]
    root: PathBuf,
    /// Data of this boot: records, exit records, sockets
    #[arg(long, default_value = "/run/orlop", value_name = "DIR")]
    state: PathBuf,
    /// The CRI socket
    #[arg(long, default_value = "/run/orlop/orlop.sock", value_name = "PATH")]
    socket: PathBuf,
    /// Mount point of the cgroup file systems
    #[arg(long, default_value = "/sys/fs/cgroup", value_name = "DIR")]
    cgroup_root: PathBuf,
    /// Cgroup for pods that name no parent of their own, and for the supervisor
    #[arg(long, default_value = "/orlop", value_name = "GROUP")]
    cgroup_parent: String,
    /// Registry host configuration (containerd's certs.d); may be repeated
    #[arg(long, default_values = ["/etc/containerd/certs.d", "/etc/docker/certs.d"], value_name = "DIR")]
    certs_d: Vec<PathBuf>,
    /// CNI network configurations; without one there pods use the built-in network
    #[arg(long, default_value = "/etc/cni/net.d", value_name = "DIR")]
    cni_conf_dir: PathBuf,
    /// CNI plugin executables; may be repeated
    #[arg(long, default_value = "/opt/cni/bin", value_name = "DIR")]
    cni_bin_dir: Vec<PathBuf>,
    /// Name of the built-in network
    #[arg(long, default_value = "orlop", value_name = "NAME")]
    network_name: String,
    /// Bridge of the built-in network
    #[arg(long, default_value = "orlop0", value_name = "DEVICE")]
    bridge: String,
    /// Addresses of the built-in network
    #[arg(long, default_value = "10.85.0.0/16", value_name = "CIDR")]
    subnet: String,
    /// When asked to end, end with the last ready pod, and leave nothing behind but images, timelines and stopped pods
    #[arg(long)]
    ephemeral: bool,
    /// Longest content of one container log line, bytes; longer lines are split
    #[arg(long, default_value_t = 16 * 1024, value_name = "BYTES")]
    max_log_line: u32,
    /// What is logged: error, warn, info, debug, trace, or a filter such as info,cri_runtime::sandbox=debug
    #[arg(long, default_value = "info", value_name = "FILTER")]
    log_level: String,
}

const EXAMPLES: &str = "\
Examples:
  cri-runtime
      serve at /run/orlop/orlop.sock
  cri-runtime --socket /run/containerd/containerd.sock
      serve where a kubelet looks by default
  cri-runtime --root /tmp/a/root --state /tmp/a/state --socket /tmp/a/cri.sock --cgroup-parent /a
      a second runtime beside the first
  crictl --runtime-endpoint unix:///run/orlop/orlop.sock pods
      ask it";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cri-runtime: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    daemon::start_logging(&arguments.log_level)?;
    let config = Config {
        root: std::path::absolute(arguments.root)?,
        state: std::path::absolute(arguments.state)?,
        socket: std::path::absolute(arguments.socket)?,
        cgroup_root: arguments.cgroup_root,
        cgroup_parent: normalise_cgroup(&arguments.cgroup_parent),
        certs_d: arguments.certs_d,
        cni_conf_dir: arguments.cni_conf_dir,
        cni_bin_dirs: arguments.cni_bin_dir,
        network: BuiltinNetwork {
            name: arguments.network_name,
            bridge: arguments.bridge,
            subnet: arguments.subnet,
        },
        libexec: executable_dir()?,
        ephemeral: arguments.ephemeral,
        max_log_line: arguments.max_log_line,
    };
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(daemon::run(config))
}
