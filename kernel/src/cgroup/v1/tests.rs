use super::*;

fn lines(limits: &Limits, current: Current) -> Vec<String> {
    writes(limits, current).unwrap().iter().map(|write| format!("{} {}", write.file, write.value)).collect()
}

const MIB: i64 = 1 << 20;

#[test]
fn memory_grows_from_the_top_and_shrinks_from_the_bottom() {
    let limits =
        Limits { memory_limit: Some(64 * MIB), memory_swap_limit: Some(64 * MIB), ..Limits::default() };
    let now = |bytes: u64| Current { memory_and_swap: Some(bytes), period_us: None };
    let (memory, both) = ("memory.limit_in_bytes 67108864", "memory.memsw.limit_in_bytes 67108864");
    assert_eq!(lines(&limits, now(32 << 20)), [both, memory]);
    assert_eq!(lines(&limits, now(128 << 20)), [memory, both]);
}

#[test]
fn lifting_the_memory_limit_lifts_both_top_first() {
    let limits = Limits { memory_limit: Some(UNLIMITED), ..Limits::default() };
    let current = Current { memory_and_swap: Some(1 << 20), period_us: None };
    assert_eq!(lines(&limits, current), ["memory.memsw.limit_in_bytes -1", "memory.limit_in_bytes -1"]);
}

#[test]
fn swap_is_optional_and_memory_is_not() {
    let limits = Limits { memory_limit: Some(MIB), memory_swap_limit: Some(MIB), ..Limits::default() };
    let optional: Vec<bool> =
        writes(&limits, Current::default()).unwrap().iter().map(|write| write.optional).collect();
    assert_eq!(optional, [false, true]);
}

#[test]
fn the_ratio_of_quota_to_period_never_rises_in_between() {
    let limits = |quota, period| Limits {
        cpu_quota_us: Some(quota),
        cpu_period_us: Some(period),
        ..Limits::default()
    };
    let current = Current { memory_and_swap: None, period_us: Some(100_000) };
    assert_eq!(
        lines(&limits(100_000, 200_000), current),
        ["cpu.cfs_period_us 200000", "cpu.cfs_quota_us 100000"]
    );
    assert_eq!(lines(&limits(5_000, 10_000), current), ["cpu.cfs_quota_us 5000", "cpu.cfs_period_us 10000"]);
}

#[test]
fn the_rest_is_written_in_v1_units() {
    let limits = Limits {
        cpu_shares: Some(512),
        cpuset_cpus: Some("0-1".into()),
        cpuset_mems: Some("0".into()),
        pids_max: Some(UNLIMITED),
        hugepages: vec![super::super::HugepageLimit { page_size: "2MB".into(), limit: 0 }],
        ..Limits::default()
    };
    assert_eq!(
        lines(&limits, Current::default()),
        [
            "cpuset.cpus 0-1",
            "cpuset.mems 0",
            "cpu.shares 512",
            "pids.max max",
            "hugetlb.2MB.limit_in_bytes 0",
            "hugetlb.2MB.rsvd.limit_in_bytes 0",
        ]
    );
}

#[test]
fn a_v2_file_is_refused_by_name() {
    let limits = Limits { unified: [("memory.high".to_owned(), "1".to_owned())].into(), ..Limits::default() };
    assert!(
        matches!(writes(&limits, Current::default()), Err(Error::Limit { name, .. }) if name == "memory.high")
    );
}
