//! Pods and containers of a story, over CRI.

use std::path::PathBuf;

use anyhow::{Context, Result};
use cri_api::v1::{
    ContainerConfig, ContainerMetadata, ContainerState, ContainerStatus, ContainerStatusRequest,
    CreateContainerRequest, ExecSyncRequest, ExecSyncResponse, ImageSpec, LinuxContainerConfig,
    LinuxContainerSecurityContext, LinuxPodSandboxConfig, LinuxSandboxSecurityContext, ListContainersRequest,
    ListPodSandboxRequest, NamespaceMode, NamespaceOption, PodSandboxConfig, PodSandboxMetadata,
    PodSandboxStatus, PodSandboxStatusRequest, PullImageRequest, RemoveContainerRequest,
    RemovePodSandboxRequest, RunPodSandboxRequest, StartContainerRequest, StopContainerRequest,
    StopPodSandboxRequest,
};
use tonic::Status;

use super::{DEMO, Runtime};
use crate::patience;

/// What an RPC gave, or the status it failed with: stories look at its code.
pub type Answer<T> = std::result::Result<T, Status>;

impl Runtime {
    /// A pod with a network of its own, logging below [`Runtime::logs`].
    pub fn pod(&self, name: &str) -> PodSandboxConfig {
        let options = NamespaceOption {
            network: NamespaceMode::Pod.into(),
            pid: NamespaceMode::Container.into(),
            ipc: NamespaceMode::Pod.into(),
            ..NamespaceOption::default()
        };
        PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: name.to_owned(),
                uid: format!("uid-{name}"),
                namespace: "stories".to_owned(),
                attempt: 0,
            }),
            hostname: name.to_owned(),
            log_directory: self.logs().join(name).to_string_lossy().into_owned(),
            linux: Some(LinuxPodSandboxConfig {
                security_context: Some(LinuxSandboxSecurityContext {
                    namespace_options: Some(options),
                    ..LinuxSandboxSecurityContext::default()
                }),
                ..LinuxPodSandboxConfig::default()
            }),
            ..PodSandboxConfig::default()
        }
    }

    /// A container of the demo image that runs this verb.
    pub fn container(&self, name: &str, verb: &[&str]) -> ContainerConfig {
        self.container_of(DEMO, name, verb)
    }

    /// A container of any image with these arguments.
    pub fn container_of(&self, image: &str, name: &str, arguments: &[&str]) -> ContainerConfig {
        // The mode of a container is its own word, not its pod's, and the default of the field is "as the pod".
        let options = NamespaceOption { pid: NamespaceMode::Container.into(), ..NamespaceOption::default() };
        let context = LinuxContainerSecurityContext {
            namespace_options: Some(options),
            ..LinuxContainerSecurityContext::default()
        };
        ContainerConfig {
            metadata: Some(ContainerMetadata { name: name.to_owned(), attempt: 0 }),
            image: Some(ImageSpec { image: image.to_owned(), ..ImageSpec::default() }),
            args: arguments.iter().map(|word| (*word).to_owned()).collect(),
            log_path: format!("{name}.log"),
            linux: Some(LinuxContainerConfig {
                security_context: Some(context),
                ..LinuxContainerConfig::default()
            }),
            ..ContainerConfig::default()
        }
    }

    /// Where a container's log is.
    pub fn log(&self, pod: &PodSandboxConfig, container: &str) -> PathBuf {
        PathBuf::from(&pod.log_directory).join(format!("{container}.log"))
    }

    fn rpc<T>(&self, client: Result<T>) -> Answer<T> {
        client.map_err(|error| Status::unavailable(format!("{error:#}")))
    }

    /// PullImage; the image reference.
    ///
    /// # Errors
    /// The RPC's.
    pub async fn pull(&self, image: &str) -> Answer<String> {
        let image = Some(ImageSpec { image: image.to_owned(), ..ImageSpec::default() });
        let request = PullImageRequest { image, ..PullImageRequest::default() };
        Ok(self.rpc(self.images())?.pull_image(request).await?.into_inner().image_ref)
    }

    /// RunPodSandbox; the pod's id. Its log folder is made first, as a kubelet does.
    ///
    /// # Errors
    /// The RPC's.
    pub async fn run_pod(&self, config: &PodSandboxConfig) -> Answer<String> {
        std::fs::create_dir_all(&config.log_directory)
            .map_err(|error| Status::internal(error.to_string()))?;
        let request =
            RunPodSandboxRequest { config: Some(config.clone()), ..RunPodSandboxRequest::default() };
        Ok(self.rpc(self.client())?.run_pod_sandbox(request).await?.into_inner().pod_sandbox_id)
    }

    /// CreateContainer; the container's id.
    ///
    /// # Errors
    /// The RPC's.
    pub async fn create(
        &self,
        pod: &str,
        sandbox: &PodSandboxConfig,
        config: ContainerConfig,
    ) -> Answer<String> {
        let request = CreateContainerRequest {
            pod_sandbox_id: pod.to_owned(),
            config: Some(config),
            sandbox_config: Some(sandbox.clone()),
        };
        Ok(self.rpc(self.client())?.create_container(request).await?.into_inner().container_id)
    }

    /// StartContainer.
    ///
    /// # Errors
    /// The RPC's.
    pub async fn start_container(&self, id: &str) -> Answer<()> {
        let request = StartContainerRequest { container_id: id.to_owned() };
        self.rpc(self.client())?.start_container(request).await.map(drop)
    }

    /// CreateContainer and StartContainer.
    ///
    /// # Errors
    /// That of the RPC that failed.
    pub async fn run_container(
        &self,
        pod: &str,
        sandbox: &PodSandboxConfig,
        config: ContainerConfig,
    ) -> Answer<String> {
        let id = self.create(pod, sandbox, config).await?;
        self.start_container(&id).await?;
        Ok(id)
    }

    /// StopContainer with a grace period in seconds.
    ///
    /// # Errors
    /// The RPC's.
    pub async fn stop_container(&self, id: &str, timeout: i64) -> Answer<()> {
        let request = StopContainerRequest { container_id: id.to_owned(), timeout };
        self.rpc(self.client())?.stop_container(request).await.map(drop)
    }

    /// RemoveContainer.
    ///
    /// # Errors
    /// The RPC's.
    pub async fn remove_container(&self, id: &str) -> Answer<()> {
        let request = RemoveContainerRequest { container_id: id.to_owned() };
        self.rpc(self.client())?.remove_container(request).await.map(drop)
    }

    /// StopPodSandbox.
    ///
    /// # Errors
    /// The RPC's.
    pub async fn stop_pod(&self, id: &str) -> Answer<()> {
        let request = StopPodSandboxRequest { pod_sandbox_id: id.to_owned() };
        self.rpc(self.client())?.stop_pod_sandbox(request).await.map(drop)
    }

    /// StopPodSandbox and RemovePodSandbox.
    ///
    /// # Errors
    /// That of the RPC that failed.
    pub async fn remove_pod(&self, id: &str) -> Answer<()> {
        self.stop_pod(id).await?;
        let request = RemovePodSandboxRequest { pod_sandbox_id: id.to_owned() };
        self.rpc(self.client())?.remove_pod_sandbox(request).await.map(drop)
    }

    /// Removes every pod.
    ///
    /// # Errors
    /// That of the RPC that failed.
    pub async fn remove_all_pods(&self) -> Answer<()> {
        for id in self.pods().await? {
            self.remove_pod(&id).await?;
        }
        Ok(())
    }

    /// Ids of every pod.
    ///
    /// # Errors
    /// The RPC's.
    pub async fn pods(&self) -> Answer<Vec<String>> {
        let answer = self.rpc(self.client())?.list_pod_sandbox(ListPodSandboxRequest::default()).await?;
        Ok(answer.into_inner().items.into_iter().map(|pod| pod.id).collect())
    }

    /// Ids of every container.
    ///
    /// # Errors
    /// The RPC's.
    pub async fn containers(&self) -> Answer<Vec<String>> {
        let answer = self.rpc(self.client())?.list_containers(ListContainersRequest::default()).await?;
        Ok(answer.into_inner().containers.into_iter().map(|container| container.id).collect())
    }

    /// PodSandboxStatus.
    ///
    /// # Errors
    /// The RPC's.
    pub async fn pod_status(&self, id: &str) -> Answer<PodSandboxStatus> {
        let request = PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose: false };
        let answer = self.rpc(self.client())?.pod_sandbox_status(request).await?.into_inner();
        answer.status.ok_or_else(|| Status::internal("the answer has no status"))
    }

    /// The pod's first address.
    ///
    /// # Errors
    /// The RPC's, or the pod has none.
    pub async fn pod_address(&self, id: &str) -> Answer<String> {
        let network = self.pod_status(id).await?.network.unwrap_or_default();
        if network.ip.is_empty() { Err(Status::internal("the pod has no address")) } else { Ok(network.ip) }
    }

    /// ContainerStatus.
    ///
    /// # Errors
    /// The RPC's.
    pub async fn status(&self, id: &str) -> Answer<ContainerStatus> {
        let request = ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
        let answer = self.rpc(self.client())?.container_status(request).await?.into_inner();
        answer.status.ok_or_else(|| Status::internal("the answer has no status"))
    }

    /// Process id of a container, from the verbose status.
    ///
    /// # Errors
    /// The RPC failed, or its information has no pid.
    pub async fn container_pid(&self, id: &str) -> Result<u32> {
        let request = ContainerStatusRequest { container_id: id.to_owned(), verbose: true };
        let info = self.client()?.container_status(request).await?.into_inner().info;
        let text = info.get("info").context("the verbose status has no info")?;
        let info: serde_json::Value = serde_json::from_str(text).context("read the verbose status")?;
        let pid = info["pid"].as_u64().context("the verbose status has no pid")?;
        Ok(u32::try_from(pid)?)
    }

    /// Waits for the end of a container.
    ///
    /// # Errors
    /// The RPC failed, or it did not end in time.
    pub async fn wait_exit(&self, id: &str) -> Result<ContainerStatus> {
        patience::until("the container ends", || async {
            let status = self.status(id).await?;
            Ok((status.state() == ContainerState::ContainerExited).then_some(status))
        })
        .await
    }

    /// Waits for a line in a container's log.
    ///
    /// # Errors
    /// The log is not in CRI format, or the line did not come.
    pub async fn wait_line(
        &self,
        pod: &PodSandboxConfig,
        container: &str,
        wanted: &str,
    ) -> Result<Vec<String>> {
        let path = self.log(pod, container);
        patience::until(&format!("{wanted:?} in the log of {container}"), || async {
            // The last record may be half written while it is being looked at.
            let lines = crate::log::lines(&path).unwrap_or_default();
            Ok(lines.iter().any(|line| line.contains(wanted)).then_some(lines))
        })
        .await
    }

    /// ExecSync; no time limit of the runtime's own with `timeout` 0.
    ///
    /// # Errors
    /// The RPC's.
    pub async fn exec(&self, id: &str, command: &[&str], timeout: i64) -> Answer<ExecSyncResponse> {
        let cmd = command.iter().map(|word| (*word).to_owned()).collect();
        let request = ExecSyncRequest { container_id: id.to_owned(), cmd, timeout };
        Ok(self.rpc(self.client())?.exec_sync(request).await?.into_inner())
    }

    /// Standard output of a command that must succeed.
    ///
    /// # Errors
    /// The RPC failed, or the command did.
    pub async fn output(&self, id: &str, command: &[&str]) -> Result<String> {
        let answer = self.exec(id, command, 0).await?;
        anyhow::ensure!(
            answer.exit_code == 0,
            "{command:?} ended with {}: {}",
            answer.exit_code,
            String::from_utf8_lossy(&answer.stderr)
        );
        Ok(String::from_utf8_lossy(&answer.stdout).into_owned())
    }
}
