//! What of a manifest the planner decides by, with every default applied.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod};

use crate::hash::container_hash;

/// When an exited container is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartPolicy {
    /// After every exit.
    Always,
    /// After an exit code other than 0.
    OnFailure,
    /// Never.
    Never,
}

impl RestartPolicy {
    fn parse(text: &str) -> Self {
        match text {
            "OnFailure" => Self::OnFailure,
            "Never" => Self::Never,
            _ => Self::Always,
        }
    }

    /// Whether an exit with `code` is followed by a new instance.
    #[must_use]
    pub fn restarts(self, code: i32) -> bool {
        match self {
            Self::Always => true,
            Self::OnFailure => code != 0,
            Self::Never => false,
        }
    }
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullPolicy {
    /// Before every instance.
    Always,
    /// If it is not there.
    IfNotPresent,
    /// Never: it has to be there.
    Never,
}

/// What a container is for its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Runs to its end before the next one starts.
    Init,
    /// An init container with `restartPolicy: Always`: stays beside the regular containers.
    Sidecar,
    /// Decides how the pod ends.
    Regular,
}

/// A container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerSpec {
    /// Its name.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// When it is started again.
    pub restart: RestartPolicy,
    /// Its image as written.
    pub image: String,
    /// When that is pulled.
    pub pull: PullPolicy,
    /// See [`crate::hash`].
    pub hash: String,
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Init containers and sidecars in order, then the regular containers.
    pub containers: Vec<ContainerSpec>,
    /// `restartPolicy` of the pod.
    pub restart: RestartPolicy,
    /// `terminationGracePeriodSeconds`.
    pub grace: Duration,
    /// `hostNetwork`.
    pub host_network: bool,
    /// Remove sandbox and containers at the end, rather than leave them for whoever wants to look.
    pub remove: bool,
}

impl Spec {
    /// Takes from a validated pod what the planner needs.
    #[must_use]
    pub fn of(pod: &Pod, remove: bool) -> Self {
        let no_spec = k8s_openapi::api::core::v1::PodSpec::default();
        let spec = pod.spec.as_ref().unwrap_or(&no_spec);
        let restart = RestartPolicy::parse(spec.restart_policy.as_deref().unwrap_or("Always"));
        let init = spec.init_containers.iter().flatten().map(|container| {
            let sidecar = container.restart_policy.as_deref() == Some("Always");
            let role = if sidecar { Role::Sidecar } else { Role::Init };
            // A finished init container is not started again whatever the pod's policy says: Always means failures.
            let inherited = if restart == RestartPolicy::Always { RestartPolicy::OnFailure } else { restart };
            one(container, role, inherited)
        });
        let regular = spec.containers.iter().map(|container| one(container, Role::Regular, restart));
        let seconds = spec.termination_grace_period_seconds.unwrap_or(30);
        Self {
            containers: init.chain(regular).collect(),
            restart,
            // Never below one second (K-WORK-2).
            grace: Duration::from_secs(u64::try_from(seconds).unwrap_or(30).max(1)),
            host_network: spec.host_network == Some(true),
            remove,
        }
    }

    /// The containers of one role, in order.
    pub fn of_role(&self, role: Role) -> impl DoubleEndedIterator<Item = &ContainerSpec> {
        self.containers.iter().filter(move |container| container.role == role)
    }

    /// A container by name.
    #[must_use]
    pub fn container(&self, name: &str) -> Option<&ContainerSpec> {
        self.containers.iter().find(|container| container.name == name)
    }
}

fn one(container: &Container, role: Role, inherited: RestartPolicy) -> ContainerSpec {
    let image = container.image.clone().unwrap_or_default();
    let pull = match container.image_pull_policy.as_deref() {
        Some("Always") => PullPolicy::Always,
        Some("Never") => PullPolicy::Never,
        Some("IfNotPresent") => PullPolicy::IfNotPresent,
        _ if is_latest(&image) => PullPolicy::Always,
        _ => PullPolicy::IfNotPresent,
    };
    ContainerSpec {
        name: container.name.clone(),
        role,
        restart: container.restart_policy.as_deref().map_or(inherited, RestartPolicy::parse),
        hash: container_hash(container),
        image,
        pull,
    }
}

/// Whether the reference means `:latest`, by saying so or by naming neither tag nor digest.
fn is_latest(image: &str) -> bool {
    if image.contains('@') {
        return false;
    }
    // A colon before the last slash belongs to a registry's port.
    let last = image.rsplit('/').next().unwrap_or(image);
    last.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_untagged_image_is_latest_and_a_port_is_no_tag() {
        let table = [
            ("demo", true),
            ("demo:latest", true),
            ("demo:1", false),
            ("localhost:5000/demo", true),
            ("localhost:5000/demo:1", false),
            ("demo@sha256:00", false),
            ("demo:latest@sha256:00", false),
        ];
        for (image, latest) in table {
            assert_eq!(is_latest(image), latest, "{image}");
        }
    }
}
