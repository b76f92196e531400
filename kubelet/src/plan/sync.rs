//! Making the containers of a pod run.

use super::{
    Action, ContainerSpec, Instance, Moment, Object, Planner, RestartPolicy, Role, Sandbox, State,
    VolumeState,
};

/// Whether there is something to run.
pub(super) enum Outcome {
    Syncing,
    /// The sandbox is gone and the pod must not start again in another one.
    GivenUp,
}

impl<'a> Planner<'a> {
    pub(super) fn sync(&mut self) -> Outcome {
        if self.observed.volumes != VolumeState::Ready {
            self.act(Action::PrepareVolumes);
        }
        let Some(sandbox) = self.usable_sandbox().cloned() else { return self.replace_sandbox() };
        self.collect_garbage(&sandbox);
        if self.initialized(&sandbox) {
            for container in self.spec.of_role(Role::Regular) {
                self.regular(container, &sandbox);
            }
        }
        Outcome::Syncing
    }

    /// The newest sandbox if containers may run in it (K-SBX-1).
    fn usable_sandbox(&self) -> Option<&Sandbox> {
        let newest = self.observed.newest_sandbox()?;
        let only = self.observed.sandboxes.iter().filter(|sandbox| sandbox.ready).count() == 1;
        let network = newest.host_network == self.spec.host_network;
        let address = newest.host_network || !newest.addresses.is_empty();
        (newest.ready && only && network && address).then_some(newest)
    }

    /// Ends what is left of the old sandboxes, then makes a new one.
    fn replace_sandbox(&mut self) -> Outcome {
        let started_before = !self.observed.instances.is_empty();
        if self.spec.restart == RestartPolicy::Never && started_before {
            return Outcome::GivenUp;
        }
        let deadline = self.now + self.spec.grace;
        let alive: Vec<&Instance> =
            self.observed.instances.iter().filter(|instance| instance.alive()).collect();
        for instance in &alive {
            self.stop_instance(instance, deadline);
        }
        let starting = self
            .spec
            .containers
            .iter()
            .any(|container| self.busy(&Object::Container(container.name.clone())));
        if !alive.is_empty() || starting {
            return Outcome::Syncing;
        }
        let standing: Vec<&Sandbox> =
            self.observed.sandboxes.iter().filter(|sandbox| !sandbox.stopped).collect();
        for sandbox in &standing {
            self.act(Action::StopSandbox { id: sandbox.id.clone() });
        }
        if standing.is_empty() {
            let attempt = self.observed.newest_sandbox().map_or(0, |sandbox| sandbox.attempt + 1);
            self.act(Action::CreateSandbox { attempt });
        }
        // The images of what starts first can be fetched meanwhile.
        for container in self.first_containers() {
            let attempt = self.observed.latest(&container.name).map_or(0, |latest| latest.attempt + 1);
            let finished = self.observed.latest(&container.name).and_then(finished_at);
            if self.waits(container, finished).is_none() {
                self.ensure_image(container, attempt);
            }
        }
        Outcome::Syncing
    }

