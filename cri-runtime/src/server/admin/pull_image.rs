//! PullImage of the admin service: the same pull as CRI's, with progress.

use std::sync::Arc;

use cri_api::admin::PullImageRequest;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{Progress, progress};
use crate::error::{Class, Failure};
use crate::image::{AuthFields, Credentials, PullRequest};
use crate::runtime::Runtime;
use crate::server::image::pull_failure;

pub(super) async fn handle(runtime: &Arc<Runtime>, request: PullImageRequest) -> Result<Progress, Failure> {
    if request.reference.is_empty() {
        return Err(Failure::new(Class::InvalidArgument, "pull image: no image is named"));
    }
    let fields =
        AuthFields { username: &request.username, password: &request.password, ..AuthFields::default() };
    let credentials =
        Credentials::from_fields(fields).map_err(|e| Failure::because(Class::InvalidArgument, &e))?;
    let (watch, pull) =
        runtime.images.pull_with_progress(PullRequest { reference: request.reference, credentials });
    let work = async move { pull.await.map(|image| vec![image]).map_err(|error| pull_failure(&error)) };
    let (sender, receiver) = mpsc::channel(4);
    tokio::spawn(progress::tell(sender, watch, work));
    Ok(ReceiverStream::new(receiver))
}
