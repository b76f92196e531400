//! One runtime under measurement, spoken to over CRI.
//!
//! It owns the daemon's process and what a measure asks of it. How each runtime is started is in [`ours`] and [`peer`].

pub mod ours;
pub mod peer;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use cri_api::v1::image_service_client::ImageServiceClient;
use cri_api::v1::runtime_service_client::RuntimeServiceClient;
use cri_api::v1::{
    ContainerConfig, ContainerMetadata, CreateContainerRequest, DnsConfig, ExecSyncRequest, ImageSpec,
    ImageStatusRequest, LinuxContainerConfig, LinuxContainerResources, LinuxContainerSecurityContext,
    LinuxPodSandboxConfig, LinuxSandboxSecurityContext, ListPodSandboxRequest, NamespaceMode,
    NamespaceOption, PodSandboxConfig, PodSandboxMetadata, PullImageRequest, RemoveImageRequest,
    RemovePodSandboxRequest, RunPodSandboxRequest, SecurityProfile, StartContainerRequest,
    StopPodSandboxRequest, VersionRequest, security_profile::ProfileType,
};
use tonic::transport::Channel;

use crate::account::Account;

/// The image of every container, as both runtimes know it.
pub const IMAGE: &str = "bench.local/demo:1";
/// Name of a container's log in the folder of its pod.
pub const LOG: &str = "c.log";
/// Longest wait for one answer.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// Longest wait for a daemon to start or to end.
pub const DAEMON_DEADLINE: Duration = Duration::from_secs(30);

/// Whose network a pod has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Its own, through CNI.
    Pod,
    /// The host's.
    Host,
}

/// A running runtime.
pub struct Subject {
    /// As the table calls it.
    pub name: &'static str,
    /// Product and version, as it says itself.
    pub version: String,
    /// What it uses.
    pub account: Account,
    runtime: RuntimeServiceClient<Channel>,
    images: ImageServiceClient<Channel>,
    logs: PathBuf,
    pods: u32,
    daemon: Option<Daemon>,
}

/// Its process, and what has to happen when that has ended.
pub struct Daemon {
    child: Child,
    after: Box<dyn FnOnce() -> Result<()>>,
}

/// A sandbox that is up, or about to be.
pub struct Pod {
    /// Empty until it is up.
    pub id: String,
    config: PodSandboxConfig,
}

impl Pod {
    /// Where its containers' logs are.
    pub fn logs(&self) -> &Path {
        Path::new(&self.config.log_directory)
    }
}

impl Subject {
    /// Takes over a daemon that serves at `endpoint`.
    async fn connect(
        name: &'static str,
        endpoint: &str,
        account: Account,
        logs: PathBuf,
        daemon: Daemon,
    ) -> Result<Self> {
        let mut daemon = daemon;
        let channel = match first_answer(endpoint, &mut daemon.child).await {
            Ok(channel) => channel,
            Err(error) => {
                daemon.end()?;
                return Err(error.context(format!("start {name}")));
            }
        };
        let mut subject = Self {
            name,
            version: String::new(),
            account,
            runtime: cri_api::client::runtime(channel.clone()),
            images: cri_api::client::image(channel),
            logs,
            pods: 0,
            daemon: Some(daemon),
        };
        let version = subject.runtime.version(VersionRequest::default()).await?.into_inner();
        subject.version = format!("{} {}", version.runtime_name, version.runtime_version);
        Ok(subject)
    }

