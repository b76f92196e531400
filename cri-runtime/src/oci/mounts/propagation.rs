//! How the host's mounts propagate.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::ResolveError;

const MOUNTINFO: &str = "/proc/self/mountinfo";

/// How one mount propagates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Propagation {
    pub(super) shared: bool,
    pub(super) slave: bool,
}

/// The host's mount table, read at most once and only if it is asked.
#[derive(Debug, Default)]
pub(super) struct Table {
    mounts: Option<Vec<(PathBuf, Propagation)>>,
}

impl Table {
    #[cfg(test)]
    pub(super) fn with(mounts: Vec<(PathBuf, Propagation)>) -> Self {
        Self { mounts: Some(mounts) }
    }

    /// The propagation of the mount that a path without links is on.
    pub(super) fn of(&mut self, path: &Path) -> Result<Propagation, ResolveError> {
        if self.mounts.is_none() {
            let read = fs::read(MOUNTINFO);
            self.mounts =
                Some(parse(&read.map_err(|source| ResolveError::Host { path: MOUNTINFO, source })?));
        }
        let mounts = self.mounts.as_deref().unwrap_or_default();
        // The longest mount point, and of several on one the last: that is the one on top.
        let on = mounts.iter().filter(|(point, _)| path.starts_with(point));
        let found = on.max_by_key(|(point, _)| point.components().count());
        Ok(found.map_or_else(Propagation::default, |(_, propagation)| *propagation))
    }
}

/// proc_pid_mountinfo(5): mount point in the fifth field, tags from the seventh to the dash.
pub(super) fn parse(text: &[u8]) -> Vec<(PathBuf, Propagation)> {
    let mut mounts = Vec::new();
    for line in text.split(|byte| *byte == b'\n') {
        let mut fields = line.split(|byte| *byte == b' ');
        let Some(point) = fields.nth(4) else { continue };
        let mut propagation = Propagation::default();
        for tag in fields.skip(1).take_while(|field| *field != b"-") {
            propagation.shared |= tag.starts_with(b"shared:");
            propagation.slave |= tag.starts_with(b"master:");
        }
        mounts.push((unescape(point), propagation));
    }
    mounts
}

/// Space, tab, newline and backslash are written as three octal digits.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut at = 0;
    while at < field.len() {
        let octal = field.get(at + 1..at + 4).and_then(|digits| std::str::from_utf8(digits).ok());
        let value = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match value {
            Some(value) if field[at] == b'\\' => {
                bytes.push(value);
                at += 4;
            }
            _ => {
                bytes.push(field[at]);
                at += 1;
            }
        }
    }
    PathBuf::from(std::ffi::OsStr::from_bytes(&bytes))
}
