//! An isolated runtime for one story: its own folder, registry, cgroup, bridge and subnet.
//!
//! It is started as people start one, by `scripts/dev-runtime`, and spoken to over CRI. Dropping it wipes it, and a
//! wipe that leaves something fails the story.

mod pod;

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cri_api::v1::image_service_client::ImageServiceClient;
use cri_api::v1::runtime_service_client::RuntimeServiceClient;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::host;
use crate::image;
use crate::patience::{self, LONG};
use crate::registry::Registry;

pub use pod::Answer;

/// Host name under which the story's registry is known.
pub const REGISTRY: &str = "registry.test";
/// The demo image, as a pod names it.
pub const DEMO: &str = "registry.test/demo:1";

/// Where a story's files are.
enum Place {
    /// Removed with the story.
    Own(TempDir),
    /// Somebody else's, who removes it.
    Given(PathBuf),
}

impl Place {
    fn path(&self) -> &Path {
        match self {
            Self::Own(folder) => folder.path(),
            Self::Given(path) => path,
        }
    }
}

/// A runtime, running or not.
pub struct Runtime {
    // Before the folder: the registry's threads end first.
    /// Where its images come from.
    pub registry: Registry,
    folder: Place,
    arguments: Vec<String>,
    daemon: Option<Child>,
    connection: Option<Channel>,
}

impl Runtime {
    /// Starts a runtime with the built-in network. The demo image is in its registry, and not yet pulled.
    ///
    /// # Errors
    /// It does not start; the message holds the end of its log.
    pub async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    /// [`Runtime::start`] with more arguments for `scripts/dev-runtime`.
    ///
    /// # Errors
    /// As [`Runtime::start`].
    pub async fn start_with(arguments: &[&str]) -> Result<Self> {
        let mut runtime = Self::prepare(arguments)?;
        runtime.restart().await?;
        Ok(runtime)
    }

    /// Everything but the daemon.
    ///
    /// # Errors
    /// The folder, the registry or the image cannot be made.
    pub fn prepare(arguments: &[&str]) -> Result<Self> {
        let folder =
            tempfile::Builder::new().prefix("orlop-").tempdir().context("make the story's folder")?;
        Self::prepare_at(Place::Own(folder), arguments)
    }

