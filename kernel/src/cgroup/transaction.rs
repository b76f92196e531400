//! Several writes that happen all or not at all.

use std::io;
use std::path::PathBuf;

use super::control;
use super::{Error, Result};

/// One value for one control file of a group, before it is known where the file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Write {
    /// Controller the file belongs to.
    pub(super) controller: String,
    /// Name of the file.
    pub(super) file: String,
    /// What to write.
    pub(super) value: String,
    /// Whether a host without the file is no error.
    pub(super) optional: bool,
}

impl Write {
    pub(super) fn new(controller: &str, file: impl Into<String>, value: impl ToString) -> Self {
        Self {
            controller: controller.to_owned(),
            file: file.into(),
            value: value.to_string(),
            optional: false,
        }
    }

    pub(super) fn optional(self) -> Self {
        Self { optional: true, ..self }
    }
}

/// A value and the file it goes to.
#[derive(Debug)]
pub(super) struct Located {
    pub(super) path: PathBuf,
    pub(super) value: String,
}

/// Writes all values in order. If one is refused, the files before it get back what they held, last first, because
/// the order that is right for a change (memory before memory and swap, or after) is right backwards for its undoing.
pub(super) fn run(writes: &[Located]) -> Result<()> {
    let mut done: Vec<(PathBuf, String)> = Vec::with_capacity(writes.len());
    for Located { path, value } in writes {
        match control::read(path).and_then(|former| control::write(path, value).map(|()| former)) {
            Ok(former) => done.push((path.clone(), former)),
            Err(source) => return Err(undo(done, path.clone(), value.clone(), source)),
        }
    }
    Ok(())
}

fn undo(done: Vec<(PathBuf, String)>, path: PathBuf, value: String, source: io::Error) -> Error {
    let unrestored: Vec<PathBuf> = done
        .into_iter()
        .rev()
        .filter_map(|(path, former)| control::write(&path, &former).is_err().then_some(path))
        .collect();
    if unrestored.is_empty() {
        Error::Write { path, value, source }
    } else {
        Error::Restore { path, unrestored, source }
    }
}

#[cfg(test)]
mod tests;
