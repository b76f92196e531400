//! RuntimeConfig: the cgroup driver, which the kubelet takes from here.

use cri_api::v1::{CgroupDriver, LinuxRuntimeConfiguration, RuntimeConfigRequest, RuntimeConfigResponse};

use crate::error::Failure;
use crate::runtime::Runtime;

pub(super) async fn handle(_: &Runtime, _: RuntimeConfigRequest) -> Result<RuntimeConfigResponse, Failure> {
    let linux = LinuxRuntimeConfiguration { cgroup_driver: CgroupDriver::Cgroupfs.into() };
    Ok(RuntimeConfigResponse { linux: Some(linux) })
}
