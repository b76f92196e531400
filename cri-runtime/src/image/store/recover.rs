//! Opening a store: what a crash or a power cut left becomes whole images or nothing (I-40, RC-05).
//!
//! A record that cannot be read is moved aside and never stops the start. An image stands only if its configuration is
//! the one its id names and every layer has both its record and its directory.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use kernel::file::{TEMPORARY_PREFIX, read_bounded, try_lock};
use serde::de::DeserializeOwned;

use super::durable::GroupSync;
use super::index::{Entry, Index};
use super::layout::{Layout, record_name};
use super::reap::Reaper;
use super::record::{ImageRecord, LayerRecord, NameRecord, VERSION};
use super::{Store, StoreError, at};
use crate::image::digest::Digest;
use crate::image::manifest::CONFIG_MAX;

/// Largest record, bytes: implied directories of a layer can be many.
const RECORD_MAX: u64 = 64 << 20;

/// An image's record and its configuration.
type Whole = (ImageRecord, Arc<[u8]>);

impl Store {
    /// Opens the store in `root`, which is made if need be; names and ids of images that match `pinned` are reported
    /// as such.
    pub fn open(root: &Path, pinned: Vec<String>) -> Result<Arc<Self>, StoreError> {
        std::fs::create_dir_all(root).map_err(at("create", root))?;
        let layout = Layout::create(root).map_err(at("create", root))?;
        let lock = try_lock(&layout.lock()).map_err(at("lock", root))?;
        let lock = lock.ok_or_else(|| StoreError::Locked(root.to_owned()))?;
        let store = Self {
            disk: Mutex::new(()),
            index: RwLock::default(),
            numbers: AtomicU64::new(0),
            sync: GroupSync::new(root).map_err(at("open", root))?,
            reaper: Reaper::default(),
            pinned,
            _lock: lock,
            layout,
        };
        store.empty_ingest()?;
        let layers = store.read_layers()?;
        let (images, removed) = (store.read_images(&layers)?, store.read_removed()?);
        {
            let mut index = store.write();
            (index.layers, index.removed) = (layers, removed);
        }
        store.admit(images)?;
        store.drop_restored()?;
        store.drop_unknown_layers()?;
        store.collect()?;
        Ok(Arc::new(store))
    }

    /// Whatever was not finished: first out of the way by one rename each, then removed in the background. The numbers
    /// of this process start above every name there.
    fn empty_ingest(&self) -> Result<(), StoreError> {
        let directory = self.layout.ingest();
        let mut leftovers = Vec::new();
        for entry in std::fs::read_dir(&directory).map_err(at("list", &directory))? {
            let entry = entry.map_err(at("list", &directory))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let number = name.rsplit('-').next().and_then(|number| number.parse::<u64>().ok());
            self.numbers.fetch_max(number.map_or(0, |number| number + 1), Ordering::Relaxed);
            leftovers.push(entry.path());
        }
        leftovers.into_iter().for_each(|path| self.reaper.remove(path));
        Ok(())
    }

    fn read_layers(&self) -> Result<HashMap<Digest, LayerRecord>, StoreError> {
        let directory = self.layout.layer_records();
        let mut layers = HashMap::new();
        for (path, record) in self.records::<LayerRecord>(&directory)? {
            let is_whole = record.version == VERSION
                && path.ends_with(record_name(&record.diff_id))
                && self.layout.layer(&record.diff_id).is_dir();
            match is_whole {
                true => drop(layers.insert(record.diff_id.clone(), record)),
                false => self.quarantine(&path, "the layer is not there")?,
            }
        }
        Ok(layers)
    }

    fn read_images(&self, layers: &HashMap<Digest, LayerRecord>) -> Result<Vec<Whole>, StoreError> {
        let directory = self.layout.images();
        let mut images = Vec::new();
        for (path, record) in self.records::<ImageRecord>(&directory)? {
            if record.version != VERSION || !path.ends_with(record_name(&record.id)) {
                self.quarantine(&path, "it has another version or another name")?;
                continue;
            }
            let config = read_bounded(&self.layout.blob(&record.id), CONFIG_MAX);
            let config = config.ok().filter(|config| Digest::of(config) == record.id);
            let has_layers = record.layers.iter().all(|layer| layers.contains_key(layer));
            let has_parents = !record.parents || self.layout.parents(&record.id).is_dir();
            match config {
                Some(config) if has_layers && has_parents => images.push((record, config.into())),
                _ => self.quarantine(&path, "a part of the image is missing or damaged")?,
            }
        }
        Ok(images)
    }

