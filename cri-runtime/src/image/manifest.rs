//! Manifests, indexes and configurations: from bytes to values, with every limit checked (I-03, I-10, I-21). Pure.

use oci_spec::image::{Descriptor, ImageConfiguration, ImageIndex, ImageManifest, MediaType};
use serde::Deserialize;

use super::digest::{Digest, DigestError};

/// Largest manifest or index, bytes (I-10).
pub const MANIFEST_MAX: u64 = 4 << 20;
/// Largest image configuration, bytes.
pub const CONFIG_MAX: u64 = 8 << 20;
/// Most layers of an image: what overlayfs can stack.
pub const LAYERS_MAX: usize = 500;
/// How deep indexes may nest (I-10).
pub const NESTING_MAX: usize = 3;

/// Media types asked for, in the order of preference.
pub const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// Why a document of an image cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not JSON of the expected shape.
    #[error("parse {what}")]
    Parse {
        /// Which document.
        what: &'static str,
        /// Where it breaks.
        #[source]
        source: serde_json::Error,
    },
    /// Docker's first schema, which has no verifiable layers.
    #[error("read manifest: Docker schema 1 is not supported; push the image again with a current tool")]
    SchemaOne,
    /// A document of another kind.
    #[error("read manifest: {0:?} is neither an image manifest nor an index")]
    Kind(String),
    /// Something that is not a container image.
    #[error("read manifest: media type {0:?} is not of a container image")]
    Artifact(String),
    /// The number of layers and of diff ids differ (I-22).
    #[error("read image configuration: {diff_ids} diff ids for {layers} layers")]
    LayerCount {
        /// Layers in the manifest.
        layers: usize,
        /// Diff ids in the configuration.
        diff_ids: usize,
    },
    /// More layers than can be stacked.
    #[error("read manifest: {0} layers, at most {LAYERS_MAX} are supported")]
    TooManyLayers(usize),
    /// A digest that is none.
    #[error("read manifest")]
    Digest(#[from] DigestError),
}

/// What a manifest request answered.
#[derive(Debug)]
pub enum Document {
    /// A choice of manifests.
    Index(Box<ImageIndex>),
    /// One image.
    Manifest(Box<ImageManifest>),
}

/// The fields by which documents are told apart: the registry's `Content-Type` is only a hint, and both kinds may
/// leave out `mediaType`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    schema_version: Option<u32>,
    media_type: Option<String>,
    manifests: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
    fs_layers: Option<serde::de::IgnoredAny>,
}

impl Document {
    /// Reads a document of at most [`MANIFEST_MAX`] bytes.
    pub fn parse(content: &[u8]) -> Result<Self, ManifestError> {
        let parse = |what| move |source| ManifestError::Parse { what, source };
        let probe: Probe = serde_json::from_slice(content).map_err(parse("manifest"))?;
        if probe.schema_version == Some(1) || probe.fs_layers.is_some() {
            return Err(ManifestError::SchemaOne);
        }
        match (probe.manifests.is_some(), probe.layers.is_some()) {
            (true, false) => {
                serde_json::from_slice(content).map(Box::new).map(Self::Index).map_err(parse("image index"))
            }
            (false, true) => {
                let manifest: ImageManifest =
                    serde_json::from_slice(content).map_err(parse("image manifest"))?;
                check(&manifest)?;
                Ok(Self::Manifest(Box::new(manifest)))
            }
            // A document that is both at once may mean one thing to us and another to whoever scanned it.
            _ => Err(ManifestError::Kind(probe.media_type.unwrap_or_default())),
        }
    }
}

fn check(manifest: &ImageManifest) -> Result<(), ManifestError> {
    let config = manifest.config().media_type().to_string();
    let known = [
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.docker.container.image.v1+json",
        // What old builders wrote; the content decides.
        "application/octet-stream",
        "text/plain",
    ];
    if !known.contains(&config.as_str()) {
        return Err(ManifestError::Artifact(config));
    }
    if manifest.layers().len() > LAYERS_MAX {
        return Err(ManifestError::TooManyLayers(manifest.layers().len()));
    }
    match manifest.layers().iter().find(|layer| !is_layer(layer.media_type())) {
        Some(layer) => Err(ManifestError::Artifact(layer.media_type().to_string())),
        None => Ok(()),
    }
}

/// Whether this is a file system layer. How it is compressed its own first bytes say (I-21).
fn is_layer(media_type: &MediaType) -> bool {
    let name = media_type.to_string();
    let base = name.split('+').next().unwrap_or_default();
    matches!(
        base,
        "application/vnd.oci.image.layer.v1.tar"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar"
            | "application/vnd.docker.image.rootfs.diff.tar"
            | "application/vnd.docker.image.rootfs.diff.tar.gzip"
            | "application/vnd.docker.image.rootfs.diff.tar.zstd"
            | "application/vnd.docker.image.rootfs.foreign.diff.tar"
            | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
            | "application/octet-stream"
    ) && !name.ends_with("+encrypted")
}

/// What a descriptor says about its content, with a digest that is known to be one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Digest of the content as transferred.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
}

impl TryFrom<&Descriptor> for Content {
    type Error = ManifestError;
    fn try_from(descriptor: &Descriptor) -> Result<Self, ManifestError> {
        Ok(Self { digest: descriptor.digest().to_string().parse()?, size: descriptor.size() })
    }
}

/// One layer: the blob to fetch, and the digest of what it unpacks to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The blob.
    pub content: Content,
    /// Digest of the uncompressed tar archive.
    pub diff_id: Digest,
}

/// Reads an image configuration.
pub fn parse_config(content: &[u8]) -> Result<ImageConfiguration, ManifestError> {
    serde_json::from_slice(content)
        .map_err(|source| ManifestError::Parse { what: "image configuration", source })
}

/// Pairs blobs with diff ids, lowest layer first.
pub fn layers(manifest: &ImageManifest, config: &ImageConfiguration) -> Result<Vec<Layer>, ManifestError> {
    let (blobs, diff_ids) = (manifest.layers(), config.rootfs().diff_ids());
    if blobs.len() != diff_ids.len() {
        return Err(ManifestError::LayerCount { layers: blobs.len(), diff_ids: diff_ids.len() });
    }
    let pairs = blobs.iter().zip(diff_ids);
    pairs.map(|(blob, diff_id)| Ok(Layer { content: blob.try_into()?, diff_id: diff_id.parse()? })).collect()
}

#[cfg(test)]
mod tests;
