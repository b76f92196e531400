//! How much a layer may be.

use super::*;

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
fn a_layer_the_disk_has_no_room_for_is_no_bomb() {
    if !is_root() {
        return;
    }
    let big = gzip(&Layer::default().file("a", &"0".repeat(1 << 20)).end());
    let refused =
        |limits: Limits| unpack(&big[..], &Expected::default(), &Place::new().root(), &limits).unwrap_err();
    let error = refused(Limits { room: 1 << 16, ..Default::default() });
    assert_eq!(error.io().map(io::Error::kind), Some(io::ErrorKind::StorageFull), "{error}");
    assert_eq!(crate::error::chain(&error), "unpack layer: no space left: more than 65536 bytes");
    let error = refused(Limits { room: 1 << 17, bytes: 1 << 16, ..Default::default() });
    assert!(matches!(error, UnpackError::Limit { .. }), "{error}");
}
