//! Images: pulled or imported, stored, named, and removed.
//!
//! Owns: everything below `images/` of the daemon's root. Does not own: mounting a root file system (the caller gets the
//! lower directories), CRI messages (`server::image`), and when an image is removed (the kubelet, a person).
//!
//! [`Images`] is the whole surface. Questions are answered from memory; pulls and imports run in tasks of their own.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use kernel::tree::Usage;
use oci_spec::image::ImageConfiguration;

mod digest;
mod flight;
mod import;
mod layers;
mod manifest;
mod parents;
mod platform;
mod progress;
mod pull;
mod reference;
mod registry;
mod store;
mod stream;
mod unpack;

pub use digest::{Digest, DigestError};
pub use import::ImportError;
pub use layers::LayerError;
pub use manifest::ManifestError;
pub use platform::Platform;
pub use progress::{LayerProgress, Phase, Progress};
pub use pull::{PullError, PullRequest, PullResult};
pub use reference::{Reference, ReferenceError, Version};
pub use registry::{AuthFields, Credentials, RegistryError};
pub use store::{LookupError, Pruned, RemoveError, StoreError};
pub use stream::ByteStream;
pub use unpack::{Limits, UnpackError};

use flight::Flights;
use layers::Layers;
use pull::PullKey;
use registry::Registry;
use store::Store;

/// How the image room is set up.
#[derive(Debug, Clone)]
pub struct ImagesConfig {
    /// Directory that holds everything; made if need be.
    pub root: PathBuf,
    /// Directories searched for containerd's host configurations (I-14).
    pub registry_directories: Vec<PathBuf>,
    /// Names of images that the kubelet must not collect: whole, or with `*` (I-07).
    pub pinned: Vec<String>,
    /// Layers in the making at a time.
    pub concurrent_layers: usize,
    /// Limits of one layer (I-25).
    pub limits: Limits,
    /// Machine to choose from indexes for.
    pub platform: Platform,
}

impl ImagesConfig {
    /// The defaults, in this directory.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            registry_directories: vec!["/etc/containerd/certs.d".into(), "/etc/docker/certs.d".into()],
            pinned: Vec::new(),
            concurrent_layers: 6,
            limits: Limits::default(),
            platform: Platform::host(),
        }
    }
}

/// An image as everybody else sees it.
#[derive(Debug, Clone)]
pub struct Image {
    /// `sha256:` and the digest of the configuration (I-03).
    pub id: String,
    /// Tags in normal form, sorted.
    pub repo_tags: Vec<String>,
    /// `name@digest` of what was pulled, sorted.
    pub repo_digests: Vec<String>,
    /// Bytes on disk: layers unpacked, and documents. The same for the life of the image.
    pub size: u64,
    /// Whom its configuration wants to run as.
    pub user: ImageUser,
    /// The configuration.
    pub config: ImageConfiguration,
    /// The configuration as it came.
    pub raw_config: Arc<[u8]>,
    /// Lower directories for overlayfs, topmost first; at least one.
    pub layers: Vec<PathBuf>,
    /// Chain id of all layers; `None` without any.
    pub chain_id: Option<String>,
    /// Whether it is protected from collection.
    pub pinned: bool,
}

/// The user of an image's configuration: a number, a name, or neither.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageUser {
    /// Numeric user.
    pub uid: Option<i64>,
    /// User by name; empty if there is a number or nothing.
    pub username: String,
}

impl ImageUser {
    fn parse(user: &str) -> Self {
        let name = user.split(':').next().unwrap_or_default();
        match name.parse::<i64>() {
            Ok(uid) => Self { uid: Some(uid), username: String::new() },
            Err(_) => Self { uid: None, username: name.to_owned() },
        }
    }
}

/// What the store occupies and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FsInfo {
    /// When this was true.
    pub timestamp: SystemTime,
    /// Directory on the file system.
    pub mountpoint: PathBuf,
    /// Bytes of all layers and documents.
    pub used_bytes: u64,
    /// Inodes of them.
    pub inodes_used: u64,
}

/// The images of this node.
#[derive(Debug)]
pub struct Images {
    config: ImagesConfig,
    platform: Platform,
    store: Arc<Store>,
    layers: Arc<Layers>,
    registry: Arc<Registry>,
    pulls: Flights<PullKey, PullResult, tokio::sync::watch::Receiver<Progress>>,
}

