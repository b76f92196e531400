use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::{Qos, container_resources, oom_score_adj, pod_resources, qos, quota, shares};
use crate::host::Host;

type Amounts = &'static [(&'static str, &'static str)];

fn list(amounts: Amounts) -> Option<BTreeMap<String, Quantity>> {
    Some(amounts.iter().map(|(name, amount)| ((*name).to_owned(), Quantity((*amount).to_owned()))).collect())
}

fn container(name: &str, requests: Amounts, limits: Amounts) -> Container {
    let resources = ResourceRequirements { requests: list(requests), limits: list(limits), claims: None };
    Container { name: name.to_owned(), resources: Some(resources), ..Container::default() }
}

fn spec(containers: Vec<Container>, init: Vec<Container>) -> PodSpec {
    PodSpec { containers, init_containers: Some(init), ..PodSpec::default() }
}

#[test]
fn class_of_service() {
    let full: Amounts = &[("cpu", "1"), ("memory", "1Gi")];
    let table = [
        (vec![container("a", &[], &[])], Qos::BestEffort),
        (vec![container("a", &[], full)], Qos::Guaranteed),
        (vec![container("a", full, full)], Qos::Guaranteed),
        (vec![container("a", &[("cpu", "500m")], full)], Qos::Burstable),
        (vec![container("a", full, full), container("b", &[], &[])], Qos::Burstable),
        (vec![container("a", &[("cpu", "0")], &[])], Qos::BestEffort),
    ];
    for (containers, expected) in table {
        assert_eq!(qos(&spec(containers.clone(), Vec::new())), expected, "{containers:?}");
    }
}

#[test]
fn cpu_amounts_become_shares_and_quota_within_the_kernels_limits() {
    assert_eq!([0, 1, 100, 1000, 10_000_000].map(shares), [2, 2, 102, 1024, 262_144]);
    assert_eq!([0, 1, 10, 500, 2000].map(quota), [0, 1000, 1000, 50_000, 200_000]);
}

#[test]
fn who_asked_for_more_memory_dies_later_within_the_class() {
    let host = Host { memory_bytes: 1 << 30, ..Host::default() };
    let small = container("small", &[("memory", "1")], &[]);
    let half = container("half", &[("memory", "512Mi")], &[]);
    let more_than_all = container("huge", &[("memory", "4Gi")], &[]);
    let mut sidecar = container("side", &[], &[]);
    sidecar.restart_policy = Some("Always".to_owned());
    let containers = vec![half.clone(), more_than_all.clone()];
    let pod = Pod { spec: Some(spec(containers, vec![sidecar.clone()])), ..Pod::default() };
    let score = |container: &Container| oom_score_adj(&pod, container, &host);
    assert_eq!([&small, &half, &more_than_all].map(score), [999, 500, 3]);
    assert_eq!(score(&sidecar), 500, "never before the containers it serves");
    let besteffort = Pod { spec: Some(spec(vec![sidecar.clone()], Vec::new())), ..Pod::default() };
    assert_eq!(oom_score_adj(&besteffort, &sidecar, &host), 1000);
}

#[test]
fn a_pod_needs_its_regular_containers_or_its_largest_init_container() {
    let mut sidecar = container("side", &[("cpu", "100m")], &[]);
    sidecar.restart_policy = Some("Always".to_owned());
    let init = container("init", &[("cpu", "2")], &[]);
    let regular = vec![container("a", &[("cpu", "500m")], &[]), container("b", &[("cpu", "500m")], &[])];
    assert_eq!(pod_resources(&spec(regular.clone(), vec![sidecar.clone(), init])).cpu_shares, shares(2100));
    assert_eq!(pod_resources(&spec(regular, vec![sidecar])).cpu_shares, shares(1100));
}

#[test]
fn a_pod_is_limited_only_if_every_container_is() {
    let limited = container("a", &[], &[("cpu", "1"), ("memory", "1Mi")]);
    let both = pod_resources(&spec(vec![limited.clone(), limited.clone()], Vec::new()));
    assert_eq!((both.cpu_quota, both.memory_limit_in_bytes), (200_000, 2 << 20));
    let one = pod_resources(&spec(vec![limited.clone(), container("b", &[], &[])], Vec::new()));
    assert_eq!((one.cpu_quota, one.memory_limit_in_bytes), (0, 0));
    let host = Host { cgroup_v2: true, memory_bytes: 1 << 30, ..Host::default() };
    let own = container_resources(&Pod::default(), &limited, &host);
    assert_eq!(
        (own.cpu_period, own.cpu_quota, own.cpu_shares, own.memory_limit_in_bytes),
        (100_000, 100_000, 1024, 1 << 20)
    );
    assert_eq!(own.unified["memory.oom.group"], "1");
}
