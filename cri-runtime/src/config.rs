//! Where the daemon keeps things and what it is told on the command line.

use std::path::{Path, PathBuf};

/// Everything a running daemon is configured with. Paths are absolute.
#[derive(Debug, Clone)]
pub struct Config {
    /// Data that survives a reboot: images, writable layers, timelines.
    pub root: PathBuf,
    /// Data of this boot: records, exit records, sockets.
    pub state: PathBuf,
    /// The CRI socket.
    pub socket: PathBuf,
    /// Mount point of the cgroup file systems.
    pub cgroup_root: PathBuf,
    /// Group below which pods live that name no cgroup parent of their own (F-07).
    pub cgroup_parent: String,
    /// Registry host configuration, containerd's `certs.d` (I-14), searched in order.
    pub certs_d: Vec<PathBuf>,
    /// CNI network configurations.
    pub cni_conf_dir: PathBuf,
    /// CNI plugin executables, searched in order.
    pub cni_bin_dirs: Vec<PathBuf>,
    /// The network that is used when there is no conflist.
    pub network: BuiltinNetwork,
    /// Folder of `orlop-supervisor` and `pause`.
    pub libexec: PathBuf,
    /// When asked to end, end with the last pod that is in use; if then none is left at all, take supervisor, network
    /// and empty directories along.
    pub ephemeral: bool,
    /// Longest content of one log line, bytes (L-03).
    pub max_log_line: u32,
}

/// The built-in network: a bridge with addresses out of one subnet and masquerade to the outside.
#[derive(Debug, Clone)]
pub struct BuiltinNetwork {
    /// Network name, as a conflist would give it.
    pub name: String,
    /// Bridge device, at most 15 bytes.
    pub bridge: String,
    /// IPv4 subnet in CIDR form.
    pub subnet: String,
}

impl Default for BuiltinNetwork {
    fn default() -> Self {
        Self { name: "orlop".to_owned(), bridge: "orlop0".to_owned(), subnet: "10.85.0.0/16".to_owned() }
    }
}

impl Config {
    /// Records of pods and containers.
    pub fn records(&self) -> PathBuf {
        self.state.join("records")
    }

    /// Exit records, written by the supervisor.
    pub fn exits(&self) -> PathBuf {
        self.state.join("exits")
    }

    /// The supervisor's socket.
    pub fn supervisor_socket(&self) -> PathBuf {
        self.state.join("supervisor.sock")
    }

    /// What the supervisor says.
    pub fn supervisor_log(&self) -> PathBuf {
        self.state.join("supervisor.log")
    }

    /// The files a pod gives its containers: hosts, resolv.conf, hostname.
    pub fn pod_files(&self, id: &str) -> PathBuf {
        self.state.join("pods").join(id)
    }

    /// The writable layer of a container.
    pub fn container_dir(&self, id: &str) -> PathBuf {
        self.root.join("containers").join(id)
    }

    /// Timelines, one file per pod.
    pub fn timelines(&self) -> PathBuf {
        self.root.join("timelines")
    }

    /// The libexec program of this name.
    pub fn program(&self, name: &str) -> PathBuf {
        self.libexec.join(name)
    }
}

/// Strips trailing slashes, so that paths derived by string work compare equal.
pub fn normalise_cgroup(path: &str) -> String {
    let trimmed = path.trim_matches('/');
    format!("/{trimmed}")
}

/// The folder of the running executable, where its companions are.
///
/// # Errors
/// `/proc/self/exe` cannot be read.
pub fn executable_dir() -> std::io::Result<PathBuf> {
    let exe = std::env::current_exe()?;
    Ok(exe.parent().unwrap_or(Path::new("/")).to_owned())
}
