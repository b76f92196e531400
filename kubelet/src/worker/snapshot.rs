//! What the world is told of a pod.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::net::IpAddr;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::Pod;

use super::execute::Executor;
use crate::names::Identity;
use crate::plan::{ContainerSpec, Exit, Moment, Object, Observed, Phase, Role, Spec, Stage, State, phase};

/// The pod at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Counts snapshots.
    pub generation: u64,
    /// Who it is.
    pub pod: Identity,
    /// Its phase.
    pub phase: Phase,
    /// What its worker is doing.
    pub stage: Stage,
    /// Whether somebody asked for its end.
    pub stop_requested: bool,
    /// Its sandbox.
    pub sandbox: Option<String>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its containers: init containers and sidecars in order, then the regular ones.
    pub containers: Vec<ContainerStatus>,
    /// What keeps the pod as a whole from going on: its volumes, its sandbox, the runtime.
    pub troubles: Vec<Trouble>,
}

/// A failure that was not overcome yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// One word, as in a pod's status: `ErrImagePull`, `CreateContainerError`, ...
    pub reason: String,
    /// What failed, on what, why; one line.
    pub message: String,
}

impl Trouble {
    /// A failure and its causes in one line.
    #[must_use]
    pub fn new(reason: &str, error: &dyn Error) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if text.starts_with(&message) {
                // The runtime used the same words; once is enough.
                message = text;
            } else {
                // Writing to a String cannot fail.
                let _ = write!(message, ": {text}");
            }
            cause = error.source();
        }
        Self { reason: reason.to_owned(), message: message.replace('\n', " ") }
    }
}

/// A container at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerStatus {
    /// Its name.
    pub name: String,
    /// What it is for its pod.
    pub role: Role,
    /// How often it was started again.
    pub restarts: u32,
    /// Its newest instance.
    pub id: Option<String>,
    /// Where it is.
    pub state: ContainerState,
    /// Whether the newest instance has ended: it writes no more to its log.
    pub ended: bool,
    /// How the last instance ended, if the container waits or runs again since.
    pub last: Option<Exit>,
    /// The log of the newest instance.
    pub log: Option<PathBuf>,
}

/// Where a container is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerState {
    /// It is not running yet, or not again.
    Waiting(Trouble),
    /// It runs.
    Running {
        /// Since when.
        started_at: Moment,
    },
    /// It ended and will not run again.
    Terminated(Exit),
}

impl Snapshot {
    pub(super) fn initial(spec: &Spec, pod: &Pod) -> Self {
        let waiting = |container: &ContainerSpec| ContainerStatus {
            name: container.name.clone(),
            role: container.role,
            restarts: 0,
            id: None,
            state: ContainerState::Waiting(not_yet(spec)),
            ended: false,
            last: None,
            log: None,
        };
        Self {
            generation: 0,
            pod: Identity::of(pod),
            phase: Phase::Pending,
            stage: Stage::Syncing,
            stop_requested: false,
            sandbox: None,
            addresses: Vec::new(),
            containers: spec.containers.iter().map(waiting).collect(),
            troubles: Vec::new(),
        }
    }

    pub(super) fn of<R>(
        spec: &Spec,
        observed: &Observed,
        troubles: &BTreeMap<Object, Trouble>,
        stage: Stage,
        now: Moment,
        executor: &Executor<R>,
        before: &Self,
    ) -> Self {
        let sandbox = observed.newest_sandbox();
        // How containers ended is remembered after they were removed, and a terminal phase is final (2.4).
        let container = |container: &ContainerSpec| {
            let known =
                before.containers.iter().find(|known| known.name == container.name && known.id.is_some());
            let older =
                |attempt: u32| observed.latest(&container.name).is_none_or(|latest| latest.attempt < attempt);
            match known {
                Some(known) if older(known.restarts) => known.clone(),
                _ => status(spec, container, observed, troubles, now, executor),
            }
        };
        let own = |object: &Object| !matches!(object, Object::Image(_) | Object::Container(_));
        Self {
            generation: 0,
            pod: executor.identity().clone(),
            phase: if before.phase.is_terminal() { before.phase } else { phase(spec, observed) },
            stage,
            stop_requested: observed.stop.is_some_and(|stop| stop.requested),
            sandbox: sandbox.map(|sandbox| sandbox.id.clone()),
            addresses: sandbox.map(|sandbox| sandbox.addresses.clone()).unwrap_or_default(),
            containers: spec.containers.iter().map(container).collect(),
            troubles: troubles
                .iter()
                .filter(|(object, _)| own(object))
                .map(|(_, trouble)| trouble.clone())
                .collect(),
        }
    }