    fn read_removed(&self) -> Result<HashMap<Digest, ImageRecord>, StoreError> {
        let records = self.records::<ImageRecord>(&self.layout.removed())?;
        Ok(records.into_iter().map(|(_, record)| (record.id.clone(), record)).collect())
    }

    /// Every readable record of a directory; unreadable ones are quarantined, unfinished ones removed.
    fn records<T: DeserializeOwned>(
        &self,
        directory: &Path,
    ) -> Result<Vec<(std::path::PathBuf, T)>, StoreError> {
        let mut records = Vec::new();
        for entry in std::fs::read_dir(directory).map_err(at("list", directory))? {
            let path = entry.map_err(at("list", directory))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(TEMPORARY_PREFIX) {
                std::fs::remove_file(&path).map_err(at("remove", &path))?;
                continue;
            }
            let content = read_bounded(&path, RECORD_MAX).map_err(|error| error.to_string());
            let parsed = content
                .and_then(|content| serde_json::from_slice(&content).map_err(|error| error.to_string()));
            match parsed {
                Ok(record) => records.push((path, record)),
                Err(reason) => self.quarantine(&path, &reason)?,
            }
        }
        Ok(records)
    }

    fn quarantine(&self, path: &Path, reason: &str) -> Result<(), StoreError> {
        tracing::warn!(
            ?path,
            reason,
            "an image record is moved to quarantine; the image will be pulled again"
        );
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let target = self.layout.quarantine().join(format!("{}-{name}", self.next_number()));
        std::fs::rename(path, target).map_err(at("quarantine", path))
    }

    /// Puts images into the index, each name with the one that got it last.
    fn admit(&self, mut images: Vec<Whole>) -> Result<(), StoreError> {
        let mut newest: HashMap<String, u64> = HashMap::new();
        let every_name = images.iter().flat_map(|(record, _)| &record.names);
        for name in every_name {
            self.numbers.fetch_max(name.sequence + 1, Ordering::Relaxed);
            let known = newest.entry(name.reference.clone()).or_default();
            *known = name.sequence.max(*known);
        }
        let wins = |name: &NameRecord| newest.get(&name.reference) == Some(&name.sequence);
        for (record, config) in &mut images {
            if !record.names.iter().all(wins) {
                record.names.retain(wins);
                self.write_record(&self.layout.images(), &record.id, record, kernel::file::Durable::Yes)?;
            }
            let mut index: std::sync::RwLockWriteGuard<'_, Index> = self.write();
            match index.present(&self.layout, &self.pinned, record, config) {
                Ok(image) => {
                    let (record, config) = (record.clone(), Arc::clone(config));
                    index.images.insert(record.id.clone(), Entry { record, config, image });
                }
                Err(error) => {
                    drop(index);
                    let path = self.layout.images().join(record_name(&record.id));
                    self.quarantine(&path, &error.to_string())?;
                }
            }
        }
        Ok(())
    }

    /// Images that were pulled again while their containers kept them: the image's own record is enough.
    fn drop_restored(&self) -> Result<(), StoreError> {
        let mut index = self.write();
        let restored: Vec<_> =
            index.removed.keys().filter(|image| index.images.contains_key(image)).cloned().collect();
        for image in restored {
            let path = self.layout.removed().join(record_name(&image));
            std::fs::remove_file(&path).map_err(at("remove", &path))?;
            index.removed.remove(&image);
        }
        Ok(())
    }

    /// Directories without a record: a layer that was renamed when we died.
    fn drop_unknown_layers(&self) -> Result<(), StoreError> {
        self.collect_named(&self.layout.layers(), |index, diff_id| index.layers.contains_key(diff_id))
    }
}
