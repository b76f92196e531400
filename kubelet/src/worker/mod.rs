//! One task per pod: executes what the planner decides, and tells the planner what came of it.
//!
//! Owns the pod's [`Observed`] state; nobody else changes it, so there is no lock. Actions run as tasks of their own and
//! their results come back through one queue, as do observations and requests. After each of them the planner is asked
//! again:
//!
//! ```text
//!  requests ──▶┌────────┐ plan ┌─────────┐ actions ┌─────────────────────────┐
//!  lists ─────▶│ worker │─────▶│ planner │────────▶│ tasks: runtime, volumes │
//!  timer ─────▶│        │◀─────└─────────┘         └─────────────────────────┘
//!              └────────┘◀───────── results ─────────────────┘
//!                  │ snapshots (watch channel)
//! ```

mod execute;
mod files;
mod observe;
mod snapshot;
mod termination;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::container::Image;
use crate::host::Host;
use crate::layout::Layout;
use crate::plan::{self, Action, Backoff, Decision, Moment, Object, Observed, Spec, Stage, Stop};
use crate::runtime::Runtime;
use execute::{Effect, Executor, Failure, Volumes};
use observe::Observation;
pub use snapshot::{ContainerState, ContainerStatus, Snapshot, Trouble};
use view::View;

/// How long after a failure that no back-off covers the same thing is tried again (K-WORK-3).
const RETRY: Duration = Duration::from_secs(10);
/// The same for stopping and removing, which somebody waits for.
const RETRY_STOP: Duration = Duration::from_secs(1);
/// Longest sleep without asking the planner again.
const RESYNC: Duration = Duration::from_secs(60);

/// A clock the tests can turn.
pub type Clock = Arc<dyn Fn() -> Moment + Send + Sync>;

/// The host's clock, which is also the one a runtime's times are from.
#[must_use]
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Moment::default() + since
    })
}

/// What a worker needs.
pub struct Config<R> {
    /// The runtime.
    pub runtime: Arc<R>,
    /// The pod, validated and with a uid.
    pub pod: Pod,
    /// Facts of the host.
    pub host: Host,
    /// Where files lie.
    pub layout: Layout,
    /// Remove sandbox and containers at the end.
    pub remove: bool,
    /// What time it is.
    pub clock: Clock,
}

/// A request to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Stop { grace: Option<Duration>, forced: bool },
}

/// The outside of a worker.
#[derive(Debug)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
    snapshots: watch::Receiver<Snapshot>,
}

impl Handle {
    /// Snapshots of the pod; the last one has [`Stage::Terminated`].
    #[must_use]
    pub fn snapshots(&self) -> watch::Receiver<Snapshot> {
        self.snapshots.clone()
    }

    /// Asks for a graceful end, with the pod's grace or a shorter one.
    pub async fn stop(&self, grace: Option<Duration>) {
        // A worker that is gone has ended the pod already.
        let _ = self.requests.send(Request::Stop { grace, forced: false }).await;
    }

    /// Asks for an end at once.
    pub async fn kill(&self) {
        let _ = self.requests.send(Request::Stop { grace: Some(Duration::ZERO), forced: true }).await;
    }
}

/// Starts the task of a pod. It ends when the pod has, or when the handle and all snapshot receivers are gone.
pub fn spawn<R: Runtime>(config: Config<R>) -> Handle {
    let spec = Spec::of(&config.pod, config.remove);
    let (requests, inbox) = mpsc::channel(8);
    let (publish, snapshots) = watch::channel(Snapshot::initial(&spec, &config.pod));
    let executor = Executor::new(&config);
    let worker = Worker {
        spec,
        observed: Observed::default(),
        view: View::default(),
        pulls: Backoff::default(),
        images: BTreeMap::new(),
        volumes: Volumes::default(),
        troubles: BTreeMap::new(),
        executor: Arc::new(executor),
        tasks: JoinSet::new(),
        generation: watch::channel(0).0,
        stopping: watch::channel(false).0,
        clock: config.clock,
        publish,
    };
    tokio::spawn(worker.run(inbox));
    Handle { requests, snapshots }
}

type Outcome = (Action, Result<Effect, Failure>);