    /// What a new sandbox starts with: the first init container, or all regular ones.
    fn first_containers(&self) -> Vec<&'a ContainerSpec> {
        match self.spec.containers.iter().find(|container| container.role != Role::Regular) {
            Some(first) => vec![first],
            None => self.spec.of_role(Role::Regular).filter(|container| self.wanted(container)).collect(),
        }
    }

    /// Whether a regular container that may have run before has to run again.
    fn wanted(&self, container: &ContainerSpec) -> bool {
        match self.observed.latest(&container.name).map(|latest| &latest.state) {
            Some(State::Exited(exit)) => container.restart.restarts(exit.code),
            _ => true,
        }
    }

    /// Runs init containers and sidecars; true once the regular containers may start (2.6).
    fn initialized(&mut self, sandbox: &Sandbox) -> bool {
        let observed = self.observed;
        let spec = self.spec;
        // Once a regular container was created, initialization is history, even if its records are gone.
        let in_sandbox = |container: &ContainerSpec| observed.latest_in(&container.name, &sandbox.id);
        let past = spec.of_role(Role::Regular).any(|container| in_sandbox(container).is_some());
        let init: Vec<&ContainerSpec> =
            spec.containers.iter().filter(|container| container.role != Role::Regular).collect();
        for (position, container) in init.iter().enumerate() {
            let instance = in_sandbox(container);
            let later_known = past || init[position + 1..].iter().any(|later| in_sandbox(later).is_some());
            let passed = match (container.role, instance.map(|instance| &instance.state)) {
                (Role::Init, _) if past => true,
                (Role::Init, Some(State::Exited(exit))) if exit.code == 0 => true,
                (Role::Sidecar, Some(State::Running { .. })) => true,
                (_, Some(State::Running { .. })) => false,
                (_, Some(State::Unknown)) => {
                    self.lost(instance);
                    false
                }
                (_, state) => {
                    // A sidecar that died must not hold up what was let past it before.
                    let history_gone = state.is_none() && container.role == Role::Init && later_known;
                    if !history_gone {
                        self.start(container);
                    }
                    history_gone || (container.role == Role::Sidecar && later_known)
                }
            };
            if !passed {
                return false;
            }
        }
        true
    }

    fn regular(&mut self, container: &ContainerSpec, sandbox: &Sandbox) {
        let latest = self.observed.latest(&container.name);
        match latest.map(|latest| (&latest.state, latest)) {
            Some((State::Running { .. }, latest)) => {
                // Another image under the same name is another program (K-CTR-2); one left behind in an old sandbox
                // sees none of its neighbours.
                if latest.hash != container.hash || latest.sandbox != sandbox.id {
                    self.stop_instance(latest, self.now + self.spec.grace);
                }
            }
            Some((State::Unknown, latest)) => self.lost(Some(latest)),
            Some((State::Exited(exit), latest)) => {
                if container.restart.restarts(exit.code) || latest.hash != container.hash {
                    self.start(container);
                }
            }
            None | Some((State::Created, _)) => self.start(container),
        }
    }

    /// An instance the runtime lost track of may still run: it is ended before another one starts (K-RP-1).
    fn lost(&mut self, instance: Option<&Instance>) {
        if let Some(instance) = instance {
            self.stop_instance(instance, self.now + self.spec.grace);
        }
    }

    /// Starts the next instance, when its back-off is over, its image there and its volumes ready.
    fn start(&mut self, container: &ContainerSpec) {
        let same_name = self.observed.instances.iter().filter(|instance| instance.name == container.name);
        if same_name.into_iter().any(Instance::alive) {
            return;
        }
        let latest = self.observed.latest(&container.name);
        let attempt = latest.map_or(0, |latest| latest.attempt + 1);
        let after = latest.and_then(finished_at);
        if let Some(until) = self.waits(container, after) {
            self.wake(until);
            return;
        }
        if self.observed.images.get(&container.name) != Some(&attempt) {
            self.ensure_image(container, attempt);
        } else if self.observed.volumes == VolumeState::Ready {
            self.act(Action::StartContainer { container: container.name.clone(), attempt, after });
        }
    }

    fn ensure_image(&mut self, container: &ContainerSpec, attempt: u32) {
        if self.observed.images.get(&container.name) != Some(&attempt) {
            self.act(Action::EnsureImage { container: container.name.clone(), attempt });
        }
    }

    fn waits(&self, container: &ContainerSpec, finished: Option<Moment>) -> Option<Moment> {
        self.observed.backoff.wait(&container.backoff_key(), finished?, self.now).map(|(until, _)| until)
    }

    /// Of a container the newest instance and the last one that exited are kept, for its status; older ones go, and
    /// so does a sandbox nothing kept is in.
    fn collect_garbage(&mut self, current: &Sandbox) {
        let mut kept_sandboxes = vec![current.id.as_str()];
        let observed = self.observed;
        for container in &self.spec.containers {
            let mut instances: Vec<&Instance> =
                observed.instances.iter().filter(|instance| instance.name == container.name).collect();
            instances.sort_by_key(|instance| std::cmp::Reverse(instance.attempt));
            let mut exited_kept = false;
            for (position, instance) in instances.into_iter().enumerate() {
                let exited = matches!(instance.state, State::Exited(_));
                let keep = position == 0 || instance.alive() || (exited && !exited_kept);
                exited_kept |= exited && position > 0;
                if keep {
                    kept_sandboxes.push(&instance.sandbox);
                } else {
                    self.act(Action::RemoveContainer { id: instance.id.clone() });
                }
            }
        }
        for sandbox in &observed.sandboxes {
            let empty = !observed.instances.iter().any(|instance| instance.sandbox == sandbox.id);
            if empty && !kept_sandboxes.contains(&sandbox.id.as_str()) {
                let id = sandbox.id.clone();
                self.act(if sandbox.stopped {
                    Action::RemoveSandbox { id }
                } else {
                    Action::StopSandbox { id }
                });
            }
        }
    }
}

fn finished_at(instance: &Instance) -> Option<Moment> {
    match &instance.state {
        State::Exited(exit) => Some(exit.finished_at),
        _ => None,
    }
}

impl ContainerSpec {
    /// Back-off belongs to a container and its image: another image starts afresh (K-RP-3).
    #[must_use]
    pub fn backoff_key(&self) -> String {
        format!("{} {}", self.name, self.hash)
    }
}
