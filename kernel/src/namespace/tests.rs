use std::os::fd::AsFd;

use super::*;
use crate::credentials::{capabilities, capability};

fn privileged() -> bool {
    let privileged = capabilities().is_ok_and(|sets| sets.effective & 1 << capability::SYS_ADMIN != 0);
    if !privileged {
        eprintln!("skipped: needs root");
    }
    privileged
}

#[test]
fn a_path_that_is_no_namespace_of_the_kind_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("file");
    std::fs::write(&file, "").expect("a file");
    for (path, kind) in [(file.as_path(), Kind::Net), (Path::new("/proc/self/ns/ipc"), Kind::Net)] {
        let error = open_path(path, kind).expect_err("refused");
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL), "{}", path.display());
    }
    open(std::process::id() as i32, Kind::Uts).expect("one's own namespace opens");
}

#[test]
fn a_new_network_namespace_is_empty_and_the_caller_stays_outside() {
    if !privileged() {
        return;
    }
    let own = open_path(Path::new("/proc/thread-self/ns/net"), Kind::Net).expect("own namespace");
    let net = create_net().expect("create");
    assert!(!same(own.as_fd(), net.as_fd()).expect("compare"));
    let inside =
        run_in(net.as_fd(), || std::fs::read_to_string("/proc/thread-self/net/dev")).expect("run inside");
    assert_eq!(inside.lines().count(), 3, "two heading lines and lo: {inside}");
    let after = open_path(Path::new("/proc/thread-self/ns/net"), Kind::Net).expect("own namespace");
    assert!(same(own.as_fd(), after.as_fd()).expect("compare"));
}

#[test]
fn a_pinned_namespace_can_be_opened_until_it_is_unpinned_twice() {
    if !privileged() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("net");
    let net = create_net().expect("create");
    pin(net.as_fd(), &path).expect("pin");
    assert!(pin(net.as_fd(), &path).is_err(), "the place is taken");
    let opened = open_path(&path, Kind::Net).expect("open");
    assert!(same(net.as_fd(), opened.as_fd()).expect("compare"));
    unpin(&path).expect("unpin");
    unpin(&path).expect("unpinning again is not an error");
    assert!(!path.exists());
}
