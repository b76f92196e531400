//! How far a pull or an import is, for whoever watches.

use std::sync::Arc;

use tokio::sync::watch;

use super::digest::Digest;

/// What happens to a layer at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Waits for a free slot.
    Waiting,
    /// Is fetched, verified and unpacked, all at once.
    Fetching,
    /// Is made durable.
    Syncing,
    /// Was there already, or is now.
    Done,
    /// Will not come.
    Failed,
}

impl Phase {
    /// One word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Fetching => "fetching",
            Self::Syncing => "syncing",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// One layer of a pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerProgress {
    /// Digest of the blob (of a docker archive: the diff id).
    pub digest: Digest,
    /// What happens to it.
    pub phase: Phase,
    /// Bytes taken in so far.
    pub bytes_done: u64,
    /// Bytes there are; 0 if not known.
    pub bytes_total: u64,
}

/// The layers of one pull, lowest first; empty until the manifest is known.
///
/// Several pulls may watch one layer: each layer has a channel of its own.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    layers: Vec<watch::Receiver<LayerProgress>>,
}

impl Progress {
    pub(super) fn of(layers: Vec<watch::Receiver<LayerProgress>>) -> Self {
        Self { layers }
    }

    /// Every layer as it is now.
    pub fn snapshot(&self) -> Vec<LayerProgress> {
        self.layers.iter().map(|layer| layer.borrow().clone()).collect()
    }
}

/// The writing end of one layer.
#[derive(Debug, Clone)]
pub(super) struct Reporter {
    sender: Arc<watch::Sender<LayerProgress>>,
}

impl Reporter {
    pub(super) fn new(digest: Digest, bytes_total: u64) -> Self {
        let layer = LayerProgress { digest, phase: Phase::Waiting, bytes_done: 0, bytes_total };
        Self { sender: Arc::new(watch::Sender::new(layer)) }
    }

    pub(super) fn watch(&self) -> watch::Receiver<LayerProgress> {
        self.sender.subscribe()
    }

    pub(super) fn phase(&self, phase: Phase) {
        self.sender.send_modify(|layer| {
            layer.phase = phase;
            if phase == Phase::Done {
                layer.bytes_done = layer.bytes_total;
            }
        });
    }

    pub(super) fn bytes(&self, done: u64) {
        self.sender.send_modify(|layer| layer.bytes_done = done);
    }
}
