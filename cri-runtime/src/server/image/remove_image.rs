//! RemoveImage: removes every name of the image; what is not there is removed already.

use std::sync::Arc;

use cri_api::v1::{RemoveImageRequest, RemoveImageResponse};

use super::named;
use crate::error::{Class, Failure};
use crate::image::{Images, RemoveError};

pub(super) async fn handle(
    images: &Arc<Images>,
    request: RemoveImageRequest,
) -> Result<RemoveImageResponse, Failure> {
    let name = named(request.image)?;
    match images.remove(&name).await {
        Ok(()) => Ok(RemoveImageResponse {}),
        Err(error @ RemoveError::Lookup(_)) => Err(Failure::because(Class::InvalidArgument, &error)),
        Err(error @ RemoveError::Store(_)) => Err(Failure::because(Class::Internal, &error)),
    }
}
