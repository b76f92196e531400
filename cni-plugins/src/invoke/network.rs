//! The node's network, as the daemon uses it.
//!
//! ```text
//!            conf_dir: first file ──── none: the built-in network
//!                    │                        │
//!   status ─ add ─ del ─ gc          bridge + host-local + portmap, in process
//!                    │
//!   cache: intent ── ADD of each plugin ── result        (ADD failed: DEL of each, then the entry goes)
//! ```
//! An entry of the cache is written before the first plugin runs and removed after the last one has let go, so that a
//! crash at any point leaves either nothing or an entry by which [`Network::del`] finds everything. Pods keep the
//! configuration they were added with; a changed directory concerns new pods only (O-03).
//!
//! All methods may be called from any number of threads, as long as two calls never concern the same container at
//! once. GC waits for running calls and keeps new ones waiting (specification, section 2).

mod attach;
mod builtin;
mod detach;
mod error;
mod selection;

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use serde_json::Map;

pub use builtin::Builtin;
pub use error::{NetworkError, NotReady};

use super::cache::{Cache, Entry};
use super::chain::{Chain, Subject};
use super::conflist::{self, Conflist, ConflistError};
use super::delegate::{self, OwnBinary, Target};
use super::exec;
use crate::call::{Arguments, Teardown};
use crate::error::Error as CniError;
use selection::Selection;

/// Where everything is.
#[derive(Debug, Clone)]
pub struct NetworkConfig {
    /// Directory of configurations, `/etc/cni/net.d`; it need not exist yet.
    pub conf_dir: PathBuf,
    /// Directories of plugins, `/opt/cni/bin`.
    pub bin_dirs: Vec<PathBuf>,
    /// Directory of the cache, `/var/lib/cni` or one of the daemon's own.
    pub cache_dir: PathBuf,
    /// Directory of the leases of the built-in network.
    pub state_dir: PathBuf,
    /// The network when there is no configuration; `None` to wait for one, as a node of a cluster does.
    pub builtin: Option<Builtin>,
    /// The multi-call binary beside the daemon: what is the same file in a plugin directory is called in process.
    pub own_binary: Option<PathBuf>,
    /// How long one executed plugin may take.
    pub deadline: Duration,
}

impl NetworkConfig {
    /// The directories Kubernetes nodes have, and `state_dir` for our own files.
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        let state_dir = state_dir.into();
        let beside = |path: PathBuf| path.parent().map(|directory| directory.join("cni-plugins"));
        Self {
            conf_dir: PathBuf::from("/etc/cni/net.d"),
            bin_dirs: vec![PathBuf::from("/opt/cni/bin")],
            cache_dir: state_dir.clone(),
            state_dir,
            builtin: Some(Builtin::default()),
            own_binary: std::env::current_exe().ok().and_then(beside),
            deadline: exec::DEADLINE,
        }
    }
}

/// The node's network.
#[derive(Debug)]
pub struct Network {
    config: NetworkConfig,
    own: OwnBinary,
    cache: Cache,
    selection: Mutex<Selection>,
    /// Calls share it, GC has it alone.
    calls: RwLock<()>,
}

impl Network {
    /// Nothing is read or made yet.
    pub fn new(config: NetworkConfig) -> Self {
        Self {
            own: config.own_binary.as_deref().map_or(OwnBinary::NONE, OwnBinary::at),
            cache: Cache::new(&config.cache_dir),
            selection: Mutex::new(Selection::default()),
            calls: RwLock::new(()),
            config,
        }
    }

    /// The configuration new pods get, read again if it changed.
    fn current(&self) -> Result<Arc<Conflist>, NetworkError> {
        let mut selection = self.selection.lock().unwrap_or_else(PoisonError::into_inner);
        let selected = selection.current(&self.config.conf_dir).map_err(NetworkError::Configuration)?;
        match (selected, &self.config.builtin) {
            (Some(list), _) => Ok(list),
            (None, Some(builtin)) => {
                let list = builtin.conflist(&self.config.state_dir).map_err(Arc::new);
                list.map(Arc::new).map_err(NetworkError::Configuration)
            }
            (None, None) => {
                let directory = self.config.conf_dir.clone();
                Err(NetworkError::Configuration(Arc::new(ConflistError::None { directory })))
            }
        }
    }

