//! The tar format, whole and broken.

use super::*;

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
