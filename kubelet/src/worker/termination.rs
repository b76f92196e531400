//! The termination message: a container's last words (2.11).

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Longest message.
const MAX_MESSAGE: u64 = 4096;
/// What of a log stands in for a message.
const MAX_LOG: u64 = 2048;
const MAX_LOG_LINES: usize = 80;

/// The end of the file a container wrote its message to; empty if it wrote none.
pub(super) fn message(path: &Path) -> String {
    tail(path, MAX_MESSAGE)
}

/// The last lines of a CRI log, without the runtime's time and stream fields.
pub(super) fn last_log_lines(path: &Path) -> String {
    // Each line carries about 45 characters of its own before the text.
    let text = tail(path, MAX_LOG * 4);
    let lines: Vec<&str> = text.lines().filter_map(|line| line.splitn(4, ' ').nth(3)).collect();
    let from = lines.len().saturating_sub(MAX_LOG_LINES);
    let joined = lines[from..].join("\n");
    let limit = usize::try_from(MAX_LOG).unwrap_or(usize::MAX);
    let cut = joined.len().saturating_sub(limit);
    let start = (cut..=joined.len()).find(|index| joined.is_char_boundary(*index)).unwrap_or(joined.len());
    joined[start..].to_owned()
}

fn tail(path: &Path, bytes: u64) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(bytes)))?;
        let mut content = Vec::new();
        file.take(bytes).read_to_end(&mut content)?;
        Ok(content)
    };
    // A container that was never started has no file; there is nothing to tell then.
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}
