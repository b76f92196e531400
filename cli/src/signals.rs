//! Ctrl-C and TERM, for commands that have something to end before they end.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{Error, Result};

/// Both signals. From the moment this is made neither just ends us, and none that comes is lost: what arrives while
/// nobody waits is answered by the next [`Signals::next`].
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub fn new() -> Result<Self> {
        let handler = |kind| signal(kind).map_err(|source| Error::io("handle", "signals", source));
        Ok(Self {
            interrupt: handler(SignalKind::interrupt())?,
            terminate: handler(SignalKind::terminate())?,
        })
    }

    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
