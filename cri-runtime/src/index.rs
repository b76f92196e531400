//! What the runtime answers lists and statuses from: the published state of every pod and container.
//!
//! One owner task per pod changes its pod and its containers and publishes each change here as a whole record; readers
//! take the lock for a map look-up and no longer (G-11, G-12). A std lock, because it is never held across an await.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, RwLock};

use tokio::sync::mpsc;

use crate::error::{Class, Failure};
use crate::record::{ContainerRecord, SandboxRecord, SandboxStage};
use crate::sandbox::Command;

/// What makes a sandbox unique among the living (G-07).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PodKey {
    /// Pod namespace.
    pub namespace: String,
    /// Pod name.
    pub name: String,
    /// Pod uid.
    pub uid: String,
    /// How often the sandbox was made anew.
    pub attempt: u32,
}

/// The inbox of a pod's owner task.
pub type Inbox = mpsc::Sender<Command>;

/// The published state.
#[derive(Debug, Default)]
pub struct Index {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    pods: BTreeMap<String, Pod>,
    containers: BTreeMap<String, Arc<ContainerRecord>>,
    keys: HashMap<PodKey, String>,
}

#[derive(Debug)]
struct Pod {
    record: Arc<SandboxRecord>,
    inbox: Inbox,
}

/// What [`Index::claim`] found under a key.
#[derive(Debug)]
pub enum Claim {
    /// Nothing: the key now belongs to the caller's id.
    Granted,
    /// A pod that exists or is being made.
    Taken {
        /// Its id.
        id: String,
    },
}

impl Index {
    fn read<T>(&self, look: impl FnOnce(&Inner) -> T) -> T {
        look(&self.inner.read().expect("no panic while holding it"))
    }

    fn write<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        change(&mut self.inner.write().expect("no panic while holding it"))
    }

    /// Gives `key` to the sandbox `id`, unless another one has it.
    pub fn claim(&self, key: &PodKey, id: &str) -> Claim {
        self.write(|inner| match inner.keys.get(key) {
            Some(taken) => Claim::Taken { id: taken.clone() },
            None => {
                inner.keys.insert(key.clone(), id.to_owned());
                Claim::Granted
            }
        })
    }

    /// Takes the key of `id` back.
    pub fn release(&self, key: &PodKey, id: &str) {
        self.write(|inner| {
            if inner.keys.get(key).is_some_and(|owner| owner == id) {
                inner.keys.remove(key);
            }
        });
    }

    /// Publishes a pod, new or changed.
    pub fn publish_pod(&self, record: SandboxRecord, inbox: &Inbox) {
        let id = record.id.clone();
        let pod = Pod { record: Arc::new(record), inbox: inbox.clone() };
        self.write(|inner| inner.pods.insert(id, pod));
    }

    /// Publishes a container, new or changed.
    pub fn publish_container(&self, record: ContainerRecord) {
        let id = record.id.clone();
        self.write(|inner| inner.containers.insert(id, Arc::new(record)));
    }

    /// Forgets a pod.
    pub fn remove_pod(&self, id: &str) {
        self.write(|inner| inner.pods.remove(id));
    }

    /// Forgets a container.
    pub fn remove_container(&self, id: &str) {
        self.write(|inner| inner.containers.remove(id));
    }

    /// Every pod. One that is being made is in no list before it is ready.
    pub fn pods(&self) -> Vec<Arc<SandboxRecord>> {
        let made = |pod: &&Pod| !is_unfinished(pod.record.stage);
        self.read(|inner| inner.pods.values().filter(made).map(|pod| pod.record.clone()).collect())
    }

    /// Every container.
    pub fn containers(&self) -> Vec<Arc<ContainerRecord>> {
        self.read(|inner| inner.containers.values().cloned().collect())
    }

    /// Containers of one pod, in order of their ids.
    pub fn containers_of(&self, sandbox: &str) -> Vec<Arc<ContainerRecord>> {
        self.read(|inner| inner.containers.values().filter(|c| c.sandbox == sandbox).cloned().collect())
    }

    /// The pod of this id or unique prefix of an id (G-06).
    ///
    /// # Errors
    /// Not found, or the prefix fits several.
    pub fn pod(&self, id: &str) -> Result<Arc<SandboxRecord>, Failure> {
        let pod = self.read(|inner| unique(&inner.pods, id, "pod sandbox").map(|pod| pod.record.clone()))?;
        if is_unfinished(pod.stage) { Err(not_found("pod sandbox", id)) } else { Ok(pod) }
    }

    /// The inbox of the owner of this pod, also of one that is being made.
    ///
    /// # Errors
    /// As [`Self::pod`].
    pub fn inbox(&self, id: &str) -> Result<Inbox, Failure> {
        self.read(|inner| unique(&inner.pods, id, "pod sandbox").map(|pod| pod.inbox.clone()))
    }

    /// The container of this id or unique prefix of an id.
    ///
    /// # Errors
    /// Not found, or the prefix fits several.
    pub fn container(&self, id: &str) -> Result<Arc<ContainerRecord>, Failure> {
        self.read(|inner| unique(&inner.containers, id, "container").cloned())
    }

    /// Whether a pod that is not yet gone has this id.
    pub fn knows_pod(&self, id: &str) -> bool {
        self.read(|inner| inner.pods.contains_key(id))
    }

    /// How many pods are ready.
    pub fn ready_pods(&self) -> usize {
        self.read(|inner| inner.pods.values().filter(|p| p.record.stage == SandboxStage::Ready).count())
    }
}

