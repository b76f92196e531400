//! The peer: the distribution's containerd with runc and the reference CNI plugins, with a configuration of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use tests::host;

use super::{DAEMON_DEADLINE, Daemon, Subject};
use crate::account::Account;
use crate::stage::{PAUSE_IMAGE, Places};

/// Where Debian's containernetworking-plugins has them, and where everybody else has.
const PLUGINS: [&str; 2] = ["/usr/lib/cni", "/opt/cni/bin"];

/// The peer's programs, found before anything is started.
pub struct Programs {
    containerd: PathBuf,
    ctr: PathBuf,
    runc: PathBuf,
    plugins: PathBuf,
}

impl Programs {
    /// Looks for them; what is missing is one line with the command that fixes it.
    pub fn find() -> Result<Self> {
        let program = |name: &str| {
            host::peer(name).with_context(|| format!("{name} is missing: apt-get install -y containerd runc"))
        };
        let plugins = PLUGINS.iter().map(PathBuf::from).find(|folder| folder.join("bridge").exists());
        program("containerd-shim-runc-v2")?;
        // The reference plugins masquerade with it.
        host::peer("iptables").context("iptables is missing: apt-get install -y iptables")?;
        Ok(Self {
            containerd: program("containerd")?,
            ctr: program("ctr")?,
            runc: program("runc")?,
            plugins: plugins
                .context("CNI plugins are missing: apt-get install -y containernetworking-plugins")?,
        })
    }

    /// Version of the OCI runtime.
    pub fn runc_version(&self) -> Result<String> {
        let output = Command::new(&self.runc).arg("--version").output().context("run runc --version")?;
        Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or("runc").to_owned())
    }

    /// Imports an archive.
    pub fn import(&self, places: &Places, archive: &Path) -> Result<()> {
        let mut command = Command::new(&self.ctr);
        command
            .arg("--address")
            .arg(socket(places))
            .args(["--namespace", "k8s.io", "images", "import"])
            .arg(archive);
        let output = command.stdin(Stdio::null()).output().context("run ctr images import")?;
        if output.status.success() {
            return Ok(());
        }
        bail!("import {}: {}", archive.display(), String::from_utf8_lossy(&output.stderr).trim())
    }

    /// Starts it.
    pub async fn start(&self, places: &Places, cgroup: &str) -> Result<Subject> {
        let folder = places.dir.join("peer");
        std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let config = folder.join("config.toml");
        std::fs::write(&config, self.config(places, &folder)?)
            .with_context(|| format!("write {}", config.display()))?;
        let account = Account::open(cgroup, "peer")?;
        let log = File::create(places.dir.join("peer.log")).context("make the daemon's log")?;
        let mut command = super::counted(&account, &self.containerd);
        command.arg("--config").arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().with_context(|| format!("start {}", self.containerd.display()))?;
        let daemon = Daemon { child, after: Box::new(|| Ok(())) };
        let endpoint = format!("unix://{}", socket(places).display());
        Subject::connect("peer", &endpoint, account, places.logs.join("peer"), daemon).await
    }

    /// As Debian's default, with these differences: everything below one folder; the distribution's own pause image
    /// replaced by ours, since there is no download; an oom_score_adj that is refused is clamped (no CAP_SYS_RESOURCE).
    fn config(&self, places: &Places, folder: &Path) -> Result<String> {
        let below = |name: &str| folder.join(name).display().to_string();
        Ok(format!(
            r#"version = 2
root = "{root}"
state = "{state}"
[grpc]
  address = "{socket}"
[debug]
  level = "warn"
[plugins."io.containerd.internal.v1.opt"]
  path = "{opt}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  disable_hugetlb_controller = true
  tolerate_missing_hugetlb_controller = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      BinaryName = "{runc}"
      Root = "{runc_root}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{network}"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{certificates}"
"#,
            root = below("root"),
            state = below("state"),
            socket = socket(places).display(),
            opt = below("opt"),
            runc = self.runc.display(),
            runc_root = below("runc"),
            plugins = self.plugins.display(),
            network = places.network("peer")?.display(),
            certificates = places.certificates.display(),
        ))
    }
}

fn socket(places: &Places) -> PathBuf {
    places.dir.join("peer/containerd.sock")
}

/// Waits until an imported image is known to the CRI half, which learns of it by an event.
pub async fn knows(subject: &Subject, image: &str) -> Result<()> {
    let deadline = std::time::Instant::now() + DAEMON_DEADLINE;
    while !subject.has_image(image).await? {
        if std::time::Instant::now() > deadline {
            bail!("{} does not know image {image} after its import", subject.name);
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    Ok(())
}
