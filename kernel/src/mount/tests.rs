use std::os::fd::AsFd;

use super::*;
use crate::credentials::{capabilities, capability};

/// Runs `f` in a private mount namespace that ends with its thread.
pub(super) fn in_own_mounts(f: impl FnOnce() + Send + 'static) {
    if !capabilities().is_ok_and(|sets| sets.effective & 1 << capability::SYS_ADMIN != 0) {
        eprintln!("skipped: needs root");
        return;
    }
    let thread = std::thread::spawn(|| {
        crate::namespace::unshare(crate::namespace::Kind::Mount.flag()).expect("unshare");
        make_private(Path::new("/"), true).expect("make private");
        f();
    });
    thread.join().expect("the thread does not panic");
}

#[test]
fn a_detached_mount_is_attached_where_the_descriptor_says() {
    in_own_mounts(|| {
        let directory = tempfile::tempdir().expect("a directory");
        assert!(!is_mountpoint(directory.path()).expect("look"));
        let builder = Builder::new("tmpfs").expect("fsopen");
        builder.option("mode", b"0700").expect("mode");
        let tree = builder.mount(attribute::NOSUID | attribute::NODEV).expect("fsmount");
        let target = crate::path::open_dir(directory.path()).expect("open");
        move_into(tree.as_fd(), target.as_fd()).expect("move");
        assert!(is_mountpoint(directory.path()).expect("look"));
        let table = std::fs::read_to_string("/proc/thread-self/mountinfo").expect("mountinfo");
        let name = directory.path().to_str().expect("text");
        let line = table.lines().find(|line| line.contains(name)).expect("it is in the table");
        assert!(line.contains("nosuid,nodev"), "{line}");

        std::fs::write(directory.path().join("file"), "text").expect("write");
        let copy = open_tree_clone(directory.path(), true).expect("clone");
        set_attr(copy.as_fd(), true, attribute::RDONLY | attribute::NOATIME, 0, propagation::PRIVATE)
            .expect("set");
        let other = tempfile::tempdir().expect("a directory");
        move_into(copy.as_fd(), crate::path::open_dir(other.path()).expect("open").as_fd()).expect("move");
        assert_eq!(std::fs::read(other.path().join("file")).expect("read"), b"text");
        let error = std::fs::write(other.path().join("new"), "").expect_err("read-only");
        assert_eq!(error.raw_os_error(), Some(libc::EROFS));
        umount(other.path(), true).expect("umount");
        umount(directory.path(), true).expect("umount");
        assert!(!is_mountpoint(directory.path()).expect("look"));
        assert!(!is_mountpoint(&directory.path().join("missing")).expect("look"));
    });
}

#[test]
fn a_file_can_be_a_mount_point() {
    in_own_mounts(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let (source, target) = (directory.path().join("source"), directory.path().join("target"));
        std::fs::write(&source, "source").expect("write");
        std::fs::write(&target, "target").expect("write");
        mount(&source, &target, "none", libc::MS_BIND, b"").expect("bind");
        assert!(is_mountpoint(&target).expect("look"));
        assert!(!is_mountpoint(&source).expect("look"));
        umount(&target, false).expect("umount");
    });
}

#[test]
fn an_unknown_option_is_explained_by_the_kernel() {
    in_own_mounts(|| {
        let builder = Builder::new("tmpfs").expect("fsopen");
        let error = builder.option("colour", b"blue").expect_err("tmpfs has no colour");
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        assert!(builder.message().is_some_and(|message| message.contains("colour")));
    });
}