fn is_unfinished(stage: SandboxStage) -> bool {
    matches!(stage, SandboxStage::Creating | SandboxStage::Starting)
}

fn not_found(what: &str, id: &str) -> Failure {
    Failure::new(Class::NotFound, format!("find {what} {id:?}: not found"))
}

/// The only entry whose key starts with `prefix`.
fn unique<'a, T>(map: &'a BTreeMap<String, T>, prefix: &str, what: &str) -> Result<&'a T, Failure> {
    if prefix.is_empty() {
        return Err(Failure::new(Class::InvalidArgument, format!("find {what}: the id is empty")));
    }
    let mut matches = map.range(prefix.to_owned()..).take_while(|(id, _)| id.starts_with(prefix));
    match (matches.next(), matches.next()) {
        (None, _) => Err(not_found(what, prefix)),
        (Some((id, found)), second) if second.is_none() || id == prefix => Ok(found),
        _ => {
            Err(Failure::new(Class::InvalidArgument, format!("find {what} {prefix:?}: several ids begin so")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_finds_its_only_object_and_nothing_else() {
        let map = BTreeMap::from([("aa1".to_owned(), 1), ("aa12".to_owned(), 2), ("bb".to_owned(), 3)]);
        assert_eq!(unique(&map, "b", "pod").unwrap(), &3);
        assert_eq!(unique(&map, "aa1", "pod").unwrap(), &1, "an exact id wins over one it is a prefix of");
        assert_eq!(unique(&map, "a", "pod").unwrap_err().class, Class::InvalidArgument);
        assert_eq!(unique(&map, "c", "pod").unwrap_err().class, Class::NotFound);
        assert_eq!(unique(&map, "", "pod").unwrap_err().class, Class::InvalidArgument);
    }

    #[test]
    fn a_key_belongs_to_one_sandbox_until_that_one_releases_it() {
        let index = Index::default();
        let key = PodKey { namespace: "n".into(), name: "p".into(), uid: "u".into(), attempt: 0 };
        assert!(matches!(index.claim(&key, "one"), Claim::Granted));
        assert!(matches!(index.claim(&key, "two"), Claim::Taken { id } if id == "one"));
        index.release(&key, "two");
        assert!(matches!(index.claim(&key, "two"), Claim::Taken { .. }));
        index.release(&key, "one");
        assert!(matches!(index.claim(&key, "two"), Claim::Granted));
    }
}
