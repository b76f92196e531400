//! Named points at which a test can end the process, as a crash would.
//!
//! `ORLOP_FAILPOINT=name` (or `name:3` for the third time) makes [`hit`] kill the process with SIGKILL when it is
//! reached. Without the variable a point costs one relaxed load. Points stand before and after every durable step,
//! so that a test can stop the process at each of them and look at what a restart makes of the remains.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

struct Armed {
    name: String,
    remaining: AtomicU32,
}

static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

fn parse(value: &str) -> Armed {
    match value.rsplit_once(':').map(|(name, count)| (name, count.parse::<u32>())) {
        Some((name, Ok(count))) => Armed { name: name.to_owned(), remaining: AtomicU32::new(count.max(1)) },
        _ => Armed { name: value.to_owned(), remaining: AtomicU32::new(1) },
    }
}

/// Ends the process with SIGKILL if the environment armed this point; otherwise does nothing.
pub fn hit(name: &str) {
    let armed = ARMED.get_or_init(|| std::env::var("ORLOP_FAILPOINT").ok().map(|v| parse(&v)));
    let Some(armed) = armed else { return };
    if armed.name == name && armed.remaining.fetch_sub(1, Ordering::Relaxed) == 1 {
        // SAFETY: kill and getpid take no pointers; the process ends itself.
        unsafe {
            libc::kill(libc::getpid(), libc::SIGKILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_follows_the_last_colon() {
        let armed = parse("sandbox.record:3");
        assert_eq!((armed.name.as_str(), armed.remaining.load(Ordering::Relaxed)), ("sandbox.record", 3));
        let armed = parse("sandbox.record");
        assert_eq!((armed.name.as_str(), armed.remaining.load(Ordering::Relaxed)), ("sandbox.record", 1));
    }
}
