//! Images made up for tests.

use std::io::Write;

use crate::image::digest::Digest;

/// A blob with its digest.
#[derive(Debug, Clone)]
pub struct Blob {
    pub digest: Digest,
    pub bytes: Vec<u8>,
}

impl Blob {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { digest: Digest::of(&bytes), bytes }
    }
}

/// An image: a manifest, a configuration, and layers.
#[derive(Debug, Clone)]
pub struct TestImage {
    pub manifest: Blob,
    pub config: Blob,
    pub layers: Vec<Blob>,
    pub archives: Vec<Vec<u8>>,
}

/// A tar archive of files; a path that ends in a slash is a directory of mode 1777.
pub fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        let is_directory = path.ends_with('/');
        header.set_entry_type(if is_directory { tar::EntryType::Directory } else { tar::EntryType::Regular });
        header.set_mode(if is_directory { 0o1777 } else { 0o644 });
        header.set_size(content.len() as u64);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1);
        builder.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

pub fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// An image of these archives, lowest first, that wants to run as `user`.
pub fn image(archives: Vec<Vec<u8>>, user: &str) -> TestImage {
    let layers: Vec<_> = archives.iter().map(|archive| Blob::new(gzip(archive))).collect();
    let diff_ids: Vec<_> = archives.iter().map(|archive| Digest::of(archive)).collect();
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {"User": user},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let config = Blob::new(config.to_string().into_bytes());
    let manifest = manifest(&config, &layers);
    TestImage { manifest, config, layers, archives }
}

pub fn manifest(config: &Blob, layers: &[Blob]) -> Blob {
    let descriptor = |kind: &str, blob: &Blob| serde_json::json!({"mediaType": kind, "digest": blob.digest, "size": blob.bytes.len()});
    let kind = "application/vnd.oci.image.layer.v1.tar+gzip";
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", config),
        "layers": layers.iter().map(|layer| descriptor(kind, layer)).collect::<Vec<_>>(),
    });
    Blob::new(manifest.to_string().into_bytes())
}

/// An index of one image, behind a decoy for another architecture.
pub fn index(media_type: &str, image: &TestImage) -> Blob {
    let entry = |digest: &Digest, architecture: &str| {
        serde_json::json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 1,
            "platform": {"os": "linux", "architecture": architecture},
        })
    };
    let decoy = Digest::of(b"decoy");
    let index = serde_json::json!({
        "schemaVersion": 2, "mediaType": media_type,
        "manifests": [entry(&decoy, "arm64"), entry(&image.manifest.digest, "amd64")],
    });
    Blob::new(index.to_string().into_bytes())
}

/// An image of one file.
pub fn simple(content: &str) -> TestImage {
    image(vec![archive(&[("etc/", ""), ("etc/release", content)])], "")
}
