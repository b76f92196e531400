//! Verbs that use what a limit can take away: memory, processor, processes.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Failure, Outcome, doing, print};

const PAGE: usize = 4096;

/// Memory that is really there: a byte of each page is written, so no limit can be met by promises.
pub(crate) fn memory(mebibytes: usize) -> Result<Vec<u8>, Failure> {
    let bytes = mebibytes
        .checked_mul(1024 * 1024)
        .ok_or_else(|| Failure::Usage(format!("mebibytes: too many: {mebibytes}")))?;
    let mut held = Vec::new();
    held.try_reserve_exact(bytes)
        .map_err(|error| Failure::Failed(format!("reserve {mebibytes} MiB: {error}")))?;
    held.resize(bytes, 0u8);
    for page in held.chunks_mut(PAGE) {
        page[0] = 1;
    }
    // The optimiser may not conclude that nobody looks at it.
    std::hint::black_box(&held);
    print(&format!("holding {mebibytes} MiB\n"))?;
    Ok(held)
}

pub(crate) fn processor(time: Option<Duration>) -> Outcome {
    let begun = Instant::now();
    while time.is_none_or(|time| begun.elapsed() < time) {
        std::hint::black_box((0..100_000u64).sum::<u64>());
    }
    Ok(())
}

fn itself() -> Result<Command, Failure> {
    let mut command = Command::new(std::env::current_exe().map_err(doing("find this program"))?);
    command.stdin(Stdio::null());
    Ok(command)
}

/// Starts up to `count` children that sleep for `life` seconds and says how many there are: a pids limit stops it, and
/// is no failure here.
pub(crate) fn children(count: u32, life: &str) -> Outcome {
    let mut started = 0u32;
    for _ in 0..count {
        if itself()?.args(["sleep", life]).spawn().is_err() {
            break;
        }
        started += 1;
    }
    print(&format!("started {started} of {count}\n"))
}

/// A child that starts a grandchild and ends: the grandchild is then process 1's to reap.
pub(crate) fn orphan() -> Outcome {
    let status = itself()?.args(["children", "1", "0", "1"]).status().map_err(doing("start a child"))?;
    if status.success() {
        print("grandchild left behind\n")
    } else {
        Err(Failure::Failed(format!("child: {status}")))
    }
}
