//! Getting layers: each is fetched, verified and unpacked in one go, once for all who want it, several at a time.

use std::fs::File;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, watch};

use super::digest::Digest;
use super::flight::Flights;
use super::manifest::Content;
use super::progress::{LayerProgress, Phase, Reporter};
use super::registry::{DownloadError, RegistryError, Source};
use super::store::{Ingest, NewLayer, PathText, Store, StoreError};
use super::stream::PieceReader;
use super::unpack::{Expected, Limits, UnpackError, Unpacked, unpack};

/// Pieces between network and unpacking: enough to bridge a hiccup, little enough to forget (trap 11).
const PIECES: usize = 8;
/// Of the free space a layer may take this many percent: a bomb must not fill the disk for everybody else.
const FREE_PERCENT: u64 = 95;

/// Why a layer did not come.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The layer itself, or the disk while it was written.
    #[error("layer {digest}")]
    Unpack {
        /// The blob.
        digest: Digest,
        /// What is wrong.
        #[source]
        source: UnpackError,
    },
    /// A file of an import.
    #[error("open {path:?}")]
    Open {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: std::io::Error,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The daemon ends, or the work panicked.
    #[error("layer {0}: the work was interrupted")]
    Interrupted(Digest),
}

/// Where a layer comes from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A repository.
    Registry(Arc<Source>),
    /// A file of an import, opened already.
    File(Arc<File>),
}

/// A layer to get.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Digest of the uncompressed archive.
    pub diff_id: Digest,
    /// Digest and size of the blob; a docker archive does not say.
    pub content: Option<Content>,
    /// Where it is.
    pub origin: Origin,
}

impl Wanted {
    fn digest(&self) -> &Digest {
        self.content.as_ref().map_or(&self.diff_id, |content| &content.digest)
    }
}

type Outcome = Result<(), Arc<LayerError>>;
type LayerFlights = Flights<(Digest, Digest), Outcome, watch::Receiver<LayerProgress>>;

/// Fetches layers into the store.
#[derive(Debug)]
pub struct Layers {
    store: Arc<Store>,
    limits: Limits,
    /// Layers in the making at a time, over all images.
    slots: Arc<Semaphore>,
    flights: LayerFlights,
}

impl Layers {
    /// At most `slots` layers are in the making at a time.
    pub fn new(store: Arc<Store>, limits: Limits, slots: usize) -> Self {
        Self { store, limits, slots: Arc::new(Semaphore::new(slots)), flights: Flights::default() }
    }

    /// Gets a layer, or joins whoever gets it already. The caller holds a lease on it.
    pub fn get(
        self: &Arc<Self>,
        wanted: Wanted,
    ) -> (watch::Receiver<LayerProgress>, impl Future<Output = Outcome> + Send + 'static) {
        let key = (wanted.diff_id.clone(), wanted.digest().clone());
        let start = |layers: &Arc<Self>, wanted: Wanted| {
            let layers = Arc::clone(layers);
            move || {
                let total = wanted.content.as_ref().map_or(0, |content| content.size);
                let reporter = Reporter::new(wanted.digest().clone(), total);
                (reporter.watch(), layers.make(wanted, reporter))
            }
        };
        let joined = self.flights.join(key.clone(), start(self, wanted.clone()));
        let layers = Arc::clone(self);
        let progress = joined.progress;
        let result = async move {
            let lost = || Err(Arc::new(LayerError::Interrupted(wanted.digest().clone())));
            match joined.result.await.unwrap_or_else(lost) {
                // Somebody else's attempt failed, perhaps for want of credentials that we have: now our own.
                Err(_) if !joined.started => {
                    let own = layers.flights.join(key, start(&layers, wanted.clone()));
                    own.result.await.unwrap_or_else(lost)
                }
                outcome => outcome,
            }
        };
        (progress, result)
    }

    async fn make(self: Arc<Self>, wanted: Wanted, reporter: Reporter) -> Outcome {
        let outcome = self.fetch(wanted, &reporter).await;
        reporter.phase(if outcome.is_ok() { Phase::Done } else { Phase::Failed });
        outcome.map_err(Arc::new)
    }

    async fn fetch(self: &Arc<Self>, wanted: Wanted, reporter: &Reporter) -> Result<(), LayerError> {
        if self.store.has_layer(&wanted.diff_id) {
            return Ok(());
        }
        let interrupted = || LayerError::Interrupted(wanted.digest().clone());
        let _slot = self.slots.acquire().await.map_err(|_| interrupted())?;
        reporter.phase(Phase::Fetching);
        let expected = Expected { content: wanted.content.clone(), diff_id: Some(wanted.diff_id.clone()) };
        let digest = wanted.digest().clone();
        let layers = Arc::clone(self);
        let (ingest, unpacked) = match (&wanted.origin, &wanted.content) {
            (Origin::Registry(source), Some(content)) => {
                let (sender, receiver) = mpsc::channel(PIECES);
                let work = move || layers.unpack(|| Ok(PieceReader::new(receiver)), &expected, &digest);
                let unpacking = tokio::task::spawn_blocking(work);
                let download = source.download(content, sender, |done| reporter.bytes(done));
                let (downloaded, unpacked) = tokio::join!(download, unpacking);
                match (downloaded, unpacked.map_err(|_| interrupted())?) {
                    // The stream broke off because of this, and the reader only knows that it did.
                    (Err(DownloadError::Registry(error)), Err(_)) => return Err(error.into()),
                    (_, unpacked) => unpacked?,
                }
            }
            (Origin::File(file), _) => {
                let file = Arc::clone(file);
                let work = move || {
                    let open = || {
                        file.try_clone().map_err(|source| LayerError::Open { path: PathBuf::new(), source })
                    };
                    layers.unpack(open, &expected, &digest)
                };
                tokio::task::spawn_blocking(work).await.map_err(|_| interrupted())??
            }
            (Origin::Registry(_), None) => return Err(interrupted()),
        };
        reporter.phase(Phase::Syncing);
        let implied = unpacked.implied.into_iter().map(PathText).collect();
        let layer = NewLayer { diff_id: wanted.diff_id.clone(), implied };
        let store = Arc::clone(&self.store);
        let commit = tokio::task::spawn_blocking(move || store.commit_layer(ingest, layer));
        commit.await.map_err(|_| interrupted())?.map_err(Into::into)
    }

    /// Runs on a blocking thread; on an error the directory is gone when it returns.
    fn unpack<R: std::io::Read>(
        &self,
        open: impl FnOnce() -> Result<R, LayerError>,
        expected: &Expected,
        digest: &Digest,
    ) -> Result<(Ingest, Unpacked), LayerError> {
        let ingest = self.store.ingest()?;
        let unpacked = unpack(open()?, expected, ingest.path(), &self.limits_now())
            .map_err(|source| LayerError::Unpack { digest: digest.clone(), source })?;
        Ok((ingest, unpacked))
    }

    fn limits_now(&self) -> Limits {
        let mut limits = self.limits.clone();
        // Without an answer the configured limit stands, and the disk has the last word.
        if let Ok(space) = kernel::file::space(self.store.layout.root()) {
            limits.room = limits.room.min(space.free_bytes / 100 * FREE_PERCENT);
        }
        limits
    }
}
