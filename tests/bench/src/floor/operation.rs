//! What is measured, and from where to where.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::ValueEnum;
use nix::sched::CloneFlags;

use super::workshop::{Running, Shape, Workshop};

/// One thing a runtime is asked for, done by the kernel alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Operation {
    /// A container with all namespaces of its own
    Start,
    /// A connected network namespace
    Network,
    /// The same container in a connected network namespace
    StartNetwork,
    /// A process in a running container, to its end
    Exec,
    /// A connected network namespace and the process that holds a pod's namespaces
    Sandbox,
    /// The holder without a network of its own
    HostSandbox,
    /// A container in the namespaces of a sandbox
    Container,
    /// Sandbox and container
    Pod,
    /// Sandbox and container, to the first byte the program writes
    FirstByte,
    /// SIGKILL of a container, its reaping, and the removal of its cgroups
    Stop,
}

impl Operation {
    /// All of them, in the order of the table.
    pub const ALL: &'static [Self] = &[
        Self::Start,
        Self::Network,
        Self::StartNetwork,
        Self::Exec,
        Self::Sandbox,
        Self::HostSandbox,
        Self::Container,
        Self::Pod,
        Self::FirstByte,
        Self::Stop,
    ];

    /// As it is asked for.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// What it is, in half a line.
    pub fn content(self) -> String {
        self.to_possible_value().and_then(|value| Some(value.get_help()?.to_string())).unwrap_or_default()
    }

    /// Does it once, and clears up after the clock has stopped.
    pub fn measure(self, workshop: &mut Workshop) -> Result<Duration> {
        let begun = Instant::now();
        let stop = || begun.elapsed();
        let time = match self {
            Self::Network => {
                let _namespace = workshop.network.pod()?;
                stop()
            }
            Self::Start => {
                let _running = workshop.start_program(&alone(), &["sleep"])?;
                stop()
            }
            Self::StartNetwork => {
                let namespace = workshop.network.pod()?;
                let join = [(namespace.as_fd(), CloneFlags::CLONE_NEWNET)];
                let shape = Shape { create: all() - CloneFlags::CLONE_NEWNET, join: &join, ..alone() };
                let _running = workshop.start_program(&shape, &["sleep"])?;
                stop()
            }
            Self::Sandbox => {
                let _pause = sandbox(workshop)?;
                stop()
            }
            Self::HostSandbox => {
                let shape = Shape { create: held(), root: false, filter: false, ..alone() };
                let _pause = workshop.start_pause(&shape)?;
                stop()
            }
            Self::Container => {
                let pause = sandbox(workshop)?;
                let begun = Instant::now();
                let _running = container(workshop, &pause, &["sleep"])?;
                begun.elapsed()
            }
            Self::Pod => {
                let pause = sandbox(workshop)?;
                let _running = container(workshop, &pause, &["sleep"])?;
                stop()
            }
            Self::FirstByte => {
                let pause = sandbox(workshop)?;
                let running = container(workshop, &pause, &["then", "say", "ready", "--", "sleep"])?;
                running.wait_output()?;
                stop()
            }
            Self::Exec => {
                let running = workshop.start_program(&alone(), &["sleep"])?;
                let others = CloneFlags::CLONE_NEWNS
                    | CloneFlags::CLONE_NEWNET
                    | CloneFlags::CLONE_NEWIPC
                    | CloneFlags::CLONE_NEWUTS;
                let join = [(running.pidfd(), others)];
                let shape = Shape {
                    create: CloneFlags::empty(),
                    join: &join,
                    pids_of: Some(running.pidfd()),
                    root: false,
                    filter: true,
                };
                let begun = Instant::now();
                let mut exec = workshop.start_program(&shape, &["exit", "0"])?;
                exec.wait()?;
                begun.elapsed()
            }
            Self::Stop => workshop.start_program(&alone(), &["sleep"])?.end()?,
        };
        Ok(time)
    }
}

/// Every namespace a container can have to itself. A cgroup namespace would be made after the join.
fn all() -> CloneFlags {
    held() | CloneFlags::CLONE_NEWNET
}

/// What the holder of a pod makes when the network is given to it.
fn held() -> CloneFlags {
    CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC
}

fn alone() -> Shape<'static> {
    Shape { create: all(), join: &[], pids_of: None, root: true, filter: true }
}

fn sandbox(workshop: &mut Workshop) -> Result<Running> {
    let namespace = workshop.network.pod()?;
    let join = [(namespace.as_fd(), CloneFlags::CLONE_NEWNET)];
    workshop.start_pause(&Shape { create: held(), join: &join, pids_of: None, root: false, filter: false })
}

fn container(workshop: &mut Workshop, pause: &Running, arguments: &[&str]) -> Result<Running> {
    let shared = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
    let join = [(pause.pidfd(), shared)];
    let create = CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS;
    workshop.start_program(&Shape { create, join: &join, pids_of: None, root: true, filter: true }, arguments)
}
