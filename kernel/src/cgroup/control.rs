//! Reading and writing control files.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::{Error, Result};

/// Longest control file read, bytes. `cgroup.procs` of a group with a hundred thousand processes fits.
const READ_MAX: u64 = 4 << 20;

/// Writes a control file, which must exist: a missing file means a missing controller, and creating it would hide that.
pub(super) fn write(path: &Path, value: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).truncate(true).open(path)?;
    // One write call is one value: the kernel parses each call by itself. A write of no bytes never reaches the
    // control file's handler, so an empty value (an empty cpuset) is a newline.
    let bytes = if value.is_empty() { b"\n".as_slice() } else { value.as_bytes() };
    match file.write(bytes)? {
        written if written == bytes.len() => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}

/// Reads a control file, without the final newline.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(READ_MAX).read_to_string(&mut text)?;
    text.truncate(text.trim_end().len());
    Ok(text)
}

/// Like [`read`], with the file's name in the error.
pub(super) fn read_named(path: &Path) -> Result<String> {
    read(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

/// Like [`read_named`], or `None` if there is no such file or group (the controller is off, or the group has gone).
pub(super) fn read_if_present(path: &Path) -> Result<Option<String>> {
    match read(path) {
        Ok(text) => Ok(Some(text)),
        Err(source) if is_absent(&source) => Ok(None),
        Err(source) => Err(Error::Read { path: path.to_owned(), source }),
    }
}

/// A control file that holds one number, or `max`.
pub(super) fn number(path: &Path) -> Result<Option<u64>> {
    let Some(text) = read_if_present(path)? else { return Ok(None) };
    if text == "max" {
        return Ok(Some(u64::MAX));
    }
    text.parse().map(Some).map_err(|_| unexpected(path, &text))
}

/// The value of `key` in a file of `key value` lines.
pub(super) fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// The error for a file that does not hold what it should.
pub(super) fn unexpected(path: &Path, text: &str) -> Error {
    Error::Content { path: path.to_owned(), content: text.chars().take(80).collect() }
}

/// Child groups of a group; empty if the group is gone.
pub(super) fn children(dir: &Path) -> Result<Vec<PathBuf>> {
    let named = |source| Error::Read { path: dir.to_owned(), source };
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(source) if is_absent(&source) => return Ok(Vec::new()),
        Err(source) => return Err(named(source)),
    };
    let mut found: Vec<OsString> = Vec::new();
    for entry in entries {
        let entry = entry.map_err(named)?;
        // d_type of cgroup file systems is always set; a symbolic link cannot exist there.
        if entry.file_type().map_err(named)?.is_dir() {
            found.push(entry.file_name());
        }
    }
    Ok(found.into_iter().map(|name| dir.join(name)).collect())
}

/// Whether the error means that the file or its group does not exist. ENODEV is what an open file of a group says
/// once the group has been removed.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV | libc::ENOTDIR))
}
