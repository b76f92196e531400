//! What is wrong with a manifest, and where.

use std::fmt;

use super::Path;

/// A place in the text; line and column count from one, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Position {
    /// The first character of the file, for problems of the whole.
    pub const START: Self = Self { line: 1, column: 1 };
}

/// One mistake, before it is known in which file it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// `None` only inside the decoder, until the layer that knows the node fills it in.
    pub at: Option<Position>,
    pub path: String,
    pub what: String,
    pub nearest: Option<String>,
}

impl Problem {
    pub fn new(at: Position, path: &Path, what: impl Into<String>) -> Self {
        Self { at: Some(at), path: path.to_string(), what: what.into(), nearest: None }
    }

    /// Adds the known name nearest to `wrong`, if one is near enough to be a slip of the finger.
    pub fn with_nearest<'a>(mut self, wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        self.nearest = nearest(wrong, known).map(str::to_owned);
        self
    }
}

/// The known name nearest to `wrong`. A third of its letters may differ; case and `_`/`-` count for nothing, since
/// `hostpath` and `host_path` are the same slip.
pub(super) fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let fold = |name: &str| name.to_lowercase().replace(['_', '-'], "");
    let folded = fold(wrong);
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&folded, &fold(name)), name))
        .min()
        .filter(|(distance, name)| *distance <= name.len().max(3) / 3)
        .map(|(_, name)| name)
}

/// Why a manifest was refused: `file:line:column: path: what; did you mean "name"?`, always one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ManifestError {
    /// The file as the caller named it.
    pub file: String,
    /// Where the mistake begins.
    pub position: Position,
    /// The field, `spec.containers[0].image`; empty when the file as a whole is meant.
    pub path: String,
    /// What is wrong with it.
    pub what: String,
    /// The known name that was probably meant.
    pub nearest: Option<String>,
}

impl ManifestError {
    pub(super) fn new(file: &str, problem: Problem) -> Self {
        Self {
            file: file.to_owned(),
            position: problem.at.unwrap_or(Position::START),
            path: problem.path,
            // A value of the file may be quoted in the message and may hold line breaks; the message is one line.
            what: problem.what.replace('\n', "\\n").replace('\r', "\\r"),
            nearest: problem.nearest,
        }
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.position.line, self.position.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.what)?;
        match &self.nearest {
            Some(name) => write!(f, "; did you mean \"{name}\"?"),
            None => Ok(()),
        }
    }
}
