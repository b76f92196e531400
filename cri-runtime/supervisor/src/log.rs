//! Carries the output of processes from their pipes to their log files.
//!
//! Owns: the read ends of the pipes, the log files, and the buffers all of them share. Does not own: when a pipe is
//! readable ([`crate::server`]) and what a record looks like ([`crate::logline`]).
//!
//! A process never waits for its log: what cannot be written is counted and dropped (L-08), and nobody else has to be
//! alive for it (L-09).

mod sink;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use kernel::descriptor::{set_nonblocking, set_pipe_size, unread_bytes};
use kernel::process::wall_clock;
use launch::protocol::INLINE_PLAN_MAX;

use crate::logline::{Batch, Head, Lines, MAX_LINE_CEILING, Stamp, Stream};

pub use sink::Sink;

/// What one wake-up reads at most: the default size of a pipe. Small enough that others get their turn.
const READ: usize = 64 << 10;
/// The input buffer also receives requests, of which the largest carry a plan of `INLINE_PLAN_MAX` bytes.
const SCRATCH: usize = INLINE_PLAN_MAX + (8 << 10);
/// Records that are written at once.
const WRITE: usize = 96 << 10;
/// Asked for once a process fills its pipe: fewer wake-ups, and more room while this process is busy with others.
const LARGE_PIPE: i32 = 1 << 20;

/// What became of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Nothing left for now.
    Drained,
    /// There may be more.
    More,
    /// Every write end is closed.
    Ended,
}

/// One output of a process.
#[derive(Debug)]
struct Source {
    pipe: File,
    ended: bool,
    large: bool,
    lines: Lines,
}

/// The log of one process.
#[derive(Debug)]
pub struct Log {
    sources: [Source; 2],
    sink: Sink,
    max_line: u32,
}

/// A log as it travels to the next program of this process.
#[derive(Debug)]
pub struct Parts {
    /// Read ends of standard output and error.
    pub pipes: [OwnedFd; 2],
    /// Whether each has ended.
    pub ended: [bool; 2],
    /// Unfinished line of each.
    pub held: [Vec<u8>; 2],
    /// Where records go.
    pub sink: Sink,
    /// Longest content of a record, bytes; 0 is as long as possible.
    pub max_line: u32,
}

impl Log {
    /// Reads `pipes` (standard output, standard error) from now on without blocking.
    ///
    /// # Errors
    /// Whatever `fcntl` returns.
    pub fn new(pipes: [OwnedFd; 2], sink: Sink, max_line: u32) -> io::Result<Self> {
        Self::from_parts(Parts { pipes, ended: [false; 2], held: Default::default(), sink, max_line })
    }

    /// Continues a log.
    ///
    /// # Errors
    /// Whatever `fcntl` returns.
    pub fn from_parts(parts: Parts) -> io::Result<Self> {
        let [out, err] = parts.pipes;
        let [out_held, err_held] = parts.held;
        let source = |pipe: OwnedFd, ended, held| {
            set_nonblocking(pipe.as_fd(), true)?;
            io::Result::Ok(Source { pipe: pipe.into(), ended, large: false, lines: Lines::resume(held) })
        };
        let sources = [source(out, parts.ended[0], out_held)?, source(err, parts.ended[1], err_held)?];
        Ok(Self { sources, sink: parts.sink, max_line: parts.max_line })
    }

    /// The read end of a stream.
    pub fn pipe(&self, stream: Stream) -> BorrowedFd<'_> {
        self.sources[index(stream)].pipe.as_fd()
    }

    /// Whether every write end of a stream is closed.
    pub fn has_ended(&self, stream: Stream) -> bool {
        self.sources[index(stream)].ended
    }

    /// The unfinished line of a stream.
    pub fn held(&self, stream: Stream) -> &[u8] {
        self.sources[index(stream)].lines.held()
    }

    /// Longest content of a record as it was asked for, bytes.
    pub fn max_line(&self) -> u32 {
        self.max_line
    }

    /// Where records go.
    pub fn sink(&self) -> &Sink {
        &self.sink
    }

    /// Where records go.
    pub fn sink_mut(&mut self) -> &mut Sink {
        &mut self.sink
    }
}

fn index(stream: Stream) -> usize {
    match stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
    }
}

/// The buffers every log shares.
#[derive(Debug)]
pub struct Pump {
    input: Vec<u8>,
    batch: Batch,
}

impl Default for Pump {
    fn default() -> Self {
        Self { input: vec![0; SCRATCH], batch: Batch::new(WRITE) }
    }
}

impl Pump {
    /// The input buffer, for whoever has something else to read in between.
    pub fn scratch(&mut self) -> &mut [u8] {
        &mut self.input
    }

    /// Reads once from a stream and writes what that makes.
    pub fn turn(&mut self, log: &mut Log, stream: Stream) -> Progress {
        self.read(log, stream, READ).0
    }

    /// Carries over what is in the pipes now, and no more: a child of the process may keep them open, and write, for
    /// ever.
    pub fn drain(&mut self, log: &mut Log) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            // A pipe that cannot say how much it holds is read as long as it has something, up to what it can hold.
            let mut left = unread_bytes(log.pipe(stream)).unwrap_or(LARGE_PIPE as usize);
            loop {
                let (progress, read) = self.read(log, stream, left.clamp(1, READ));
                // One read more than there was shows whether that was the end.
                if progress != Progress::More || left == 0 {
                    break;
                }
                left = left.saturating_sub(read);
            }
        }
    }

    fn read(&mut self, log: &mut Log, stream: Stream, most: usize) -> (Progress, usize) {
        let source = &mut log.sources[index(stream)];
        if source.ended {
            return (Progress::Ended, 0);
        }
        let read = match source.pipe.read(&mut self.input[..most]) {
            Ok(0) => return (self.end(log, stream), 0),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return (Progress::Drained, 0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return (Progress::More, 0),
            // Reading a pipe does not fail otherwise; one that does has nothing more to give.
            Err(_) => return (self.end(log, stream), 0),
        };
        if read == READ && !source.large {
            source.large = true;
            // Refused beyond the user's share of pipe memory: the log works without.
            let _ = set_pipe_size(source.pipe.as_fd(), LARGE_PIPE);
        }
        if log.sink.is_discarding() {
            return (Progress::More, read);
        }
        let head = Head::new(&Stamp::at(wall_clock()), stream);
        let max = match log.max_line as usize {
            0 => MAX_LINE_CEILING,
            max => max.min(MAX_LINE_CEILING),
        };
        let mut rest = &self.input[..read];
        loop {
            let used = source.lines.push(rest, max, &head, &mut self.batch);
            rest = &rest[used..];
            log.sink.write(&mut self.batch);
            if rest.is_empty() {
                return (Progress::More, read);
            }
        }
    }

    fn end(&mut self, log: &mut Log, stream: Stream) -> Progress {
        let source = &mut log.sources[index(stream)];
        source.ended = true;
        if !log.sink.is_discarding() {
            let head = Head::new(&Stamp::at(wall_clock()), stream);
            // The batch is empty between turns, and takes a record of any size then.
            let _ = source.lines.finish(&head, &mut self.batch);
            log.sink.write(&mut self.batch);
        }
        Progress::Ended
    }
}
