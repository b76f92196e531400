//! Telling how far a pull or an import is.

use std::time::Duration;

use cri_api::admin::{ImageProgress, LayerProgress};
use tokio::sync::{mpsc, watch};
use tonic::Status;

use crate::error::Failure;
use crate::image::{Image, Progress};

/// How often progress is told.
const INTERVAL: Duration = Duration::from_millis(100);

/// What a listener is told.
pub(super) type Sender = mpsc::Sender<Result<ImageProgress, Status>>;

fn message(progress: &Progress) -> ImageProgress {
    let layers = progress.snapshot().into_iter().map(|layer| LayerProgress {
        digest: layer.digest.to_string(),
        phase: layer.phase.as_str().to_owned(),
        bytes_done: layer.bytes_done,
        bytes_total: layer.bytes_total,
    });
    ImageProgress { layers: layers.collect(), image_ids: Vec::new(), names: Vec::new() }
}

/// Tells `to` the progress of `work` until that ends, and then what came of it. A listener that goes away is no reason
/// to stop the work, which belongs to whoever else waits for it.
pub(super) async fn tell(
    to: Sender,
    progress: watch::Receiver<Progress>,
    work: impl Future<Output = Result<Vec<std::sync::Arc<Image>>, Failure>>,
) {
    tokio::pin!(work);
    let mut ticks = tokio::time::interval(INTERVAL);
    let result = loop {
        tokio::select! {
            result = &mut work => break result,
            _ = ticks.tick() => {
                let now = message(&progress.borrow());
                // A listener that is slow misses this one and gets a later one.
                let _ = to.try_send(Ok(now));
            }
        }
    };
    let last = result.map(|images| ImageProgress {
        image_ids: images.iter().map(|image| image.id.clone()).collect(),
        names: images.iter().flat_map(|image| image.repo_tags.clone()).collect(),
        ..message(&progress.borrow())
    });
    let _ = to.send(last.map_err(Status::from)).await;
}
