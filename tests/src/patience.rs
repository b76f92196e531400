//! Waiting for something that has no event to wait for, with a deadline and a name.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Longest wait for anything that a healthy runtime does at once. Generous: emulated machines are slow, and a test
/// that waits for an event is not made slower by a long deadline.
pub const LONG: Duration = Duration::from_secs(90);

const PAUSE: Duration = Duration::from_millis(20);

/// Calls `probe` until it gives a value. An error of the probe ends the wait at once.
///
/// # Errors
/// The probe failed, or there was no value within [`LONG`]; the message names `what`.
pub async fn until<T, F, P>(what: &str, mut probe: P) -> Result<T>
where
    P: FnMut() -> F,
    F: Future<Output = Result<Option<T>>>,
{
    let begun = Instant::now();
    loop {
        if let Some(value) = probe().await? {
            return Ok(value);
        }
        if begun.elapsed() > LONG {
            bail!("waited {} s in vain for: {what}", LONG.as_secs());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// [`until`] for code without a future.
///
/// # Errors
/// As [`until`].
pub fn until_now<T>(what: &str, mut probe: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(value) = probe()? {
            return Ok(value);
        }
        if begun.elapsed() > LONG {
            bail!("waited {} s in vain for: {what}", LONG.as_secs());
        }
        std::thread::sleep(PAUSE);
    }
}