struct Worker<R> {
    spec: Spec,
    observed: Observed,
    view: View,
    /// Back-off of pulls, by image.
    pulls: Backoff,
    /// What [`Action::EnsureImage`] found, by container.
    images: BTreeMap<String, Image>,
    volumes: Volumes,
    /// The last failure of each object, until it succeeds.
    troubles: BTreeMap<Object, Trouble>,
    executor: Arc<Executor<R>>,
    tasks: JoinSet<Outcome>,
    /// Counts results, for [`view`].
    generation: watch::Sender<u64>,
    /// Tells actions that can be given up (pulls) that the pod is ending.
    stopping: watch::Sender<bool>,
    clock: Clock,
    publish: watch::Sender<Snapshot>,
}

impl<R: Runtime> Worker<R> {
    async fn run(mut self, mut inbox: mpsc::Receiver<Request>) {
        let (lists, mut observations) = mpsc::channel(1);
        let observer = tokio::spawn(observe::run(
            self.executor.runtime(),
            self.executor.uid().to_owned(),
            self.generation.subscribe(),
            lists,
        ));
        loop {
            let decision = self.decide();
            if decision.stage == Stage::Terminated && self.tasks.is_empty() {
                break;
            }
            let now = (self.clock)();
            let sleep = decision.wake_at.map_or(RESYNC, |at| at.since(now)).min(RESYNC);
            tokio::select! {
                request = inbox.recv() => match request {
                    Some(request) => self.request(request),
                    // Nobody can ask for anything any more, so nobody waits for this pod: end it in order.
                    None if self.observed.stop.is_none() => self.request(Request::Stop { grace: None, forced: false }),
                    None => self.idle(sleep).await,
                },
                Some(finished) = self.tasks.join_next() => match finished {
                    Ok((action, result)) => self.finished(action, result),
                    Err(error) => tracing::error!(pod = %self.executor.pod_name(), "an action of the pod ended in a panic: {error}"),
                },
                Some(observation) = observations.recv() => self.observed(observation),
                () = tokio::time::sleep(sleep) => {}
            }
        }
        observer.abort();
    }

    /// Waits for results only; the inbox is closed and would answer at once.
    async fn idle(&mut self, sleep: Duration) {
        tokio::select! {
            Some(finished) = self.tasks.join_next() => if let Ok((action, result)) = finished {
                self.finished(action, result);
            },
            () = tokio::time::sleep(sleep.min(RETRY_STOP)) => {}
        }
    }

    /// Asks the planner, starts what it says and publishes where the pod is.
    fn decide(&mut self) -> Decision {
        let now = (self.clock)();
        let decision = plan::plan(&self.spec, &self.observed, now);
        if self.observed.stop.is_none() && decision.stop.is_some() {
            self.observed.stop = decision.stop;
            self.stopping.send_replace(true);
        }
        for action in &decision.actions {
            self.launch(action.clone(), now);
        }
        let before = self.publish.borrow().clone();
        let (spec, observed, troubles) = (&self.spec, &self.observed, &self.troubles);
        let snapshot = Snapshot::of(spec, observed, troubles, decision.stage, now, &self.executor, &before);
        self.publish.send_if_modified(|published| {
            let differs = !published.same_as(&snapshot);
            if differs {
                let generation = published.generation + 1;
                *published = Snapshot { generation, ..snapshot };
            }
            differs
        });
        decision
    }

    fn launch(&mut self, action: Action, now: Moment) {
        self.observed.busy.insert(action.object());
        match &action {
            Action::StopContainer { id, deadline } => {
                self.observed.stopping.insert(id.clone(), *deadline);
            }
            Action::StartContainer { container, after: Some(after), .. } => {
                if let Some(container) = self.spec.container(container) {
                    self.observed.backoff.bump(&container.backoff_key(), *after, now);
                }
            }
            Action::PrepareVolumes => self.observed.volumes = plan::VolumeState::Partial,
            _ => {}
        }
        let executor = Arc::clone(&self.executor);
        let setting = execute::State {
            now,
            sandbox: self.observed.newest_sandbox().cloned(),
            image: match &action {
                Action::StartContainer { container, .. } => self.images.get(container).cloned(),
                _ => None,
            },
            volumes: self.volumes.clone(),
            stopping: self.stopping.subscribe(),
        };
        tracing::debug!(pod = %executor.pod_name(), ?action, "start action");
        self.tasks.spawn(async move {
            let result = executor.execute(&action, setting).await;
            (action, result)
        });
    }

