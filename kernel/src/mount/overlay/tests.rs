use std::fs;
use std::os::fd::AsFd;

use super::*;
use crate::mount::tests::in_own_mounts;

#[test]
fn options_are_relative_and_escaped() {
    let lower = [PathBuf::from("/a/b/l:1"), PathBuf::from("/a/b/l,2")];
    let (upper, work) = (Path::new("/a/c/up:per"), Path::new("/a/c/work"));
    let base = common_parent(&lower, upper, work).expect("a parent");
    assert_eq!(base, Path::new("/a"));
    assert_eq!(
        options(&base, &lower, upper, work),
        br"index=off,metacopy=off,lowerdir=b/l\:1:b/l\,2,upperdir=c/up:per,workdir=c/work"
    );
}

#[test]
fn a_directory_above_all_is_found_even_if_it_is_one_of_them() {
    let parent = |lower: &str, upper: &str, work: &str| {
        common_parent(&[PathBuf::from(lower)], Path::new(upper), Path::new(work)).ok()
    };
    assert_eq!(parent("/x", "/x/u", "/x/w"), Some(PathBuf::from("/")));
    assert_eq!(parent("/x/l", "/x/u", "/x/w"), Some(PathBuf::from("/x")));
    assert_eq!(parent("/x/../l", "/x/u", "/x/w"), None);
    assert_eq!(parent("l", "/x/u", "/x/w"), None);
}

type Method = fn(&[PathBuf], &Path, &Path) -> io::Result<OwnedFd>;

/// Both ways must show the same: the old one is what users of Linux 6.1 get.
#[test]
fn layers_are_stacked_top_first_by_either_method() {
    in_own_mounts(|| {
        let methods: [(&str, Method); 2] = [("descriptor", by_descriptor), ("path", by_path)];
        for (name, method) in methods {
            let directory = tempfile::tempdir().expect("a directory");
            let at = |name: &str| directory.path().join(name);
            let lower = [at("top, with a comma"), at("bottom:colon")];
            for path in lower.iter().chain(&[at("up,per\\"), at("wo:rk,"), at("target")]) {
                fs::create_dir(path).expect("mkdir");
            }
            fs::write(lower[0].join("file"), "top").expect("write");
            fs::write(lower[1].join("file"), "bottom").expect("write");
            fs::write(lower[1].join("below"), "bottom").expect("write");
            let tree = match method(&lower, &at("up,per\\"), &at("wo:rk,")) {
                Err(error) if name == "descriptor" && error.raw_os_error() == Some(libc::EINVAL) => {
                    eprintln!("skipped: this kernel has no lowerdir+");
                    continue;
                }
                tree => tree.expect(name),
            };
            let target = crate::path::open_dir(&at("target")).expect("open");
            crate::mount::move_into(tree.as_fd(), target.as_fd()).expect("attach");
            assert_eq!(fs::read(at("target").join("file")).expect("read"), b"top", "{name}");
            assert_eq!(fs::read(at("target").join("below")).expect("read"), b"bottom", "{name}");
            fs::write(at("target").join("new"), "new").expect("write");
            assert_eq!(fs::read(at("up,per\\").join("new")).expect("read"), b"new", "{name}");
            crate::mount::umount(&at("target"), true).expect("umount");
        }
    });
}

#[test]
fn a_path_longer_than_an_option_is_mounted_all_the_same() {
    in_own_mounts(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let deep = directory.path().join("a".repeat(120)).join("b".repeat(120)).join("c".repeat(120));
        for name in ["lower", "upper", "work"] {
            fs::create_dir_all(deep.join(name)).expect("mkdir");
        }
        overlay(&[deep.join("lower")], &deep.join("upper"), &deep.join("work")).expect("mount");
    });
}

#[test]
fn an_overlay_without_layers_is_refused() {
    assert!(overlay(&[], Path::new("/u"), Path::new("/w")).is_err());
}
