//! Verbs that move bytes: numbered lines, floods, files.

use std::io::{BufWriter, Write};
use std::time::{Duration, Instant};

use crate::{Failure, Outcome, doing, print};

/// `line N` at a steady pace. The pace is kept against the clock: a slow reader does not make it drift.
pub(crate) fn numbered(every: Duration, count: Option<u64>) -> Outcome {
    let begun = Instant::now();
    let mut number = 0u64;
    while count.is_none_or(|count| number < count) {
        number += 1;
        print(&format!("line {number}\n"))?;
        let due = every.saturating_mul(u32::try_from(number).unwrap_or(u32::MAX));
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
    }
    Ok(())
}

/// Lines of exactly `length` bytes without their newline: the number, then a filling.
pub(crate) fn flood(count: u64, length: usize) -> Outcome {
    let mut out = BufWriter::with_capacity(64 * 1024, std::io::stdout().lock());
    let filling = vec![b'.'; length];
    for number in 1..=count {
        let mut line = number.to_string().into_bytes();
        line.truncate(length);
        line.extend_from_slice(&filling[line.len()..]);
        line.push(b'\n');
        out.write_all(&line).map_err(doing("write standard output"))?;
    }
    out.flush().map_err(doing("write standard output"))
}

pub(crate) fn copy() -> Outcome {
    std::io::copy(&mut std::io::stdin().lock(), &mut std::io::stdout().lock())
        .map(drop)
        .map_err(doing("copy standard input"))
}

pub(crate) fn files(paths: &[String]) -> Outcome {
    if paths.is_empty() {
        return Err(Failure::Usage("no FILE".to_owned()));
    }
    for path in paths {
        let mut file = std::fs::File::open(path).map_err(doing(format_args!("open {path}")))?;
        std::io::copy(&mut file, &mut std::io::stdout().lock())
            .map_err(doing(format_args!("copy {path}")))?;
    }
    Ok(())
}

pub(crate) fn put(path: &str, text: &str) -> Outcome {
    std::fs::write(path, format!("{text}\n")).map_err(doing(format_args!("write {path}")))
}
