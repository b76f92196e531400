//! UpdateRuntimeConfig: tells the node's pod CIDR, which this runtime takes from its CNI configuration instead.

use cri_api::v1::{UpdateRuntimeConfigRequest, UpdateRuntimeConfigResponse};

use crate::error::Failure;
use crate::runtime::Runtime;

pub(super) async fn handle(
    _: &Runtime,
    request: UpdateRuntimeConfigRequest,
) -> Result<UpdateRuntimeConfigResponse, Failure> {
    let network = request.runtime_config.and_then(|config| config.network_config);
    if let Some(cidr) = network.map(|network| network.pod_cidr).filter(|cidr| !cidr.is_empty()) {
        tracing::info!(%cidr, "the node's pod CIDR is told; pods get addresses from the CNI configuration");
    }
    Ok(UpdateRuntimeConfigResponse {})
}
