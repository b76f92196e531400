//! What every part of the daemon works with.

use std::sync::Arc;

use cni_plugins::invoke::Network;
use kernel::cgroup::Hierarchies;
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::creation::Creations;
use crate::image::Images;
use crate::index::Index;
use crate::oci::Defaults;
use crate::record::Records;
use crate::sandbox::pool::Namespaces;
use crate::seccomp::Filters;
use crate::supervisor::Supervisor;
use crate::trash::Trash;

/// How many CNI operations run at once. A plugin of somebody else may hang: it then holds one of these and nothing
/// else, and pods on the host network never wait for one (trap 5).
pub(crate) const NETWORK_SLOTS: usize = 32;

/// The parts of a running daemon.
#[derive(Debug)]
pub struct Runtime {
    /// What it was told.
    pub config: Config,
    /// What it must know after it was killed.
    pub records: Records,
    /// What it answers from.
    pub index: Index,
    /// Sandboxes that are being made.
    pub creations: Creations,
    /// The parent of every container.
    pub supervisor: Supervisor,
    /// Layers of containers that are gone.
    pub trash: Trash,
    /// Images and their layers.
    pub images: Arc<Images>,
    /// Pod networks.
    pub network: Arc<Network>,
    /// Network namespaces made ahead.
    pub namespaces: Namespaces,
    /// Turns in which CNI is called.
    pub network_slots: Semaphore,
    /// The cgroups of the host.
    pub cgroups: Hierarchies,
    /// Compiled seccomp programs.
    pub filters: Filters,
    /// What containers get without being asked.
    pub defaults: Defaults,
}

impl Runtime {
    /// Lets the supervisor forget an ended process, and removes its exit record. Whoever is told of an exit calls this
    /// once what must be kept of it is on record elsewhere.
    pub async fn forget(&self, id: &str) {
        self.supervisor.forget(id).await;
        let path = self.config.exits().join(id);
        let removed = tokio::task::spawn_blocking(move || match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(record = %path.display(), %error, "exit record stays");
            }
            _ => {}
        });
        if let Err(error) = removed.await {
            tracing::warn!(%id, %error, "exit record stays");
        }
    }
}
