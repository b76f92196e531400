//! A runtime in memory that does what it is told, or fails, when the test says so.

use std::time::Duration;

use crate::plan::{
    Action, ContainerSpec, Decision, Exit, Instance, Moment, Object, Observed, PullPolicy, RestartPolicy,
    Role, Sandbox, Spec, Stage, State, Stop, VolumeState, plan,
};

pub fn container(name: &str, role: Role, restart: RestartPolicy) -> ContainerSpec {
    ContainerSpec {
        name: name.to_owned(),
        role,
        restart,
        image: "image".to_owned(),
        pull: PullPolicy::IfNotPresent,
        hash: "hash".to_owned(),
    }
}

pub fn spec(restart: RestartPolicy, containers: Vec<ContainerSpec>) -> Spec {
    Spec { containers, restart, grace: Duration::from_secs(30), host_network: false, remove: true }
}

pub struct World {
    pub spec: Spec,
    pub observed: Observed,
    pub now: Moment,
    /// Everything that was done, in order.
    pub done: Vec<Action>,
    ids: u32,
}

impl World {
    pub fn new(spec: Spec) -> Self {
        Self { spec, observed: Observed::default(), now: Moment(1_000_000_000_000), done: Vec::new(), ids: 0 }
    }

    pub fn decide(&mut self) -> Decision {
        let decision = plan(&self.spec, &self.observed, self.now);
        if self.observed.stop.is_none() {
            self.observed.stop = decision.stop;
        }
        decision
    }

    /// What the worker does when it starts an action.
    pub fn launch(&mut self, action: &Action) {
        assert!(
            !self.observed.busy.contains(&action.object()) || matches!(action, Action::StopContainer { .. }),
            "two actions on {:?}",
            action.object()
        );
        self.observed.busy.insert(action.object());
        match action {
            Action::StopContainer { id, deadline } => {
                self.observed.stopping.insert(id.clone(), *deadline);
            }
            Action::StartContainer { container, after, .. } => {
                self.check_start(container);
                let key = self.spec.container(container).unwrap().backoff_key();
                if let Some(after) = after {
                    self.observed.backoff.bump(&key, *after, self.now);
                }
            }
            Action::PrepareVolumes => self.observed.volumes = VolumeState::Partial,
            _ => {}
        }
    }

    /// What must hold whenever a container is started, whatever happened before.
    fn check_start(&self, name: &str) {
        let observed = &self.observed;
        let alive =
            |name: &str| observed.instances.iter().any(|instance| instance.name == name && instance.alive());
        assert!(!alive(name), "two instances of {name}");
        assert!(observed.stop.is_none(), "{name} is started in a pod that ends");
        assert_eq!(observed.volumes, VolumeState::Ready, "{name} is started without its volumes");
        let sandbox = observed.newest_sandbox().expect("a sandbox");
        assert!(sandbox.ready, "{name} is started in a dead sandbox");
        let container = self.spec.container(name).unwrap();
        if container.role != Role::Regular {
            return;
        }
        let past = observed.instances.iter().any(|instance| {
            instance.sandbox == sandbox.id
                && self.spec.container(&instance.name).is_some_and(|c| c.role == Role::Regular)
        });
        for init in self.spec.of_role(Role::Init) {
            let state = observed.latest_in(&init.name, &sandbox.id).map(|latest| &latest.state);
            let finished = matches!(state, Some(State::Exited(exit)) if exit.code == 0);
            assert!(past || finished, "{name} is started before {} has finished", init.name);
        }
    }

    fn id(&mut self, prefix: &str) -> String {
        self.ids += 1;
        format!("{prefix}{}", self.ids)
    }

