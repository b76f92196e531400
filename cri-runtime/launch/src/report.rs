//! What the child tells the supervisor over a close-on-exec pipe.
//!
//! Owns the records and both ends of their encoding. The child writes the times of its steps and
//! [`Record::Executing`] just before `execve`, and [`Record::Failed`] if a step or the `execve` fails. The pipe closes
//! when the program runs, so the end of the stream with `Executing` and without `Failed` means success.
//!
//! Reader: read to the end of the stream, then [`Report::decode`] and [`Outcome::into_result`].

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::execute::clock;
use crate::plan::Failure;
use crate::protocol::StepTime;

#[cfg(test)]
mod tests;

/// One record of the stream.
#[derive(Debug, Serialize, Deserialize)]
pub enum Record {
    /// A step is done.
    Done(StepTime),
    /// Everything but the filter and the `execve` is done.
    Executing {
        /// `CLOCK_MONOTONIC`, nanoseconds: what passes between this and the end of the stream is filter and `execve`.
        at: u64,
    },
    /// A step failed, or the `execve`; the process exits.
    Failed(Failure),
}

/// A report that cannot be read.
#[derive(Debug, Error)]
#[error("decode launch report at byte {offset}")]
pub struct DecodeError {
    /// Where the unreadable record starts.
    pub offset: usize,
    /// Why.
    #[source]
    pub source: postcard::Error,
}

/// Encoder and decoder of the stream.
#[derive(Debug)]
pub struct Report;

impl Report {
    /// Appends a record to `buffer`.
    pub fn encode(record: &Record, buffer: &mut Vec<u8>) -> Result<(), postcard::Error> {
        buffer.extend_from_slice(&postcard::to_stdvec(record)?);
        Ok(())
    }

    /// Reads everything a child wrote until its pipe closed.
    pub fn decode(bytes: &[u8]) -> Result<Outcome, DecodeError> {
        let mut outcome = Outcome { steps: Vec::new(), executing: None, failure: None };
        let mut rest = bytes;
        while !rest.is_empty() {
            let (record, tail) = postcard::take_from_bytes(rest)
                .map_err(|source| DecodeError { offset: bytes.len() - rest.len(), source })?;
            match record {
                Record::Done(step) => outcome.steps.push(step),
                Record::Executing { at } => outcome.executing = Some(at),
                Record::Failed(failure) => outcome.failure = Some(failure),
            }
            rest = tail;
        }
        Ok(outcome)
    }
}

/// What became of a start.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Steps that were done, in order.
    pub steps: Vec<StepTime>,
    /// When the child went for its `execve` (`CLOCK_MONOTONIC`, nanoseconds); `None` if it never got there.
    pub executing: Option<u64>,
    /// What failed.
    pub failure: Option<Failure>,
}

impl Outcome {
    /// The steps if the program runs, otherwise the reason. A child that vanished on the way (killed, out of memory)
    /// is a failure too, with errno 0.
    ///
    /// Call it when the stream ends: the last step, `execute`, is what has passed since the child went for it, with
    /// the loading of its filter.
    pub fn into_result(mut self) -> Result<Vec<StepTime>, Failure> {
        if let Some(at) = self.executing {
            let nanos = clock::monotonic_nanos().saturating_sub(at);
            self.steps.push(StepTime { name: "execute".to_owned(), nanos });
        }
        match (self.failure, self.executing) {
            (Some(failure), _) => Err(failure),
            (None, Some(_)) => Ok(self.steps),
            (None, None) => Err(Failure { step: "launch".to_owned(), object: String::new(), errno: 0 }),
        }
    }
}
