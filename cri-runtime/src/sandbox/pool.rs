//! Network namespaces made ahead.
//!
//! Making one is half a millisecond of every sandbox with a network, more while others die. An idle one costs about
//! 150 KiB of kernel memory, so a few are kept, not hundreds.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread;
use std::time::Duration;

use kernel::namespace;

/// How many are kept. One more waits in the hands of the thread that makes them.
const KEPT: usize = 5;
/// How long the thread rests after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// A few empty network namespaces, ready to be taken. They end with the daemon.
#[derive(Debug)]
pub struct Namespaces {
    ready: Mutex<Receiver<OwnedFd>>,
}

impl Namespaces {
    /// Starts the thread that keeps them.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start() -> io::Result<Self> {
        let (sender, ready) = sync_channel(KEPT);
        thread::Builder::new().name("namespaces".to_owned()).stack_size(64 * 1024).spawn(move || {
            loop {
                match namespace::create_net() {
                    Ok(namespace) => {
                        if sender.send(namespace).is_err() {
                            // The receiver went with the daemon.
                            return;
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "network namespaces cannot be made ahead");
                        thread::sleep(PAUSE);
                    }
                }
            }
        })?;
        Ok(Self { ready: Mutex::new(ready) })
    }

    /// Takes one that is ready, or makes one.
    ///
    /// # Errors
    /// None is ready and none can be made.
    pub fn take(&self) -> io::Result<OwnedFd> {
        let ready = self.ready.lock().expect("no panic while holding it").try_recv();
        match ready {
            Ok(namespace) => Ok(namespace),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => namespace::create_net(),
        }
    }
}
