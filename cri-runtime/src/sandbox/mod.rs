//! Pod sandboxes. One owner task per pod: it alone changes the pod, its containers and their records.
//!
//! ```text
//!                 run                      stop, or the holder of its namespaces ends
//!   (nothing) ──────────▶ Creating ──▶ Ready ──────────▶ NotReady ──────────▶ (nothing)
//!                             │                                     remove
//!                             └── a step fails: every step before it is undone ──▶ (nothing)
//!
//!   container:  Created ──start──▶ Started ──ends──▶ Exited ──remove──▶ (nothing)
//!                  └── a step of the start fails: Exited, 128, StartError
//! ```
//!
//! A command that takes long (a grace period) does not hold the task: it leaves its reply with the object it waits for,
//! and the task goes on with its inbox. An RPC only awaits a reply: when its client goes away, the work goes on.

mod cgroup;
pub mod files;
mod network;
pub mod pool;
mod run;
mod shm;
mod stop;
pub(crate) mod worker;

use std::time::Duration;

use cri_api::v1::ContainerConfig;
use launch::protocol::Exit;
use tokio::sync::oneshot;

use crate::error::Failure;

pub(crate) use cgroup::PodCgroup;
pub use run::{RunRequest, run};
pub(crate) use run::{hostname, shares_ipc};
pub(crate) use shm::{path as shm_path, unmount as unmount_shm};
pub(crate) use stop::{put as store, remove_group, undo};
pub use worker::{Recovered, adopt};

/// How a command is answered. A caller that went away is not an error.
pub type Reply<T> = oneshot::Sender<Result<T, Failure>>;

/// What the owner of a pod is asked to do.
#[derive(Debug)]
pub enum Command {
    /// Make a container; answered with its id.
    CreateContainer {
        /// What is to be made.
        request: Box<CreateContainer>,
        /// Where the answer goes.
        reply: Reply<String>,
    },
    /// Start a container that was made.
    StartContainer {
        /// Which.
        id: String,
        /// Where the answer goes.
        reply: Reply<()>,
    },
    /// Stop a container; answered when its exit is on record.
    StopContainer {
        /// Which.
        id: String,
        /// How long it may take between the stop signal and the kill.
        timeout: Duration,
        /// Where the answer goes.
        reply: Reply<()>,
    },
    /// Remove a container, stopping it first if it runs.
    RemoveContainer {
        /// Which.
        id: String,
        /// Where the answer goes.
        reply: Reply<()>,
    },
    /// Write a container's log to a new file at its path.
    ReopenLog {
        /// Which.
        id: String,
        /// Where the answer goes.
        reply: Reply<()>,
    },
    /// Stop the pod.
    Stop {
        /// Where the answer goes.
        reply: Reply<()>,
    },
    /// Remove the pod and everything in it.
    Remove {
        /// Where the answer goes.
        reply: Reply<()>,
    },
    /// A process of the pod ended.
    Exited(Exit),
    /// The supervisor was replaced: what it had started is on its own.
    SupervisorReplaced,
}

/// The container that is to be made.
#[derive(Debug)]
pub struct CreateContainer {
    /// Its configuration.
    pub config: ContainerConfig,
    /// Digest of the whole request (G-10).
    pub request: String,
}

/// Deadline of the parts of a teardown that wait for the kernel: processes that die, groups that empty.
pub(crate) const TEARDOWN_DEADLINE: Duration = Duration::from_secs(10);
