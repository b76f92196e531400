//! Network sysctls, of the namespace the calling thread is in.

use std::fs;
use std::io;
use std::path::PathBuf;

/// A sysctl that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("write {value} to {}", path.display())]
pub struct SysctlError {
    path: PathBuf,
    value: &'static str,
    #[source]
    source: io::Error,
}

/// Writes a sysctl below `/proc/sys/net`; does nothing if it has the value already, so that a read-only `/proc/sys`
/// with the right values is no obstacle.
///
/// # Errors
/// [`SysctlError`].
pub fn set(name: &str, value: &'static str) -> Result<(), SysctlError> {
    let path = PathBuf::from("/proc/sys/net").join(name);
    if fs::read(&path).is_ok_and(|current| current.trim_ascii() == value.as_bytes()) {
        return Ok(());
    }
    fs::write(&path, value).map_err(|source| SysctlError { path, value, source })
}

/// Like [`set`], for a sysctl that a kernel may not have (IPv6 switched off at boot, say).
///
/// # Errors
/// [`SysctlError`], but not for a missing file.
pub fn set_if_present(name: &str, value: &'static str) -> Result<(), SysctlError> {
    match set(name, value) {
        Err(error) if error.source.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}
