//! Requests and limits as cgroup values, quality of service, and who dies first when memory runs out.

use std::collections::HashMap;

use cri_api::v1::LinuxContainerResources;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use crate::host::Host;
use crate::quantity::Quantity;

/// Length of a CFS period, microseconds.
const PERIOD_US: i64 = 100_000;
/// Smallest quota the kernel takes, microseconds.
const MIN_QUOTA_US: i64 = 1_000;
const MIN_SHARES: i64 = 2;
const MAX_SHARES: i64 = 262_144;

/// Quality of service (2.14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qos {
    /// Every container has cpu and memory limits equal to its requests.
    Guaranteed,
    /// Something is requested.
    Burstable,
    /// Nothing is requested.
    BestEffort,
}

/// A container's limit; `None` if absent. A text that is no quantity counts as absent: validation refused it before.
#[must_use]
pub fn limit(container: &Container, resource: &str) -> Option<Quantity> {
    let limits = container.resources.as_ref()?.limits.as_ref()?;
    Quantity::parse(&limits.get(resource)?.0).ok()
}

/// A container's request; where there is none the limit counts, as the API server defaults it.
#[must_use]
pub fn request(container: &Container, resource: &str) -> Option<Quantity> {
    let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    match requests.and_then(|requests| requests.get(resource)) {
        Some(quantity) => Quantity::parse(&quantity.0).ok(),
        None => limit(container, resource),
    }
}

fn all_containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.init_containers.iter().flatten().chain(&spec.containers)
}

/// The pod's class.
#[must_use]
pub fn qos(spec: &PodSpec) -> Qos {
    let nonzero = |quantity: Option<Quantity>| quantity.filter(|quantity| !quantity.is_zero());
    let mut guaranteed = true;
    let mut requested = false;
    for container in all_containers(spec) {
        for resource in ["cpu", "memory"] {
            let (limit, request) =
                (nonzero(limit(container, resource)), nonzero(request(container, resource)));
            requested |= limit.is_some() || request.is_some();
            guaranteed &= limit.is_some() && limit == request;
        }
    }
    match (requested, guaranteed) {
        (false, _) => Qos::BestEffort,
        (true, true) => Qos::Guaranteed,
        (true, false) => Qos::Burstable,
    }
}

/// cgroup v1 cpu shares of a cpu request in millicores; the runtime converts them for v2.
#[must_use]
pub fn shares(millis: i64) -> i64 {
    (millis.saturating_mul(1024) / 1000).clamp(MIN_SHARES, MAX_SHARES)
}

/// CFS quota of a cpu limit in millicores, microseconds per period; 0 means none.
#[must_use]
pub fn quota(millis: i64) -> i64 {
    if millis == 0 { 0 } else { (millis.saturating_mul(PERIOD_US) / 1000).max(MIN_QUOTA_US) }
}

/// The `oom_score_adj` of a container: the more of the memory it asked for, the later it dies.
#[must_use]
pub fn oom_score_adj(pod: &Pod, container: &Container, host: &Host) -> i64 {
    let Some(spec) = &pod.spec else { return 0 };
    if spec.priority_class_name.as_deref() == Some("system-node-critical") {
        return -997;
    }
    let own = match qos(spec) {
        Qos::Guaranteed => return -997,
        Qos::BestEffort => return 1000,
        Qos::Burstable => burstable_score(container, host),
    };
    // A sidecar must not be killed before the container it serves (KEP-753).
    let sidecar = spec
        .init_containers
        .iter()
        .flatten()
        .any(|init| init.name == container.name && init.restart_policy.as_deref() == Some("Always"));
    let smallest = spec.containers.iter().map(|regular| burstable_score(regular, host)).max();
    match smallest {
        Some(smallest) if sidecar => own.min(smallest),
        _ => own,
    }
}

fn burstable_score(container: &Container, host: &Host) -> i64 {
    let memory = request(container, "memory").unwrap_or_default().value();
    let share = if host.memory_bytes > 0 {
        1000_i128 * i128::from(memory) / i128::from(host.memory_bytes)
    } else {
        0
    };
    // 2 and 1000 are the scores of the other classes; the order between the classes must stay.
    i64::try_from((1000 - share).clamp(3, 999)).unwrap_or(3)
}

/// The CRI form of a container's resources.
#[must_use]
pub fn container_resources(pod: &Pod, container: &Container, host: &Host) -> LinuxContainerResources {
    let milli = |quantity: Option<Quantity>| quantity.unwrap_or_default().milli();
    let quota = quota(milli(limit(container, "cpu")));
    let mut unified = HashMap::new();
    if host.cgroup_v2 {
        // A container is one unit: when one of its processes is killed for memory, all are (2.14).
        unified.insert("memory.oom.group".to_owned(), "1".to_owned());
    }
    LinuxContainerResources {
        cpu_period: if quota > 0 { PERIOD_US } else { 0 },
        cpu_quota: quota,
        cpu_shares: shares(milli(request(container, "cpu"))),
        memory_limit_in_bytes: limit(container, "memory").unwrap_or_default().value(),
        oom_score_adj: oom_score_adj(pod, container, host),
        unified,
        ..LinuxContainerResources::default()
    }
}

/// The pod's resources as a whole, for the sandbox: what all containers together may use at any time. Init containers
/// run one after the other, beside the sidecars started before them.
#[must_use]
pub fn pod_resources(spec: &PodSpec) -> LinuxContainerResources {
    let milli = |quantity: Option<Quantity>| quantity.unwrap_or_default().milli();
    let value = |quantity: Option<Quantity>| quantity.unwrap_or_default().value();
    let requested = |container: &Container| milli(request(container, "cpu"));
    let cpu = effective(spec, requested);
    let every = |resource: &str| spec.containers.iter().all(|container| limit(container, resource).is_some());
    let cpu_limit =
        if every("cpu") { effective(spec, |container| milli(limit(container, "cpu"))) } else { 0 };
    let memory =
        if every("memory") { effective(spec, |container| value(limit(container, "memory"))) } else { 0 };
    let quota = quota(cpu_limit);
    LinuxContainerResources {
        cpu_period: if quota > 0 { PERIOD_US } else { 0 },
        cpu_quota: quota,
        cpu_shares: shares(cpu),
        memory_limit_in_bytes: memory,
        ..LinuxContainerResources::default()
    }
}

/// `max(sum of regular + sidecars, each init container + sidecars before it)` (2.6).
fn effective(spec: &PodSpec, amount: impl Fn(&Container) -> i64) -> i64 {
    let mut sidecars = 0_i64;
    let mut peak = 0_i64;
    for init in spec.init_containers.iter().flatten() {
        if init.restart_policy.as_deref() == Some("Always") {
            sidecars = sidecars.saturating_add(amount(init));
            peak = peak.max(sidecars);
        } else {
            peak = peak.max(sidecars.saturating_add(amount(init)));
        }
    }
    let regular = spec.containers.iter().map(amount).fold(sidecars, i64::saturating_add);
    peak.max(regular)
}

#[cfg(test)]
mod tests;
