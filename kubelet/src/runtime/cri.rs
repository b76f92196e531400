//! [`Runtime`] over a CRI v1 socket: ours, containerd's or CRI-O's.

use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use cri_api::v1::image_service_client::ImageServiceClient;
use cri_api::v1::runtime_service_client::RuntimeServiceClient;
use cri_api::{client, v1};
use tokio::sync::Notify;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use super::{Answer, PodView, Result, Runtime, RuntimeError};
use crate::container::Image;
use crate::names;
use crate::plan::{Exit, Instance, Moment, Sandbox, State};
use crate::security::ImageUser;

/// Questions a runtime answers from memory.
const ASK: Duration = Duration::from_secs(30);
/// Things a runtime does (`runtimeRequestTimeout` of a kubelet).
const DO: Duration = Duration::from_secs(120);
/// A sandbox waits for network plugins; a kubelet gives it twice the time.
const SANDBOX: Duration = Duration::from_secs(240);
/// Images are as large as they are.
const PULL: Duration = Duration::from_secs(3600);
/// What a server gets beyond a container's grace to kill it and answer.
const STOP_MARGIN: Duration = Duration::from_secs(120);

/// A connection to a runtime. Cloning it shares the connection.
#[derive(Clone, Debug)]
pub struct Cri {
    runtime: RuntimeServiceClient<Channel>,
    image: ImageServiceClient<Channel>,
}

impl Cri {
    /// Speaks CRI over an open channel.
    #[must_use]
    pub fn new(channel: Channel) -> Self {
        Self { runtime: client::runtime(channel.clone()), image: client::image(channel) }
    }

    async fn sandbox(&self, id: &str) -> Result<Option<Sandbox>> {
        let request = v1::PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose: false };
        let mut runtime = self.runtime.clone();
        let answer = call("look at sandbox", id, ASK, request, |request| async move {
            runtime.pod_sandbox_status(request).await
        });
        Ok(existing(answer.await)?.and_then(|response| response.status).map(sandbox))
    }

    async fn status(&self, id: &str) -> Result<Option<v1::ContainerStatus>> {
        let request = v1::ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
        let mut runtime = self.runtime.clone();
        let answer = call("look at container", id, ASK, request, |request| async move {
            runtime.container_status(request).await
        });
        Ok(existing(answer.await)?.and_then(|response| response.status))
    }
}

/// Makes one call with a deadline that both sides know.
async fn call<Q, A, F>(
    operation: &'static str,
    object: &str,
    deadline: Duration,
    message: Q,
    send: impl FnOnce(Request<Q>) -> F,
) -> Result<A>
where
    F: Future<Output = std::result::Result<Response<A>, Status>>,
{
    let mut request = Request::new(message);
    request.set_timeout(deadline);
    // The transport's own deadline answers first; this one is for a connection that hangs below it.
    match tokio::time::timeout(deadline + Duration::from_secs(1), send(request)).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(failed(operation, object, &status)),
        Err(_) => Err(RuntimeError::Deadline { operation, object: object.to_owned(), after: deadline }),
    }
}

fn failed(operation: &'static str, object: &str, status: &Status) -> RuntimeError {
    let answer = Answer { code: status.code(), message: status.message().to_owned() };
    RuntimeError::Call { operation, object: object.to_owned(), source: Box::new(answer) }
}

fn existing<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Err(error) if error.is_not_found() => Ok(None),
        other => other.map(Some),
    }
}

fn sandbox(status: v1::PodSandboxStatus) -> Sandbox {
    let mode = status
        .linux
        .as_ref()
        .and_then(|linux| linux.namespaces.as_ref())
        .and_then(|namespaces| namespaces.options.as_ref())
        .map(v1::NamespaceOption::network);
    let network = status.network.clone().unwrap_or_default();
    let all = std::iter::once(network.ip).chain(network.additional_ips.into_iter().map(|extra| extra.ip));
    Sandbox {
        ready: status.state() == v1::PodSandboxState::SandboxReady,
        attempt: status.metadata.map_or(0, |metadata| metadata.attempt),
        id: status.id,
        stopped: false,
        addresses: all.filter_map(|text| text.parse::<IpAddr>().ok()).collect(),
        host_network: mode == Some(v1::NamespaceMode::Node),
    }
}