    /// The action succeeds.
    pub fn succeed(&mut self, action: &Action) {
        self.done.push(action.clone());
        self.observed.busy.remove(&action.object());
        let now = self.now;
        match action {
            Action::PrepareVolumes => self.observed.volumes = VolumeState::Ready,
            Action::TeardownVolumes => self.observed.volumes = VolumeState::Absent,
            Action::CreateSandbox { attempt } => {
                let id = self.id("sandbox");
                self.observed.sandboxes.push(Sandbox {
                    id,
                    attempt: *attempt,
                    ready: true,
                    stopped: false,
                    addresses: vec!["10.0.0.1".parse().unwrap()],
                    host_network: false,
                });
            }
            Action::StopSandbox { id } => {
                let sandbox = self.observed.sandboxes.iter_mut().find(|sandbox| sandbox.id == *id).unwrap();
                (sandbox.ready, sandbox.stopped) = (false, true);
                let dying: Vec<String> = self.running_in(id);
                dying.iter().for_each(|name| self.exit(name, 137));
            }
            Action::RemoveSandbox { id } => {
                self.observed.sandboxes.retain(|sandbox| sandbox.id != *id);
                self.observed.instances.retain(|instance| instance.sandbox != *id);
            }
            Action::EnsureImage { container, attempt } => {
                self.observed.images.insert(container.clone(), *attempt);
            }
            Action::StartContainer { container, attempt, .. } => {
                let id = self.id("container");
                let sandbox = self.observed.newest_sandbox().unwrap();
                let instance = Instance {
                    id,
                    name: container.clone(),
                    attempt: *attempt,
                    sandbox: sandbox.id.clone(),
                    hash: "hash".to_owned(),
                    state: State::Running { started_at: now },
                };
                let dead = !sandbox.ready;
                self.observed.instances.push(instance);
                if dead {
                    self.exit(container, 137);
                }
            }
            Action::StopContainer { id, .. } => {
                self.observed.stopping.remove(id);
                if let Some(instance) = self.observed.instances.iter_mut().find(|instance| instance.id == *id)
                    && instance.alive()
                {
                    instance.state = exited(137, now);
                }
            }
            Action::RemoveContainer { id } => self.observed.instances.retain(|instance| instance.id != *id),
        }
    }

    /// The action fails and is tried again after a while.
    pub fn fail(&mut self, action: &Action, delay: Duration) {
        self.observed.busy.remove(&action.object());
        if let Action::StopContainer { id, .. } = action {
            self.observed.stopping.remove(id);
        }
        self.observed.not_before.insert(action.object(), self.now + delay);
    }

    fn running_in(&self, sandbox: &str) -> Vec<String> {
        let of_sandbox = self.observed.instances.iter().filter(|instance| instance.sandbox == sandbox);
        of_sandbox.filter(|instance| instance.alive()).map(|instance| instance.name.clone()).collect()
    }

    /// The running instance of a container ends by itself.
    pub fn exit(&mut self, name: &str, code: i32) {
        let now = self.now;
        let mut alive =
            self.observed.instances.iter_mut().filter(|instance| instance.name == name && instance.alive());
        alive.next().expect("a running instance").state = exited(code, now);
    }

    /// Does everything that can be done without time going on.
    pub fn settle(&mut self) -> Decision {
        for _ in 0..1000 {
            let decision = self.decide();
            if decision.actions.is_empty() {
                return decision;
            }
            for action in &decision.actions {
                self.launch(action);
            }
            for action in &decision.actions {
                self.succeed(action);
            }
        }
        panic!("no end of actions: {:?}", &self.done[self.done.len() - 6..]);
    }

    pub fn advance(&mut self, by: Duration) {
        self.now = self.now + by;
    }

    pub fn running(&self) -> Vec<&str> {
        let mut names: Vec<&str> =
            self.observed.instances.iter().filter(|i| i.alive()).map(|i| i.name.as_str()).collect();
        names.sort_unstable();
        names
    }

    pub fn ask_to_stop(&mut self, grace: Duration) {
        let deadline = self.now + grace;
        self.observed.stop = Some(Stop { deadline, forced: grace.is_zero(), requested: true });
    }

    /// Starts of a container, as seconds since `since`.
    pub fn stage(&mut self) -> Stage {
        self.decide().stage
    }

    pub fn busy_containers(&self) -> bool {
        self.observed.busy.iter().any(|object| matches!(object, Object::Container(_)))
    }
}

pub fn exited(code: i32, finished_at: Moment) -> State {
    State::Exited(Exit { code, finished_at, reason: String::new(), message: String::new() })
}
