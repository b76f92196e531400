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

mod builtin;
mod error;
mod selection;

use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use serde_json::Map;

pub use builtin::Builtin;
pub use error::{NetworkError, NotReady};

use super::attachment::{Attached, Attachment};
use super::cache::{Cache, Entry, KIND};
use super::chain::{Chain, Subject};
use super::conflist::{self, Conflist, ConflistError};
use super::delegate::{self, OwnBinary, Target};
use super::exec;
use super::loopback::set_up_loopback;
use crate::call::{Arguments, Teardown, ValidAttachment};
use crate::error::Error as CniError;
use crate::result::CniResult;
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

    /// Attaches a container. If that fails, it is detached again before the error is returned; what could not be
    /// removed stays remembered for [`Self::del`] and [`Self::gc`].
    ///
    /// # Errors
    /// [`NetworkError`]; the code of the plugin is in [`NetworkError::plugin`].
    pub fn add(&self, attachment: &Attachment<'_>) -> Result<Attached, NetworkError> {
        let _call = self.enter();
        let list = self.current()?;
        let container_id = attachment.container_id.to_owned();
        let remembered = |source| NetworkError::Cache { container_id: container_id.clone(), source };
        let known = self.cache.of_container(&container_id).map_err(remembered)?;
        if known
            .iter()
            .any(|e| e.if_name == attachment.ifname && e.network_name == list.name && e.result.is_some())
        {
            return Err(NetworkError::Attached { container_id, network: list.name.clone() });
        }
        self.chain(&list).locate().map_err(|source| NetworkError::Add {
            container_id: container_id.clone(),
            source: Box::new(source),
        })?;
        let capabilities = attachment.capabilities.to_map();
        let mut entry = Entry {
            kind: KIND.to_owned(),
            container_id: container_id.clone(),
            config: Entry::encode_config(&list.source),
            if_name: attachment.ifname.to_owned(),
            network_name: list.name.clone(),
            netns: attachment.netns_path.to_owned(),
            cni_args: Some(attachment.arguments.pairs().to_vec()),
            capability_args: Some(capabilities.clone()),
            result: None,
        };
        self.cache.write(&entry).map_err(remembered)?;
        kernel::failpoint::hit("cni.network.intent");
        let subject = Subject {
            container_id: &container_id,
            netns: Some((attachment.netns, attachment.netns_path)),
            ifname: attachment.ifname,
            arguments: &attachment.arguments,
            capabilities: &capabilities,
            teardown: Teardown::Link,
        };
        match self.run_add(&list, &subject) {
            Ok(attached) => {
                entry.result = Some(attached.result.clone());
                if let Err(source) = self.cache.write(&entry) {
                    self.undo(&list, &subject, &entry);
                    return Err(remembered(source));
                }
                kernel::failpoint::hit("cni.network.added");
                Ok(attached)
            }
            Err(error) => {
                self.undo(&list, &subject, &entry);
                Err(error)
            }
        }
    }

    fn run_add(&self, list: &Conflist, subject: &Subject<'_>) -> Result<Attached, NetworkError> {
        let chain = self.chain(list);
        let id = || subject.container_id.to_owned();
        // Our bridge sets lo up in the same batch as its own interface.
        let has_bridge = list.plugins.iter().any(|p| p.get("type").is_some_and(|kind| kind == "bridge"));
        if let (Some((netns, _)), true) = (subject.netns, !has_bridge || self.is_external(list)) {
            set_up_loopback(netns).map_err(|source| NetworkError::Loopback { container_id: id(), source })?;
        }
        let mut stages = Vec::with_capacity(list.plugins.len());
        let result = chain
            .add(subject, &mut stages)
            .map_err(|source| NetworkError::Add { container_id: id(), source: Box::new(source) })?;
        let decoded =
            chain.decode(&result).map_err(|source| NetworkError::Result { container_id: id(), source })?;
        let ips = container_ips(&decoded, subject.ifname);
        if ips.is_empty() {
            return Err(NetworkError::NoAddress { container_id: id(), network: list.name.clone() });
        }
        Ok(Attached { ips, result, stages })
    }

    fn undo(&self, list: &Conflist, subject: &Subject<'_>, entry: &Entry) {
        // The caller gets the error that made this necessary; this one only says what is left for later.
        match self.chain(list).del(subject, None) {
            Ok(()) => {
                if let Err(error) = self.cache.remove(entry) {
                    tracing::warn!(%error, container = entry.container_id, "forget failed attachment");
                }
            }
            Err(error) => {
                tracing::warn!(%error, cause = %error.source, container = entry.container_id, "undo failed attachment");
            }
        }
    }

    /// Detaches a container from every network it was attached to, with the configuration of then. Success if it is
    /// attached to none, so it can be repeated.
    ///
    /// `netns` is `None` once the namespace is gone. If it is there, the caller drops it as soon as this returns:
    /// plugins that run in process leave the link to the kernel then (see [`Teardown::NamespaceDropped`]).
    ///
    /// # Errors
    /// The first error met; every network is tried, and those that failed stay remembered.
    pub fn del(&self, container_id: &str, netns: Option<(BorrowedFd<'_>, &str)>) -> Result<(), NetworkError> {
        let _call = self.enter();
        self.detach(container_id, netns)
    }

    fn detach(&self, container_id: &str, netns: Option<(BorrowedFd<'_>, &str)>) -> Result<(), NetworkError> {
        let entries = self
            .cache
            .of_container(container_id)
            .map_err(|source| NetworkError::Cache { container_id: container_id.to_owned(), source })?;
        let mut first = None;
        for entry in entries {
            if let Err(error) = self.detach_one(&entry, netns) {
                first = first.or(Some(error));
            }
        }
        first.map_or(Ok(()), Err)
    }

    fn detach_one(&self, entry: &Entry, netns: Option<(BorrowedFd<'_>, &str)>) -> Result<(), NetworkError> {
        let list = cached_list(entry)?;
        let arguments = Arguments::new(entry.cni_args.clone().unwrap_or_default());
        let capabilities = entry.capability_args.clone().unwrap_or_default();
        let teardown = if netns.is_some() { Teardown::NamespaceDropped } else { Teardown::Link };
        let subject = Subject {
            container_id: &entry.container_id,
            netns,
            ifname: &entry.if_name,
            arguments: &arguments,
            capabilities: &capabilities,
            teardown,
        };
        let container_id = || entry.container_id.clone();
        self.chain(&list)
            .del(&subject, entry.result.as_ref())
            .map_err(|source| NetworkError::Del { container_id: container_id(), source: Box::new(source) })?;
        kernel::failpoint::hit("cni.network.deleted");
        self.cache
            .remove(entry)
            .map_err(|source| NetworkError::Cache { container_id: container_id(), source })
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

    /// Detaches every container that is not in `valid`, then lets the plugins clean up what is nobody's (RC-10): of
    /// the current network, and of the built-in one.
    ///
    /// # Errors
    /// The first error met; everything is tried.
    pub fn gc(&self, valid: &[&str]) -> Result<(), NetworkError> {
        let _alone = self.calls.write().unwrap_or_else(PoisonError::into_inner);
        let mut first = None;
        let mut collect = |outcome: Result<(), NetworkError>| {
            if let Err(error) = outcome {
                first.get_or_insert(error);
            }
        };
        let failed = |source| NetworkError::Cache { container_id: "every container".to_owned(), source };
        let entries = self.cache.all().map_err(failed)?;
        let mut keep: Vec<ValidAttachment> = Vec::new();
        for entry in &entries {
            if valid.contains(&entry.container_id.as_str()) {
                let (container_id, ifname) = (entry.container_id.clone(), entry.if_name.clone());
                keep.push(ValidAttachment { container_id, ifname });
            } else {
                collect(self.detach_one(entry, None));
            }
        }
        // A container whose entry was lost is still alive: its interface is named by convention.
        for id in valid {
            if keep.iter().all(|k| k.container_id != *id) {
                keep.push(ValidAttachment { container_id: (*id).to_owned(), ifname: "eth0".to_owned() });
            }
        }
        let (arguments, capabilities) = (Arguments::default(), Map::new());
        let subject = Subject::none(&arguments, &capabilities);
        let mut run = |list: &Conflist| {
            collect(self.chain(list).gc(&subject, &keep).map_err(|e| NetworkError::Gc(Box::new(e))));
        };
        let current = self.current();
        if let Ok(list) = &current {
            run(list);
        }
        if let Some(builtin) = &self.config.builtin
            && current.is_ok_and(|list| !list.built_in)
            && let Ok(list) = builtin.conflist(&self.config.state_dir)
        {
            run(&list);
        }
        first.map_or(Ok(()), Err)
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

/// The addresses of the container's interface, else all that are not of an interface of the host.
fn container_ips(result: &CniResult, ifname: &str) -> Vec<IpAddr> {
    let of = |wanted: &dyn Fn(Option<&crate::result::Interface>) -> bool| -> Vec<IpAddr> {
        let interface = |index: usize| result.interfaces.get(index);
        let ips = result.ips.iter().filter(|ip| wanted(ip.interface.and_then(interface)));
        ips.map(|ip| ip.address.addr()).collect()
    };
    let own = of(&|i| i.is_some_and(|i| i.name == ifname && !i.sandbox.is_empty()));
    if own.is_empty() { of(&|i| i.is_none_or(|i| !i.sandbox.is_empty())) } else { own }
}
