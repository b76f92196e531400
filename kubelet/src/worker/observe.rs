//! Watching a pod: a list after every event, and a list now and then to verify (K-PLEG-1).
//!
//! A runtime without events is asked more often: soon after a change, since changes come in groups, and at most every
//! second when nothing happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};

use crate::runtime::{PodView, Runtime, RuntimeError};

const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(1);
/// With events, the list that verifies.
const VERIFY: Duration = Duration::from_secs(30);

/// What was seen, and how many results the worker had when it was asked for.
#[derive(Debug)]
pub(super) struct Observation {
    pub view: Result<PodView, RuntimeError>,
    pub generation: u64,
}

/// Observes until the receiver is gone.
pub(super) async fn run<R: Runtime>(
    runtime: Arc<R>,
    uid: String,
    mut generation: watch::Receiver<u64>,
    lists: mpsc::Sender<Observation>,
) {
    let changed = Arc::new(Notify::new());
    let has_events = Arc::new(AtomicBool::new(false));
    let follow = follow(Arc::clone(&runtime), uid.clone(), Arc::clone(&changed), Arc::clone(&has_events));
    let list = async {
        let mut last = PodView::default();
        let mut pause = SHORTEST;
        loop {
            let asked_at = *generation.borrow_and_update();
            let view = runtime.observe(&uid).await;
            match &view {
                Ok(seen) if *seen != last => {
                    last.clone_from(seen);
                    pause = SHORTEST;
                }
                _ => pause = (pause * 2).min(LONGEST),
            }
            if lists.send(Observation { view, generation: asked_at }).await.is_err() {
                return;
            }
            let wait = if has_events.load(Ordering::Relaxed) { VERIFY } else { pause };
            tokio::select! {
                () = changed.notified() => {}
                // The worker just did something: without events its effects are looked for soon.
                _ = generation.changed() => pause = SHORTEST,
                () = tokio::time::sleep(wait) => {}
            }
        }
    };
    tokio::select! {
        () = follow => {}
        () = list => {}
    }
}

async fn follow<R: Runtime>(runtime: Arc<R>, uid: String, changed: Arc<Notify>, has_events: Arc<AtomicBool>) {
    loop {
        has_events.store(true, Ordering::Relaxed);
        let error = runtime.follow(&uid, Arc::clone(&changed)).await;
        has_events.store(false, Ordering::Relaxed);
        changed.notify_one();
        if error.is_unimplemented() {
            // It will not learn it while it runs; the lists go on.
            std::future::pending::<()>().await;
        }
        tracing::debug!(%uid, "events broke off, listing instead: {error}");
        tokio::time::sleep(LONGEST).await;
    }
}
