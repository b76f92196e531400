//! Removing images, and collecting what nobody needs any more (I-42).

use std::io;
use std::path::Path;

use kernel::failpoint::hit;
use kernel::file::fsync_dir;

use super::index::LookupError;
use super::layout::record_name;
use super::record::ImageRecord;
use super::{Store, StoreError, at};
use crate::image::digest::Digest;

/// What a prune removed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Pruned {
    /// Ids of the images.
    pub image_ids: Vec<String>,
    /// Bytes of what they alone needed.
    pub bytes: u64,
}

/// A removal by a text that may mean several images, or a failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// The text is an id prefix of several images.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The disk.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Removes the image that `text` means, with all its names; one that is not there is removed already.
    ///
    /// It is gone for everybody when this returns. Data that a container holds stays until the last one is gone.
    pub fn remove(&self, text: &str) -> Result<(), RemoveError> {
        let _disk = self.disk();
        let Some(record) = self.read().lookup(text)?.map(|entry| entry.record.clone()) else { return Ok(()) };
        self.remove_record(record)?;
        self.collect()?;
        Ok(())
    }

    /// Removes every image that is neither held nor pinned.
    pub fn prune(&self) -> Result<Pruned, StoreError> {
        let _disk = self.disk();
        let before = self.usage();
        let unused: Vec<_> = {
            let index = self.read();
            let free = index.images.values().filter(|entry| !entry.image.pinned);
            free.map(|entry| entry.record.clone()).filter(|record| !index.is_held(&record.id)).collect()
        };
        let mut pruned = Pruned::default();
        for record in unused {
            pruned.image_ids.push(record.id.to_string());
            self.remove_record(record)?;
        }
        self.collect()?;
        pruned.bytes = before.bytes.saturating_sub(self.usage().bytes);
        Ok(pruned)
    }

    fn remove_record(&self, record: ImageRecord) -> Result<(), StoreError> {
        let (directory, name) = (self.layout.images(), record_name(&record.id));
        let path = directory.join(&name);
        let held = self.read().is_held(&record.id);
        hit("image.remove.start");
        if held {
            // A rename needs no space: removal works on a full disk (RC-11).
            let kept = self.layout.removed();
            std::fs::rename(&path, kept.join(&name)).map_err(at("remove", &path))?;
            fsync_dir(&kept).map_err(at("flush", &kept))?;
        } else {
            tolerate_missing(std::fs::remove_file(&path)).map_err(at("remove", &path))?;
        }
        fsync_dir(&directory).map_err(at("flush", &directory))?;
        hit("image.remove.unrecorded");
        let mut index = self.write();
        index.images.remove(&record.id);
        if held {
            index.removed.insert(record.id.clone(), record);
        }
        Ok(())
    }

    /// Gives up what `owner` held, and what was only kept for it.
    pub fn release(&self, owner: &str) -> Result<(), StoreError> {
        let _disk = self.disk();
        let Some(image) = self.write().holds.remove(owner) else { return Ok(()) };
        if !self.read().removed.contains_key(&image) {
            return Ok(());
        }
        self.drop_removed()
    }

    /// Replaces all holds by those that recovery found, and collects what was kept for owners that are gone.
    pub fn rebuild_holds(&self, holds: impl IntoIterator<Item = (String, String)>) -> Result<(), StoreError> {
        let parsed =
            holds.into_iter().filter_map(|(owner, image)| Some((owner, image.parse::<Digest>().ok()?)));
        let parsed = parsed.collect();
        let _disk = self.disk();
        self.write().holds = parsed;
        self.drop_removed()
    }

    fn drop_removed(&self) -> Result<(), StoreError> {
        let free: Vec<_> = {
            let index = self.read();
            index.removed.keys().filter(|image| !index.is_held(image)).cloned().collect()
        };
        for image in free {
            let path = self.layout.removed().join(record_name(&image));
            tolerate_missing(std::fs::remove_file(&path)).map_err(at("remove", &path))?;
            self.write().removed.remove(&image);
        }
        self.collect()
    }

    /// Moves layers, blobs and parents that no image needs out of sight. Runs under the lock of the directory, so
    /// never at the same time as a commit.
    pub(super) fn collect(&self) -> Result<(), StoreError> {
        let garbage: Vec<_> = {
            let index = self.read();
            index.layers.keys().filter(|layer| !index.needs_layer(layer)).cloned().collect()
        };
        for layer in garbage {
            // A lease may have come since: it is taken under the same lock as this removal from the index.
            let mut index = self.write();
            if index.needs_layer(&layer) || index.layers.remove(&layer).is_none() {
                continue;
            }
            drop(index);
            let record = self.layout.layer_records().join(record_name(&layer));
            tolerate_missing(std::fs::remove_file(&record)).map_err(at("remove", &record))?;
            hit("image.remove.layer");
            self.discard(&self.layout.layer(&layer))?;
        }
        self.collect_named(&self.layout.all_parents(), |index, image| {
            index.images.contains_key(image) || index.removed.contains_key(image)
        })?;
        self.collect_named(&self.layout.blobs(), super::Index::needs_blob)
    }

    /// Discards every entry of a directory whose name is not a digest that `keep` knows.
    pub(super) fn collect_named(
        &self,
        directory: &Path,
        keep: impl Fn(&super::Index, &Digest) -> bool,
    ) -> Result<(), StoreError> {
        for entry in std::fs::read_dir(directory).map_err(at("list", directory))? {
            let entry = entry.map_err(at("list", directory))?;
            let digest = entry.file_name().to_str().and_then(|hex| format!("sha256:{hex}").parse().ok());
            if digest.is_none_or(|digest| !keep(&self.read(), &digest)) {
                self.discard(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Renames something into `ingest/` and removes it later.
    pub(super) fn discard(&self, path: &Path) -> Result<(), StoreError> {
        let grave = self.layout.ingest().join(format!("removed-{}", self.next_number()));
        match std::fs::rename(path, &grave) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(at("remove", path))?,
        }
        self.reaper.remove(grave);
        Ok(())
    }
}

fn tolerate_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
