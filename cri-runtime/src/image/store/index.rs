//! What the store knows, in memory: every question is answered from here (G-12).

use std::collections::HashMap;
use std::sync::Arc;

use kernel::tree::Usage;

use super::record::{ImageRecord, LayerRecord, NameRecord};
use super::{Image, Layout, Store, StoreError, name};
use crate::image::digest::Digest;
use crate::image::reference::{Reference, Version};
use crate::image::{ImageUser, chain_id, manifest};

/// An id prefix that fits several images.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("find image {0:?}: the id prefix fits several images")]
pub struct LookupError(pub String);

/// An image and what is written down about it.
#[derive(Debug)]
pub struct Entry {
    pub record: ImageRecord,
    pub config: Arc<[u8]>,
    pub image: Arc<Image>,
}

/// Everything there is.
#[derive(Debug, Default)]
pub struct Index {
    pub images: HashMap<Digest, Entry>,
    /// Removed by their users, kept for their containers.
    pub removed: HashMap<Digest, ImageRecord>,
    pub layers: HashMap<Digest, LayerRecord>,
    /// Which image a container (or whoever else) uses, by owner.
    pub holds: HashMap<String, Digest>,
    /// Layers that pulls under way count on.
    pub leases: HashMap<Digest, u32>,
}

impl Index {
    /// Whom a name belongs to: while a tag moves two images have it, and the later one counts.
    fn owner_of(&self, reference: &str) -> Option<&Digest> {
        let every =
            self.images.values().flat_map(|entry| entry.record.names.iter().map(move |name| (name, entry)));
        let owners = every.filter(|(name, _)| name.reference == reference);
        owners.max_by_key(|(name, _)| name.sequence).map(|(_, entry)| &entry.record.id)
    }

    pub fn lookup(&self, text: &str) -> Result<Option<&Entry>, LookupError> {
        let named = text.parse::<Reference>().ok().and_then(|name| self.owner_of(&name.to_string()));
        if let Some(id) = named {
            return Ok(self.images.get(id));
        }
        let prefix = text.strip_prefix("sha256:").unwrap_or(text);
        if prefix.is_empty() {
            return Ok(None);
        }
        let mut found = self.images.values().filter(|entry| entry.record.id.hex().starts_with(prefix));
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => Err(LookupError(text.to_owned())),
            (entry, _) => Ok(entry),
        }
    }

    pub fn is_held(&self, image: &Digest) -> bool {
        self.holds.values().any(|held| held == image)
    }

    /// Whether any image or pull needs this layer.
    pub fn needs_layer(&self, diff_id: &Digest) -> bool {
        let records = self.images.values().map(|entry| &entry.record).chain(self.removed.values());
        self.leases.contains_key(diff_id) || records.into_iter().any(|record| record.layers.contains(diff_id))
    }

    /// Whether any image needs this blob.
    pub fn needs_blob(&self, digest: &Digest) -> bool {
        let records = self.images.values().map(|entry| &entry.record).chain(self.removed.values());
        records.into_iter().any(|record| record.blobs.contains(digest))
    }

    /// What all layers and blobs occupy.
    pub fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for layer in self.layers.values() {
            usage += layer.usage();
        }
        for record in self.images.values().map(|entry| &entry.record).chain(self.removed.values()) {
            usage += Usage { bytes: record.blob_bytes, inodes: record.blobs.len() as u64 };
        }
        usage
    }

    /// Builds what others see of an image.
    pub fn present(
        &self,
        layout: &Layout,
        pinned: &[String],
        record: &ImageRecord,
        config: &Arc<[u8]>,
    ) -> Result<Arc<Image>, manifest::ManifestError> {
        let parsed = manifest::parse_config(config)?;
        let names = |by_digest: bool| {
            let is = move |name: &&NameRecord| name.reference.contains('@') == by_digest;
            let mut names: Vec<_> =
                record.names.iter().filter(is).map(|name| name.reference.clone()).collect();
            names.sort();
            names
        };
        let (repo_tags, repo_digests) = (names(false), names(true));
        let sizes = record.layers.iter().filter_map(|layer| self.layers.get(layer)).map(|layer| layer.bytes);
        let mut layers: Vec<_> = record.layers.iter().rev().map(|layer| layout.layer(layer)).collect();
        if record.parents {
            layers.insert(0, layout.parents(&record.id));
        }
        if layers.is_empty() {
            layers.push(layout.empty());
        }
        let user = parsed.config().as_ref().and_then(|config| config.user().as_deref());
        Ok(Arc::new(Image {
            id: record.id.to_string(),
            pinned: name::is_pinned(pinned, &repo_tags) || name::is_pinned(pinned, &repo_digests),
            repo_tags,
            repo_digests,
            size: sizes.sum::<u64>() + record.blob_bytes,
            user: ImageUser::parse(user.unwrap_or_default()),
            config: parsed,
            raw_config: Arc::clone(config),
            layers,
            chain_id: chain_id(&record.layers).map(|digest| digest.to_string()),
        }))
    }
}

/// Keeps layers from being collected while a pull counts on them.
#[derive(Debug)]
pub struct Lease {
    store: Arc<Store>,
    layers: Vec<Digest>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut index = self.store.write();
        for layer in &self.layers {
            if let Some(count) = index.leases.get_mut(layer) {
                *count -= 1;
                if *count == 0 {
                    index.leases.remove(layer);
                }
            }
        }
    }
}

impl Store {
    /// Protects layers, whether they are there or still to come.
    pub fn lease(self: &Arc<Self>, layers: impl IntoIterator<Item = Digest>) -> Lease {
        let layers: Vec<_> = layers.into_iter().collect();
        let mut index = self.write();
        for layer in &layers {
            *index.leases.entry(layer.clone()).or_insert(0) += 1;
        }
        Lease { store: Arc::clone(self), layers }
    }

    /// Whether a layer is there. Only with a [`Lease`] is the answer true for longer.
    pub fn has_layer(&self, diff_id: &Digest) -> bool {
        self.read().layers.contains_key(diff_id)
    }

    /// An image by name, id or unique prefix of its id (I-04).
    pub fn lookup(&self, text: &str) -> Result<Option<Arc<Image>>, LookupError> {
        Ok(self.read().lookup(text)?.map(|entry| Arc::clone(&entry.image)))
    }

    /// Every image, in the order of their ids.
    pub fn list(&self) -> Vec<Arc<Image>> {
        let mut images: Vec<_> = self.read().images.values().map(|entry| Arc::clone(&entry.image)).collect();
        images.sort_by(|one, other| one.id.cmp(&other.id));
        images
    }

    /// What all images occupy, from the account kept at every commit and removal (I-43).
    pub fn usage(&self) -> Usage {
        self.read().usage()
    }

    /// Notes that `owner` uses an image: its data stays until [`Store::release`], even if it is removed.
    pub fn hold(&self, image: &str, owner: &str) -> Result<(), StoreError> {
        let unknown = || StoreError::UnknownImage(image.to_owned());
        let id: Digest = image.parse().map_err(|_| unknown())?;
        let mut index = self.write();
        if !index.images.contains_key(&id) && !index.removed.contains_key(&id) {
            return Err(unknown());
        }
        index.holds.insert(owner.to_owned(), id);
        Ok(())
    }
}

/// Whether a reference is by digest.
pub fn is_digest(reference: &Reference) -> bool {
    matches!(reference.version(), Version::Digest(_))
}
