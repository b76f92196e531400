//! The file of one timeline: appended to, bounded, and found again by pod name.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{Entry, FILE_MAX, KEPT_FILES, Subject};

/// Why a timeline cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[error("{operation} timeline {}", path.display())]
pub struct TimelineError {
    operation: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// A timeline read back.
#[derive(Debug)]
pub struct Found {
    /// Whose it is.
    pub subject: Subject,
    /// Oldest first.
    pub entries: Vec<Entry>,
}

fn line(value: &impl serde::Serialize, into: &mut Vec<u8>) -> io::Result<()> {
    serde_json::to_writer(&mut *into, value)?;
    into.push(b'\n');
    Ok(())
}

pub(super) fn append(path: &Path, subject: &Subject, entries: &[Entry]) -> Result<(), TimelineError> {
    let fail = |operation| move |source| TimelineError { operation, path: path.to_owned(), source };
    let mut file = OpenOptions::new().append(true).create(true).open(path).map_err(fail("open"))?;
    let size = file.metadata().map_err(fail("read size of"))?.len();
    let mut text = Vec::with_capacity(entries.len() * 128);
    if size == 0 {
        line(subject, &mut text).map_err(fail("encode"))?;
    }
    for entry in entries {
        line(entry, &mut text).map_err(fail("encode"))?;
    }
    file.write_all(&text).map_err(fail("append to"))?;
    if size + text.len() as u64 > FILE_MAX {
        halve(path).map_err(fail("shorten"))?;
    }
    Ok(())
}

/// Drops the older half of the entries; the first line stays.
fn halve(path: &Path) -> io::Result<()> {
    let text = fs::read(path)?;
    let head = text.iter().position(|b| *b == b'\n').map_or(0, |i| i + 1);
    let middle = head + (text.len() - head) / 2;
    let tail = text[middle..].iter().position(|b| *b == b'\n').map_or(text.len(), |i| middle + i + 1);
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(&text[..head])?;
    file.write_all(&text[tail..])?;
    fs::rename(&temporary, path)
}

/// Reads a timeline. Lines that cannot be read (the last one, torn by a power cut) are passed over.
fn read(path: &Path) -> io::Result<Option<Found>> {
    let mut lines = BufReader::new(File::open(path)?).split(b'\n');
    let Some(first) = lines.next().transpose()? else { return Ok(None) };
    let Ok(subject) = serde_json::from_slice(&first) else { return Ok(None) };
    let mut entries = Vec::new();
    for line in lines {
        if let Ok(entry) = serde_json::from_slice(&line?) {
            entries.push(entry);
        }
    }
    Ok(Some(Found { subject, entries }))
}

fn subject(path: &Path) -> Option<Subject> {
    let mut first = Vec::new();
    BufReader::new(File::open(path).ok()?).read_until(b'\n', &mut first).ok()?;
    serde_json::from_slice(&first).ok()
}

/// Timeline files of `dir` with the time of their last entry, newest first.
fn files(dir: &Path) -> io::Result<Vec<(SystemTime, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|e| e == "jsonl") {
            // A file that goes away meanwhile is simply not listed.
            if let Ok(changed) = entry.metadata().and_then(|m| m.modified()) {
                files.push((changed, entry.path()));
            }
        }
    }
    files.sort_by(|a, b| b.cmp(a));
    Ok(files)
}

/// The newest timeline of the pod that `query` names: a sandbox id or a prefix of one, `namespace/name`, or `name`.
///
/// # Errors
/// The directory or the file cannot be read.
pub fn find(dir: &Path, query: &str) -> Result<Option<Found>, TimelineError> {
    let fail = |path: &Path| {
        let path = path.to_owned();
        move |source| TimelineError { operation: "read", path, source }
    };
    for (_, path) in files(dir).map_err(fail(dir))? {
        let Some(subject) = subject(&path) else { continue };
        let named = match query.split_once('/') {
            Some((namespace, name)) => subject.namespace == namespace && subject.name == name,
            None => subject.name == query || (!query.is_empty() && subject.sandbox.starts_with(query)),
        };
        if named {
            return read(&path).map_err(fail(&path));
        }
    }
    Ok(None)
}

/// Removes the oldest files of pods that `alive` does not know, so that at most a fixed number stays.
///
/// # Errors
/// The directory cannot be read or a file cannot be removed.
pub fn expire(dir: &Path, alive: impl Fn(&str) -> bool) -> Result<(), TimelineError> {
    let fail = |operation, path: &Path| {
        let path = path.to_owned();
        move |source| TimelineError { operation, path, source }
    };
    let gone = |path: &Path| path.file_stem().and_then(|s| s.to_str()).is_none_or(|id| !alive(id));
    let files = files(dir).map_err(fail("list", dir))?;
    for (_, path) in files.iter().filter(|(_, path)| gone(path)).skip(KEPT_FILES) {
        fs::remove_file(path).map_err(fail("remove", path))?;
    }
    Ok(())
}
