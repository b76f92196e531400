//! The timeline: every stage of a pod's life, written by the code that does the work.
//!
//! One bounded file per pod, one JSON object per line, kept after the pod is gone and readable after a reboot. `orlop
//! timeline`, events and error messages are views of it. A [`Recorder`] belongs to one pod and is cheap to clone; its
//! entries are held in memory until [`Recorder::flush`], which the owner of the pod calls at the end of each command,
//! so that no stage waits for a disk.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::clock;

mod file;
pub use file::{Found, TimelineError, expire, find};

/// Largest timeline file of one pod, bytes; past it the older half is dropped.
const FILE_MAX: u64 = 256 * 1024;
/// How many files of pods that are gone are kept.
const KEPT_FILES: usize = 256;

/// First line of a timeline file: whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Sandbox id.
    pub sandbox: String,
    /// Pod namespace.
    pub namespace: String,
    /// Pod name.
    pub name: String,
    /// Pod uid.
    pub uid: String,
}

/// One stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Wall clock at its start, nanoseconds since the epoch.
    pub at: i64,
    /// Nanoseconds.
    pub nanos: u64,
    /// What was done.
    pub stage: String,
    /// To what; empty for the pod itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub object: String,
    /// 0 on success.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub errno: i32,
    /// One line; empty on success.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// 1 for a step inside the stage before it.
    #[serde(default, skip_serializing_if = "is_zero_u32")]
    pub depth: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
fn is_zero(value: &i32) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
fn is_zero_u32(value: &u32) -> bool {
    *value == 0
}

/// Writes the timeline of one pod.
#[derive(Debug, Clone)]
pub struct Recorder(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    subject: Subject,
    pending: Mutex<Vec<Entry>>,
    /// Held while a flush writes, so that two of them keep their order.
    writing: Mutex<()>,
}

/// A stage that has begun.
#[derive(Debug)]
pub struct Stage<'a> {
    recorder: &'a Recorder,
    stage: &'a str,
    object: String,
    at: i64,
    since: Instant,
}

impl Recorder {
    /// The recorder of the pod `subject`, in the directory `dir`.
    pub fn new(dir: &Path, subject: Subject) -> Self {
        let path = dir.join(format!("{}.jsonl", subject.sandbox));
        Self(Arc::new(Inner { path, subject, pending: Mutex::default(), writing: Mutex::default() }))
    }

    /// Starts the clock of a stage; [`Stage::end`] records it.
    pub fn begin<'a>(&'a self, stage: &'a str, object: &str) -> Stage<'a> {
        Stage { recorder: self, stage, object: object.to_owned(), at: clock::now(), since: Instant::now() }
    }

    /// Runs `work` as the stage `stage` on `object`.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn stage<T, E: std::error::Error + 'static>(
        &self,
        stage: &str,
        object: &str,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let begun = self.begin(stage, object);
        let result = work();
        begun.end(result.as_ref().err().map(|e| e as _));
        result
    }

    /// Adds an entry that was measured elsewhere.
    pub fn push(&self, entry: Entry) {
        self.0.pending.lock().expect("no panic while holding it").push(entry);
    }

    /// Adds the steps of the stage recorded last; `at` is when the first of them began.
    pub fn steps(&self, object: &str, mut at: i64, steps: impl IntoIterator<Item = (String, Duration)>) {
        for (stage, duration) in steps {
            let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
            let object = object.to_owned();
            self.push(Entry { at, nanos, stage, object, errno: 0, error: String::new(), depth: 1 });
            at = at.saturating_add_unsigned(nanos);
        }
    }

    /// Appends what was recorded since the last flush to the file. Blocks on the disk.
    ///
    /// # Errors
    /// The file cannot be written; the entries are then lost, and the pod is not.
    pub fn flush(&self) -> Result<(), TimelineError> {
        let _order = self.0.writing.lock().expect("no panic while holding it");
        let entries = std::mem::take(&mut *self.0.pending.lock().expect("no panic while holding it"));
        if entries.is_empty() {
            return Ok(());
        }
        file::append(&self.0.path, &self.0.subject, &entries)
    }
}

impl Stage<'_> {
    /// Ends the stage, with its error if it failed.
    pub fn end(self, error: Option<&(dyn std::error::Error + 'static)>) {
        let nanos = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let (errno, error) = error.map_or((0, String::new()), |e| (errno_of(e), crate::error::chain(e)));
        self.recorder.push(Entry {
            at: self.at,
            nanos,
            stage: self.stage.to_owned(),
            object: self.object,
            errno,
            error,
            depth: 0,
        });
    }
}

/// The errno at the root of an error, or 0.
fn errno_of(error: &(dyn std::error::Error + 'static)) -> i32 {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(errno) = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error) {
            return errno;
        }
        next = error.source();
    }
    0
}

#[cfg(test)]
mod tests;
