//! A pull, from a reference to a committed image.
//!
//! ```text
//! reference -> resolve -> manifests -> configuration -> layers, all at once -> commit
//! ```
//! It runs in a task of its own that outlives its caller; equal pulls (same reference, same credentials) share one.

use std::future::Future;
use std::sync::Arc;

use oci_spec::image::ImageManifest;
use tokio::sync::watch;

use super::digest::Digest;
use super::layers::{LayerError, Layers, Origin, Wanted};
use super::manifest::{CONFIG_MAX, Content, Document, ManifestError, NESTING_MAX, layers, parse_config};
use super::platform::{Platform, select};
use super::progress::Progress;
use super::reference::{Reference, ReferenceError, Version};
use super::registry::{Credentials, FetchedManifest, RegistryError, Source};
use super::store::{NewImage, StoreError};
use super::{Image, Images};

/// What to pull, as whom.
#[derive(Debug, Clone, Default)]
pub struct PullRequest {
    /// As a person or a manifest writes it.
    pub reference: String,
    /// Shown to the image's own registry only.
    pub credentials: Option<Credentials>,
}

/// Why a pull failed.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The reference.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A document of the image.
    #[error("pull {reference}")]
    Manifest {
        /// The image.
        reference: String,
        /// What is wrong with it.
        #[source]
        source: ManifestError,
    },
    /// No image for this machine.
    #[error("pull {reference}: no image for {wanted}; there are {}", available.join(", "))]
    Platform {
        /// The image.
        reference: String,
        /// This machine.
        wanted: String,
        /// What there is instead.
        available: Vec<String>,
    },
    /// One of the layers.
    #[error("pull {reference}")]
    Layer {
        /// The image.
        reference: String,
        /// What happened to the layer.
        #[source]
        source: Arc<LayerError>,
    },
    /// Less room than the compressed layers take (I-46).
    #[error("pull {reference}: no space left: {needed} bytes to fetch, {free} free")]
    Space {
        /// The image.
        reference: String,
        /// Bytes of all layers to fetch.
        needed: u64,
        /// Bytes free.
        free: u64,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The daemon ends, or the work panicked.
    #[error("pull {0}: the work was interrupted")]
    Interrupted(String),
}

impl PullError {
    /// Whether the disk is full, or would be.
    pub fn is_out_of_space(&self) -> bool {
        let io = match self {
            Self::Space { .. } => return true,
            Self::Store(error) => error.io(),
            Self::Layer { source, .. } => match source.as_ref() {
                LayerError::Unpack { source, .. } => source.io(),
                LayerError::Store(error) => error.io(),
                _ => None,
            },
            _ => None,
        };
        io.is_some_and(|error| {
            use std::io::ErrorKind::{QuotaExceeded, StorageFull};
            matches!(error.kind(), StorageFull | QuotaExceeded)
        })
    }

    /// The registry's part in it, if it has one.
    pub fn registry(&self) -> Option<&RegistryError> {
        match self {
            Self::Registry(error) => Some(error),
            Self::Layer { source, .. } => match source.as_ref() {
                LayerError::Registry(error) => Some(error),
                _ => None,
            },
            _ => None,
        }
    }

    /// One line with every cause, for events and people. A registry that is down comes first (I-13).
    pub fn message(&self) -> String {
        match self.registry() {
            Some(error @ RegistryError::Unavailable { .. }) => crate::error::chain(error),
            _ => crate::error::chain(self),
        }
    }
}

/// How a pull ended, for everybody who waited.
pub type PullResult = Result<Arc<Image>, Arc<PullError>>;

/// A resolved image: its own manifest, and all documents on the way to it.
struct Resolved {
    manifest: Box<ImageManifest>,
    documents: Vec<FetchedManifest>,
}

