//! Telling a person what happens to their pod, on standard error.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use kubelet::plan::{Exit, Stage};
use kubelet::worker::{ContainerState, ContainerStatus, Snapshot, Trouble};

use crate::output;

/// Waiting reasons that trying again rarely cures: somebody at a terminal wants to know, not to wait.
const HOPELESS: &[&str] = &[
    "ErrImagePull",
    "ErrImageNeverPull",
    "InvalidImageName",
    "ImageInspectError",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "FailedMount",
    "FailedCreatePodSandBox",
];

/// What runtimes call a container whose program could not be executed.
const NOT_STARTED: &[&str] = &["StartError", "ContainerCannotRun"];

/// Why the pod will not come up, if it will not.
pub fn hopeless(snapshot: &Snapshot) -> Option<String> {
    let of_pod = snapshot.troubles.iter().map(|trouble| (String::new(), trouble));
    let of_containers = snapshot.containers.iter().filter_map(|container| match &container.state {
        ContainerState::Waiting(trouble) => Some((format!(", container {}", container.name), trouble)),
        _ => None,
    });
    let mut all = of_pod.chain(of_containers);
    let name = &snapshot.pod.name;
    if let Some((whose, trouble)) = all.find(|(_, trouble)| HOPELESS.contains(&trouble.reason.as_str())) {
        return Some(format!("pod {name}{whose}: {}: {}", trouble.reason, trouble.message));
    }
    snapshot.containers.iter().find_map(|container| {
        let exit = match &container.state {
            ContainerState::Terminated(exit) => exit,
            ContainerState::Waiting(_) | ContainerState::Running { .. } => container.last.as_ref()?,
        };
        let hopeless = NOT_STARTED.contains(&exit.reason.as_str());
        hopeless.then(|| {
            format!("pod {name}, container {}: {}: {}", container.name, exit.reason, exit.message.trim())
        })
    })
}

/// Remembers what was told, and tells what is new.
pub struct Report {
    quiet: bool,
    colour: bool,
    name: String,
    ports: Vec<String>,
    address_told: bool,
    ending_told: bool,
    containers: BTreeMap<String, String>,
    troubles: Vec<Trouble>,
}

impl Report {
    pub fn new(quiet: bool, pod: &Pod) -> Self {
        let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
        let ports = containers.flat_map(|container| container.ports.iter().flatten());
        let published = ports.filter_map(|port| {
            let host_port = port.host_port.filter(|port| *port != 0)?;
            let address = port.host_ip.as_deref().filter(|ip| !ip.is_empty()).unwrap_or("0.0.0.0");
            let protocol = port.protocol.as_deref().unwrap_or("TCP").to_lowercase();
            Some(format!("{address}:{host_port} -> {}/{protocol}", port.container_port))
        });
        Self {
            quiet,
            colour: output::colour(&std::io::stderr()),
            name: pod.metadata.name.clone().unwrap_or_default(),
            ports: published.collect(),
            address_told: false,
            ending_told: false,
            containers: BTreeMap::new(),
            troubles: Vec::new(),
        }
    }

    fn tell(&self, text: &str) {
        if self.quiet {
            return;
        }
        let (dim, plain) = if self.colour { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
        eprintln!("{dim}orlop: {text}{plain}");
    }

    /// Answers a Ctrl-C.
    pub fn interrupted(&self, times: u32) {
        match times {
            1 => self.tell("ending the pod in order; press Ctrl-C again to end it at once"),
            _ => self.tell("ending the pod at once"),
        }
    }

    /// Tells what changed.
    pub fn show(&mut self, snapshot: &Snapshot) {
        let ready = snapshot.sandbox.is_some() && snapshot.stage == Stage::Syncing;
        if ready && !self.address_told {
            self.address_told = true;
            let addresses: Vec<String> = snapshot.addresses.iter().map(ToString::to_string).collect();
            let address =
                if addresses.is_empty() { "the host's network".to_owned() } else { addresses.join(", ") };
            self.tell(&format!("pod {} has its sandbox; address {address}", self.name));
            for port in &self.ports {
                self.tell(&format!("pod {} publishes {port}", self.name));
            }
        }
        for container in &snapshot.containers {
            let text = describe(container);
            if text.is_empty() || self.containers.get(&container.name) == Some(&text) {
                continue;
            }
            self.tell(&format!("container {} {text}", container.name));
            self.containers.insert(container.name.clone(), text);
        }
        for trouble in snapshot.troubles.iter().filter(|trouble| !self.troubles.contains(trouble)) {
            self.tell(&format!("pod {}: {}: {}", self.name, trouble.reason, trouble.message));
        }
        self.troubles.clone_from(&snapshot.troubles);
        if snapshot.stage == Stage::Terminated && !self.ending_told {
            self.ending_told = true;
            self.tell(&format!("pod {} has ended: {}", self.name, snapshot.phase));
        }
    }
}

fn describe(container: &ContainerStatus) -> String {
    match &container.state {
        ContainerState::Waiting(trouble) if trouble.message.is_empty() => String::new(),
        ContainerState::Waiting(trouble) => match &container.last {
            Some(exit) if trouble.reason == "CrashLoopBackOff" => {
                format!("{}; {}", ended(exit), trouble.message)
            }
            _ => format!("waits: {}: {}", trouble.reason, trouble.message),
        },
        ContainerState::Running { .. } if container.restarts > 0 => {
            format!("runs again (restart {})", container.restarts)
        }
        ContainerState::Running { .. } => "runs".to_owned(),
        ContainerState::Terminated(exit) => ended(exit),
    }
}

fn ended(exit: &Exit) -> String {
    let message = exit.message.trim();
    let reason = if exit.reason.is_empty() { String::new() } else { format!(" ({})", exit.reason) };
    match message {
        "" => format!("ended with {}{reason}", exit.code),
        message => format!("ended with {}{reason}: {}", exit.code, message.replace('\n', " ")),
    }
}
