//! What is known of a pod: plain values the worker keeps and the planner reads.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Add;
use std::time::Duration;

use super::{Backoff, Object};

/// A point in time: nanoseconds since the epoch, the unit in which a runtime reports when a container finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub i64);

impl Moment {
    /// Time from `earlier` to here; zero if it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)))
    }
}

/// A sandbox of the pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    /// Its id.
    pub id: String,
    /// How many there were before it.
    pub attempt: u32,
    /// Whether the runtime calls it ready.
    pub ready: bool,
    /// Whether [`super::Action::StopSandbox`] succeeded.
    pub stopped: bool,
    /// Its addresses, the primary one first; none in the host's network.
    pub addresses: Vec<IpAddr>,
    /// Whether it is in the host's network.
    pub host_network: bool,
}

/// How an instance ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Exit code; 128 + signal for a killed process.
    pub code: i32,
    /// When.
    pub finished_at: Moment,
    /// `Completed`, `Error`, `OOMKilled`, `StartError`, ...
    pub reason: String,
    /// The runtime's words or the container's termination message; may be empty.
    pub message: String,
}

/// Where an instance is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Created, never started.
    Created,
    /// Its process runs.
    Running {
        /// Since when.
        started_at: Moment,
    },
    /// Its process ended.
    Exited(Exit),
    /// The runtime lost track of it.
    Unknown,
}

/// One instance of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its id.
    pub id: String,
    /// The container's name.
    pub name: String,
    /// How many instances there were before it.
    pub attempt: u32,
    /// The sandbox it is in.
    pub sandbox: String,
    /// The container hash it was created with.
    pub hash: String,
    /// Where it is in its life.
    pub state: State,
}

impl Instance {
    /// Whether a process may still be running.
    #[must_use]
    pub fn alive(&self) -> bool {
        matches!(self.state, State::Running { .. } | State::Unknown)
    }
}

/// The pod's volumes as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VolumeState {
    /// Nothing was made.
    #[default]
    Absent,
    /// Something may have been made.
    Partial,
    /// All are there.
    Ready,
}

/// The pod is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// When what still runs is killed. May only move forward (K-WORK-2).
    pub deadline: Moment,
    /// No least grace: at the deadline, now.
    pub forced: bool,
    /// Somebody asked for it; otherwise no container was left to run.
    pub requested: bool,
}

/// Everything known of a pod.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Its sandboxes, in any order.
    pub sandboxes: Vec<Sandbox>,
    /// Instances of its containers, in any order.
    pub instances: Vec<Instance>,
    /// Its volumes.
    pub volumes: VolumeState,
    /// For which instance of a container its image was last seen to.
    pub images: BTreeMap<String, u32>,
    /// Restarts of containers.
    pub backoff: Backoff,
    /// What actions under way work on.
    pub busy: BTreeSet<Object>,
    /// Instances being stopped, and when they are killed.
    pub stopping: BTreeMap<String, Moment>,
    /// Objects on which an action failed, and when to try again.
    pub not_before: BTreeMap<Object, Moment>,
    /// Whether the pod is to end.
    pub stop: Option<Stop>,
}

impl Observed {
    /// The newest instance of a container.
    #[must_use]
    pub fn latest(&self, container: &str) -> Option<&Instance> {
        self.instances
            .iter()
            .filter(|instance| instance.name == container)
            .max_by_key(|instance| instance.attempt)
    }

    /// The newest instance of a container in one sandbox.
    #[must_use]
    pub fn latest_in(&self, container: &str, sandbox: &str) -> Option<&Instance> {
        let of_sandbox = self.instances.iter().filter(|instance| instance.sandbox == sandbox);
        of_sandbox.filter(|instance| instance.name == container).max_by_key(|instance| instance.attempt)
    }

    /// The newest sandbox.
    #[must_use]
    pub fn newest_sandbox(&self) -> Option<&Sandbox> {
        self.sandboxes.iter().max_by_key(|sandbox| sandbox.attempt)
    }
}