impl Images {
    /// Pulls an image. The work goes on if the caller goes away.
    pub fn pull(
        self: &Arc<Self>,
        request: PullRequest,
    ) -> impl Future<Output = PullResult> + Send + 'static + use<> {
        self.pull_with_progress(request).1
    }

    /// [`Images::pull`], and how far it is.
    pub fn pull_with_progress(
        self: &Arc<Self>,
        request: PullRequest,
    ) -> (watch::Receiver<Progress>, impl Future<Output = PullResult> + Send + 'static + use<>) {
        let text = request.reference.clone();
        let reference = request.reference.parse::<Reference>();
        // What is no reference still goes through a task, so that there is one kind of answer.
        let name = reference.as_ref().map_or_else(|_| text.clone(), Reference::to_string);
        let key = (name, request.credentials.as_ref().map(Credentials::fingerprint));
        let images = Arc::clone(self);
        let joined = self.pulls.join(key, move || {
            let (sender, progress) = watch::channel(Progress::default());
            let work = async move {
                let reference = reference.map_err(PullError::from)?;
                Ok(images.run_pull(reference, request.credentials, &sender).await?)
            };
            (progress, work)
        });
        let result = joined.result;
        let result =
            async move { result.await.unwrap_or_else(|| Err(Arc::new(PullError::Interrupted(text)))) };
        (joined.progress, result)
    }

    async fn run_pull(
        self: &Arc<Self>,
        reference: Reference,
        credentials: Option<Credentials>,
        progress: &watch::Sender<Progress>,
    ) -> Result<Arc<Image>, PullError> {
        let source = Arc::new(Source::new(Arc::clone(&self.registry), reference, credentials)?);
        let reference = source.reference();
        let broken = |source| PullError::Manifest { reference: reference.to_string(), source };
        let Resolved { manifest, documents } = self.resolve(&source).await?;
        let config_content = Content::try_from(manifest.config()).map_err(broken)?;
        let config = match self.store.lookup(config_content.digest.as_str()) {
            Ok(Some(image)) => image.raw_config.to_vec().into(),
            _ => source.blob(&config_content, CONFIG_MAX).await?,
        };
        let parsed = parse_config(&config).map_err(broken)?;
        let layers = layers(&manifest, &parsed).map_err(broken)?;
        let lease = self.store.lease(layers.iter().map(|layer| layer.diff_id.clone()));
        self.check_space(&source, &layers)?;
        let wanted = layers.iter().map(|layer| Wanted {
            diff_id: layer.diff_id.clone(),
            content: Some(layer.content.clone()),
            origin: Origin::Registry(Arc::clone(&source)),
        });
        get_all(&self.layers, wanted, progress)
            .await
            .map_err(|source| PullError::Layer { reference: reference.to_string(), source })?;
        let mut names = Vec::with_capacity(2);
        if let Some(first) = documents.first() {
            names.push(reference.with_digest(first.digest.clone()));
        }
        if matches!(reference.version(), Version::Tag(_)) {
            names.push(reference.clone());
        }
        let image = NewImage {
            id: config_content.digest,
            config,
            manifests: documents.into_iter().map(|document| (document.digest, document.content)).collect(),
            layers: layers.into_iter().map(|layer| layer.diff_id).collect(),
            names,
        };
        let store = Arc::clone(&self.store);
        let name = reference.to_string();
        let committed = tokio::task::spawn_blocking(move || {
            let committed = store.commit_image(image);
            drop(lease);
            committed
        });
        Ok(committed.await.map_err(|_| PullError::Interrupted(name))??)
    }

    /// Follows indexes to the manifest for this machine.
    async fn resolve(&self, source: &Source) -> Result<Resolved, PullError> {
        let reference = source.reference().to_string();
        let mut documents = vec![source.resolve().await?];
        loop {
            let fetched = documents.last().map(|document| document.content.clone()).unwrap_or_default();
            let broken = |source| PullError::Manifest { reference: reference.clone(), source };
            let index = match Document::parse(&fetched).map_err(broken)? {
                Document::Manifest(manifest) => return Ok(Resolved { manifest, documents }),
                Document::Index(index) => index,
            };
            if documents.len() > NESTING_MAX {
                return Err(broken(ManifestError::Kind("an index nested too deeply".to_owned())));
            }
            let chosen = select(&index, &self.platform)
                .map_err(|available| no_platform(&reference, &self.platform, available))?;
            let content = Content::try_from(chosen).map_err(broken)?;
            documents.push(source.manifest(&content.digest).await?);
        }
    }

    fn check_space(&self, source: &Source, layers: &[super::manifest::Layer]) -> Result<(), PullError> {
        let missing = layers.iter().filter(|layer| !self.store.has_layer(&layer.diff_id));
        let needed = missing.fold(0u64, |sum, layer| sum.saturating_add(layer.content.size));
        match kernel::file::space(self.store.layout.root()) {
            Ok(space) if space.free_bytes < needed => {
                let reference = source.reference().to_string();
                Err(PullError::Space { reference, needed, free: space.free_bytes })
            }
            _ => Ok(()),
        }
    }
}

pub(super) fn no_platform(reference: &str, platform: &Platform, available: Vec<String>) -> PullError {
    PullError::Platform {
        reference: reference.to_owned(),
        wanted: format!("{}/{}", platform.os, platform.architecture),
        available,
    }
}

/// Gets layers side by side. All are awaited, also after a failure: what is under way for others goes on, and nothing
/// of ours is left half done behind the answer.
pub(super) async fn get_all(
    layers: &Arc<Layers>,
    wanted: impl Iterator<Item = Wanted>,
    progress: &watch::Sender<Progress>,
) -> Result<(), Arc<LayerError>> {
    let (watches, results): (Vec<_>, Vec<_>) = wanted.map(|wanted| layers.get(wanted)).unzip();
    progress.send_replace(Progress::of(watches));
    let mut outcome = Ok(());
    for result in results {
        outcome = outcome.and(result.await);
    }
    outcome
}

/// Names under which pulls are joined: the reference and who asks.
pub(super) type PullKey = (String, Option<Digest>);
