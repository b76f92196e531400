//! Ending a pod in order (2.6, 2.8).

use super::{Action, Instance, LEAST_GRACE, Object, Planner, Role, Stage, Stop, VolumeState};

impl Planner<'_> {
    /// The next steps towards nothing being left. Containers end before the sandbox they live in, and volumes go when
    /// nobody can be writing to them.
    pub(super) fn terminate(&mut self, stop: Stop) -> Stage {
        if self.stop_containers(stop) {
            return Stage::Terminating;
        }
        let making = self.busy(&Object::Sandbox);
        for sandbox in self.observed.sandboxes.iter().filter(|sandbox| !sandbox.stopped) {
            self.act(Action::StopSandbox { id: sandbox.id.clone() });
        }
        if self.observed.volumes != VolumeState::Absent {
            self.act(Action::TeardownVolumes);
        }
        let volumes_gone = self.observed.volumes == VolumeState::Absent && !self.busy(&Object::Volumes);
        if making || !volumes_gone || self.observed.sandboxes.iter().any(|sandbox| !sandbox.stopped) {
            return Stage::Terminating;
        }
        if self.spec.remove {
            for instance in &self.observed.instances {
                self.act(Action::RemoveContainer { id: instance.id.clone() });
            }
            if self.observed.instances.is_empty() {
                for sandbox in &self.observed.sandboxes {
                    self.act(Action::RemoveSandbox { id: sandbox.id.clone() });
                }
            }
            if !(self.observed.instances.is_empty() && self.observed.sandboxes.is_empty()) {
                return Stage::Terminating;
            }
        }
        Stage::Terminated
    }

    /// Stops what runs; true while anything does. All but the sidecars end together; sidecars serve the others, so
    /// they wait for them and then end one by one, last started first, on what is left of the grace.
    fn stop_containers(&mut self, stop: Stop) -> bool {
        let spec = self.spec;
        let observed = self.observed;
        let alive_of = |name: &str| -> Vec<&Instance> {
            observed.instances.iter().filter(|instance| instance.name == name && instance.alive()).collect()
        };
        let starting = |planner: &Self, name: &str| planner.busy(&Object::Container(name.to_owned()));
        let mut waiting = false;
        for container in spec.containers.iter().filter(|container| container.role != Role::Sidecar) {
            let alive = alive_of(&container.name);
            waiting |= !alive.is_empty() || starting(self, &container.name);
            for instance in alive {
                self.stop_instance(instance, stop.deadline);
            }
        }
        // What the manifest does not know is of an older one; it gets the same end.
        for instance in observed.instances.iter().filter(|instance| instance.alive()) {
            if spec.container(&instance.name).is_none() {
                waiting = true;
                self.stop_instance(instance, stop.deadline);
            }
        }
        if waiting {
            return true;
        }
        for container in spec.of_role(Role::Sidecar).rev() {
            let alive = alive_of(&container.name);
            let busy = starting(self, &container.name);
            if alive.is_empty() && !busy {
                continue;
            }
            for instance in alive {
                let least = self.now + LEAST_GRACE;
                let deadline = if stop.forced { stop.deadline } else { stop.deadline.max(least) };
                // Its turn's deadline was fixed when it was first asked; only force brings it forward.
                if stop.forced || !observed.stopping.contains_key(&instance.id) {
                    self.stop_instance(instance, deadline);
                }
            }
            return true;
        }
        false
    }
}
