use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use super::*;

fn inode(fd: &OwnedFd) -> u64 {
    File::from(fd.try_clone().unwrap()).metadata().unwrap().ino()
}

#[test]
fn links_and_dots_stay_inside_the_root() {
    let base = tempfile::tempdir().unwrap();
    let root = base.path().join("root");
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::write(base.path().join("secret"), "host").unwrap();
    fs::write(root.join("secret"), "image").unwrap();
    symlink("/secret", root.join("absolute")).unwrap();
    symlink("../../../../secret", root.join("etc/climbing")).unwrap();
    let fd = open_dir(&root).unwrap();
    let expected = fs::metadata(root.join("secret")).unwrap().ino();
    for path in ["/secret", "../../secret", "absolute", "etc/climbing", "etc/../../secret"] {
        let opened = open_in_root(fd.as_fd(), Path::new(path), libc::O_RDONLY, 0).unwrap();
        assert_eq!(inode(&opened), expected, "{path}");
    }
}

#[test]
fn beneath_refuses_to_leave() {
    let base = tempfile::tempdir().unwrap();
    fs::create_dir(base.path().join("a")).unwrap();
    symlink("a", base.path().join("link")).unwrap();
    symlink("/", base.path().join("out")).unwrap();
    let fd = open_dir(base.path()).unwrap();
    let error = |path: &str, flags| {
        open_beneath(fd.as_fd(), Path::new(path), flags | libc::O_PATH, 0)
            .unwrap_err()
            .raw_os_error()
            .unwrap()
    };
    assert_eq!(error("..", 0), libc::EXDEV);
    assert_eq!(error("/", 0), libc::EXDEV);
    assert_eq!(error("out", 0), libc::EXDEV);
    assert_eq!(error("link/x", libc::O_NOFOLLOW), libc::ELOOP);
    assert!(open_beneath(fd.as_fd(), Path::new("link"), libc::O_PATH, 0).is_ok());
}

#[test]
fn missing_directories_are_made_inside_the_root_only() {
    let base = tempfile::tempdir().unwrap();
    let root = base.path().join("root");
    fs::create_dir_all(root.join("real")).unwrap();
    symlink("/real", root.join("link")).unwrap();
    symlink("/nowhere", root.join("dangling")).unwrap();
    fs::write(root.join("file"), "").unwrap();
    let fd = open_dir(&root).unwrap();
    mkdir_all_in_root(fd.as_fd(), Path::new("/link/a/b"), 0o755).unwrap();
    assert!(root.join("real/a/b").is_dir());
    mkdir_all_in_root(fd.as_fd(), Path::new("../../x/y"), 0o755).unwrap();
    assert!(root.join("x/y").is_dir() && !base.path().join("x").exists());
    assert!(mkdir_all_in_root(fd.as_fd(), Path::new("dangling/a"), 0o755).is_err());
    assert!(mkdir_all_in_root(fd.as_fd(), Path::new("file/a"), 0o755).is_err());
    assert!(mkdir_all_in_root(fd.as_fd(), Path::new("new/../b"), 0o755).is_err());
    assert!(!root.join("nowhere").exists() && !root.join("new").exists());
    assert_eq!(inode(&mkdir_all_in_root(fd.as_fd(), Path::new("/"), 0o755).unwrap()), inode(&fd));
}
