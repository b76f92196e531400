use std::io::Read;

use super::*;

fn names(tar: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().expect("a tar");
    entries
        .map(|entry| String::from_utf8_lossy(&entry.expect("an entry").path_bytes()).into_owned())
        .collect()
}

#[test]
fn the_same_input_has_the_same_digest() {
    let build = || Builder::new().layer(Layer::new().file("a", 0o644, "b")).build().expect("an image");
    assert_eq!(build().manifest, build().manifest);
}

#[test]
fn hostile_names_are_written_as_they_are() {
    let layer = Layer::new().file("../climbs", 0o644, "x").file("/absolute", 0o644, "y").fifo("etc/passwd");
    let packed = layer.pack(Compression::None).expect("a layer");
    assert_eq!(names(&packed.bytes), ["../climbs", "/absolute", "etc/passwd"]);
}

#[test]
fn a_hole_reads_as_zeros_and_takes_no_room() {
    let packed = Layer::new().hole("big", 3 << 20).pack(Compression::None).expect("a layer");
    assert!(packed.bytes.len() < 4096);
    let mut archive = tar::Archive::new(packed.bytes.as_slice());
    let mut entry = archive.entries().expect("a tar").next().expect("one entry").expect("an entry");
    let mut content = Vec::new();
    entry.read_to_end(&mut content).expect("content");
    assert_eq!((content.len(), content.iter().any(|byte| *byte != 0)), (3 << 20, false));
}

#[test]
fn diff_ids_are_of_the_tar_and_digests_of_what_travels() {
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let packed = Layer::new().file("a", 0o644, "content").pack(compression).expect("a layer");
        assert_eq!(packed.diff_id == digest(&packed.bytes), compression == Compression::None);
    }
}

#[test]
fn a_corrupted_blob_keeps_its_name_and_loses_its_digest() {
    let mut image = Builder::new().layer(Layer::new().file("a", 0o644, "b")).build().expect("an image");
    let layer = image.layers[0].clone();
    image.corrupt(&layer).expect("a blob");
    assert_ne!(digest(&image.blobs[&layer]), layer);
}

#[test]
fn an_archive_holds_an_index_and_every_blob() {
    let folder = tempfile::tempdir().expect("a folder");
    let image = Builder::new().layer(Layer::new().file("a", 0o644, "b")).build().expect("an image");
    let path = folder.path().join("layout.tar");
    image.write_layout(&path, "example.test/a:1").expect("an archive");
    let names = names(&std::fs::read(&path).expect("the archive"));
    assert!(
        names.contains(&"index.json".to_owned()) && names.contains(&"oci-layout".to_owned()),
        "{names:?}"
    );
    assert_eq!(names.len(), 2 + image.blobs.len());
    let path = folder.path().join("docker.tar");
    image.write_docker_archive(&path, "example.test/a:1").expect("an archive");
    assert_eq!(std::fs::read(path).map(|tar| self::names(&tar).len()).expect("the archive"), 3);
}
