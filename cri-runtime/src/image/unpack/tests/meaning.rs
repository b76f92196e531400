//! What entries become on disk: removals, attributes, directories that nobody wrote.

use super::*;

#[test]
fn removals_become_what_overlayfs_understands_in_any_order() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let layer = Layer::default()
        .file("d/.wh.gone", "")
        .file("o/.wh..wh..opq", "")
        .file("o/new", "n")
        .file("x/.wh..wh.plnk", "")
        .file(".wh.first", "")
        .file("first", "recreated")
        .file("second", "made before")
        .file(".wh.second", "")
        .file(".wh.dir1", "")
        .directory("dir1", 0o755)
        .directory("dir2", 0o755)
        .file(".wh.dir2", "")
        .file(".wh.dir3", "")
        .file("dir3/implied", "i");
    place.unpack(layer).unwrap();
    assert!(place.is_whiteout("d/gone"));
    assert!(place.is_opaque("o") && place.read("o/new") == "n");
    assert_eq!(fs::read_dir(place.root().join("x")).unwrap().count(), 0);
    assert_eq!((place.read("first").as_str(), place.read("second").as_str()), ("recreated", "made before"));
    for directory in ["dir1", "dir2", "dir3"] {
        assert!(place.is_opaque(directory), "{directory}");
    }
    assert!(!place.is_opaque("d"));
}

#[test]
fn attributes_arrive_and_the_dangerous_ones_do_not() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let capability = "\u{1}\0\0\u{2}\0\u{4}\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let layer = Layer::default()
        .raw(EntryType::Directory, "d", "", b"", |header| {
            header.set_mode(0o1777);
            header.set_mtime(1_000_000_000);
        })
        .pax(&[
            ("SCHILY.xattr.security.capability", capability),
            ("SCHILY.xattr.trusted.overlay.redirect", "/etc"),
            ("SCHILY.xattr.security.selinux", "x"),
            ("SCHILY.xattr.user.kept", "v"),
            ("mtime", "1600000000.5"),
        ])
        .raw(EntryType::Regular, "d/ping", "", b"#!", |header| {
            header.set_mode(0o4755);
            header.set_uid(12);
            header.set_gid(34);
        })
        .raw(EntryType::Fifo, "pipe", "", b"", |_| {})
        .raw(EntryType::Char, "null", "", b"", |header| {
            header.set_device_major(1).unwrap();
            header.set_device_minor(3).unwrap();
        });
    place.unpack(layer).unwrap();
    let metadata = fs::metadata(place.root().join("d/ping")).unwrap();
    assert_eq!((metadata.mode() & 0o7777, metadata.uid(), metadata.gid()), (0o4755, 12, 34));
    assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (1_600_000_000, 500_000_000));
    let directory = fs::metadata(place.root().join("d")).unwrap();
    assert_eq!((directory.mode() & 0o7777, directory.mtime()), (0o1777, 1_000_000_000));
    assert!(place.attribute("d/ping", c"security.capability").is_some());
    assert_eq!(place.attribute("d/ping", c"user.kept").as_deref(), Some(&b"v"[..]));
    assert!(place.attribute("d/ping", c"trusted.overlay.redirect").is_none());
    assert!(fs::symlink_metadata(place.root().join("pipe")).unwrap().file_type().is_fifo());
    assert_eq!(fs::symlink_metadata(place.root().join("null")).unwrap().rdev(), libc::makedev(1, 3));
}

#[test]
fn directories_without_an_entry_are_made_and_remembered() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let layer = Layer::default()
        .file("a/b/c", "x")
        .directory("later", 0o700)
        .file("implied/first", "x")
        .directory("implied", 0o700)
        .symlink("lib", "usr/lib")
        .file("lib/so", "s");
    let unpacked = place.unpack(layer).unwrap();
    let implied: Vec<_> = unpacked.implied.iter().map(|path| path.to_str().unwrap()).collect();
    assert_eq!(implied, ["", "a", "a/b", "usr", "usr/lib"]);
    assert_eq!(place.read("usr/lib/so"), "s", "a link into a lower layer is followed inside this one");
    assert_eq!(fs::metadata(place.root().join("a")).unwrap().permissions().mode() & 0o7777, 0o755);
}
