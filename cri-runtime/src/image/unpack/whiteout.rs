//! Removals: the names by which a layer says that something of the layers below is gone (I-24). Pure.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What a name in an archive means.
#[derive(Debug, PartialEq, Eq)]
pub enum Meaning<'a> {
    /// An entry of that name.
    Entry,
    /// This name of the layers below is gone.
    Removed(&'a Path),
    /// Everything the layers below have in this directory is gone.
    Opaque,
    /// Bookkeeping of aufs that nobody reads any more, or a removal of nothing.
    Ignored,
}

/// Reads a file name.
pub fn meaning(name: &OsStr) -> Meaning<'_> {
    match name.as_bytes().strip_prefix(b".wh.") {
        None => Meaning::Entry,
        Some(b".wh..opq") => Meaning::Opaque,
        Some(rest) if rest.starts_with(b".wh.") => Meaning::Ignored,
        Some(b"" | b"." | b"..") => Meaning::Ignored,
        Some(rest) => Meaning::Removed(Path::new(OsStr::from_bytes(rest))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_what_aufs_made_them_mean() {
        let table = [
            ("file", Meaning::Entry),
            (".whatever", Meaning::Entry),
            (".wh.file", Meaning::Removed(Path::new("file"))),
            (".wh..hidden", Meaning::Removed(Path::new(".hidden"))),
            (".wh..wh..opq", Meaning::Opaque),
            (".wh..wh.plnk", Meaning::Ignored),
            (".wh.", Meaning::Ignored),
            (".wh...", Meaning::Ignored),
        ];
        for (name, expected) in table {
            assert_eq!(meaning(OsStr::new(name)), expected, "{name}");
        }
    }
}
