use super::super::tests::Request;
use super::*;

fn asked(container_path: &str, host_path: &str) -> Asked {
    Asked { container_path: container_path.to_owned(), host_path: host_path.to_owned(), ..Asked::default() }
}

fn with(mounts: Vec<Asked>) -> Request {
    let mut request = Request::new();
    request.config.mounts = mounts;
    request
}

fn resolved(request: &Request) -> Vec<Mount> {
    request.resolve().unwrap().spec.mounts().clone().unwrap()
}

fn find<'a>(mounts: &'a [Mount], path: &str) -> &'a Mount {
    let found: Vec<&Mount> = mounts.iter().filter(|mount| mount.destination() == Path::new(path)).collect();
    assert_eq!(found.len(), 1, "{path}");
    found[0]
}

fn options(mount: &Mount) -> Vec<&str> {
    mount.options().iter().flatten().map(String::as_str).collect()
}

#[test]
fn a_container_gets_its_kernel_filesystems_and_the_pods_files() {
    let mounts = resolved(&with(Vec::new()));
    let paths: Vec<&str> = mounts.iter().map(|mount| mount.destination().to_str().unwrap()).collect();
    let expected = [
        "/proc",
        "/dev",
        "/sys",
        "/dev/pts",
        "/dev/mqueue",
        "/dev/shm",
        "/etc/hosts",
        "/etc/hostname",
        "/etc/resolv.conf",
        "/sys/fs/cgroup",
    ];
    assert_eq!(paths, expected);
    assert!(options(find(&mounts, "/sys")).contains(&"ro"));
    assert!(options(find(&mounts, "/sys/fs/cgroup")).contains(&"ro"));
    assert_eq!(find(&mounts, "/dev/shm").source().as_deref(), Some(Path::new("/run/pod/shm")));
    assert_eq!(find(&mounts, "/etc/hosts").source().as_deref(), Some(Path::new("/run/pod/hosts")));
    assert!(options(find(&mounts, "/etc/hosts")).contains(&"rw"));
}

#[test]
fn a_read_only_root_has_read_only_files_and_the_host_ipc_its_own_memory() {
    let mut request = with(Vec::new());
    request.security().readonly_rootfs = true;
    assert!(options(find(&resolved(&request), "/etc/resolv.conf")).contains(&"ro"));
    request.modes(NamespaceMode::Pod, NamespaceMode::Container, NamespaceMode::Node);
    request.shm = None;
    assert_eq!(find(&resolved(&request), "/dev/shm").source().as_deref(), Some(Path::new("/dev/shm")));
}

#[test]
fn parents_come_first_and_a_mount_takes_the_place_of_a_default() {
    let mounts = resolved(&with(vec![
        asked("/a/b/c", "/usr"),
        asked("/a", "/usr"),
        asked("/etc/hosts", "/etc/passwd"),
        asked("/a/b", "/usr"),
    ]));
    let own: Vec<&str> = mounts
        .iter()
        .map(|mount| mount.destination().to_str().unwrap())
        .filter(|path| path.starts_with("/a"))
        .collect();
    assert_eq!(own, ["/a", "/a/b", "/a/b/c"]);
    assert_eq!(find(&mounts, "/etc/hosts").source().as_deref(), Some(Path::new("/etc/passwd")));
}

#[test]
fn a_mount_on_dev_drops_the_defaults_below_it() {
    let mounts = resolved(&with(vec![asked("/dev/", "/dev")]));
    assert_eq!(find(&mounts, "/dev").typ().as_deref(), Some("bind"));
    assert!(!mounts.iter().any(|mount| mount.destination().starts_with("/dev/pts")));
    assert!(mounts.iter().any(|mount| mount.destination() == Path::new("/sys/fs/cgroup")));
}

#[test]
fn a_missing_host_path_becomes_a_directory_unless_that_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/b");
    let mut request = with(vec![asked("/x", path.to_str().unwrap())]);
    request.defaults.reject_missing_host_paths = true;
    assert!(matches!(request.resolve(), Err(ResolveError::AbsentHostPath { .. })));
    assert!(!path.exists());
    request.defaults.reject_missing_host_paths = false;
    request.defaults.never_made = vec![path.clone()];
    assert!(matches!(request.resolve(), Err(ResolveError::AbsentHostPath { .. })));
    request.defaults.never_made.clear();
    request.resolve().unwrap();
    assert!(path.is_dir());
}

