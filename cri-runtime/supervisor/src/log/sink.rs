//! The file that records go to, and what happens when it cannot take them.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use crate::logline::{Batch, content_length};

/// Where the records of one process go.
#[derive(Debug)]
pub struct Sink {
    /// `None`: output is discarded.
    file: Option<File>,
    /// The file does not end with a newline: the next record needs one before it (L-05).
    torn: bool,
    dropped: u64,
    failure: Option<i32>,
}

impl Sink {
    /// Appends to `file`, which must be open for appending and, so that a torn last line is seen, for reading.
    pub fn new(file: Option<File>) -> Self {
        let torn = file.as_ref().is_some_and(ends_torn);
        Self { file, torn, dropped: 0, failure: None }
    }

    /// Continues a sink that has dropped as many bytes.
    pub fn resume(file: Option<File>, dropped: u64) -> Self {
        Self { dropped, ..Self::new(file) }
    }

    /// Writes to another file from the next record on.
    pub fn reopen(&mut self, file: File) {
        self.torn = ends_torn(&file);
        self.file = Some(file);
    }

    /// The file.
    pub fn file(&self) -> Option<&File> {
        self.file.as_ref()
    }

    /// Whether output goes nowhere by design.
    pub fn is_discarding(&self) -> bool {
        self.file.is_none()
    }

    /// Bytes of output that could not be written.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The errno of the last write, if that failed.
    pub fn failure(&self) -> Option<i32> {
        self.failure
    }

    /// Writes the batch and empties it. One write takes all of it unless the disk is full.
    ///
    /// What does not fit is dropped and counted, and the file is cut back to its last whole record: whoever reads it
    /// sees no torn line, and writing goes on at the start of a line as soon as there is room. Every later batch is
    /// the next attempt.
    pub fn write(&mut self, batch: &mut Batch) {
        let records = batch.records();
        let Some(file) = self.file.as_mut().filter(|_| !records.is_empty()) else { return batch.clear() };
        if self.torn {
            match file.write(b"\n") {
                Ok(1) => self.torn = false,
                result => {
                    self.dropped += content_length(records);
                    self.failure = Some(result.map_or_else(|error| errno(&error), |_| libc::EIO));
                    return batch.clear();
                }
            }
        }
        match append(file, records) {
            Ok(()) => self.failure = None,
            Err((written, error)) => {
                let whole = memchr::memrchr(b'\n', &records[..written]).map_or(0, |end| end + 1);
                self.torn = written > whole && cut(file, (written - whole) as u64).is_err();
                self.dropped += content_length(&records[whole..]);
                self.failure = Some(errno(&error));
            }
        }
        batch.clear();
    }
}

fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

/// Appends everything, or says how much of `records` was written before the error.
fn append(file: &mut File, records: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    while written < records.len() {
        match file.write(&records[written..]) {
            Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((written, error)),
        }
    }
    Ok(())
}

/// Takes the last `bytes` off a file.
fn cut(file: &mut File, bytes: u64) -> io::Result<()> {
    let length = file.metadata()?.len().checked_sub(bytes).ok_or(io::ErrorKind::InvalidData)?;
    file.set_len(length)?;
    file.seek(SeekFrom::End(0)).map(|_| ())
}

/// Whether a file ends in the middle of a line. One that cannot be read is taken to be whole.
fn ends_torn(file: &File) -> bool {
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let mut last = [b'\n'];
    length > 0 && file.read_at(&mut last, length - 1).is_ok() && last != *b"\n"
}