    /// [`Runtime::prepare`] in a folder that stays: what an earlier runtime left there is found again.
    ///
    /// # Errors
    /// As [`Runtime::prepare`].
    pub fn prepare_in(folder: &Path, arguments: &[&str]) -> Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        Self::prepare_at(Place::Given(folder.to_owned()), arguments)
    }

    fn prepare_at(folder: Place, arguments: &[&str]) -> Result<Self> {
        let registry = Registry::start()?;
        registry.push("demo:1", &image::demo(&host::program("demo")?)?.build()?);
        let runtime = Self {
            registry,
            folder,
            arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
            daemon: None,
            connection: None,
        };
        runtime.registry.write_hosts(&runtime.directory().join("certs.d"), REGISTRY)?;
        Ok(runtime)
    }

    /// The DIR of `scripts/dev-runtime`.
    pub fn directory(&self) -> PathBuf {
        // /tmp may be a link, and records hold resolved paths.
        self.folder.path().canonicalize().unwrap_or_else(|_| self.folder.path().to_owned()).join("rt")
    }

    /// A folder of the story beside the runtime's, removed with it.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn scratch(&self, name: &str) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(path)
    }

    /// Where pods write their logs.
    pub fn logs(&self) -> PathBuf {
        self.folder.path().join("logs")
    }

    /// The CRI endpoint.
    pub fn endpoint(&self) -> String {
        format!("unix://{}/orlop.sock", self.directory().display())
    }

    /// Name of the instance: its cgroup, its network.
    ///
    /// # Errors
    /// It was never started.
    pub fn name(&self) -> Result<String> {
        self.setting("name")
    }

    /// Name of the built-in network's bridge.
    ///
    /// # Errors
    /// It was never started.
    pub fn bridge(&self) -> Result<String> {
        self.setting("bridge")
    }

    /// Subnet of the built-in network.
    ///
    /// # Errors
    /// It was never started.
    pub fn subnet(&self) -> Result<String> {
        self.setting("subnet")
    }

    fn setting(&self, key: &str) -> Result<String> {
        let path = self.directory().join("instance.json");
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let settings: serde_json::Value = serde_json::from_str(&text)?;
        settings[key].as_str().map(str::to_owned).with_context(|| format!("{} has no {key}", path.display()))
    }

    /// Starts the daemon again; a running one must have been ended before.
    ///
    /// # Errors
    /// It does not start.
    pub async fn restart(&mut self) -> Result<()> {
        self.launch(None).await
    }

    /// Starts the daemon so that it is killed when it reaches a failpoint.
    ///
    /// # Errors
    /// It does not even start.
    pub async fn restart_with_failpoint(&mut self, name: &str) -> Result<()> {
        self.launch(Some(name)).await
    }

    async fn launch(&mut self, failpoint: Option<&str>) -> Result<()> {
        if self.daemon.is_some() {
            bail!("start the daemon: it is running");
        }
        self.connection = None;
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path())
            .context("open the daemon's log")?;
        let mut command = Command::new(host::repository().join("scripts/dev-runtime"));
        command
            .arg(self.directory())
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        command.env_remove("ORLOP_FAILPOINT");
        if let Some(name) = failpoint {
            command.env("ORLOP_FAILPOINT", name);
        }
        let mut child = command.spawn().context("start scripts/dev-runtime")?;
        let stdout = child.stdout.take().context("the daemon has no standard output")?;
        self.daemon = Some(child);
        let first = first_line(stdout);
        if !first.starts_with("endpoint unix://") {
            let log = self.log_end();
            self.kill_daemon()?;
            bail!("start the daemon: it did not name its endpoint but wrote {first:?}; its log ends:\n{log}");
        }
        self.connect().await
    }

    async fn connect(&mut self) -> Result<()> {
        let channel = cri_api::client::connect(&self.endpoint(), LONG).await?;
        self.connection = Some(channel.clone());
        // Until it has taken up what it finds the daemon answers Unavailable (G-03).
        patience::until("the daemon has recovered", || {
            let mut client = cri_api::client::runtime(channel.clone());
            async move {
                match client.list_pod_sandbox(cri_api::v1::ListPodSandboxRequest::default()).await {
                    Ok(_) => Ok(Some(())),
                    Err(status) if status.code() == tonic::Code::Unavailable => Ok(None),
                    Err(status) => Err(status.into()),
                }
            }
        })
        .await
        .with_context(|| format!("its log ends:\n{}", self.log_end()))
    }

    /// A client of the runtime service.
    ///
    /// # Errors
    /// The daemon is not running.
    pub fn client(&self) -> Result<RuntimeServiceClient<Channel>> {
        Ok(cri_api::client::runtime(self.connection.clone().context("the daemon is not running")?))
    }

    /// A client of the image service.
    ///
    /// # Errors
    /// The daemon is not running.
    pub fn images(&self) -> Result<ImageServiceClient<Channel>> {
        Ok(cri_api::client::image(self.connection.clone().context("the daemon is not running")?))
    }

    /// Process id of the daemon.
    ///
    /// # Errors
    /// It is not running.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.daemon.as_ref().context("the daemon is not running")?.id())
    }

    /// SIGKILL, as a crash would, and waits for its end.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub fn kill_daemon(&mut self) -> Result<()> {
        self.connection = None;
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill().context("kill the daemon")?;
            daemon.wait().context("wait for the daemon")?;
        }
        Ok(())
    }

    /// SIGTERM, as a service manager would, and waits for its end.
    ///
    /// # Errors
    /// It does not end in time.
    pub async fn terminate_daemon(&mut self) -> Result<ExitStatus> {
        self.connection = None;
        let mut daemon = self.daemon.take().context("the daemon is not running")?;
        kill(Pid::from_raw(i32::try_from(daemon.id())?), Signal::SIGTERM).context("signal the daemon")?;
        // Not a wait that blocks: the daemon lets its connections end, and ours are closed by tasks of this thread.
        patience::until("the daemon ends on SIGTERM", || {
            std::future::ready(daemon.try_wait().map_err(Into::into))
        })
        .await
    }

    /// Whether a failpoint has killed the daemon; if so it is reaped.
    ///
    /// # Errors
    /// It ended in another way.
    pub fn died_at_failpoint(&mut self) -> Result<bool> {
        let Some(daemon) = self.daemon.as_mut() else { return Ok(false) };
        let Some(status) = daemon.try_wait()? else { return Ok(false) };
        self.daemon = None;
        self.connection = None;
        if status.signal() != Some(Signal::SIGKILL as i32) {
            bail!(
                "the daemon ended with {status} instead of being killed; its log ends:\n{}",
                self.log_end()
            );
        }
        Ok(true)
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("daemon.log")
    }

    /// The last lines of the daemon's log.
    pub fn log_end(&self) -> String {
        let text = std::fs::read_to_string(self.log_path()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }

    /// Ends everything and checks that nothing is left. Dropping does the same.
    ///
    /// # Errors
    /// Something could not be removed.
    pub fn wipe(&mut self) -> Result<()> {
        let wiped = wipe(&self.directory());
        self.kill_daemon()?;
        wiped
    }
}

/// Runs `scripts/dev-runtime --wipe`.
fn wipe(directory: &Path) -> Result<()> {
    let output = Command::new(host::repository().join("scripts/dev-runtime"))
        .arg("--wipe")
        .arg(directory)
        .stdin(Stdio::null())
        .output()
        .context("run scripts/dev-runtime --wipe")?;
    if !output.status.success() {
        bail!("wipe {}: {}", directory.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

impl Drop for Runtime {
    fn drop(&mut self) {
        let told = std::thread::panicking();
        if told {
            eprintln!("the daemon's log ends:\n{}", self.log_end());
        }
        if !self.directory().join("instance.json").exists() {
            // Wiped already, or its names are lost: at least no daemon outlives its story.
            if let Err(error) = self.kill_daemon() {
                eprintln!("{error:#}");
            }
            return;
        }
        if let Err(error) = self.wipe() {
            // A story that failed has said why; one that passed must not hide what it left.
            if told {
                eprintln!("{error:#}");
            } else {
                std::panic::panic_any(format!("{error:#}"));
            }
        }
    }
}

/// The first line, or what came until the deadline or the end.
fn first_line(stream: impl std::io::Read + Send + 'static) -> String {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let mut reader = BufReader::new(stream);
        // An unreadable stream is reported as the empty line it gave.
        let _unreadable = reader.read_line(&mut line);
        let _nobody_waits = sender.send(line);
        // Later output is taken away, so that the daemon never blocks on a full pipe.
        let _ended = std::io::copy(&mut reader, &mut std::io::sink());
    });
    receiver.recv_timeout(LONG + Duration::from_secs(1)).unwrap_or_default()
}
