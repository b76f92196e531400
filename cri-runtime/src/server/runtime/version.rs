//! Version. Works whatever state the rest is in.

use cri_api::v1::{VersionRequest, VersionResponse};

use crate::error::Failure;
use crate::runtime::Runtime;

/// The name that prefixes container ids in a pod's status; it may never change.
pub(crate) const RUNTIME_NAME: &str = "orlop";

pub(super) async fn handle(_: &Runtime, _: VersionRequest) -> Result<VersionResponse, Failure> {
    Ok(VersionResponse {
        // The kubelet refuses anything else.
        version: "0.1.0".to_owned(),
        runtime_name: RUNTIME_NAME.to_owned(),
        runtime_version: env!("CARGO_PKG_VERSION").to_owned(),
        runtime_api_version: "v1".to_owned(),
    })
}
