//! `linux.resources`: what a container may use (F-80 to F-87).

use cri_api::v1::{ContainerConfig, LinuxContainerResources};
use kernel::cgroup::{HugepageLimit, Limits};
use oci_spec::runtime::{
    LinuxCpu, LinuxDeviceCgroup, LinuxHugepageLimit, LinuxHugepageLimitBuilder, LinuxMemory, LinuxResources,
};

use super::ResolveError;

/// Least memory, bytes: what the start itself takes is charged to the container, and below this it would be killed
/// before its program runs.
const MEMORY_MIN: i64 = 1 << 20;

/// The limits of a container, for its cgroup. 0 means "not set" to CRI, and a limit without a word about swap means no
/// swap (F-83).
///
/// # Errors
/// A value that makes no sense.
pub fn limits(config: &ContainerConfig) -> Result<Limits, ResolveError> {
    config.linux.as_ref().and_then(|linux| linux.resources.as_ref()).map_or_else(|| Ok(Limits::default()), of)
}

fn of(resources: &LinuxContainerResources) -> Result<Limits, ResolveError> {
    let text = |text: &String| (!text.is_empty()).then(|| text.clone());
    let number = |field, value: i64| match value {
        0 => Ok(None),
        value => {
            u64::try_from(value).map(Some).map_err(|_| ResolveError::invalid(field, value, "it is negative"))
        }
    };
    let memory = resources.memory_limit_in_bytes;
    if memory > 0 && memory < MEMORY_MIN {
        let reason = "the least is 1048576 bytes";
        return Err(ResolveError::invalid("memory_limit_in_bytes", memory, reason));
    }
    let swap = match (resources.memory_swap_limit_in_bytes, memory) {
        (0, memory) if memory > 0 => Some(memory),
        (0, _) => None,
        (swap, _) => Some(swap),
    };
    let limits = Limits {
        cpu_shares: number("cpu_shares", resources.cpu_shares)?,
        cpu_quota_us: (resources.cpu_quota != 0).then_some(resources.cpu_quota),
        cpu_period_us: number("cpu_period", resources.cpu_period)?,
        memory_limit: (memory != 0).then_some(memory),
        memory_swap_limit: swap,
        cpuset_cpus: text(&resources.cpuset_cpus),
        cpuset_mems: text(&resources.cpuset_mems),
        pids_max: None,
        hugepages: resources
            .hugepage_limits
            .iter()
            .map(|page| HugepageLimit { page_size: page.page_size.clone(), limit: page.limit })
            .collect(),
        unified: resources.unified.clone().into_iter().collect(),
    };
    limits.validate().map_err(ResolveError::Limits)?;
    Ok(limits)
}

/// The score of the OOM killer.
///
/// # Errors
/// Beyond -1000 to 1000.
pub(super) fn oom_score(config: &ContainerConfig) -> Result<i32, ResolveError> {
    let resources = config.linux.as_ref().and_then(|linux| linux.resources.as_ref());
    let score = resources.map_or(0, |resources| resources.oom_score_adj);
    i32::try_from(score)
        .ok()
        .filter(|score| (-1000..=1000).contains(score))
        .ok_or_else(|| ResolveError::invalid("oom_score_adj", score, "it is -1000 to 1000"))
}

/// The same for the specification, with the rules for devices.
pub(super) fn section(limits: &Limits, devices: Vec<LinuxDeviceCgroup>) -> LinuxResources {
    let mut memory = LinuxMemory::default();
    memory.set_limit(limits.memory_limit).set_swap(limits.memory_swap_limit);
    let mut cpu = LinuxCpu::default();
    cpu.set_shares(limits.cpu_shares)
        .set_quota(limits.cpu_quota_us)
        .set_period(limits.cpu_period_us)
        .set_cpus(limits.cpuset_cpus.clone())
        .set_mems(limits.cpuset_mems.clone());
    let pages: Vec<LinuxHugepageLimit> = limits.hugepages.iter().filter_map(hugepage).collect();
    let unified: std::collections::HashMap<String, String> = limits.unified.clone().into_iter().collect();
    let mut resources = LinuxResources::default();
    resources
        .set_devices(Some(devices))
        .set_memory((memory != LinuxMemory::default()).then_some(memory))
        .set_cpu((cpu != LinuxCpu::default()).then_some(cpu))
        .set_hugepage_limits((!pages.is_empty()).then_some(pages))
        .set_unified((!unified.is_empty()).then_some(unified));
    resources
}

/// The specification's limit is signed; one beyond that is no limit.
fn hugepage(page: &HugepageLimit) -> Option<LinuxHugepageLimit> {
    let limit = i64::try_from(page.limit).ok()?;
    LinuxHugepageLimitBuilder::default().page_size(page.page_size.clone()).limit(limit).build().ok()
}

#[cfg(test)]
mod tests;
