//! Making layers and images exist (I-40). Every durable step has a failpoint, for the test that kills us there.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use kernel::failpoint::hit;
use kernel::file::{Durable, write_atomic};

use super::index::{Entry, is_digest};
use super::ingest::Ingest;
use super::layout::record_name;
use super::record::{ImageRecord, LayerRecord, NameRecord, PathText, VERSION};
use super::{Image, Store, StoreError, at};
use crate::image::digest::Digest;
use crate::image::parents;
use crate::image::reference::Reference;

/// A verified layer.
#[derive(Debug)]
pub struct NewLayer {
    /// Digest of its uncompressed archive.
    pub diff_id: Digest,
    /// Directories that its archive does not mention.
    pub implied: Vec<PathText>,
}

/// A verified image whose layers are there, and leased.
#[derive(Debug)]
pub struct NewImage {
    /// Digest of the configuration.
    pub id: Digest,
    /// The configuration.
    pub config: Bytes,
    /// Manifests on the way to it.
    pub manifests: Vec<(Digest, Bytes)>,
    /// Diff ids, lowest first.
    pub layers: Vec<Digest>,
    /// Names it has from now on.
    pub names: Vec<Reference>,
}

impl Store {
    /// Makes a filled directory a layer. A layer that came from elsewhere meanwhile is as good.
    pub fn commit_layer(&self, ingest: Ingest, layer: NewLayer) -> Result<(), StoreError> {
        hit("image.layer.unpacked");
        self.sync.sync().map_err(at("flush", ingest.path()))?;
        hit("image.layer.flushed");
        let usage = kernel::tree::usage(ingest.path()).map_err(at("measure", ingest.path()))?;
        let _disk = self.disk();
        if self.has_layer(&layer.diff_id) {
            return Ok(());
        }
        let target = self.layout.layer(&layer.diff_id);
        ingest.commit(&target).map_err(at("commit", &target))?;
        hit("image.layer.renamed");
        let record = LayerRecord {
            version: VERSION,
            diff_id: layer.diff_id.clone(),
            bytes: usage.bytes,
            inodes: usage.inodes,
            implied: layer.implied,
        };
        if let Err(error) =
            self.write_record(&self.layout.layer_records(), &layer.diff_id, &record, Durable::No)
        {
            // A layer without a record is garbage; the name must be free for the next attempt.
            super::reap::remove(&target);
            return Err(error);
        }
        hit("image.layer.recorded");
        self.write().layers.insert(layer.diff_id, record);
        Ok(())
    }

    /// Makes an image exist, or gives one that exists further names.
    pub fn commit_image(&self, new: NewImage) -> Result<Arc<Image>, StoreError> {
        let _disk = self.disk();
        if let Some(layer) = new.layers.iter().find(|layer| !self.has_layer(layer)) {
            return Err(StoreError::MissingLayer { image: new.id, layer: layer.clone() });
        }
        let mut blobs: BTreeMap<&Digest, &Bytes> =
            new.manifests.iter().map(|(digest, content)| (digest, content)).collect();
        blobs.insert(&new.id, &new.config);
        for (digest, content) in &blobs {
            let written = write_atomic(&self.layout.blobs(), digest.hex(), content, Durable::No);
            written.map_err(at("write", &self.layout.blob(digest)))?;
        }
        hit("image.blobs.written");
        let parents = self.commit_parents(&new)?;
        let (old_names, old_blobs) = match self.read().images.get(&new.id) {
            Some(entry) => (entry.record.names.clone(), entry.record.blobs.clone()),
            None => Default::default(),
        };
        let mut record = ImageRecord {
            version: VERSION,
            id: new.id.clone(),
            names: old_names,
            blobs: old_blobs,
            blob_bytes: 0,
            layers: new.layers,
            parents,
        };
        record.blobs.extend(blobs.into_keys().cloned());
        record.blobs.sort();
        record.blobs.dedup();
        record.blob_bytes = self.blob_bytes(&record.blobs);
        for name in new.names.iter().map(Reference::to_string) {
            record.names.retain(|known| known.reference != name);
            record.names.push(NameRecord { reference: name, sequence: self.next_number() });
        }
        // The one flush that makes layers' names, their records and the blobs durable before the record that relies on
        // them.
        self.sync.sync().map_err(at("flush", self.layout.root()))?;
        hit("image.flushed");
        self.write_record(&self.layout.images(), &record.id, &record, Durable::Yes)?;
        hit("image.recorded");
        // Back again: what was kept for its containers is the image's own.
        if self.read().removed.contains_key(&record.id) {
            let kept = self.layout.removed().join(record_name(&record.id));
            std::fs::remove_file(&kept).map_err(at("remove", &kept))?;
        }
        let image = self.publish(record, new.config.as_ref().into())?;
        self.take_names(&image, &new.names)?;
        hit("image.named");
        Ok(image)
    }

