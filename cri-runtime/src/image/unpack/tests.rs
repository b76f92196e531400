use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

use tar::{Builder, EntryType, Header};

use super::*;

/// Devices, owners and trusted attributes need root.
fn is_root() -> bool {
    let root = fs::metadata("/proc/self").unwrap().uid() == 0;
    if !root {
        eprintln!("skipped: unpacking layers needs root");
    }
    root
}

#[derive(Default)]
struct Layer(Vec<u8>);

impl Layer {
    fn raw(
        mut self,
        kind: EntryType,
        path: &str,
        link: &str,
        content: &[u8],
        change: impl FnOnce(&mut Header),
    ) -> Self {
        let mut header = Header::new_gnu();
        let name = &mut header.as_gnu_mut().unwrap().name;
        // Past the checks of the builder: hostile names are the point.
        name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_gnu_mut().unwrap().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_mtime(1_700_000_000);
        header.set_size(content.len() as u64);
        change(&mut header);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }
    fn file(self, path: &str, content: &str) -> Self {
        self.raw(EntryType::Regular, path, "", content.as_bytes(), |_| {})
    }
    fn directory(self, path: &str, mode: u32) -> Self {
        self.raw(EntryType::Directory, path, "", b"", |header| header.set_mode(mode))
    }
    fn symlink(self, path: &str, text: &str) -> Self {
        self.raw(EntryType::Symlink, path, text, b"", |_| {})
    }
    fn hard_link(self, path: &str, target: &str) -> Self {
        self.raw(EntryType::Link, path, target, b"", |_| {})
    }
    fn pax(self, records: &[(&str, &str)]) -> Self {
        let mut content = String::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let length = (rest + 1..).find(|length| rest + length.to_string().len() == *length).unwrap();
            content += &format!("{length} {key}={value}\n");
        }
        self.raw(EntryType::XHeader, "pax", "", content.as_bytes(), |_| {})
    }
    fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn expected(bytes: &[u8], archive: &[u8]) -> Expected {
    let content = Content { digest: Digest::of(bytes), size: bytes.len() as u64 };
    Expected { content: Some(content), diff_id: Some(Digest::of(archive)) }
}

/// A place for a layer, inside a directory that must stay as it is.
struct Place {
    base: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir(base.path().join("root")).unwrap();
        fs::write(base.path().join("canary"), "untouched").unwrap();
        Self { base }
    }
    fn root(&self) -> PathBuf {
        self.base.path().join("root")
    }
    fn unpack(&self, layer: Layer) -> Result<Unpacked, UnpackError> {
        let archive = layer.end();
        unpack(&archive[..], &expected(&archive, &archive), &self.root(), &Limits::default())
    }
    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root().join(path)).unwrap()
    }
    fn attribute(&self, path: &str, name: &std::ffi::CStr) -> Option<Vec<u8>> {
        let root = kernel::path::open_dir(&self.root()).unwrap();
        use std::os::fd::AsFd;
        kernel::tree::entry::attribute(root.as_fd(), Path::new(path), name).unwrap()
    }
    fn is_opaque(&self, path: &str) -> bool {
        self.attribute(path, c"trusted.overlay.opaque").as_deref() == Some(b"y")
    }
    fn is_whiteout(&self, path: &str) -> bool {
        let metadata = fs::symlink_metadata(self.root().join(path)).unwrap();
        metadata.file_type().is_char_device() && metadata.rdev() == 0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        assert_eq!(fs::read_to_string(self.base.path().join("canary")).unwrap(), "untouched");
        assert_eq!(
            fs::read_dir(self.base.path()).unwrap().count(),
            2,
            "something was made outside the layer"
        );
    }
}

#[test]
fn every_compression_is_told_by_its_bytes_and_verified() {
    if !is_root() {
        return;
    }
    let archive = Layer::default().file("a", &"x".repeat(3000)).file("b", "y").end();
    let (head, tail) = archive.split_at(1000);
    let zstd = |part: &[u8]| zstd::encode_all(part, 3).unwrap();
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 9, 9, 9][..], &zstd(&archive)].concat();
    for compressed in [
        archive.clone(),
        gzip(&archive),
        [gzip(head), gzip(tail)].concat(),
        zstd(&archive),
        [zstd(head), zstd(tail)].concat(),
        skippable,
    ] {
        let place = Place::new();
        let expected = expected(&compressed, &archive);
        unpack(&compressed[..], &expected, &place.root(), &Limits::default()).unwrap();
        assert_eq!((place.read("a").len(), place.read("b").as_str()), (3000, "y"));
    }
    for foreign in [&b"\xfd7zXZ\0rest"[..], b"BZh91AY&"] {
        let error =
            unpack(foreign, &Expected::default(), &Place::new().root(), &Limits::default()).unwrap_err();
        assert!(matches!(error, UnpackError::Read(_)), "{error}");
    }
}

