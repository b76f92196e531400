//! Counts and hashes what flows by, and stops a flow that becomes too much.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use super::{Limits, UnpackError};
use crate::image::digest::{Digest, Hasher};

/// A reader that keeps account.
pub struct Meter<R> {
    inner: R,
    hasher: Hasher,
    count: Rc<Cell<u64>>,
    limit: u64,
    room: u64,
    ratio: Option<(Rc<Cell<u64>>, u64, u64)>,
}

/// Travels inside an [`io::Error`] through decoders that know only those.
#[derive(Debug, thiserror::Error)]
#[error("more than {limit} {what}")]
pub struct TooMuch {
    what: &'static str,
    limit: u64,
}

impl TooMuch {
    /// Unpacks the limit from an error that has passed decoders; anything else is a failed read.
    pub fn recover(error: io::Error) -> UnpackError {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Self>()) {
            Some(_) if error.kind() == io::ErrorKind::StorageFull => UnpackError::Space(error),
            Some(Self { what, limit }) => UnpackError::Limit { what, limit: *limit },
            None => UnpackError::Read(error),
        }
    }
}

impl<R: Read> Meter<R> {
    /// Counts into `count`, without a limit.
    pub fn new(inner: R, count: Rc<Cell<u64>>) -> Self {
        Self { inner, hasher: Hasher::default(), count, limit: u64::MAX, room: u64::MAX, ratio: None }
    }

    /// Fails when more than `limit` bytes flow.
    pub fn with_limit(mut self, limit: u64) -> Self {
        self.limit = limit;
        self
    }

    /// Fails as a full disk does when more than `room` bytes flow; a limit that is lower is told as such.
    pub fn with_room(mut self, room: u64) -> Self {
        self.room = room;
        self
    }

    /// Fails when this is more than so many times `taken`.
    pub fn with_ratio(mut self, taken: Rc<Cell<u64>>, limits: &Limits) -> Self {
        self.ratio = Some((taken, limits.ratio, limits.ratio_from));
        self
    }

    /// Reads whatever is left, and returns digest, count and the reader below.
    pub fn finish(mut self) -> Result<(Digest, u64, R), UnpackError> {
        let mut buffer = vec![0; 64 * 1024];
        while self.read(&mut buffer).map_err(TooMuch::recover)? > 0 {}
        Ok((self.hasher.finish(), self.count.get(), self.inner))
    }
}

impl<R: Read> Read for Meter<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        let count = self.count.get() + read as u64;
        self.count.set(count);
        if count > self.limit {
            return Err(io::Error::other(TooMuch { what: "bytes", limit: self.limit }));
        }
        if count > self.room {
            let more = TooMuch { what: "bytes", limit: self.room };
            return Err(io::Error::new(io::ErrorKind::StorageFull, more));
        }
        if let Some((taken, ratio, from)) = &self.ratio
            && count > *from
            && count / ratio > taken.get()
        {
            return Err(io::Error::other(TooMuch { what: "times the compressed size", limit: *ratio }));
        }
        Ok(read)
    }
}