    fn chain<'a>(&'a self, list: &'a Conflist) -> Chain<'a> {
        let directories: &[PathBuf] = if list.built_in { &[] } else { &self.config.bin_dirs };
        Chain { list, directories, own: &self.own, deadline: self.config.deadline }
    }

    fn enter(&self) -> RwLockReadGuard<'_, ()> {
        self.calls.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether pods can be attached now. Without executed plugins it takes well under 2 ms and can be asked any
    /// number of times.
    ///
    /// # Errors
    /// [`NotReady`] with the reason for the operator.
    pub fn status(&self) -> Result<(), NotReady> {
        let reason = |error: &dyn std::error::Error| {
            NotReady(CniError::from_source(Default::default(), error).to_string())
        };
        let list = self.current().map_err(|error| reason(&error))?;
        let (arguments, capabilities) = (Arguments::default(), Map::new());
        let subject = Subject::none(&arguments, &capabilities);
        self.chain(&list).status(&subject).map_err(|error| reason(&error))
    }

    /// Whether a plugin of the current configuration is executed from disk. Then the caller pins the namespace where
    /// an executable can open it, and passes that path.
    pub fn uses_external_plugins(&self) -> bool {
        self.current().is_ok_and(|list| self.is_external(&list))
    }

    fn is_external(&self, list: &Conflist) -> bool {
        let chain = self.chain(list);
        let delegates = list.plugins.iter().filter_map(delegate::ipam_kind);
        let kinds = list.plugins.iter().filter_map(|p| p.get("type")?.as_str()).chain(delegates);
        kinds.filter(|kind| !kind.is_empty()).any(|kind| {
            !matches!(delegate::find(kind, chain.directories, chain.own), Ok(Target::InProcess(_)))
        })
    }

    /// Compares an attachment with the host; the daemon's audit, not part of a pod's life.
    ///
    /// # Errors
    /// The first difference.
    pub fn check(&self, container_id: &str, netns: (BorrowedFd<'_>, &str)) -> Result<(), NetworkError> {
        let _call = self.enter();
        let failed = |source| NetworkError::Cache { container_id: container_id.to_owned(), source };
        for entry in self.cache.of_container(container_id).map_err(failed)? {
            let Some(result) = &entry.result else { continue };
            let list = cached_list(&entry)?;
            let arguments = Arguments::new(entry.cni_args.clone().unwrap_or_default());
            let capabilities = entry.capability_args.clone().unwrap_or_default();
            let subject = Subject {
                container_id,
                netns: Some(netns),
                ifname: &entry.if_name,
                arguments: &arguments,
                capabilities: &capabilities,
                teardown: Teardown::Link,
            };
            let container_id = container_id.to_owned();
            self.chain(&list)
                .check(&subject, result)
                .map_err(|source| NetworkError::Check { container_id, source: Box::new(source) })?;
        }
        Ok(())
    }

    /// Removes what the built-in network has on the host beyond its pods: the bridge, the nftables tables that
    /// nothing uses any more, the leases. For whoever ends the node; pods must be gone.
    ///
    /// # Errors
    /// The first error met.
    pub fn take_down_builtin(&self) -> Result<(), NetworkError> {
        let _alone = self.calls.write().unwrap_or_else(PoisonError::into_inner);
        match &self.config.builtin {
            Some(builtin) => builtin.take_down(&self.config.state_dir).map_err(NetworkError::TakeDown),
            None => Ok(()),
        }
    }
}

fn cached_list(entry: &Entry) -> Result<Conflist, NetworkError> {
    let broken = |problem: String| NetworkError::CachedConfiguration {
        container_id: entry.container_id.clone(),
        problem,
    };
    let bytes = entry.config_bytes().map_err(|e| broken(e.to_string()))?;
    conflist::parse(Path::new("cached.conflist"), &bytes)
        .or_else(|_| conflist::parse(Path::new("cached.conf"), &bytes))
        .map_err(|e| broken(CniError::from_source(Default::default(), &e).to_string()))
}
