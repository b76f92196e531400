//! The wall clock as CRI reports it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

static LAST: AtomicI64 = AtomicI64::new(0);

/// Nanoseconds since the epoch.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Like [`now`], but later than every value it returned before: creation times order objects even when the clock is
/// set back (G-13).
pub fn created_at() -> i64 {
    let now = now();
    let previous = LAST.fetch_max(now, Ordering::Relaxed);
    if previous < now {
        return now;
    }
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}
