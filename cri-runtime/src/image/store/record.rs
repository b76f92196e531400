//! What is written down about images and layers. A record is what makes its object exist.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use kernel::tree::Usage;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::super::digest::Digest;

/// Version of the records' form; a record of another one is quarantined, and its image pulled again.
pub const VERSION: u32 = 1;

/// An image.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImageRecord {
    /// [`VERSION`].
    pub version: u32,
    /// Digest of the configuration: the image's identity (I-03).
    pub id: Digest,
    /// Tags and digests under which it was pulled.
    pub names: Vec<NameRecord>,
    /// Manifest, index and configuration kept for it.
    pub blobs: Vec<Digest>,
    /// Bytes of those together.
    pub blob_bytes: u64,
    /// Diff ids, lowest layer first.
    pub layers: Vec<Digest>,
    /// Whether there is a directory of parents' attributes.
    pub parents: bool,
}

/// One name of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameRecord {
    /// In normal form.
    pub reference: String,
    /// When it was given, in the order of the store: of two images with one tag the later has it. So moving a tag is
    /// one durable write.
    pub sequence: u64,
}

/// A layer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LayerRecord {
    /// [`VERSION`].
    pub version: u32,
    /// Digest of its uncompressed archive.
    pub diff_id: Digest,
    /// Bytes its directory occupies.
    pub bytes: u64,
    /// Inodes its directory occupies.
    pub inodes: u64,
    /// Directories that its archive does not mention.
    pub implied: Vec<PathText>,
}

impl LayerRecord {
    /// What the layer occupies.
    pub fn usage(&self) -> Usage {
        Usage { bytes: self.bytes, inodes: self.inodes }
    }
}

/// A path of any bytes in JSON: as it is if it is text, else escaped behind a byte that no path contains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathText(pub PathBuf);

impl Serialize for PathText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.to_str() {
            Some(text) => serializer.serialize_str(text),
            None => serializer.serialize_str(&format!("\0{}", hex::encode(self.0.as_os_str().as_bytes()))),
        }
    }
}

impl<'de> Deserialize<'de> for PathText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = match text.strip_prefix('\0') {
            Some(escaped) => hex::decode(escaped).map_err(serde::de::Error::custom)?,
            None => text.into_bytes(),
        };
        Ok(Self(PathBuf::from(OsString::from_vec(bytes))))
    }
}
