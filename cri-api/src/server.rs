//! The server's end of the socket.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;

/// Why the socket cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {}", path.display())]
pub struct ListenError {
    operation: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Binds a Unix socket of mode 0660 at `path`, replacing one that is there.
///
/// It is bound under a temporary name and renamed: a stale socket never blocks a start, and nobody finds a socket
/// that is not listening (G-01). The directory is created if it is missing.
///
/// # Errors
/// The operation that failed, and on which path.
pub fn listen(path: &Path) -> Result<UnixListenerStream, ListenError> {
    let fail = |operation, path: &Path| {
        let path = path.to_owned();
        move |source| ListenError { operation, path, source }
    };
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(fail("create directory", parent))?;
    }
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}", std::process::id()));
    let temporary = PathBuf::from(temporary);
    match std::fs::remove_file(&temporary) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(fail("remove", &temporary)(e)),
        _ => {}
    }
    let listener = UnixListener::bind(&temporary).map_err(fail("bind", &temporary))?;
    std::fs::set_permissions(&temporary, std::fs::Permissions::from_mode(0o660))
        .map_err(fail("set mode of", &temporary))?;
    std::fs::rename(&temporary, path).map_err(fail("rename socket to", path))?;
    Ok(UnixListenerStream::new(listener))
}
