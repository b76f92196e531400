//! Work that several callers want at once and that is done once (I-26).
//!
//! The work runs in a task of its own: a caller that goes away takes nothing from the others (trap 13).

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// Results, and whatever lets a joiner watch the work meanwhile.
type Running<K, V, P> = Mutex<HashMap<K, (watch::Receiver<Option<V>>, P)>>;

/// Work under way, by key. Results are kept only for those who wait already.
#[derive(Debug)]
pub struct Flights<K, V, P> {
    running: Arc<Running<K, V, P>>,
}

impl<K, V, P> Default for Flights<K, V, P> {
    fn default() -> Self {
        Self { running: Arc::default() }
    }
}

/// A place in shared work.
pub struct Joined<P, V> {
    /// Whether this call started it.
    pub started: bool,
    /// What its starter gave to watch it by.
    pub progress: P,
    /// The result; `None` if the work panicked or the runtime shuts down.
    pub result: Pin<Box<dyn Future<Output = Option<V>> + Send>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the key off the list however the work ends, so that a panic does not block its key for ever.
struct Landing<K: Hash + Eq, V, P> {
    key: K,
    running: Arc<Running<K, V, P>>,
}

impl<K: Hash + Eq, V, P> Drop for Landing<K, V, P> {
    fn drop(&mut self) {
        lock(&self.running).remove(&self.key);
    }
}

impl<K, V, P> Flights<K, V, P>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
    P: Clone + Send + 'static,
{
    /// Joins the work of this key, or starts it in a task of its own.
    pub fn join<F>(&self, key: K, work: impl FnOnce() -> (P, F)) -> Joined<P, V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let (sender, receiver) = watch::channel(None);
        let (started, mut receiver, progress, work) = {
            let mut running = lock(&self.running);
            match running.get(&key) {
                Some((receiver, progress)) => (false, receiver.clone(), progress.clone(), None),
                None => {
                    let (progress, work) = work();
                    running.insert(key.clone(), (receiver.clone(), progress.clone()));
                    (true, receiver, progress, Some(work))
                }
            }
        };
        // The list is free again: spawning panics outside a runtime, and landing takes the list.
        if let Some(work) = work {
            let landing = Landing { key, running: Arc::clone(&self.running) };
            tokio::spawn(async move {
                let value = work.await;
                // First off the list, then tell: who comes after the result starts afresh.
                drop(landing);
                sender.send_replace(Some(value));
            });
        }
        let result = Box::pin(async move { receiver.wait_for(Option::is_some).await.ok()?.clone() });
        Joined { started, progress, result }
    }
}

#[cfg(test)]
mod tests;
