//! ContainerStats.

use std::sync::Arc;

use cri_api::v1::{
    ContainerAttributes, ContainerStats, ContainerStatsRequest, ContainerStatsResponse, CpuUsage,
    FilesystemIdentifier, FilesystemUsage, MemoryUsage, PsiData, PsiStats, SwapUsage, UInt64Value,
};
use kernel::cgroup::Pressure;

use super::super::blocking;
use crate::clock;
use crate::error::{Class, Failure};
use crate::record::ContainerRecord;
use crate::runtime::Runtime;

pub(super) async fn handle(
    runtime: &Arc<Runtime>,
    request: ContainerStatsRequest,
) -> Result<ContainerStatsResponse, Failure> {
    let container = runtime.index.container(&request.container_id)?;
    let runtime = runtime.clone();
    let stats = blocking(move || stats(&runtime, &container)).await??;
    Ok(ContainerStatsResponse { stats: Some(stats) })
}

const fn value(value: u64) -> Option<UInt64Value> {
    Some(UInt64Value { value })
}

fn pressure(pressure: Option<Pressure>) -> Option<PsiStats> {
    let data = |line: kernel::cgroup::PressureLine| PsiData {
        total: line.total_us,
        avg10: line.avg10,
        avg60: line.avg60,
        avg300: line.avg300,
    };
    pressure.map(|p| PsiStats { full: Some(data(p.full)), some: Some(data(p.some)) })
}

/// Reads the use of one container from its group and its writable layer.
pub(super) fn stats(runtime: &Runtime, container: &ContainerRecord) -> Result<ContainerStats, Failure> {
    let fail = |e: &(dyn std::error::Error + 'static)| Failure::because(Class::Internal, e);
    let group = runtime.cgroups.group(container.cgroup.as_ref()).map_err(|e| fail(&e))?;
    let used = group.stats().map_err(|e| fail(&e))?;
    let layer = runtime.config.container_dir(&container.id).join("upper");
    let usage = kernel::tree::usage(&layer).unwrap_or_default();
    let timestamp = clock::now();
    let working_set = used.memory_usage.saturating_sub(used.memory_inactive_file);
    let limit = container.config.linux.as_ref().and_then(|l| l.resources.as_ref());
    let limit = limit.map_or(0, |r| u64::try_from(r.memory_limit_in_bytes).unwrap_or(0));
    Ok(ContainerStats {
        attributes: Some(ContainerAttributes {
            id: container.id.clone(),
            metadata: container.config.metadata.clone(),
            labels: container.config.labels.clone(),
            annotations: container.config.annotations.clone(),
        }),
        cpu: Some(CpuUsage {
            timestamp,
            usage_core_nano_seconds: value(used.cpu_usage_ns),
            usage_nano_cores: None,
            psi: pressure(used.cpu_pressure),
        }),
        memory: Some(MemoryUsage {
            timestamp,
            working_set_bytes: value(working_set),
            available_bytes: if limit > 0 { value(limit.saturating_sub(working_set)) } else { None },
            usage_bytes: value(used.memory_usage),
            rss_bytes: value(used.memory_anon),
            page_faults: value(used.page_faults),
            major_page_faults: value(used.major_page_faults),
            psi: pressure(used.memory_pressure),
        }),
        writable_layer: Some(FilesystemUsage {
            timestamp,
            // The kubelet looks the file system of this directory up.
            fs_id: Some(FilesystemIdentifier { mountpoint: runtime.config.root.display().to_string() }),
            used_bytes: value(usage.bytes),
            inodes_used: value(usage.inodes),
        }),
        swap: Some(SwapUsage {
            timestamp,
            swap_available_bytes: None,
            swap_usage_bytes: value(used.swap_usage),
        }),
        io: None,
    })
}
