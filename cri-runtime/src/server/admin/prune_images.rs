//! PruneImages: every image that no container uses.

use std::sync::Arc;

use cri_api::admin::{PruneImagesRequest, PruneImagesResponse};

use crate::error::{Class, Failure};
use crate::runtime::Runtime;

pub(super) async fn handle(
    runtime: &Arc<Runtime>,
    _: PruneImagesRequest,
) -> Result<PruneImagesResponse, Failure> {
    let pruned = runtime.images.prune().await.map_err(|e| Failure::because(Class::Internal, &e))?;
    Ok(PruneImagesResponse { image_ids: pruned.image_ids, bytes: pruned.bytes })
}
