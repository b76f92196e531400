use std::error::Error;

use kernel::mount::attribute;
use kernel::namespace::Kind;

use super::*;

fn privileged() -> bool {
    let root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}

#[test]
fn what_is_missing_is_named_with_its_cause() {
    if !privileged() {
        return;
    }
    let path = PathBuf::from("/nowhere/to be found");
    for (need, message) in [
        (Need::Bind(Bind { source: path.clone(), ..Bind::default() }), "bind /nowhere/to be found"),
        (Need::Namespace { kind: Kind::Net, path: path.clone() }, "open namespace /nowhere/to be found"),
        (Need::CgroupTasks(path.clone()), "open cgroup /nowhere/to be found"),
        (Need::CgroupDirectory(path.clone()), "open cgroup /nowhere/to be found"),
        (
            Need::Overlay { lower: vec![path.clone()], upper: path.clone(), work: path.clone() },
            "mount overlay /nowhere/to be found",
        ),
    ] {
        let error = gather(&[need]).expect_err("missing");
        assert_eq!(error.to_string(), message);
        let cause = error.source().expect("a cause").to_string();
        assert!(cause.contains("No such file or directory"), "{cause}");
    }
}

#[test]
fn the_null_device_is_proven_and_cannot_be_changed_through_the_mount() {
    if !privileged() {
        return;
    }
    let [null] = <[OwnedFd; 1]>::try_from(gather(&[Need::NullDevice]).expect("gather")).expect("one");
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&null));
    let mode = std::fs::metadata("/dev/null").expect("metadata").permissions();
    let error = std::fs::set_permissions(&path, mode).expect_err("read-only");
    assert_eq!(error.raw_os_error(), Some(libc::EROFS));
}

#[test]
fn descriptors_come_in_the_order_of_the_needs() {
    if !privileged() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("file");
    std::fs::write(&file, "").expect("write");
    let bind = |source: &Path| {
        Need::Bind(Bind {
            source: source.to_owned(),
            recursive: true,
            attributes: crate::compile::Change { set: attribute::RDONLY, clear: 0 },
            propagation: propagation::SLAVE,
            ..Bind::default()
        })
    };
    let fds = gather(&[bind(directory.path()), Need::NullDevice, bind(&file)]).expect("gather");
    let kinds: Vec<_> = fds
        .into_iter()
        .map(|fd| File::from(fd).metadata().expect("metadata").file_type())
        .map(|kind| (kind.is_dir(), kind.is_char_device(), kind.is_file()))
        .collect();
    assert_eq!(kinds, [(true, false, false), (false, true, false), (false, false, true)]);
}
