//! Where everything is.
//!
//! ```text
//! images/
//!   lock              held by the one process that uses the directory
//!   records/images/   one file per image: what makes it exist
//!   records/removed/  images that were removed while a container uses them
//!   records/layers/   one file per layer
//!   blobs/            manifests, indexes, configurations, by digest
//!   layers/           unpacked layers by diff id: lower directories for overlayfs
//!   parents/          per image: directories whose attributes come from a lower layer (super::parents)
//!   empty/            lower directory of an image without layers
//!   ingest/           whatever is not finished; emptied at start
//!   quarantine/       records that could not be read
//! ```

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::super::digest::Digest;

/// Paths below the store's root.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Makes the directories, readable by root only: whoever is not root has no business here (field.md 3.3).
    pub fn create(root: &Path) -> io::Result<Self> {
        let layout = Self { root: root.to_owned() };
        let directories = [
            layout.images(),
            layout.removed(),
            layout.layer_records(),
            layout.blobs(),
            layout.layers(),
            layout.all_parents(),
            layout.ingest(),
            layout.quarantine(),
        ];
        for directory in directories {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        std::fs::DirBuilder::new().recursive(true).mode(0o755).create(layout.empty())?;
        Ok(layout)
    }

    pub fn root(&self) -> &Path {
        &self.root
    }
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }
    pub fn images(&self) -> PathBuf {
        self.root.join("records/images")
    }
    pub fn removed(&self) -> PathBuf {
        self.root.join("records/removed")
    }
    pub fn layer_records(&self) -> PathBuf {
        self.root.join("records/layers")
    }
    pub fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }
    pub fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }
    pub fn layers(&self) -> PathBuf {
        self.root.join("layers")
    }
    pub fn layer(&self, diff_id: &Digest) -> PathBuf {
        self.layers().join(diff_id.hex())
    }
    pub fn all_parents(&self) -> PathBuf {
        self.root.join("parents")
    }
    pub fn parents(&self, image: &Digest) -> PathBuf {
        self.all_parents().join(image.hex())
    }
    pub fn empty(&self) -> PathBuf {
        self.root.join("empty")
    }
    pub fn ingest(&self) -> PathBuf {
        self.root.join("ingest")
    }
    pub fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }
}

/// The file name of a record.
pub fn record_name(digest: &Digest) -> String {
    format!("{}.json", digest.hex())
}
