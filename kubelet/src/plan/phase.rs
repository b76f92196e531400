//! How far a pod is: its phase (2.4), and whether anything is left for it to run.

use super::{Observed, RestartPolicy, Role, Spec, State};

/// `status.phase`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not every container was started yet.
    Pending,
    /// Containers run, or will run again.
    Running,
    /// Every container ended with 0.
    Succeeded,
    /// Every container ended, one with another code.
    Failed,
}

impl Phase {
    /// Whether the pod will stay in this phase.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, f)
    }
}

/// Whether an init container failed for good.
fn init_failed(spec: &Spec, observed: &Observed) -> bool {
    spec.of_role(Role::Init).any(|container| {
        match observed.latest(&container.name).map(|latest| &latest.state) {
            Some(State::Exited(exit)) => exit.code != 0 && container.restart == RestartPolicy::Never,
            _ => false,
        }
    })
}

/// Whether no container is left to run: the pod ends by itself.
pub(super) fn is_over(spec: &Spec, observed: &Observed) -> bool {
    let ended =
        |container: &super::ContainerSpec| match observed.latest(&container.name).map(|latest| &latest.state)
        {
            Some(State::Exited(exit)) => !container.restart.restarts(exit.code),
            _ => false,
        };
    init_failed(spec, observed) || spec.of_role(Role::Regular).all(ended)
}

/// The pod's phase.
#[must_use]
pub fn phase(spec: &Spec, observed: &Observed) -> Phase {
    if init_failed(spec, observed) {
        return Phase::Failed;
    }
    let nothing_alive = !observed.instances.iter().any(super::Instance::alive);
    let over = observed.stop.is_some() && nothing_alive;
    let mut never_started = 0;
    let (mut running, mut stopped, mut succeeded, mut restartable, mut unknown) = (0, 0, 0, 0, 0);
    for container in spec.of_role(Role::Regular) {
        match observed.latest(&container.name).map(|latest| &latest.state) {
            None | Some(State::Created) => never_started += 1,
            Some(State::Running { .. }) => running += 1,
            Some(State::Unknown) => unknown += 1,
            Some(State::Exited(exit)) => {
                stopped += 1;
                succeeded += usize::from(exit.code == 0);
                restartable += usize::from(container.restart.restarts(exit.code));
            }
        }
    }
    if over {
        return if never_started == 0 && stopped == succeeded { Phase::Succeeded } else { Phase::Failed };
    }
    let initialized = never_started == 0 || spec.of_role(Role::Init).all(|container| {
        matches!(observed.latest(&container.name).map(|latest| &latest.state), Some(State::Exited(exit)) if exit.code == 0)
    });
    if !initialized || never_started > 0 || unknown > 0 {
        return Phase::Pending;
    }
    let sidecars = spec.of_role(Role::Sidecar).any(|container| {
        matches!(observed.latest(&container.name).map(|latest| &latest.state), Some(State::Running { .. }))
    });
    if running > 0 || restartable > 0 || sidecars {
        Phase::Running
    } else if stopped == succeeded {
        Phase::Succeeded
    } else {
        Phase::Failed
    }
}
