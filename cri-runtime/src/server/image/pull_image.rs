//! PullImage: answers with the image's id, never before the image is whole and durable.

use std::sync::Arc;

use cri_api::v1::{AuthConfig, PullImageRequest, PullImageResponse};

use super::{named, pull_failure};
use crate::error::{Class, Failure};
use crate::image::{AuthFields, Credentials, Images, PullRequest};

pub(super) async fn handle(
    images: &Arc<Images>,
    request: PullImageRequest,
) -> Result<PullImageResponse, Failure> {
    let spec = request.image.unwrap_or_default();
    let handler = spec.runtime_handler.clone();
    let reference = named(Some(spec))?;
    if !handler.is_empty() {
        // All handlers share one store and one platform; a request that expects otherwise must not get a wrong image.
        let text = format!("pull {reference}: images for runtime handler {handler:?} are not kept apart");
        return Err(Failure::new(Class::InvalidArgument, text));
    }
    let credentials = credentials(request.auth)?;
    let pull = images.pull(PullRequest { reference, credentials });
    let image = pull.await.map_err(|error| pull_failure(&error))?;
    Ok(PullImageResponse { image_ref: image.id.clone() })
}

fn credentials(auth: Option<AuthConfig>) -> Result<Option<Credentials>, Failure> {
    let auth = auth.unwrap_or_default();
    let fields = AuthFields {
        username: &auth.username,
        password: &auth.password,
        auth: &auth.auth,
        server_address: &auth.server_address,
        identity_token: &auth.identity_token,
        registry_token: &auth.registry_token,
    };
    Credentials::from_fields(fields).map_err(|error| Failure::because(Class::InvalidArgument, &error))
}
