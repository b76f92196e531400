//! `runtime.v1.ImageService`: one file per RPC.
//!
//! Everything but PullImage and RemoveImage answers from memory. Those two run in tasks of their own: a client that
//! goes away interrupts nothing.

mod failure;
mod image_fs_info;
mod image_status;
mod list_images;
mod message;
mod pull_image;
mod remove_image;
mod stream_images;

use std::sync::Arc;

use cri_api::v1::image_service_server;
use cri_api::v1::{
    ImageFsInfoRequest, ImageFsInfoResponse, ImageSpec, ImageStatusRequest, ImageStatusResponse,
    ListImagesRequest, ListImagesResponse, PullImageRequest, PullImageResponse, RemoveImageRequest,
    RemoveImageResponse, StreamImagesRequest,
};
use tonic::{Request, Response, Status};

use crate::error::{Class, Failure};
use crate::image::Images;

pub use failure::{import_failure, pull_failure};

/// Answers the RPCs of the image service.
#[derive(Debug, Clone)]
pub struct ImageService {
    images: Arc<Images>,
}

impl ImageService {
    /// A service over these images.
    pub fn new(images: Arc<Images>) -> Self {
        Self { images }
    }
}

/// The image that a request names.
fn named(spec: Option<ImageSpec>) -> Result<String, Failure> {
    let name = spec.map(|spec| spec.image).unwrap_or_default();
    if name.is_empty() {
        return Err(Failure::new(Class::InvalidArgument, "find image: no image is named"));
    }
    Ok(name)
}

#[tonic::async_trait]
impl image_service_server::ImageService for ImageService {
    async fn list_images(
        &self,
        request: Request<ListImagesRequest>,
    ) -> Result<Response<ListImagesResponse>, Status> {
        Ok(Response::new(list_images::handle(&self.images, request.into_inner())))
    }

    type StreamImagesStream = stream_images::Messages;

    async fn stream_images(
        &self,
        request: Request<StreamImagesRequest>,
    ) -> Result<Response<Self::StreamImagesStream>, Status> {
        Ok(Response::new(stream_images::handle(&self.images, request.into_inner())))
    }

    async fn image_status(
        &self,
        request: Request<ImageStatusRequest>,
    ) -> Result<Response<ImageStatusResponse>, Status> {
        Ok(Response::new(image_status::handle(&self.images, request.into_inner())?))
    }

    async fn pull_image(
        &self,
        request: Request<PullImageRequest>,
    ) -> Result<Response<PullImageResponse>, Status> {
        Ok(Response::new(pull_image::handle(&self.images, request.into_inner()).await?))
    }

    async fn remove_image(
        &self,
        request: Request<RemoveImageRequest>,
    ) -> Result<Response<RemoveImageResponse>, Status> {
        Ok(Response::new(remove_image::handle(&self.images, request.into_inner()).await?))
    }

    async fn image_fs_info(
        &self,
        _: Request<ImageFsInfoRequest>,
    ) -> Result<Response<ImageFsInfoResponse>, Status> {
        Ok(Response::new(image_fs_info::handle(&self.images)))
    }
}
