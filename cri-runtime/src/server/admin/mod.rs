//! `orlop.admin.v1.Admin`: what `orlop` asks beyond CRI.

mod import_image;
mod progress;
mod prune_images;
mod pull_image;
mod timeline;

use std::sync::Arc;

use cri_api::admin::admin_server;
use cri_api::admin::*;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::runtime::Runtime;

/// Answers the RPCs of the admin service.
#[derive(Debug, Clone)]
pub(super) struct Admin {
    runtime: Arc<Runtime>,
}

impl Admin {
    pub(super) fn new(runtime: Arc<Runtime>) -> Self {
        Self { runtime }
    }
}

type Progress = ReceiverStream<Result<ImageProgress, Status>>;

#[tonic::async_trait]
impl admin_server::Admin for Admin {
    type ImportImageStream = Progress;

    async fn import_image(
        &self,
        request: Request<Streaming<ImportImageRequest>>,
    ) -> Result<Response<Progress>, Status> {
        Ok(Response::new(import_image::handle(&self.runtime, request.into_inner()).await?))
    }

    type PullImageStream = Progress;

    async fn pull_image(&self, request: Request<PullImageRequest>) -> Result<Response<Progress>, Status> {
        Ok(Response::new(pull_image::handle(&self.runtime, request.into_inner()).await?))
    }

    async fn prune_images(
        &self,
        request: Request<PruneImagesRequest>,
    ) -> Result<Response<PruneImagesResponse>, Status> {
        Ok(Response::new(prune_images::handle(&self.runtime, request.into_inner()).await?))
    }

    async fn timeline(
        &self,
        request: Request<TimelineRequest>,
    ) -> Result<Response<TimelineResponse>, Status> {
        Ok(Response::new(timeline::handle(&self.runtime, request.into_inner()).await?))
    }
}