#[test]
fn one_flipped_bit_anywhere_is_noticed() {
    if !is_root() {
        return;
    }
    let archive = Layer::default().file("a", &"content ".repeat(100)).end();
    let compressed = gzip(&archive);
    let expected = expected(&compressed, &archive);
    for position in 0..compressed.len() {
        let mut damaged = compressed.clone();
        damaged[position] ^= 1;
        let place = Place::new();
        unpack(&damaged[..], &expected, &place.root(), &Limits::default()).unwrap_err();
    }
    // Also one that the compressed digest covers, but not the diff id.
    let wrong = Expected { diff_id: Some(Digest::of(b"another")), ..expected.clone() };
    let error = unpack(&compressed[..], &wrong, &Place::new().root(), &Limits::default()).unwrap_err();
    assert!(matches!(error, UnpackError::Digest { what: "diff id", .. }), "{error}");
    let cut = &compressed[..compressed.len() - 5];
    unpack(cut, &expected, &Place::new().root(), &Limits::default()).unwrap_err();
    let longer = [&compressed[..], b"more"].concat();
    unpack(&longer[..], &expected, &Place::new().root(), &Limits::default()).unwrap_err();
}

#[test]
fn names_that_climb_stay_inside() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let layer = Layer::default()
        .file("../../canary", "1")
        .file("/absolute", "2")
        .file("a/../../../climbed", "3")
        .symlink("out", "../..")
        .file("out/canary2", "4")
        .symlink("up", "/")
        .file("up/canary3", "5")
        .symlink("self", "self2")
        .symlink("escape", "../../canary")
        .file("escape", "6");
    place.unpack(layer).unwrap();
    assert_eq!(place.read("canary"), "1");
    assert_eq!(place.read("absolute"), "2");
    assert_eq!(place.read("climbed"), "3");
    assert_eq!(place.read("canary2"), "4");
    assert_eq!(place.read("canary3"), "5");
    assert_eq!(place.read("escape"), "6");
}

#[test]
fn hard_links_reach_only_files_of_the_layer_and_follow_nothing() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    assert!(place.unpack(Layer::default().hard_link("stolen", "../canary")).is_err());
    let place = Place::new();
    let layer = Layer::default()
        .file("dir/one", "1")
        .hard_link("two", "/dir/one")
        .hard_link("two", "dir/one")
        .symlink("link", "../../canary")
        .hard_link("three", "link");
    place.unpack(layer).unwrap();
    let inode = |path: &str| fs::symlink_metadata(place.root().join(path)).unwrap().ino();
    assert_eq!(inode("two"), inode("dir/one"));
    assert_eq!(inode("three"), inode("link"));
    let place = Place::new();
    assert!(place.unpack(Layer::default().symlink("link", "..").hard_link("stolen", "link/canary")).is_err());
}

#[test]
fn the_last_entry_of_a_name_wins_whatever_was_there() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let layer = Layer::default()
        .file("a", "first")
        .file("a", "second")
        .file("d/inside", "x")
        .file("d", "a file now")
        .file("e", "x")
        .directory("e", 0o750)
        .file("e/inside", "y")
        .symlink("l", "e")
        .directory("l", 0o700)
        .file("l/own", "z")
        .directory("kept", 0o700)
        .file("kept/inside", "k")
        .directory("kept", 0o711);
    place.unpack(layer).unwrap();
    assert_eq!((place.read("a").as_str(), place.read("d").as_str()), ("second", "a file now"));
    assert_eq!((place.read("e/inside").as_str(), place.read("l/own").as_str()), ("y", "z"));
    assert!(!place.root().join("e/own").exists());
    assert_eq!(place.read("kept/inside"), "k");
    assert_eq!(fs::metadata(place.root().join("kept")).unwrap().permissions().mode() & 0o7777, 0o711);
}

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

