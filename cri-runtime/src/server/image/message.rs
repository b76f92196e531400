//! An image in CRI's words.

use std::collections::HashMap;

use cri_api::v1;

use crate::image::Image;

/// `runtime.v1.Image`. The same for every way to ask for it (critest compares).
pub fn image(image: &Image) -> v1::Image {
    v1::Image {
        id: image.id.clone(),
        repo_tags: image.repo_tags.clone(),
        repo_digests: image.repo_digests.clone(),
        size: image.size,
        uid: image.user.uid.map(|value| v1::Int64Value { value }),
        username: image.user.username.clone(),
        spec: Some(v1::ImageSpec { image: image.id.clone(), ..Default::default() }),
        pinned: image.pinned,
    }
}

/// What `crictl inspecti` prints beside it.
pub fn verbose(image: &Image) -> HashMap<String, String> {
    let spec: serde_json::Value = serde_json::from_slice(&image.raw_config).unwrap_or_default();
    let info = serde_json::json!({ "chainID": image.chain_id, "imageSpec": spec });
    HashMap::from([("info".to_owned(), info.to_string())])
}
