//! Stories of the image room, against a registry in this process.

mod content;
mod crash;
mod faults;
mod names;
mod registry;
mod transfer;

use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use registry::FakeRegistry;

/// A store in a directory of its own, beside a registry of its own.
struct Node {
    base: tempfile::TempDir,
    images: Arc<Images>,
    registry: FakeRegistry,
}

/// Unpacking sets owners and makes devices.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    let root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    if !root {
        eprintln!("skipped: unpacking layers needs root");
    }
    root
}

fn config(base: &Path) -> ImagesConfig {
    let platform = Platform { os: "linux".into(), architecture: "amd64".into(), variant: None };
    let registry_directories = vec![base.join("certs.d")];
    ImagesConfig { registry_directories, platform, ..ImagesConfig::new(base.join("images")) }
}

impl Node {
    fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        let images = Images::open(config(base.path())).unwrap();
        Self { images, registry: FakeRegistry::start(), base }
    }

    fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.registry.address)
    }

    async fn pull(&self, rest: &str) -> PullResult {
        let reference = self.name(rest);
        self.images.pull(PullRequest { reference, credentials: None }).await
    }

    async fn pull_error(&self, rest: &str) -> String {
        self.pull(rest).await.map(|image| image.id.clone()).unwrap_err().message()
    }

    /// Closes the store and opens it again.
    async fn reopen(&mut self) {
        let config = config(self.base.path());
        let unused = Images::open(ImagesConfig::new(self.base.path().join("unused"))).unwrap();
        let old = std::mem::replace(&mut self.images, unused);
        old.drain_removals();
        drop(old);
        // The lock goes with the last user of the store, which may be a task that is about to end: it is let run.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        self.images = loop {
            match Images::open(config.clone()) {
                Err(StoreError::Locked(_)) if std::time::Instant::now() < deadline => {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
                opened => break opened.unwrap(),
            }
        };
    }

    fn path(&self, rest: &str) -> PathBuf {
        self.base.path().join("images").join(rest)
    }

    fn count(&self, directory: &str) -> usize {
        std::fs::read_dir(self.path(directory)).unwrap().count()
    }

    /// Nothing of any image is left, on disk or in memory.
    fn assert_empty(&self) {
        self.images.drain_removals();
        assert!(self.images.list(None).is_empty());
        for directory in
            ["records/images", "records/layers", "records/removed", "blobs", "layers", "parents", "ingest"]
        {
            assert_eq!(self.count(directory), 0, "{directory} is not empty");
        }
    }
}

/// What a container would see of a path: the topmost layer that has it.
fn visible(image: &Image, path: &str) -> Option<String> {
    image.layers.iter().find_map(|layer| std::fs::read_to_string(layer.join(path)).ok())
}
