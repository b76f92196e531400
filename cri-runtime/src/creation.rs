//! Sandboxes that are being made, and how a retry joins the attempt before it (G-10).
//!
//! A client that gave up and asks again must not get a second sandbox, nor an error about a name in use. The attempt
//! goes on without its caller; a retry with the same request waits for the same outcome.

use std::collections::HashMap;
use std::sync::Mutex;

use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::error::Failure;
use crate::index::PodKey;

/// What an attempt came to; `None` while it runs.
pub type Outcome = Option<Result<String, Failure>>;

/// Attempts in flight.
#[derive(Debug, Default)]
pub struct Creations {
    inner: Mutex<HashMap<PodKey, Attempt>>,
}

#[derive(Debug)]
struct Attempt {
    request: String,
    outcome: watch::Receiver<Outcome>,
}

/// What [`Creations::begin`] decided.
#[derive(Debug)]
pub enum Begin {
    /// The caller makes the sandbox and sends what comes of it.
    Make(watch::Sender<Outcome>),
    /// Somebody makes it already.
    Join(watch::Receiver<Outcome>),
    /// Somebody makes another one under the same name: wait for that one first.
    Wait(watch::Receiver<Outcome>),
}

impl Creations {
    /// Enters an attempt to make the sandbox `key` by the request with this digest.
    pub fn begin(&self, key: &PodKey, request: &str) -> Begin {
        let mut inner = self.inner.lock().expect("no panic while holding it");
        if let Some(attempt) = inner.get(key) {
            let outcome = attempt.outcome.clone();
            return if attempt.request == request { Begin::Join(outcome) } else { Begin::Wait(outcome) };
        }
        let (sender, outcome) = watch::channel(None);
        inner.insert(key.clone(), Attempt { request: request.to_owned(), outcome });
        Begin::Make(sender)
    }

    /// Ends the attempt on `key`; to be called after its outcome was sent.
    pub fn end(&self, key: &PodKey) {
        self.inner.lock().expect("no panic while holding it").remove(key);
    }
}

/// Digest of a request: two requests with the same one ask for the same thing.
pub fn digest(request: &impl prost::Message) -> String {
    hex::encode(Sha256::digest(request.encode_to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_joins_and_another_request_waits() {
        let creations = Creations::default();
        let key = PodKey { namespace: "n".into(), name: "p".into(), uid: "u".into(), attempt: 1 };
        let Begin::Make(sender) = creations.begin(&key, "one") else { panic!("nobody makes it yet") };
        let Begin::Join(joined) = creations.begin(&key, "one") else { panic!("the same request joins") };
        assert!(matches!(creations.begin(&key, "two"), Begin::Wait(_)));
        sender.send_replace(Some(Ok("id".into())));
        creations.end(&key);
        assert_eq!(*joined.borrow(), Some(Ok("id".to_owned())));
        assert!(matches!(creations.begin(&key, "two"), Begin::Make(_)));
    }
}
