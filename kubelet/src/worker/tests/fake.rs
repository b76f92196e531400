//! A runtime in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use cri_api::v1::{ContainerConfig, PodSandboxConfig};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::container::Image;
use crate::plan::{Exit, Instance, Moment, Sandbox, State};
use crate::runtime::{Answer, PodView, Result, Runtime, RuntimeError};
use crate::worker::Clock;

#[derive(Default)]
struct Inside {
    view: PodView,
    ids: u32,
    pulled: bool,
    failing_pulls: u32,
    exits: BTreeMap<String, Vec<i32>>,
    starts: Vec<Instant>,
}

/// Containers run until they are stopped, unless the test says with what they exit at once.
pub struct Fake {
    inside: Mutex<Inside>,
    changed: Mutex<Vec<Arc<Notify>>>,
    begin: Instant,
    deaf: bool,
    hanging_pull: bool,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            inside: Mutex::default(),
            changed: Mutex::default(),
            begin: Instant::now(),
            deaf: false,
            hanging_pull: false,
        }
    }
}

fn error(operation: &'static str, object: &str, message: &str) -> RuntimeError {
    let answer = Answer { code: tonic::Code::Unknown, message: message.to_owned() };
    RuntimeError::Call { operation, object: object.to_owned(), source: Box::new(answer) }
}

impl Fake {
    pub fn with_exits(self, name: &str, codes: &[i32]) -> Self {
        self.inside().exits.insert(name.to_owned(), codes.iter().rev().copied().collect());
        self
    }

    pub fn with_failing_pulls(self, count: u32) -> Self {
        self.inside().failing_pulls = count;
        self
    }

    pub fn with_hanging_pull(self) -> Self {
        Self { hanging_pull: true, ..self }
    }

    /// Containers do not react to TERM.
    pub fn deaf(self) -> Self {
        Self { deaf: true, ..self }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap()
    }

    fn now(&self) -> Moment {
        Moment(1_000_000_000) + self.begin.elapsed()
    }

    pub fn clock(&self) -> Clock {
        let begin = self.begin;
        Arc::new(move || Moment(1_000_000_000) + begin.elapsed())
    }

    pub fn starts(&self) -> Vec<Instant> {
        self.inside().starts.clone()
    }

    pub fn is_empty(&self) -> bool {
        let inside = self.inside();
        inside.view.sandboxes.is_empty() && inside.view.instances.is_empty()
    }

    fn tell(&self) {
        self.changed.lock().unwrap().iter().for_each(|changed| changed.notify_one());
    }

    fn exit(&self, id: &str, code: i32) {
        let finished_at = self.now();
        let mut inside = self.inside();
        let found = inside.view.instances.iter_mut().find(|instance| instance.id == id);
        if let Some(instance) = found.filter(|instance| instance.alive()) {
            let exit = Exit { code, finished_at, reason: "Error".to_owned(), message: String::new() };
            instance.state = State::Exited(exit);
        }
        drop(inside);
        self.tell();
    }
}

impl Runtime for Fake {
    async fn observe(&self, _uid: &str) -> Result<PodView> {
        Ok(self.inside().view.clone())
    }

    async fn follow(&self, _uid: &str, changed: Arc<Notify>) -> RuntimeError {
        self.changed.lock().unwrap().push(changed);
        std::future::pending().await
    }

    async fn run_sandbox(&self, config: PodSandboxConfig) -> Result<Sandbox> {
        let mut inside = self.inside();
        inside.ids += 1;
        let sandbox = Sandbox {
            id: format!("s{}", inside.ids),
            attempt: config.metadata.unwrap().attempt,
            ready: true,
            stopped: false,
            addresses: vec!["10.0.0.2".parse().unwrap()],
            host_network: false,
        };
        inside.view.sandboxes.push(sandbox.clone());
        Ok(sandbox)
    }

    async fn stop_sandbox(&self, id: &str) -> Result<()> {
        for sandbox in self.inside().view.sandboxes.iter_mut().filter(|sandbox| sandbox.id == id) {
            sandbox.ready = false;
        }
        Ok(())
    }

    async fn remove_sandbox(&self, id: &str) -> Result<()> {
        self.inside().view.sandboxes.retain(|sandbox| sandbox.id != id);
        Ok(())
    }

    async fn image(&self, _reference: &str) -> Result<Option<Image>> {
        Ok(self.inside().pulled.then(|| Image { id: "sha256:1".to_owned(), ..Image::default() }))
    }

    async fn pull(&self, reference: &str, _sandbox: PodSandboxConfig) -> Result<()> {
        if self.hanging_pull {
            std::future::pending::<()>().await;
        }
        let mut inside = self.inside();
        if inside.failing_pulls > 0 {
            inside.failing_pulls -= 1;
            return Err(error("pull image", reference, "no such image"));
        }
        inside.pulled = true;
        Ok(())
    }

    async fn create(&self, sandbox: &str, config: ContainerConfig, _pod: PodSandboxConfig) -> Result<String> {
        let mut inside = self.inside();
        inside.ids += 1;
        let id = format!("c{}", inside.ids);
        let metadata = config.metadata.unwrap();
        inside.view.instances.push(Instance {
            id: id.clone(),
            name: metadata.name,
            attempt: metadata.attempt,
            sandbox: sandbox.to_owned(),
            hash: config.annotations[crate::names::CONTAINER_HASH].clone(),
            state: State::Created,
        });
        Ok(id)
    }

    async fn start(&self, id: &str) -> Result<()> {
        let started_at = self.now();
        let exit = {
            let mut inside = self.inside();
            inside.starts.push(Instant::now());
            let instance = inside.view.instances.iter_mut().find(|instance| instance.id == id).unwrap();
            instance.state = State::Running { started_at };
            let name = instance.name.clone();
            inside.exits.get_mut(&name).and_then(Vec::pop)
        };
        if let Some(code) = exit {
            self.exit(id, code);
        }
        Ok(())
    }

    async fn stop(&self, id: &str, grace: Duration) -> Result<()> {
        if self.deaf {
            tokio::time::sleep(grace).await;
        }
        self.exit(id, 137);
        Ok(())
    }

    async fn remove(&self, id: &str) -> Result<()> {
        self.inside().view.instances.retain(|instance| instance.id != id);
        Ok(())
    }

    async fn state(&self, id: &str) -> Result<Option<State>> {
        Ok(self
            .inside()
            .view
            .instances
            .iter()
            .find(|instance| instance.id == id)
            .map(|found| found.state.clone()))
    }
}