    fn commit_parents(&self, new: &NewImage) -> Result<bool, StoreError> {
        let layers: Vec<_> = {
            let index = self.read();
            let known = new.layers.iter().filter_map(|diff_id| index.layers.get(diff_id));
            known.map(|layer| (self.layout.layer(&layer.diff_id), layer.implied.clone())).collect()
        };
        let target = self.layout.parents(&new.id);
        if self.read().images.get(&new.id).is_some_and(|entry| entry.record.parents) {
            return Ok(true);
        }
        let directories = parents::directories(&layers).map_err(at("read parents for", &target))?;
        if directories.is_empty() {
            return Ok(false);
        }
        let ingest = self.ingest()?;
        parents::make(ingest.path(), &directories).map_err(at("make", &target))?;
        super::reap::remove(&target);
        ingest.commit(&target).map_err(at("commit", &target))?;
        Ok(true)
    }

    /// Takes names that belong to this image now from those that had them. The sequence numbers have decided already;
    /// the older records are only tidied up.
    fn take_names(&self, image: &Image, names: &[Reference]) -> Result<(), StoreError> {
        let moved: Vec<_> = names.iter().filter(|name| !is_digest(name)).map(Reference::to_string).collect();
        let losers: Vec<_> = {
            let index = self.read();
            let others = index.images.values().filter(|entry| entry.record.id.as_str() != image.id);
            let lose = |name: &NameRecord| moved.contains(&name.reference);
            others
                .filter(|entry| entry.record.names.iter().any(lose))
                .map(|entry| (entry.record.clone(), Arc::clone(&entry.config)))
                .collect()
        };
        for (mut record, config) in losers {
            record.names.retain(|name| !moved.contains(&name.reference));
            self.write_record(&self.layout.images(), &record.id, &record, Durable::Yes)?;
            self.publish(record, config)?;
        }
        Ok(())
    }

    /// Puts an image into the index; names that another one has there go over at once.
    pub(super) fn publish(&self, record: ImageRecord, config: Arc<[u8]>) -> Result<Arc<Image>, StoreError> {
        let mut index = self.write();
        let image = index.present(&self.layout, &self.pinned, &record, &config);
        let image = image.map_err(|error| {
            let source = std::io::Error::new(std::io::ErrorKind::InvalidData, error);
            at("read configuration of", &self.layout.blob(&record.id))(source)
        })?;
        index.removed.remove(&record.id);
        index.images.insert(record.id.clone(), Entry { record, config, image: Arc::clone(&image) });
        Ok(image)
    }

    fn blob_bytes(&self, blobs: &[Digest]) -> u64 {
        let sizes = blobs.iter().map(|digest| std::fs::metadata(self.layout.blob(digest)));
        sizes.map(|metadata| metadata.map_or(0, |metadata| metadata.len())).sum()
    }

    pub(super) fn write_record(
        &self,
        directory: &std::path::Path,
        digest: &Digest,
        record: &impl serde::Serialize,
        durable: Durable,
    ) -> Result<(), StoreError> {
        let path = directory.join(record_name(digest));
        let content =
            serde_json::to_vec(record).map_err(std::io::Error::other).map_err(at("encode", &path))?;
        write_atomic(directory, &record_name(digest), &content, durable).map_err(at("write", &path))
    }
}
