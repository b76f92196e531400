//! Images made out of files, without a registry, a builder or a distribution.
//!
//! An [`Image`] is its blobs by digest; it is written as an OCI layout ([`Image::write_layout`]), as a docker archive
//! ([`Image::write_docker_archive`]), or served by [`crate::registry`]. Times and owners are fixed, so that the same
//! input has the same digest. What a careful tool would refuse to write (a path that climbs, a FIFO named passwd) is
//! possible here: the stories need it.

mod archive;
mod layer;
mod program;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub use layer::{Compression, Layer};
pub use program::libraries;

/// Media type of an OCI image manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Fixed creation time.
const CREATED: &str = "2024-01-01T00:00:00Z";

/// `sha256:` and the hexadecimal digest.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// What an image's config says about the process to start.
#[derive(Debug, Clone, Default)]
pub struct Process {
    /// Program and leading arguments.
    pub entrypoint: Vec<String>,
    /// Arguments that a pod may replace.
    pub cmd: Vec<String>,
    /// `NAME=VALUE`.
    pub env: Vec<String>,
    /// User, or user:group, by number or name.
    pub user: String,
    /// Working directory.
    pub working_dir: String,
    /// Signal that asks the process to end, such as `SIGUSR1`.
    pub stop_signal: String,
}

/// An image under construction.
#[derive(Debug, Clone, Default)]
pub struct Builder {
    layers: Vec<Layer>,
    process: Process,
    compression: Compression,
}

impl Builder {
    /// An image without layers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a layer on top.
    #[must_use]
    pub fn layer(mut self, layer: Layer) -> Self {
        self.layers.push(layer);
        self
    }

    /// Sets what is started.
    #[must_use]
    pub fn process(mut self, process: Process) -> Self {
        self.process = process;
        self
    }

    /// Sets how layers are compressed.
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Makes the blobs.
    ///
    /// # Errors
    /// A layer cannot be packed.
    pub fn build(self) -> Result<Image> {
        let mut blobs = BTreeMap::new();
        let mut layers = Vec::new();
        let mut diff_ids = Vec::new();
        for layer in &self.layers {
            let packed = layer.pack(self.compression)?;
            diff_ids.push(packed.diff_id);
            let digest = digest(&packed.bytes);
            layers.push(json!({"mediaType": self.compression.media_type(), "digest": digest, "size": packed.bytes.len()}));
            blobs.insert(digest, packed.bytes);
        }
        let config = serde_json::to_vec(&json!({
            "created": CREATED, "architecture": architecture(), "os": "linux",
            "config": process_json(&self.process),
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": diff_ids.iter().map(|_| json!({"created": CREATED, "created_by": "mkimage"})).collect::<Vec<_>>(),
        }))?;
        let manifest = serde_json::to_vec(&json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": digest(&config), "size": config.len()},
            "layers": layers,
        }))?;
        let image = Image {
            manifest: digest(&manifest),
            config: digest(&config),
            layers: layers.iter().filter_map(|layer| layer["digest"].as_str().map(str::to_owned)).collect(),
            blobs,
        };
        Ok(image.with_blob(config).with_blob(manifest))
    }
}

/// Go's name of this machine's architecture, as image configurations spell it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn process_json(process: &Process) -> Value {
    let mut config = json!({});
    let mut set = |name: &str, value: Value, empty: bool| {
        if !empty {
            config[name] = value;
        }
    };
    set("Entrypoint", json!(process.entrypoint), process.entrypoint.is_empty());
    set("Cmd", json!(process.cmd), process.cmd.is_empty());
    set("Env", json!(process.env), process.env.is_empty());
    set("User", json!(process.user), process.user.is_empty());
    set("WorkingDir", json!(process.working_dir), process.working_dir.is_empty());
    set("StopSignal", json!(process.stop_signal), process.stop_signal.is_empty());
    config
}

/// A finished image.
#[derive(Debug, Clone)]
pub struct Image {
    /// Digest of the manifest.
    pub manifest: String,
    /// Digest of the configuration: the image's id.
    pub config: String,
    /// Digests of the layers, lowest first.
    pub layers: Vec<String>,
    /// Every blob by its digest.
    pub blobs: BTreeMap<String, Vec<u8>>,
}

impl Image {
    fn with_blob(mut self, blob: Vec<u8>) -> Self {
        self.blobs.insert(digest(&blob), blob);
        self
    }

    /// Flips one bit in the middle of a blob without changing its name, as a bad disk or proxy would.
    ///
    /// # Errors
    /// There is no such blob, or it is empty.
    pub fn corrupt(&mut self, name: &str) -> Result<()> {
        let blob = self.blobs.get_mut(name).with_context(|| format!("corrupt blob {name}: no such blob"))?;
        let middle = blob.len() / 2;
        *blob.get_mut(middle).with_context(|| format!("corrupt blob {name}: empty"))? ^= 1;
        Ok(())
    }

    /// Writes an OCI layout as one tar file, with `tag` as the image's full name.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_layout(&self, path: &Path, tag: &str) -> Result<()> {
        archive::layout(self, path, tag)
    }

    /// Writes what `docker save` would.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_docker_archive(&self, path: &Path, tag: &str) -> Result<()> {
        archive::docker(self, path, tag)
    }
}

/// The image of the demo program, with the users that stories name.
///
/// # Errors
/// The program cannot be read.
pub fn demo(program: &Path) -> Result<Builder> {
    let bytes = std::fs::read(program).with_context(|| format!("read {}", program.display()))?;
    let layer = Layer::new()
        .folder("bin", 0o755)
        .file("bin/demo", 0o755, bytes)
        .folder("etc", 0o755)
        .file(
            "etc/passwd",
            0o644,
            "root:x:0:0:root:/root:/bin/demo\nweb:x:1000:1000:web:/home/web:/bin/demo\n",
        )
        .file("etc/group", 0o644, "root:x:0:\nweb:x:1000:\nextra:x:2000:web\n")
        .folder("home", 0o755)
        .folder("root", 0o700)
        .folder("tmp", 0o1777)
        .folder("www", 0o755);
    let process = Process {
        entrypoint: vec!["/bin/demo".to_owned()],
        cmd: vec!["web".to_owned()],
        // Programs of a host lie where the host has them.
        env: vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()],
        ..Process::default()
    };
    Ok(Builder::new().layer(layer).process(process))
}

#[cfg(test)]
mod tests;
