//! The bytes: compression, digests, sizes.

use super::*;

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
