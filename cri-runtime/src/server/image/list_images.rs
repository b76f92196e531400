//! ListImages: one entry per image id.

use cri_api::v1::{ImageFilter, ListImagesRequest, ListImagesResponse};

use super::message;
use crate::image::Images;

pub(super) fn handle(images: &Images, request: ListImagesRequest) -> ListImagesResponse {
    ListImagesResponse { images: filtered(images, request.filter) }
}

/// Every image that a filter lets through. An image that is not there is an empty list (G-08).
pub(super) fn filtered(images: &Images, filter: Option<ImageFilter>) -> Vec<cri_api::v1::Image> {
    let named = filter.and_then(|filter| filter.image).map(|spec| spec.image);
    images.list(named.as_deref()).iter().map(|image| message::image(image)).collect()
}
