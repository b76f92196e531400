//! ImageStatus: an image that is not there is an answer without one, not an error.

use cri_api::v1::{ImageStatusRequest, ImageStatusResponse};

use super::{message, named};
use crate::error::{Class, Failure};
use crate::image::Images;

pub(super) fn handle(images: &Images, request: ImageStatusRequest) -> Result<ImageStatusResponse, Failure> {
    let name = named(request.image)?;
    let found = images.lookup(&name);
    let found = found.map_err(|error| Failure::because(Class::InvalidArgument, &error))?;
    let info = found.as_ref().filter(|_| request.verbose).map(|image| message::verbose(image));
    Ok(ImageStatusResponse {
        image: found.as_ref().map(|image| message::image(image)),
        info: info.unwrap_or_default(),
    })
}