impl Images {
    /// Opens the store and makes whole images or nothing of what a crash left. Blocks for as long as that takes.
    pub fn open(config: ImagesConfig) -> Result<Arc<Self>, StoreError> {
        let store = Store::open(&config.root, config.pinned.clone())?;
        let layers = Layers::new(Arc::clone(&store), config.limits.clone(), config.concurrent_layers);
        Ok(Arc::new(Self {
            platform: config.platform.clone(),
            registry: Arc::new(Registry::new(config.registry_directories.clone())),
            layers: Arc::new(layers),
            pulls: Flights::default(),
            store,
            config,
        }))
    }

    /// The image that a reference, an id or a unique prefix of one means; `None` also if a prefix fits several.
    pub fn status(&self, text: &str) -> Option<Arc<Image>> {
        self.store.lookup(text).ok().flatten()
    }

    /// [`Images::status`] that tells an ambiguous prefix from an unknown one.
    pub fn lookup(&self, text: &str) -> Result<Option<Arc<Image>>, LookupError> {
        self.store.lookup(text)
    }

    /// Every image, or the one that `filter` means.
    pub fn list(&self, filter: Option<&str>) -> Vec<Arc<Image>> {
        match filter.filter(|filter| !filter.is_empty()) {
            Some(filter) => self.status(filter).into_iter().collect(),
            None => self.store.list(),
        }
    }

    /// Removes the image that `text` means, with all its names; one that is not there is removed already. Data that
    /// somebody holds stays until released. Runs to its end even if the caller goes away.
    pub fn remove(
        &self,
        text: &str,
    ) -> impl Future<Output = Result<(), RemoveError>> + Send + 'static + use<> {
        let (store, text) = (Arc::clone(&self.store), text.to_owned());
        on_blocking_thread(self.config.root.clone(), move || store.remove(&text))
    }

    /// Removes every image that nobody holds and that is not pinned.
    pub fn prune(&self) -> impl Future<Output = Result<Pruned, StoreError>> + Send + 'static + use<> {
        let store = Arc::clone(&self.store);
        on_blocking_thread(self.config.root.clone(), move || store.prune())
    }

    /// Notes that `owner`, a container's id for example, uses the image with this id. Answers from memory.
    pub fn hold(&self, image_id: &str, owner: &str) -> Result<(), StoreError> {
        self.store.hold(image_id, owner)
    }

    /// Gives up a hold. Blocks for a moment if it was the last of a removed image.
    pub fn release(&self, owner: &str) -> Result<(), StoreError> {
        self.store.release(owner)
    }

    /// After a restart: everybody who holds an image, as pairs of owner and image id. Until it is called, images that
    /// were removed while in use keep their data.
    pub fn rebuild_holds(&self, holds: impl IntoIterator<Item = (String, String)>) -> Result<(), StoreError> {
        self.store.rebuild_holds(holds)
    }

    /// What the store occupies, from the account it keeps.
    pub fn fs_info(&self) -> FsInfo {
        let Usage { bytes, inodes } = self.store.usage();
        FsInfo {
            timestamp: SystemTime::now(),
            mountpoint: self.config.root.clone(),
            used_bytes: bytes,
            inodes_used: inodes,
        }
    }

    /// The directory everything is in.
    pub fn root(&self) -> &Path {
        &self.config.root
    }

    /// Waits until data of removed images is gone from the disk. Blocks.
    pub fn drain_removals(&self) {
        self.store.reaper.drain();
    }
}

/// Work on a blocking thread that is not given up with its caller.
fn on_blocking_thread<T, E>(
    path: PathBuf,
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> impl Future<Output = Result<T, E>> + Send + 'static
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    let running = tokio::task::spawn_blocking(work);
    async move {
        running.await.unwrap_or_else(|error| {
            let source = std::io::Error::other(error);
            Err(StoreError::Io { operation: "work on", path, source }.into())
        })
    }
}

/// Identity of a stack of layers, lowest first (OCI image specification, "Layer ChainID").
fn chain_id(layers: &[Digest]) -> Option<Digest> {
    let (first, rest) = layers.split_first()?;
    Some(rest.iter().fold(first.clone(), |chain, layer| Digest::of(format!("{chain} {layer}").as_bytes())))
}

#[cfg(test)]
mod tests;