fn state(status: &v1::ContainerStatus) -> State {
    match status.state() {
        v1::ContainerState::ContainerCreated => State::Created,
        v1::ContainerState::ContainerRunning => State::Running { started_at: Moment(status.started_at) },
        v1::ContainerState::ContainerUnknown => State::Unknown,
        v1::ContainerState::ContainerExited => State::Exited(Exit {
            code: status.exit_code,
            finished_at: Moment(status.finished_at),
            reason: status.reason.clone(),
            message: status.message.clone(),
        }),
    }
}

fn instance(status: v1::ContainerStatus, sandbox: String) -> Instance {
    let state = state(&status);
    let metadata = status.metadata.unwrap_or_default();
    Instance {
        id: status.id,
        name: metadata.name,
        attempt: metadata.attempt,
        sandbox,
        hash: status.annotations.get(names::CONTAINER_HASH).cloned().unwrap_or_default(),
        state,
    }
}

impl Runtime for Cri {
    async fn observe(&self, uid: &str) -> Result<PodView> {
        let label_selector = HashMap::from([(names::POD_UID.to_owned(), uid.to_owned())]);
        let filter = v1::PodSandboxFilter { label_selector: label_selector.clone(), ..Default::default() };
        let mut runtime = self.runtime.clone();
        let request = v1::ListPodSandboxRequest { filter: Some(filter) };
        let sandboxes = call("list sandboxes of pod", uid, ASK, request, |request| async move {
            runtime.list_pod_sandbox(request).await
        });
        let mut view = PodView::default();
        for listed in sandboxes.await?.items {
            view.sandboxes.extend(self.sandbox(&listed.id).await?);
        }
        let filter = v1::ContainerFilter { label_selector, ..Default::default() };
        let mut runtime = self.runtime.clone();
        let request = v1::ListContainersRequest { filter: Some(filter) };
        let containers = call("list containers of pod", uid, ASK, request, |request| async move {
            runtime.list_containers(request).await
        });
        for listed in containers.await?.containers {
            let found = self.status(&listed.id).await?;
            view.instances.extend(found.map(|status| instance(status, listed.pod_sandbox_id)));
        }
        Ok(view)
    }

    async fn follow(&self, uid: &str, changed: Arc<Notify>) -> RuntimeError {
        const OPERATION: &str = "follow events of pod";
        let mut runtime = self.runtime.clone();
        // No deadline on the stream itself: it lives as long as the pod. Keep-alive is a verifying relist.
        let mut stream = match runtime.get_container_events(v1::GetEventsRequest {}).await {
            Ok(response) => response.into_inner(),
            Err(status) => return failed(OPERATION, uid, &status),
        };
        // What happened before the subscription is only in a list.
        changed.notify_one();
        loop {
            match stream.message().await {
                Ok(Some(event)) => {
                    let metadata = event.pod_sandbox_status.and_then(|status| status.metadata);
                    // Events of some runtimes carry no pod; asking once too often is cheap.
                    if metadata.is_none_or(|metadata| metadata.uid == uid) {
                        changed.notify_one();
                    }
                }
                Ok(None) => {
                    return failed(OPERATION, uid, &Status::unavailable("the runtime ended the stream"));
                }
                Err(status) => return failed(OPERATION, uid, &status),
            }
        }
    }

    async fn run_sandbox(&self, config: v1::PodSandboxConfig) -> Result<Sandbox> {
        let name = config.metadata.as_ref().map(|metadata| metadata.name.clone()).unwrap_or_default();
        let request = v1::RunPodSandboxRequest { config: Some(config), runtime_handler: String::new() };
        let mut runtime = self.runtime.clone();
        let answer = call("run sandbox of pod", &name, SANDBOX, request, |request| async move {
            runtime.run_pod_sandbox(request).await
        });
        let id = answer.await?.pod_sandbox_id;
        let gone = || failed("look at sandbox", &id, &Status::not_found("it is gone already"));
        self.sandbox(&id).await?.ok_or_else(gone)
    }