    fn request(&mut self, request: Request) {
        let Request::Stop { grace, forced } = request;
        let now = (self.clock)();
        let mut deadline = now + grace.unwrap_or(self.spec.grace).min(self.spec.grace);
        if let Some(before) = self.observed.stop {
            deadline = deadline.min(before.deadline);
        }
        let forced = forced || self.observed.stop.is_some_and(|stop| stop.forced);
        self.observed.stop = Some(Stop { deadline, forced, requested: true });
        self.stopping.send_replace(true);
    }

    fn observed(&mut self, observation: Observation) {
        let now = (self.clock)();
        let Observation { view, generation } = observation;
        match view {
            Ok(view) => {
                self.troubles.remove(&Object::Existing(String::new()));
                self.view.merge(&mut self.observed, view, generation, now);
                self.add_termination_messages();
            }
            Err(error) => {
                let trouble = Trouble::new("RuntimeUnavailable", &error);
                self.troubles.insert(Object::Existing(String::new()), trouble);
            }
        }
    }

    fn add_termination_messages(&mut self) {
        for instance in &mut self.observed.instances {
            self.executor.add_termination_message(instance);
        }
    }

    fn finished(&mut self, action: Action, result: Result<Effect, Failure>) {
        let now = (self.clock)();
        let object = action.object();
        let generation = self.generation.borrow().wrapping_add(1);
        self.generation.send_replace(generation);
        if let Action::StopContainer { id, deadline } = &action {
            // A stop that was overtaken by a shorter one is not the one that counts.
            if self.observed.stopping.get(id) == Some(deadline) {
                self.observed.stopping.remove(id);
                self.observed.busy.remove(&object);
            }
        } else {
            self.observed.busy.remove(&object);
        }
        match result {
            Ok(effect) => {
                self.observed.not_before.remove(&object);
                self.troubles.remove(&object);
                self.apply(effect, generation);
            }
            Err(failure) => self.failed(&action, failure, generation, now),
        }
        self.add_termination_messages();
    }

    fn apply(&mut self, effect: Effect, generation: u64) {
        match effect {
            Effect::VolumesReady(volumes) => {
                self.volumes = volumes;
                self.observed.volumes = plan::VolumeState::Ready;
            }
            Effect::VolumesGone => self.observed.volumes = plan::VolumeState::Absent,
            Effect::SandboxMade(sandbox) => self.view.add_sandbox(&mut self.observed, sandbox, generation),
            Effect::SandboxStopped(id) => {
                for sandbox in self.observed.sandboxes.iter_mut().filter(|sandbox| sandbox.id == id) {
                    (sandbox.ready, sandbox.stopped) = (false, true);
                }
            }
            Effect::Removed(id) => self.view.remove(&mut self.observed, &id),
            Effect::ImageReady { container, attempt, image } => {
                if let Some(spec) = self.spec.container(&container) {
                    self.pulls.reset(&spec.image);
                }
                self.observed.images.insert(container.clone(), attempt);
                self.images.insert(container, image);
            }
            Effect::Instance(instance) => {
                self.view.advance(&mut self.observed, instance, generation);
            }
            Effect::Nothing => {}
        }
    }

    fn failed(&mut self, action: &Action, failure: Failure, generation: u64, now: Moment) {
        let object = action.object();
        let Failure { trouble, instance } = failure;
        tracing::debug!(pod = %self.executor.pod_name(), ?action, "action failed: {}", trouble.message);
        // A started container that exited at once has its own back-off.
        let exited =
            instance.as_ref().is_some_and(|instance| matches!(instance.state, plan::State::Exited(_)));
        if let Some(instance) = instance {
            self.view.advance(&mut self.observed, *instance, generation);
        }
        let delay = match action {
            _ if exited => Duration::ZERO,
            Action::StopContainer { .. }
            | Action::StopSandbox { .. }
            | Action::RemoveContainer { .. }
            | Action::RemoveSandbox { .. }
            | Action::TeardownVolumes => RETRY_STOP,
            Action::EnsureImage { container, .. } => match self.spec.container(container) {
                Some(container) if trouble.reason == "ErrImagePull" => {
                    self.pulls.bump(&container.image, now, now)
                }
                _ => RETRY,
            },
            _ => RETRY,
        };
        self.observed.not_before.insert(object.clone(), now + delay);
        self.troubles.insert(object, trouble);
    }
}

#[cfg(test)]
mod tests;
