//! What should happen next to a pod: a pure function of what is wanted, what was observed, and the time.
//!
//! Owns every decision about order, restarts, back-off and termination. Does no I/O, reads no clock and keeps no state:
//! the worker executes [`Action`]s, puts their results into [`Observed`], and asks again. So every rule can be tested
//! by a table, and the whole by a simulation that no runtime could be made to play.
//!
//! ```text
//!              containers to run                      a stop was asked for, or no container is left to run
//!   ┌──────────────────────────────────┐   stop   ┌──────────────────────────────────────────────────────┐
//!   │ Syncing                          │ ───────▶ │ Terminating                                          │
//!   │ volumes, sandbox                 │          │ regular and init containers, together                │
//!   │ init containers, one by one      │          │ then sidecars, last one first                        │
//!   │   sidecars stay                  │          │ then the sandbox, the volumes, and what is left over │
//!   │ regular containers, together     │          └──────────────────────────────────────────────────────┘
//!   │ whatever exits: policy, back-off │                                    │ nothing left
//!   └──────────────────────────────────┘                                    ▼
//!                                                                       Terminated
//! ```
//! There is no way back (K-WORK-1).

mod backoff;
mod observed;
mod phase;
mod spec;
mod sync;
mod terminate;

use std::time::Duration;

pub use backoff::Backoff;
pub use observed::{Exit, Instance, Moment, Observed, Sandbox, State, Stop, VolumeState};
pub use phase::{Phase, phase};
pub use spec::{ContainerSpec, PullPolicy, RestartPolicy, Role, Spec};

/// One thing to do. Actions of one decision may be executed at the same time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Make every volume of the pod.
    PrepareVolumes,
    /// Remove every volume of the pod.
    TeardownVolumes,
    /// Make the pod's sandbox.
    CreateSandbox {
        /// How many there were before.
        attempt: u32,
    },
    /// Stop a sandbox, its network included.
    StopSandbox {
        /// Its id.
        id: String,
    },
    /// Remove a stopped sandbox and what is left of its containers.
    RemoveSandbox {
        /// Its id.
        id: String,
    },
    /// See to it that the container's image is there, as its pull policy says.
    EnsureImage {
        /// The container.
        container: String,
        /// The instance it is for.
        attempt: u32,
    },
    /// Create and start an instance of a container.
    StartContainer {
        /// The container.
        container: String,
        /// The instance.
        attempt: u32,
        /// When the instance before it finished, if it did; the back-off counts from there.
        after: Option<Moment>,
    },
    /// Ask an instance to end, and end it at the deadline.
    StopContainer {
        /// Its id.
        id: String,
        /// When it is killed.
        deadline: Moment,
    },
    /// Remove an ended instance of which a newer one exists.
    RemoveContainer {
        /// Its id.
        id: String,
    },
}

/// What an action works on; two actions on one object never run at the same time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Object {
    /// The volumes of the pod.
    Volumes,
    /// The making of a sandbox.
    Sandbox,
    /// The image of a container.
    Image(String),
    /// The next instance of a container.
    Container(String),
    /// An existing sandbox or container instance, by id.
    Existing(String),
}

impl Action {
    /// What the action works on.
    #[must_use]
    pub fn object(&self) -> Object {
        match self {
            Self::PrepareVolumes | Self::TeardownVolumes => Object::Volumes,
            Self::CreateSandbox { .. } => Object::Sandbox,
            Self::EnsureImage { container, .. } => Object::Image(container.clone()),
            Self::StartContainer { container, .. } => Object::Container(container.clone()),
            Self::StopSandbox { id }
            | Self::RemoveSandbox { id }
            | Self::StopContainer { id, .. }
            | Self::RemoveContainer { id } => Object::Existing(id.clone()),
        }
    }
}

/// Where the pod is in the diagram above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Containers are made to run.
    Syncing,
    /// Everything is being ended.
    Terminating,
    /// Nothing is left to do.
    Terminated,
}

/// The planner's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What to start now.
    pub actions: Vec<Action>,
    /// When to ask again even if nothing happens.
    pub wake_at: Option<Moment>,
    /// Where the pod is.
    pub stage: Stage,
    /// Set when the pod has nothing left to run: the worker keeps it, since there is no way back.
    pub stop: Option<Stop>,
}

/// Decides what to do now.
#[must_use]
pub fn plan(spec: &Spec, observed: &Observed, now: Moment) -> Decision {
    let mut planner = Planner { spec, observed, now, actions: Vec::new(), wake_at: None };
    let stop = observed.stop.or_else(|| {
        phase::is_over(spec, observed).then(|| Stop {
            deadline: now + spec.grace,
            forced: false,
            requested: false,
        })
    });
    let stage = match stop {
        Some(stop) => planner.terminate(stop),
        None => match planner.sync() {
            sync::Outcome::Syncing => Stage::Syncing,
            sync::Outcome::GivenUp => {
                let stop = Stop { deadline: now + spec.grace, forced: false, requested: false };
                let stage = planner.terminate(stop);
                return planner.decide(stage, Some(stop));
            }
        },
    };
    planner.decide(stage, stop)
}

struct Planner<'a> {
    spec: &'a Spec,
    observed: &'a Observed,
    now: Moment,
    actions: Vec<Action>,
    wake_at: Option<Moment>,
}

impl Planner<'_> {
    fn decide(self, stage: Stage, stop: Option<Stop>) -> Decision {
        Decision { actions: self.actions, wake_at: self.wake_at, stage, stop }
    }

    fn wake(&mut self, at: Moment) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }

    fn busy(&self, object: &Object) -> bool {
        self.observed.busy.contains(object)
    }

    /// Adds an action, unless its object is being worked on or failed a moment ago.
    fn act(&mut self, action: Action) {
        let object = action.object();
        if self.busy(&object) {
            return;
        }
        match self.observed.not_before.get(&object) {
            Some(at) if *at > self.now => self.wake(*at),
            _ => self.actions.push(action),
        }
    }

    /// Asks an instance to end. A stop that is under way is only repeated to bring its end forward.
    fn stop_instance(&mut self, instance: &Instance, deadline: Moment) {
        if self.busy(&Object::Container(instance.name.clone())) {
            return;
        }
        let action = Action::StopContainer { id: instance.id.clone(), deadline };
        match self.observed.stopping.get(&instance.id) {
            None => self.act(action),
            Some(under_way) if deadline < *under_way => self.actions.push(action),
            Some(_) => {}
        }
    }
}

/// The shortest time between TERM and KILL that is not forced (2.8).
const LEAST_GRACE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