    /// Whether nothing but the count differs.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        let Self {
            generation: _,
            pod,
            phase,
            stage,
            stop_requested,
            sandbox,
            addresses,
            containers,
            troubles,
        } = self;
        (pod, phase, stage, stop_requested, sandbox, addresses, containers, troubles)
            == (
                &other.pod,
                &other.phase,
                &other.stage,
                &other.stop_requested,
                &other.sandbox,
                &other.addresses,
                &other.containers,
                &other.troubles,
            )
    }

    /// Every container that ended with another code than 0, the earliest first.
    #[must_use]
    pub fn failures(&self) -> Vec<(&str, &Exit)> {
        let mut failures: Vec<(&str, &Exit)> = self
            .containers
            .iter()
            .filter_map(|container| match &container.state {
                ContainerState::Terminated(exit) if exit.code != 0 && container.role != Role::Sidecar => {
                    Some((container.name.as_str(), exit))
                }
                _ => None,
            })
            .collect();
        failures.sort_by_key(|(_, exit)| exit.finished_at);
        failures
    }
}

fn not_yet(spec: &Spec) -> Trouble {
    let reason =
        if spec.of_role(Role::Init).next().is_some() { "PodInitializing" } else { "ContainerCreating" };
    Trouble { reason: reason.to_owned(), message: String::new() }
}

fn status<R>(
    spec: &Spec,
    container: &ContainerSpec,
    observed: &Observed,
    troubles: &BTreeMap<Object, Trouble>,
    now: Moment,
    executor: &Executor<R>,
) -> ContainerStatus {
    let latest = observed.latest(&container.name);
    let trouble = troubles
        .get(&Object::Container(container.name.clone()))
        .or_else(|| troubles.get(&Object::Image(container.name.clone())));
    let before = observed
        .instances
        .iter()
        .filter(|instance| {
            instance.name == container.name && Some(&instance.id) != latest.map(|latest| &latest.id)
        })
        .max_by_key(|instance| instance.attempt)
        .and_then(|instance| match &instance.state {
            State::Exited(exit) => Some(exit.clone()),
            _ => None,
        });
    let waiting = || ContainerState::Waiting(trouble.cloned().unwrap_or_else(|| not_yet(spec)));
    let mut last = before;
    let state = match latest.map(|latest| &latest.state) {
        None | Some(State::Created | State::Unknown) => waiting(),
        Some(State::Running { started_at }) => ContainerState::Running { started_at: *started_at },
        Some(State::Exited(exit)) => {
            let again = container.restart.restarts(exit.code) && observed.stop.is_none();
            // The next delay is known as soon as the restart begins; it is not waited for yet.
            let starting = observed.busy.contains(&Object::Container(container.name.clone()));
            let wait = observed.backoff.wait(&container.backoff_key(), exit.finished_at, now);
            match (again, wait.filter(|_| !starting)) {
                (false, _) => ContainerState::Terminated(exit.clone()),
                (true, waits) => {
                    last = Some(exit.clone());
                    match waits {
                        Some((_, delay)) => ContainerState::Waiting(crash_loop(container, delay, executor)),
                        None => waiting(),
                    }
                }
            }
        }
    };
    ContainerStatus {
        name: container.name.clone(),
        role: container.role,
        restarts: latest.map_or(0, |latest| latest.attempt),
        id: latest.map(|latest| latest.id.clone()),
        state,
        ended: matches!(latest.map(|latest| &latest.state), Some(State::Exited(_))),
        last,
        log: latest.map(|latest| executor.log_path(&container.name, latest.attempt)),
    }
}

fn crash_loop<R>(container: &ContainerSpec, delay: std::time::Duration, executor: &Executor<R>) -> Trouble {
    let pod = executor.identity();
    Trouble {
        reason: "CrashLoopBackOff".to_owned(),
        message: format!(
            "back-off {}s restarting failed container={} pod={}_{}({})",
            delay.as_secs(),
            container.name,
            pod.name,
            pod.namespace,
            pod.uid
        ),
    }
}