    /// Process id of the daemon.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.daemon.as_ref().context("the daemon was stopped")?.child.id())
    }

    /// A pod that is not up yet; its log folder is there, as a kubelet would have made it.
    pub fn prepare(&mut self, network: Network) -> Result<Pod> {
        self.pods += 1;
        let name = format!("bench-{}", self.pods);
        let logs = self.logs.join(&name);
        std::fs::create_dir_all(&logs).with_context(|| format!("make {}", logs.display()))?;
        let network = match network {
            Network::Pod => NamespaceMode::Pod,
            Network::Host => NamespaceMode::Node,
        };
        let security = LinuxSandboxSecurityContext {
            namespace_options: Some(NamespaceOption {
                network: network.into(),
                pid: NamespaceMode::Container.into(),
                ipc: NamespaceMode::Pod.into(),
                ..NamespaceOption::default()
            }),
            seccomp: Some(default_profile()),
            ..LinuxSandboxSecurityContext::default()
        };
        let config = PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                uid: format!("uid-{name}"),
                namespace: "bench".to_owned(),
                attempt: 0,
                name: name.clone(),
            }),
            // A pod of the host's network has the host's name.
            hostname: if network == NamespaceMode::Pod { name } else { String::new() },
            log_directory: logs.to_string_lossy().into_owned(),
            dns_config: Some(DnsConfig { servers: vec!["10.0.0.10".to_owned()], ..DnsConfig::default() }),
            linux: Some(LinuxPodSandboxConfig {
                cgroup_parent: self.account.pods(),
                security_context: Some(security),
                ..LinuxPodSandboxConfig::default()
            }),
            ..PodSandboxConfig::default()
        };
        Ok(Pod { id: String::new(), config })
    }

    /// RunPodSandbox.
    pub async fn run(&self, pod: &mut Pod) -> Result<()> {
        let request =
            RunPodSandboxRequest { config: Some(pod.config.clone()), runtime_handler: String::new() };
        let mut client = self.runtime.clone();
        pod.id = self.answer("RunPodSandbox", client.run_pod_sandbox(request)).await?.pod_sandbox_id;
        Ok(())
    }

    /// CreateContainer, with the default seccomp profile and limits.
    pub async fn create(&self, pod: &Pod, arguments: &[&str]) -> Result<String> {
        let resources = LinuxContainerResources {
            cpu_shares: 512,
            memory_limit_in_bytes: 128 << 20,
            oom_score_adj: 900,
            ..LinuxContainerResources::default()
        };
        let security = LinuxContainerSecurityContext {
            namespace_options: pod
                .config
                .linux
                .as_ref()
                .and_then(|linux| linux.security_context.clone()?.namespace_options),
            seccomp: Some(default_profile()),
            no_new_privs: true,
            ..LinuxContainerSecurityContext::default()
        };
        let config = ContainerConfig {
            metadata: Some(ContainerMetadata { name: "c".to_owned(), attempt: 0 }),
            image: Some(ImageSpec { image: IMAGE.to_owned(), ..ImageSpec::default() }),
            args: arguments.iter().map(|word| (*word).to_owned()).collect(),
            log_path: LOG.to_owned(),
            linux: Some(LinuxContainerConfig {
                resources: Some(resources),
                security_context: Some(security),
            }),
            ..ContainerConfig::default()
        };
        let request = CreateContainerRequest {
            pod_sandbox_id: pod.id.clone(),
            config: Some(config),
            sandbox_config: Some(pod.config.clone()),
        };
        let mut client = self.runtime.clone();
        Ok(self.answer("CreateContainer", client.create_container(request)).await?.container_id)
    }

    /// StartContainer.
    pub async fn start(&self, container: &str) -> Result<()> {
        let request = StartContainerRequest { container_id: container.to_owned() };
        let mut client = self.runtime.clone();
        self.answer("StartContainer", client.start_container(request)).await.map(drop)
    }

    /// ExecSync of a program that does nothing and succeeds.
    pub async fn exec(&self, container: &str) -> Result<()> {
        let cmd = ["/bin/demo", "exit", "0"].map(str::to_owned).to_vec();
        let request = ExecSyncRequest { container_id: container.to_owned(), cmd, timeout: 30 };
        let mut client = self.runtime.clone();
        let answer = self.answer("ExecSync", client.exec_sync(request)).await?;
        if answer.exit_code == 0 {
            return Ok(());
        }
        bail!(
            "{}: ExecSync ended with {}: {}",
            self.name,
            answer.exit_code,
            String::from_utf8_lossy(&answer.stderr)
        )
    }

    /// StopPodSandbox.
    pub async fn stop(&self, pod: &str) -> Result<()> {
        let request = StopPodSandboxRequest { pod_sandbox_id: pod.to_owned() };
        let mut client = self.runtime.clone();
        self.answer("StopPodSandbox", client.stop_pod_sandbox(request)).await.map(drop)
    }

    /// RemovePodSandbox.
    pub async fn remove(&self, pod: &str) -> Result<()> {
        let request = RemovePodSandboxRequest { pod_sandbox_id: pod.to_owned() };
        let mut client = self.runtime.clone();
        self.answer("RemovePodSandbox", client.remove_pod_sandbox(request)).await.map(drop)
    }

    /// PullImage.
    pub async fn pull(&self, image: &str) -> Result<()> {
        let request = PullImageRequest { image: Some(spec(image)), ..PullImageRequest::default() };
        let mut client = self.images.clone();
        self.answer("PullImage", client.pull_image(request)).await.map(drop)
    }

    /// Whether an image is there.
    pub async fn has_image(&self, image: &str) -> Result<bool> {
        let mut client = self.images.clone();
        let request = ImageStatusRequest { image: Some(spec(image)), verbose: false };
        Ok(self.answer("ImageStatus", client.image_status(request)).await?.image.is_some())
    }

    /// RemoveImage.
    pub async fn remove_image(&self, image: &str) -> Result<()> {
        let mut client = self.images.clone();
        self.answer("RemoveImage", client.remove_image(RemoveImageRequest { image: Some(spec(image)) }))
            .await
            .map(drop)
    }

    /// Removes every pod, as far as the runtime lets it.
    pub async fn clear(&self) -> Result<()> {
        let mut client = self.runtime.clone();
        let pods = self
            .answer("ListPodSandbox", client.list_pod_sandbox(ListPodSandboxRequest::default()))
            .await?
            .items;
        let mut failure = Ok(());
        for pod in pods {
            // Removal stops by force what could not be stopped in good order.
            let _stopped = self.stop(&pod.id).await;
            failure = failure.and(self.remove(&pod.id).await);
        }
        failure
    }

    /// Removes every pod, ends the daemon, removes what it made. Every step is tried; the first failure is told.
    pub async fn close(mut self) -> Result<()> {
        let cleared = self.clear().await;
        let ended = self.daemon.take().map_or(Ok(()), Daemon::end);
        cleared.and(ended).and(self.account.close()).with_context(|| format!("clear up {}", self.name))
    }

    async fn answer<T>(
        &self,
        rpc: &str,
        call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    ) -> Result<T> {
        let late = || format!("{}: {rpc} took more than {} s", self.name, DEADLINE.as_secs());
        let answer = tokio::time::timeout(DEADLINE, call).await.with_context(late)?;
        match answer {
            Ok(response) => Ok(response.into_inner()),
            Err(status) => bail!("{}: {rpc}: {:?}: {}", self.name, status.code(), status.message()),
        }
    }
}