#[test]
fn long_names_and_holes_are_read_in_every_format() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let long = "directory/".repeat(30) + "file";
    let mut builder = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(4);
    header.set_mode(0o600);
    builder.append_data(&mut header, &long, &b"deep"[..]).unwrap();
    let gnu = Layer(builder.into_inner().unwrap()[..].to_vec());
    let gnu = Layer(gnu.0[..gnu.0.len() - 1024].to_vec());
    let sparse = [
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.minor", "0"),
        ("GNU.sparse.name", "one"),
        ("GNU.sparse.realsize", "1048580"),
    ];
    let mut data = b"1\n1048576\n4\n".to_vec();
    data.resize(512, 0);
    data.extend_from_slice(b"tail");
    let layer = gnu
        .pax(&[("path", "pax/name"), ("size", "3")])
        .raw(EntryType::Regular, "short", "", b"pax", |header| header.set_size(3))
        .pax(&sparse)
        .raw(EntryType::Regular, "GNUSparseFile.0/one", "", &data, |_| {})
        .pax(&[
            ("GNU.sparse.map", "0,1,1048576,3"),
            ("GNU.sparse.size", "1048579"),
            ("GNU.sparse.name", "zero"),
        ])
        .raw(EntryType::Regular, "x", "", b"aend", |_| {});
    place.unpack(layer).unwrap();
    assert_eq!((place.read(&long).as_str(), place.read("pax/name").as_str()), ("deep", "pax"));
    let one = fs::read(place.root().join("one")).unwrap();
    assert_eq!((one.len(), &one[1_048_576..]), (1_048_580, &b"tail"[..]));
    let zero = fs::read(place.root().join("zero")).unwrap();
    assert_eq!((zero.len(), zero[0], &zero[1_048_576..]), (1_048_579, b'a', &b"end"[..]));
    assert!(fs::metadata(place.root().join("one")).unwrap().blocks() < 100);
}

#[test]
fn bombs_stop_at_their_limits() {
    if !is_root() {
        return;
    }
    let limited = |archive: &[u8], limits: Limits| {
        let place = Place::new();
        unpack(archive, &Expected::default(), &place.root(), &limits).unwrap_err()
    };
    let what = |error: UnpackError| match error {
        UnpackError::Limit { what, .. } => what,
        other => panic!("{other}"),
    };
    let big = gzip(&Layer::default().file("a", &"0".repeat(1 << 20)).end());
    let bytes = Limits { bytes: 1 << 16, ..Default::default() };
    assert_eq!(what(limited(&big, bytes)), "bytes");
    let ratio = Limits { ratio: 10, ratio_from: 1 << 16, ..Default::default() };
    assert_eq!(what(limited(&big, ratio)), "times the compressed size");
    let many = (0..100).fold(Layer::default(), |layer, number| layer.file(&format!("f{number}"), "")).end();
    assert_eq!(what(limited(&many, Limits { entries: 50, ..Default::default() })), "entries");
    let deep = Layer::default().file(&"d/".repeat(40), "").end();
    assert_eq!(what(limited(&deep, Limits { depth: 20, ..Default::default() })), "directories in a path");
    let huge_name =
        Layer::default().raw(EntryType::GNULongName, "x", "", b"", |header| header.set_size(8 << 30));
    assert_eq!(what(limited(&huge_name.end(), Limits::default())), "bytes in an extension record");
}

#[test]
fn broken_archives_are_errors() {
    if !is_root() {
        return;
    }
    let broken = |archive: Vec<u8>| {
        let place = Place::new();
        unpack(&archive[..], &Expected::default(), &place.root(), &Limits::default()).unwrap_err()
    };
    let mut checksum = Layer::default().file("a", "x").end();
    checksum[0] = b'b';
    assert!(matches!(broken(checksum), UnpackError::Archive { .. }));
    let cut = Layer::default().file("a", &"x".repeat(2000)).0[..1024].to_vec();
    assert!(matches!(broken(cut), UnpackError::Read(_) | UnpackError::Archive { .. }));
    let huge_owner = Layer::default().raw(EntryType::Regular, "a", "", b"", |header| header.set_uid(1 << 32));
    assert!(matches!(broken(huge_owner.end()), UnpackError::Archive { .. }));
    let through_file = Layer::default().file("a", "x").file("a/b", "y").end();
    assert!(matches!(broken(through_file), UnpackError::Entry { .. }));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn noise_in_an_archive_never_reaches_outside(
        noise in proptest::collection::vec((0usize..4096, proptest::num::u8::ANY), 1..8),
    ) {
        let place = Place::new();
        let mut archive = Layer::default().file("a/b", "x").symlink("l", "..").hard_link("h", "a/b").end();
        for (position, byte) in noise {
            let length = archive.len();
            archive[position % length] = byte;
        }
        let _ = unpack(&archive[..], &Expected::default(), &place.root(), &Limits::default());
    }
}