    async fn stop_sandbox(&self, id: &str) -> Result<()> {
        let request = v1::StopPodSandboxRequest { pod_sandbox_id: id.to_owned() };
        let mut runtime = self.runtime.clone();
        let answer = call("stop sandbox", id, SANDBOX, request, |request| async move {
            runtime.stop_pod_sandbox(request).await
        });
        existing(answer.await).map(drop)
    }

    async fn remove_sandbox(&self, id: &str) -> Result<()> {
        let request = v1::RemovePodSandboxRequest { pod_sandbox_id: id.to_owned() };
        let mut runtime = self.runtime.clone();
        let answer = call("remove sandbox", id, SANDBOX, request, |request| async move {
            runtime.remove_pod_sandbox(request).await
        });
        existing(answer.await).map(drop)
    }

    async fn image(&self, reference: &str) -> Result<Option<Image>> {
        let image = v1::ImageSpec { image: reference.to_owned(), ..Default::default() };
        let request = v1::ImageStatusRequest { image: Some(image), verbose: false };
        let mut images = self.image.clone();
        let answer = call("look at image", reference, ASK, request, |request| async move {
            images.image_status(request).await
        });
        Ok(existing(answer.await)?.and_then(|response| response.image).map(|image| Image {
            id: image.id,
            user: ImageUser { uid: image.uid.map(|uid| uid.value), username: image.username },
        }))
    }

    async fn pull(&self, reference: &str, sandbox: v1::PodSandboxConfig) -> Result<()> {
        let image = v1::ImageSpec {
            image: reference.to_owned(),
            user_specified_image: reference.to_owned(),
            ..Default::default()
        };
        let request = v1::PullImageRequest { image: Some(image), auth: None, sandbox_config: Some(sandbox) };
        let mut images = self.image.clone();
        call(
            "pull image",
            reference,
            PULL,
            request,
            |request| async move { images.pull_image(request).await },
        )
        .await
        .map(drop)
    }

    async fn create(
        &self,
        sandbox: &str,
        config: v1::ContainerConfig,
        sandbox_config: v1::PodSandboxConfig,
    ) -> Result<String> {
        let name = config.metadata.as_ref().map(|metadata| metadata.name.clone()).unwrap_or_default();
        let request = v1::CreateContainerRequest {
            pod_sandbox_id: sandbox.to_owned(),
            config: Some(config),
            sandbox_config: Some(sandbox_config),
        };
        let mut runtime = self.runtime.clone();
        let answer = call("create container", &name, DO, request, |request| async move {
            runtime.create_container(request).await
        });
        answer.await.map(|response| response.container_id)
    }

    async fn start(&self, id: &str) -> Result<()> {
        let request = v1::StartContainerRequest { container_id: id.to_owned() };
        let mut runtime = self.runtime.clone();
        let answer = call("start container", id, DO, request, |request| async move {
            runtime.start_container(request).await
        });
        answer.await.map(drop)
    }

    async fn stop(&self, id: &str, grace: Duration) -> Result<()> {
        // CRI counts whole seconds: rounded up, so that nobody gets less than promised, and 0 stays 0.
        let timeout = i64::try_from(grace.as_millis().div_ceil(1000)).unwrap_or(i64::MAX);
        let request = v1::StopContainerRequest { container_id: id.to_owned(), timeout };
        let mut runtime = self.runtime.clone();
        let answer = call("stop container", id, grace + STOP_MARGIN, request, |request| async move {
            runtime.stop_container(request).await
        });
        existing(answer.await).map(drop)
    }

    async fn remove(&self, id: &str) -> Result<()> {
        let request = v1::RemoveContainerRequest { container_id: id.to_owned() };
        let mut runtime = self.runtime.clone();
        let answer = call("remove container", id, DO, request, |request| async move {
            runtime.remove_container(request).await
        });
        existing(answer.await).map(drop)
    }

    async fn state(&self, id: &str) -> Result<Option<State>> {
        Ok(self.status(id).await?.map(|status| state(&status)))
    }
}