impl Daemon {
    /// SIGTERM, its end, and what comes after that.
    fn end(mut self) -> Result<()> {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).context("read a process id")?);
        let ended = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM)
            .context("signal the daemon")
            .and_then(|()| wait(&mut self.child, "the daemon", DAEMON_DEADLINE));
        ended.map(drop).and((self.after)())
    }
}

fn spec(image: &str) -> ImageSpec {
    ImageSpec { image: image.to_owned(), ..ImageSpec::default() }
}

fn default_profile() -> SecurityProfile {
    SecurityProfile { profile_type: ProfileType::RuntimeDefault.into(), localhost_ref: String::new() }
}

/// Connects as soon as somebody answers; a daemon that ends meanwhile never will.
async fn first_answer(endpoint: &str, child: &mut Child) -> Result<Channel> {
    let deadline = Instant::now() + DAEMON_DEADLINE;
    loop {
        let error = match cri_api::client::connect(endpoint, DAEMON_DEADLINE).await {
            Ok(channel) => {
                let mut client = cri_api::client::runtime(channel.clone());
                // Listing works only once it has recovered and is ready for pods (G-03).
                match client.list_pod_sandbox(ListPodSandboxRequest::default()).await {
                    Ok(_) => return Ok(channel),
                    Err(status) => anyhow::anyhow!("it answers {:?}: {}", status.code(), status.message()),
                }
            }
            Err(error) => error.into(),
        };
        if let Some(status) = child.try_wait().context("look after the daemon")? {
            bail!("it ended with {status}");
        }
        if Instant::now() > deadline {
            return Err(error.context(format!("no answer within {} s", DAEMON_DEADLINE.as_secs())));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Starts a program that is counted in `account` from its first moment on.
fn counted(account: &Account, program: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(account.procs()).arg(program);
    command
}

/// Waits for the end of a process, and kills it when that takes too long.
pub fn wait(child: &mut Child, what: &str, deadline: Duration) -> Result<ExitStatus> {
    let begun = Instant::now();
    while begun.elapsed() < deadline {
        if let Some(status) = child.try_wait().with_context(|| format!("wait for {what}"))? {
            return Ok(status);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().with_context(|| format!("kill {what}"))?;
    child.wait().with_context(|| format!("wait for {what}"))?;
    bail!("{what} did not end within {} s and was killed", deadline.as_secs())
}
