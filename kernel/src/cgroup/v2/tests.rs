use super::*;

fn lines(limits: &Limits, current: &Current) -> Vec<String> {
    writes(limits, current).unwrap().iter().map(|write| format!("{} {}", write.file, write.value)).collect()
}

#[test]
fn units_of_v1_become_those_of_v2() {
    let limits = Limits {
        cpu_shares: Some(1024),
        cpu_quota_us: Some(50_000),
        cpu_period_us: Some(100_000),
        memory_limit: Some(1000),
        memory_swap_limit: Some(1500),
        cpuset_cpus: Some("0".into()),
        pids_max: Some(10),
        hugepages: vec![super::super::HugepageLimit { page_size: "1GB".into(), limit: 0 }],
        unified: [("memory.oom.group".to_owned(), "1".to_owned())].into(),
        ..Limits::default()
    };
    assert_eq!(
        lines(&limits, &Current::default()),
        [
            "cpuset.cpus 0",
            "cpu.weight 100",
            "cpu.max 50000 100000",
            "memory.swap.max 500",
            "memory.max 1000",
            "pids.max 10",
            "hugetlb.1GB.max 0",
            "hugetlb.1GB.rsvd.max 0",
            "memory.oom.group 1",
        ]
    );
}

#[test]
fn half_a_bandwidth_keeps_the_other_half() {
    let current = Current { quota: Some("20000".into()), memory: None };
    let period = Limits { cpu_period_us: Some(50_000), ..Limits::default() };
    assert_eq!(lines(&period, &current), ["cpu.max 20000 50000"]);
    assert_eq!(lines(&period, &Current::default()), ["cpu.max max 50000"]);
    let quota = Limits { cpu_quota_us: Some(UNLIMITED), ..Limits::default() };
    assert_eq!(lines(&quota, &current), ["cpu.max max"]);
}

#[test]
fn swap_is_what_exceeds_memory() {
    let limits = |memory, both| Limits { memory_limit: memory, memory_swap_limit: both, ..Limits::default() };
    let current = Current { quota: None, memory: Some(600) };
    let table = [
        (limits(Some(1000), Some(1000)), vec!["memory.swap.max 0", "memory.max 1000"]),
        (limits(Some(1000), Some(-1)), vec!["memory.swap.max max", "memory.max 1000"]),
        (limits(Some(-1), None), vec!["memory.swap.max max", "memory.max max"]),
        (limits(Some(1000), None), vec!["memory.max 1000"]),
        (limits(None, Some(1000)), vec!["memory.swap.max 400"]),
    ];
    for (limits, expected) in table {
        assert_eq!(lines(&limits, &current), expected, "{limits:?}");
    }
}

#[test]
fn swap_without_memory_is_refused() {
    let limits = Limits { memory_swap_limit: Some(1000), ..Limits::default() };
    for memory in [None, Some(u64::MAX), Some(2000)] {
        let current = Current { quota: None, memory };
        assert!(matches!(writes(&limits, &current), Err(Error::Limit { .. })), "{memory:?}");
    }
}