#[test]
fn read_only_is_of_one_mount_or_of_all_below() {
    let mount = |readonly, recursive, propagation: MountPropagation| Asked {
        readonly,
        recursive_read_only: recursive,
        propagation: propagation.into(),
        ..asked("/x", "/usr")
    };
    use MountPropagation::{PropagationHostToContainer, PropagationPrivate};
    let of = |asked| with(vec![asked]).resolve().map(|resolved| resolved.spec);
    let text = |asked| options(find(&of(asked).unwrap().mounts().clone().unwrap(), "/x")).join(",");
    assert_eq!(text(mount(false, false, PropagationPrivate)), "rbind,rprivate,rw");
    assert_eq!(text(mount(true, false, PropagationPrivate)), "rbind,rprivate,ro");
    assert_eq!(text(mount(true, true, PropagationPrivate)), "rbind,rprivate,rro");
    assert!(of(mount(false, true, PropagationPrivate)).is_err());
    assert!(of(mount(true, true, PropagationHostToContainer)).is_err());
    let with_options = Asked { mount_options: vec!["noexec".into()], ..asked("/x", "/usr") };
    assert_eq!(text(with_options), "rbind,rprivate,rw,noexec");
}

#[test]
fn the_root_propagates_as_far_as_a_mount_needs() {
    let mount =
        |propagation: MountPropagation| Asked { propagation: propagation.into(), ..asked("/x", "/usr") };
    use MountPropagation::{PropagationBidirectional, PropagationHostToContainer, PropagationPrivate};
    assert_eq!(root_propagation(&[mount(PropagationPrivate)]), None);
    assert_eq!(root_propagation(&[mount(PropagationHostToContainer)]), Some("rslave"));
    let both = [mount(PropagationBidirectional), mount(PropagationHostToContainer)];
    assert_eq!(root_propagation(&both), Some("rshared"));
}

#[test]
fn the_mount_a_path_is_on_is_the_longest_and_the_last() {
    let text = b"\
22 1 8:1 / / rw shared:1 - ext4 /dev/sda rw
23 22 0:5 / /mnt rw master:1 - tmpfs tmpfs rw
24 23 0:6 / /mnt/a\\040b rw - tmpfs tmpfs rw
25 22 0:7 / /mnt rw shared:9 master:1 - tmpfs tmpfs rw
";
    let parsed = propagation::parse(text);
    assert_eq!(parsed.len(), 4);
    assert_eq!(parsed[2].0, Path::new("/mnt/a b"));
    let mut table = Table::with(parsed);
    let mut of = |path: &str| {
        let found = table.of(Path::new(path)).unwrap();
        (found.shared, found.slave)
    };
    assert_eq!(of("/etc"), (true, false));
    assert_eq!(of("/mnt/x"), (true, true));
    assert_eq!(of("/mnt/a b/c"), (false, false));
    assert_eq!(of("/mntx"), (true, false));
}

#[test]
fn a_mount_that_makes_no_sense_is_refused() {
    let image = Asked {
        image: Some(cri_api::v1::ImageSpec { image: "sha256:0".into(), ..Default::default() }),
        ..asked("/x", "")
    };
    let mapped = Asked { uid_mappings: vec![cri_api::v1::IdMapping::default()], ..asked("/x", "/usr") };
    let option = Asked { mount_options: vec!["bind".into()], ..asked("/x", "/usr") };
    let unknown = Asked { propagation: 9, ..asked("/x", "/usr") };
    let table = [
        image,
        mapped,
        option,
        unknown,
        asked("", "/usr"),
        asked("/a/../b", "/usr"),
        asked("/x", "usr"),
        asked("/x", ""),
    ];
    for mount in table {
        let request = with(vec![mount]);
        assert!(request.resolve().is_err(), "{:?}", request.config.mounts);
    }
}
