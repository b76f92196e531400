//! The CRI log format: raw output of a container in, whole records out. Pure.
//!
//! Owns: cutting output into lines and pieces, and what a record looks like (L-01 to L-03). Does not own: where the
//! bytes come from and whether they reach a file ([`crate::log`]).
//!
//! ```text
//! 2026-11-20T14:08:09.123456789Z stdout F the line\n        ended by a newline
//! 2026-11-20T14:08:09.123456789Z stderr P the piece\n       cut at the limit, or at the end of the stream
//! ```
//! Content is copied byte for byte; a carriage return before the newline stays, because only terminals put it there.

mod stamp;
#[cfg(test)]
mod tests;

pub use stamp::Stamp;

/// Longest piece for containers whose limit is 0 ("unlimited") or larger: what a supervisor holds of an unfinished
/// line is bounded in any case.
pub const MAX_LINE_CEILING: usize = 1 << 20;

/// Bytes of a record before its content.
pub const HEAD: usize = Stamp::LENGTH + 1 + 6 + 1 + 1 + 1;
const TAG: usize = HEAD - 2;

/// Which of its two outputs a process wrote to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What every record of one batch begins with.
#[derive(Debug, Clone, Copy)]
pub struct Head([u8; HEAD]);

impl Head {
    /// For records of `stream` read at `stamp`.
    pub fn new(stamp: &Stamp, stream: Stream) -> Self {
        let mut head = [b' '; HEAD];
        head[..Stamp::LENGTH].copy_from_slice(stamp.as_bytes());
        let name = match stream {
            Stream::Stdout => b"stdout",
            Stream::Stderr => b"stderr",
        };
        head[Stamp::LENGTH + 1..][..name.len()].copy_from_slice(name);
        head[TAG] = b'F';
        Self(head)
    }

    fn partial(mut self) -> Self {
        self.0[TAG] = b'P';
        self
    }
}

/// Whole records on their way to a file, in a buffer of fixed size.
#[derive(Debug)]
pub struct Batch {
    records: Vec<u8>,
    limit: usize,
}

impl Batch {
    /// A buffer of `limit` bytes. A single record that is larger is held all the same, until [`Batch::clear`].
    pub fn new(limit: usize) -> Self {
        Self { records: Vec::with_capacity(limit), limit }
    }

    /// The records so far; ends with a newline unless empty.
    pub fn records(&self) -> &[u8] {
        &self.records
    }

    /// Starts over, and gives back what an oversized record took.
    pub fn clear(&mut self) {
        self.records.clear();
        self.records.shrink_to(self.limit);
    }

    /// Appends one record; false, and nothing is done, if it has to wait until those before it are written.
    fn append(&mut self, head: &Head, content: [&[u8]; 2]) -> bool {
        let size = HEAD + content[0].len() + content[1].len() + 1;
        if self.records.len() + size > self.limit && !self.records.is_empty() {
            return false;
        }
        self.records.extend_from_slice(&head.0);
        if !content[0].is_empty() {
            self.records.extend_from_slice(content[0]);
        }
        self.records.extend_from_slice(content[1]);
        self.records.push(b'\n');
        true
    }
}

/// One stream of one process: the unfinished line at its end.
#[derive(Debug, Default)]
pub struct Lines {
    held: Vec<u8>,
}

impl Lines {
    /// Continues a stream of which `held` is the unfinished line.
    pub fn resume(held: Vec<u8>) -> Self {
        Self { held }
    }

    /// The unfinished line; at most as long as the limit.
    pub fn held(&self) -> &[u8] {
        &self.held
    }

    /// Appends records for as much of `input` as fits into `batch` and returns how much that was. All of it, unless
    /// the batch is full and has to be written first.
    ///
    /// `max` is the longest content of one record, bytes (L-03): a longer line comes in pieces of exactly that size
    /// and a rest, one of that size in one.
    pub fn push(&mut self, input: &[u8], max: usize, head: &Head, batch: &mut Batch) -> usize {
        let partial = head.partial();
        let mut used = 0;
        loop {
            let rest = &input[used..];
            let end = memchr::memchr(b'\n', rest);
            let line = &rest[..end.unwrap_or(rest.len())];
            if self.held.len() + line.len() > max {
                let piece = &line[..max - self.held.len()];
                if !batch.append(&partial, [&self.held, piece]) {
                    return used;
                }
                used += piece.len();
                self.let_go();
            } else if end.is_some() {
                if !batch.append(head, [&self.held, line]) {
                    return used;
                }
                used += line.len() + 1;
                self.let_go();
            } else {
                self.held.extend_from_slice(line);
                return input.len();
            }
        }
    }

    /// The stream has ended: appends what is left of it as a piece (L-02). False if `batch` has to be written first.
    pub fn finish(&mut self, head: &Head, batch: &mut Batch) -> bool {
        if self.held.is_empty() {
            return true;
        }
        let appended = batch.append(&head.partial(), [&self.held, &[]]);
        if appended {
            self.let_go();
        }
        appended
    }

    /// Memory goes back with the line: there are two of these per process and most are empty most of the time.
    fn let_go(&mut self) {
        if self.held.capacity() > 0 {
            self.held = Vec::new();
        }
    }
}

/// How many bytes of output these records stand for: their content, and the newline of each whole line.
pub fn content_length(mut records: &[u8]) -> u64 {
    let mut length = 0;
    while let Some(end) = memchr::memchr(b'\n', records) {
        let whole = usize::from(records.get(TAG) == Some(&b'F'));
        length += (end.saturating_sub(HEAD) + whole) as u64;
        records = &records[end + 1..];
    }
    length + records.len().saturating_sub(HEAD) as u64
}
