use cri_api::v1::{HugepageLimit as Page, LinuxContainerConfig};

use super::*;

fn config(resources: LinuxContainerResources) -> ContainerConfig {
    let linux = LinuxContainerConfig { resources: Some(resources), ..LinuxContainerConfig::default() };
    ContainerConfig { linux: Some(linux), ..ContainerConfig::default() }
}

fn none() -> LinuxContainerResources {
    LinuxContainerResources::default()
}

#[test]
fn zero_is_not_set() {
    assert_eq!(limits(&config(none())).unwrap(), Limits::default());
    assert_eq!(limits(&ContainerConfig::default()).unwrap(), Limits::default());
    assert_eq!(section(&Limits::default(), Vec::new()).memory(), &None);
}

#[test]
fn a_memory_limit_without_a_word_about_swap_is_no_swap() {
    let table = [
        (64 << 20, 0, Some(64 << 20), Some(64 << 20)),
        (64 << 20, 128 << 20, Some(64 << 20), Some(128 << 20)),
        (64 << 20, -1, Some(64 << 20), Some(-1)),
        (-1, 0, Some(-1), None),
    ];
    for (memory, swap, limit, both) in table {
        let resources = LinuxContainerResources {
            memory_limit_in_bytes: memory,
            memory_swap_limit_in_bytes: swap,
            ..none()
        };
        let found = limits(&config(resources)).unwrap();
        assert_eq!((found.memory_limit, found.memory_swap_limit), (limit, both), "{memory} {swap}");
    }
}

#[test]
fn every_field_arrives() {
    let resources = LinuxContainerResources {
        cpu_shares: 512,
        cpu_quota: -1,
        cpu_period: 50_000,
        cpuset_cpus: "0-1".into(),
        cpuset_mems: "0".into(),
        hugepage_limits: vec![Page { page_size: "2MB".into(), limit: 0 }],
        unified: [("memory.high".to_owned(), "max".to_owned())].into(),
        ..none()
    };
    let found = limits(&config(resources)).unwrap();
    assert_eq!(
        (found.cpu_shares, found.cpu_quota_us, found.cpu_period_us),
        (Some(512), Some(-1), Some(50_000))
    );
    assert_eq!((found.cpuset_cpus.as_deref(), found.cpuset_mems.as_deref()), (Some("0-1"), Some("0")));
    assert_eq!((found.hugepages.len(), found.unified.len()), (1, 1));
    let section = section(&found, Vec::new());
    assert_eq!(section.cpu().as_ref().and_then(LinuxCpu::shares), Some(512));
    assert_eq!(section.hugepage_limits().as_ref().map(Vec::len), Some(1));
    assert!(section.unified().is_some() && section.memory().is_none());
}

#[test]
fn senseless_values_are_refused() {
    let table = [
        LinuxContainerResources { cpu_shares: -1, ..none() },
        LinuxContainerResources { cpu_period: -1, ..none() },
        LinuxContainerResources { cpu_quota: 10, ..none() },
        LinuxContainerResources { memory_limit_in_bytes: 4096, ..none() },
        LinuxContainerResources {
            memory_limit_in_bytes: 2 << 20,
            memory_swap_limit_in_bytes: 1 << 20,
            ..none()
        },
        LinuxContainerResources { cpuset_cpus: "all".into(), ..none() },
        LinuxContainerResources { unified: [("../x.y".to_owned(), "1".to_owned())].into(), ..none() },
    ];
    for resources in table {
        assert!(limits(&config(resources.clone())).is_err(), "{resources:?}");
    }
    let score = |oom_score_adj| oom_score(&config(LinuxContainerResources { oom_score_adj, ..none() }));
    assert_eq!(score(-998).unwrap(), -998);
    assert!(score(1001).is_err() && score(i64::MAX).is_err());
}
