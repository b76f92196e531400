use std::os::unix::fs::{MetadataExt, PermissionsExt};

use kernel::mount;

use super::{EmptyDir, Medium};
use crate::{Pod, Volume};

fn pod(directory: &std::path::Path) -> Pod {
    Pod { directory: directory.to_owned(), group: None, memory_bytes: None }
}

/// Mounting needs root; without it the test says so and ends.
fn root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("skipped: needs root to mount a tmpfs");
    }
    root
}

#[test]
fn everybody_may_write_to_a_directory_that_is_made_twice_and_removed_twice() {
    let directory = tempfile::tempdir().unwrap();
    let volume = EmptyDir::new(&pod(directory.path()), "data", Medium::Disk);
    let path = volume.prepare().unwrap();
    assert_eq!(path, directory.path().join("volumes/kubernetes.io~empty-dir/data"));
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o777);
    std::fs::write(path.join("kept"), b"x").unwrap();
    volume.prepare().unwrap();
    assert!(path.join("kept").exists(), "a pod that starts again finds its data");
    assert!(volume.stats().unwrap().unwrap().bytes > 0);
    volume.teardown().unwrap();
    assert!(!path.exists());
    volume.teardown().unwrap();
}

#[test]
fn removal_does_not_follow_a_link_the_pod_left() {
    let directory = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("precious"), b"x").unwrap();
    let volume = EmptyDir::new(&pod(directory.path()), "data", Medium::Disk);
    let path = volume.prepare().unwrap();
    std::os::unix::fs::symlink(outside.path(), path.join("link")).unwrap();
    volume.teardown().unwrap();
    assert!(outside.path().join("precious").exists());
}

#[test]
fn memory_is_a_tmpfs_of_the_given_size_and_leaves_nothing() {
    if !root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let volume = EmptyDir::new(&pod(directory.path()), "ram", Medium::Memory { limit_bytes: Some(1 << 20) });
    let path = volume.prepare().unwrap();
    volume.prepare().unwrap();
    assert!(mount::is_mountpoint(&path).unwrap());
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o777);
    let too_much = std::fs::write(path.join("big"), vec![0_u8; 2 << 20]);
    assert_eq!(too_much.unwrap_err().raw_os_error(), Some(nix::libc::ENOSPC));
    volume.teardown().unwrap();
    assert!(!path.exists());
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&*directory.path().to_string_lossy()), "one mount, one unmount");
    volume.teardown().unwrap();
}

#[test]
fn a_group_owns_the_volume_and_what_is_made_inside() {
    if !root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let pod = Pod { group: Some(4321), ..pod(directory.path()) };
    let path = EmptyDir::new(&pod, "data", Medium::Disk).prepare().unwrap();
    std::fs::write(path.join("file"), b"x").unwrap();
    assert_eq!(path.metadata().unwrap().gid(), 4321);
    assert_eq!(path.join("file").metadata().unwrap().gid(), 4321);
}
