//! When a container that is being stopped gets which signal: decided here, without a clock or a process.
//!
//! Several callers may stop one container at once. The stop signal is sent once, the shortest deadline wins, and a call
//! with a shorter timeout shortens the wait of the others.

use std::time::{Duration, Instant};

/// A stop in progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopping {
    signalled: bool,
    killed: bool,
    kill_at: Instant,
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Do {
    /// Send the stop signal to the first process.
    Signal,
    /// Kill every process of the container.
    Kill,
    /// Nothing before the deadline.
    Wait,
}

impl Stopping {
    /// Begins a stop, or joins the one in progress, with `timeout` from `now` until the kill.
    pub fn ask(previous: Option<Self>, timeout: Duration, now: Instant) -> (Self, Do) {
        let mut stop = previous.unwrap_or(Self { signalled: false, killed: false, kill_at: now + timeout });
        stop.kill_at = stop.kill_at.min(now + timeout);
        let what = if stop.killed {
            Do::Wait
        } else if stop.kill_at <= now {
            stop.killed = true;
            Do::Kill
        } else if stop.signalled {
            Do::Wait
        } else {
            stop.signalled = true;
            Do::Signal
        };
        (stop, what)
    }

    /// When [`Self::due`] has something to do; `None` once the kill was sent.
    pub fn deadline(&self) -> Option<Instant> {
        (!self.killed).then_some(self.kill_at)
    }

    /// What is due at `now`.
    pub fn due(&mut self, now: Instant) -> Do {
        if self.killed || now < self.kill_at {
            return Do::Wait;
        }
        self.killed = true;
        Do::Kill
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_timeout_of_zero_kills_at_once() {
        let now = Instant::now();
        let (stop, what) = Stopping::ask(None, Duration::ZERO, now);
        assert_eq!((what, stop.deadline()), (Do::Kill, None));
    }

    #[test]
    fn a_second_caller_shortens_the_wait_and_the_signal_is_sent_once() {
        let now = Instant::now();
        let (stop, what) = Stopping::ask(None, 30 * SECOND, now);
        assert_eq!(what, Do::Signal);
        let (mut stop, what) = Stopping::ask(Some(stop), 2 * SECOND, now + SECOND);
        assert_eq!((what, stop.deadline()), (Do::Wait, Some(now + 3 * SECOND)));
        assert_eq!(stop.due(now + 2 * SECOND), Do::Wait);
        assert_eq!(stop.due(now + 3 * SECOND), Do::Kill);
        assert_eq!(stop.due(now + 4 * SECOND), Do::Wait);
    }

    proptest! {
        #[test]
        fn whatever_is_asked_there_is_one_signal_at_most_and_one_kill_in_time(
            asks in proptest::collection::vec((0u32..20, 0u32..40), 1..12)
        ) {
            let start = Instant::now();
            let (mut stop, mut now, mut shortest) = (None, start, None::<Instant>);
            let (mut signals, mut kills) = (0, 0);
            for (later, timeout) in asks {
                now += SECOND * later;
                if let Some(stop) = &mut stop {
                    kills += u32::from(Stopping::due(stop, now) == Do::Kill);
                }
                let (next, what) = Stopping::ask(stop.take(), SECOND * timeout, now);
                let asked = now + SECOND * timeout;
                shortest = Some(shortest.map_or(asked, |s| s.min(asked)));
                signals += u32::from(what == Do::Signal);
                kills += u32::from(what == Do::Kill);
                prop_assert!(next.deadline().is_none_or(|at| Some(at) == shortest));
                stop = Some(next);
            }
            let mut stop = stop.unwrap();
            kills += u32::from(stop.due(shortest.unwrap().max(now)) == Do::Kill);
            prop_assert!(signals <= 1 && kills == 1);
        }
    }
}
