use super::*;

const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:4 - cgroup cgroup rw,cpu,cpuacct
34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset,clone_children
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime shared:5 master:1 - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
50 31 0:38 / /mnt/elsewhere rw,relatime - cgroup2 cgroup2 rw
";

const V2: &str = "\
24 23 0:22 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
25 23 0:23 / /proc rw - proc proc rw
";

fn detect(root: &str, text: &str) -> Hierarchies {
    Hierarchies::detect(Path::new(root), text.as_bytes()).unwrap()
}

#[test]
fn a_hybrid_host_has_its_controllers_on_v1_and_every_hierarchy_is_used() {
    let found = detect("/sys/fs/cgroup", HYBRID);
    assert_eq!(found.version(), Version::V1);
    assert_eq!(found.mounts.len(), 4);
    assert_eq!(found.mount_of("cpuacct"), Some(Path::new("/sys/fs/cgroup/cpu,cpuacct")));
    assert_eq!(found.mount_of("cpu"), found.mount_of("cpuacct"));
    assert_eq!(found.mount_of("memory"), None);
    assert_eq!(found.unified(), Some(Path::new("/sys/fs/cgroup/unified")));
}

#[test]
fn a_v2_host_has_one_mount_for_every_controller() {
    let found = detect("/sys/fs/cgroup", V2);
    assert_eq!(found.version(), Version::V2);
    assert_eq!(found.mount_of("memory"), Some(Path::new("/sys/fs/cgroup")));
    assert_eq!(found.unified(), Some(Path::new("/sys/fs/cgroup")));
}

#[test]
fn a_mount_elsewhere_does_not_count() {
    assert!(matches!(
        Hierarchies::detect(Path::new("/elsewhere"), HYBRID.as_bytes()),
        Err(Error::NotMounted { .. })
    ));
}

#[test]
fn escaped_mount_points_are_read() {
    let found = detect("/a b", "24 23 0:22 / /a\\040b rw - cgroup2 cgroup2 rw\n");
    assert_eq!(found.unified(), Some(Path::new("/a b")));
}

#[test]
fn a_group_path_never_leaves_the_hierarchy() {
    assert_eq!(relative(Path::new("/kubepods/pod1")).unwrap(), Path::new("kubepods/pod1"));
    assert_eq!(relative(Path::new("a//./b/")).unwrap(), Path::new("a/b"));
    for bad in ["", "/", ".", "/a/../b", "..", "a\nb"] {
        assert!(matches!(relative(Path::new(bad)), Err(Error::Path { .. })), "{bad:?}");
    }
}
