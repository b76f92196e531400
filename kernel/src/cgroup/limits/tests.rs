use super::*;

fn refused(limits: Limits) -> String {
    match limits.validate() {
        Err(Error::Limit { name, .. }) => name,
        other => panic!("expected a refused limit, got {other:?}"),
    }
}

#[test]
fn limits_the_kernel_takes_are_accepted() {
    let limits = Limits {
        cpu_shares: Some(2),
        cpu_quota_us: Some(1000),
        cpu_period_us: Some(1_000_000),
        memory_limit: Some(1 << 20),
        memory_swap_limit: Some(1 << 20),
        cpuset_cpus: Some("0-3,7".into()),
        cpuset_mems: Some("0".into()),
        pids_max: Some(1),
        hugepages: vec![HugepageLimit { page_size: "64KB".into(), limit: 0 }],
        unified: [("memory.high".to_owned(), "max".to_owned())].into(),
    };
    limits.validate().unwrap();
    let unlimited = Limits {
        cpu_quota_us: Some(-1),
        memory_limit: Some(-1),
        memory_swap_limit: Some(-1),
        pids_max: Some(-1),
        ..Limits::default()
    };
    unlimited.validate().unwrap();
}

#[test]
fn senseless_limits_are_refused_by_name() {
    let table = [
        ("cpu_quota_us", Limits { cpu_quota_us: Some(999), ..Limits::default() }),
        ("cpu_quota_us", Limits { cpu_quota_us: Some(-2), ..Limits::default() }),
        ("cpu_period_us", Limits { cpu_period_us: Some(1_000_001), ..Limits::default() }),
        ("memory_limit", Limits { memory_limit: Some(0), ..Limits::default() }),
        (
            "memory_swap_limit",
            Limits { memory_limit: Some(2), memory_swap_limit: Some(1), ..Limits::default() },
        ),
        (
            "memory_swap_limit",
            Limits { memory_limit: Some(-1), memory_swap_limit: Some(1), ..Limits::default() },
        ),
        ("pids_max", Limits { pids_max: Some(0), ..Limits::default() }),
    ];
    for (name, limits) in table {
        assert_eq!(refused(limits), name);
    }
}

#[test]
fn cpu_lists_are_lists() {
    for good in ["0", "0-3", "0-3,7", "1,2,3"] {
        assert!(is_list(good), "{good}");
    }
    for bad in ["", ",", "3-1", "a", "0-", "+1", "1,,2", "0-3\n", " 1"] {
        assert!(!is_list(bad), "{bad:?}");
    }
}

#[test]
fn unified_names_one_file_of_a_controller() {
    let with = |file: &str, value: &str| Limits {
        unified: [(file.to_owned(), value.to_owned())].into(),
        ..Limits::default()
    };
    for file in ["", "memory", "../memory.max", "a/memory.max", ".memory", "cgroup.procs", "cgroup.kill"] {
        assert_eq!(refused(with(file, "1")), file);
    }
    assert_eq!(refused(with("memory.high", "1\n2")), "memory.high");
    assert_eq!(refused(with("memory.high", "")), "memory.high");
}

#[test]
fn page_sizes_are_spelled_as_the_kernel_does() {
    for bad in ["../2MB", "2", "MB", "2TB", "2mb", "-2MB", ""] {
        let limits = Limits {
            hugepages: vec![HugepageLimit { page_size: bad.into(), limit: 0 }],
            ..Limits::default()
        };
        assert_eq!(refused(limits), "hugepages", "{bad}");
    }
}
