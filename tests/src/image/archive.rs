//! The two files images travel in: an OCI layout and a docker archive, both as tar.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{INDEX, Image, MANIFEST};

/// Annotation that carries the tag alone.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Annotation that carries the full name; containerd and its tools write it, and importers read it.
const FULL_NAME: &str = "io.containerd.image.name";

struct Writer(tar::Builder<BufWriter<File>>);

impl Writer {
    fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
        Ok(Self(tar::Builder::new(BufWriter::new(file))))
    }

    fn put(&mut self, name: &str, content: &[u8]) -> Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        self.0.append_data(&mut header, name, content).with_context(|| format!("write {name}"))
    }

    fn json(&mut self, name: &str, value: &Value) -> Result<()> {
        self.put(name, &serde_json::to_vec(value)?)
    }

    fn finish(mut self) -> Result<()> {
        self.0.finish()?;
        self.0.into_inner()?.into_inner().context("write the archive's end")?;
        Ok(())
    }
}

fn blob_path(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

pub(super) fn layout(image: &Image, path: &Path, tag: &str) -> Result<()> {
    let mut writer = Writer::create(path)?;
    writer.json("oci-layout", &json!({"imageLayoutVersion": "1.0.0"}))?;
    let size = image.blobs.get(&image.manifest).map_or(0, Vec::len);
    let short = tag.rsplit_once(':').map_or("latest", |(_, short)| short);
    writer.json(
        "index.json",
        &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [{
            "mediaType": MANIFEST, "digest": image.manifest, "size": size,
            "annotations": {REF_NAME: short, FULL_NAME: tag},
        }]}),
    )?;
    for (digest, blob) in &image.blobs {
        writer.put(&blob_path(digest), blob)?;
    }
    writer.finish()
}

pub(super) fn docker(image: &Image, path: &Path, tag: &str) -> Result<()> {
    let mut writer = Writer::create(path)?;
    let layers: Vec<String> = image.layers.iter().map(|digest| blob_path(digest)).collect();
    let entry = json!({"Config": blob_path(&image.config), "RepoTags": [tag], "Layers": layers});
    writer.json("manifest.json", &json!([entry]))?;
    for digest in image.layers.iter().chain([&image.config]) {
        let blob = image.blobs.get(digest).with_context(|| format!("write {digest}: no such blob"))?;
        writer.put(&blob_path(digest), blob)?;
    }
    writer.finish()
}
