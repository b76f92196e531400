//! CrashLoopBackOff (K-RP-3): how long a container that keeps exiting has to wait.
//!
//! Belongs to the pod's worker and a clock, not to turns of a loop: a delay counts from the moment the container
//! finished, and asking twice changes nothing. Only [`Backoff::bump`], called when a restart really happens, does.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Moment;

const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(300);
/// A container that ran this long before it exited starts over.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// Delays by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    delay: Duration,
    bumped_at: Moment,
}

impl Entry {
    fn forgotten(&self, event: Moment) -> bool {
        event.since(self.bumped_at) > FORGOTTEN_AFTER
    }
}

impl Backoff {
    /// When something that ended at `event` may be tried again, and the delay that leads to; `None` means at once.
    #[must_use]
    pub fn wait(&self, key: &str, event: Moment, now: Moment) -> Option<(Moment, Duration)> {
        let entry = self.entries.get(key).filter(|entry| !entry.forgotten(event))?;
        let until = event + entry.delay;
        (until > now).then_some((until, entry.delay))
    }

    /// Records that it is tried again now: the next delay is twice as long, or the first one.
    pub fn bump(&mut self, key: &str, event: Moment, now: Moment) -> Duration {
        let delay = match self.entries.get(key) {
            Some(entry) if !entry.forgotten(event) => (entry.delay * 2).min(LONGEST),
            _ => FIRST,
        };
        self.entries.insert(key.to_owned(), Entry { delay, bumped_at: now });
        delay
    }

    /// Forgets a key, after a success.
    pub fn reset(&mut self, key: &str) {
        self.entries.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Moment {
        Moment(seconds * 1_000_000_000)
    }

    #[test]
    fn a_container_that_exits_at_once_starts_at_0_0_10_30_70_150_310_and_then_every_300() {
        let mut backoff = Backoff::default();
        let mut now = at(0);
        let mut starts = vec![0];
        for _ in 0..8 {
            // It exits the moment it is started.
            let finished = now;
            if let Some((until, _)) = backoff.wait("c", finished, now) {
                now = until;
            }
            assert_eq!(backoff.wait("c", finished, now), None);
            backoff.bump("c", finished, now);
            starts.push(now.0 / 1_000_000_000);
        }
        assert_eq!(starts, [0, 0, 10, 30, 70, 150, 310, 610, 910]);
    }

    #[test]
    fn more_than_ten_minutes_of_running_forgive() {
        let mut backoff = Backoff::default();
        backoff.bump("c", at(0), at(0));
        backoff.bump("c", at(10), at(20));
        assert_eq!(backoff.wait("c", at(621), at(621)), None);
        assert_eq!(backoff.bump("c", at(621), at(621)), FIRST);
        backoff.bump("d", at(0), at(0));
        assert_eq!(backoff.wait("d", at(600), at(600)), Some((at(610), FIRST)), "exactly ten minutes do not");
    }

    #[test]
    fn asking_changes_nothing() {
        let mut backoff = Backoff::default();
        backoff.bump("c", at(0), at(0));
        let before = backoff.clone();
        for second in 0..100 {
            let _ = backoff.wait("c", at(second), at(second));
        }
        assert_eq!(backoff, before);
    }
}
