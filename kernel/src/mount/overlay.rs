//! Overlay mounts as descriptors, on kernels old and new.
//!
//! Since Linux 6.7 each lower directory is one `fsconfig` option (`lowerdir+`). Before, all of them are one option of
//! at most 255 bytes, or `mount(2)` with one page: too short for long paths. There the mount is made with paths
//! relative to the lower directories' common parent, by a thread with a mount namespace of its own, and taken out of
//! it as a detached clone.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Builder, c_path, checked, make_private, mount, open_tree_clone};

/// Set once this kernel has proven to know only the old way. Asking again would cost each mount another line in the
/// kernel's log.
static OLD_WAY: AtomicBool = AtomicBool::new(false);

/// Overlay of `lower`, top first, with `upper` and `work` on one filesystem for changes, as a detached private mount.
///
/// `index` and `metacopy` are off whatever the kernel's defaults are: an index would tie the upper directory to the
/// inodes of its layers, which a re-pulled image does not keep, and a metadata-only copy lets who can write to a lower
/// layer change what the upper one shows. `xino` stays the kernel's choice.
pub fn overlay(lower: &[PathBuf], upper: &Path, work: &Path) -> io::Result<OwnedFd> {
    if lower.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "an overlay needs a lower directory"));
    }
    if OLD_WAY.load(Ordering::Relaxed) || !fit_options(lower, upper, work) {
        return by_path(lower, upper, work);
    }
    match by_descriptor(lower, upper, work) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            // Linux 6.5 and 6.6 refuse the option; before, every option is taken and the mount refused. What is wrong
            // for another reason is wrong the old way too.
            let mount = by_path(lower, upper, work)?;
            OLD_WAY.store(true, Ordering::Relaxed);
            Ok(mount)
        }
        result => result,
    }
}

/// Whether no path is too long for an option of `fsconfig(2)`.
fn fit_options(lower: &[PathBuf], upper: &Path, work: &Path) -> bool {
    const OPTION_MAX: usize = 255;
    let mut paths = lower.iter().map(PathBuf::as_path).chain([upper, work]);
    paths.all(|path| path.as_os_str().len() <= OPTION_MAX)
}

fn by_descriptor(lower: &[PathBuf], upper: &Path, work: &Path) -> io::Result<OwnedFd> {
    let builder = Builder::new("overlay")?;
    builder.option("source", b"overlay")?;
    for directory in lower {
        builder.option("lowerdir+", directory.as_os_str().as_bytes())?;
    }
    // These are escaped like the option string of mount(2); `lowerdir+` is not.
    builder.option("upperdir", &escaped(upper.as_os_str().as_bytes(), false))?;
    builder.option("workdir", &escaped(work.as_os_str().as_bytes(), false))?;
    builder.option("index", b"off")?;
    builder.option("metacopy", b"off")?;
    builder.mount(0)
}

fn by_path(lower: &[PathBuf], upper: &Path, work: &Path) -> io::Result<OwnedFd> {
    let base = common_parent(lower, upper, work)?;
    let options = options(&base, lower, upper, work);
    let target = upper.to_owned();
    // The mount namespace and the working directory are changed: only a thread that ends afterwards may do that.
    let thread = std::thread::Builder::new().name("overlay".to_owned());
    let mounting = thread.spawn(move || {
        // SAFETY: no pointers are passed; without CLONE_FS the working directory would be shared with other threads.
        checked(libc::c_long::from(unsafe { libc::unshare(libc::CLONE_NEWNS | libc::CLONE_FS) }))?;
        make_private(Path::new("/"), true)?;
        let directory = c_path(&base)?;
        // SAFETY: directory is a terminated string.
        checked(libc::c_long::from(unsafe { libc::chdir(directory.as_ptr()) }))?;
        // Mounted over its own upper directory, which exists and is never `/`; in this namespace only, which ends with
        // the thread.
        mount(Path::new("overlay"), &target, "overlay", 0, &options)?;
        open_tree_clone(&target, false)
    })?;
    mounting.join().map_err(|_| io::Error::other("the overlay thread panicked"))?
}

/// The longest directory above all of them. All paths must be absolute.
fn common_parent(lower: &[PathBuf], upper: &Path, work: &Path) -> io::Result<PathBuf> {
    let mut base = upper.to_owned();
    for path in lower.iter().map(PathBuf::as_path).chain([upper, work]) {
        if !path.is_absolute() || path.components().any(|component| component == Component::ParentDir) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("overlay directory {} is not an absolute path without `..`", path.display()),
            ));
        }
        while !path.starts_with(&base) || path == base {
            if !base.pop() {
                return Err(io::Error::from_raw_os_error(libc::EINVAL));
            }
        }
    }
    Ok(base)
}

fn options(base: &Path, lower: &[PathBuf], upper: &Path, work: &Path) -> Vec<u8> {
    let relative = |path: &Path, colon: bool| {
        let path = path.strip_prefix(base).unwrap_or(path);
        escaped(path.as_os_str().as_bytes(), colon)
    };
    let lower: Vec<Vec<u8>> = lower.iter().map(|path| relative(path, true)).collect();
    let mut options = OsString::from("index=off,metacopy=off,lowerdir=").into_vec();
    options.extend(lower.join(&b':'));
    options.extend_from_slice(b",upperdir=");
    options.extend(relative(upper, false));
    options.extend_from_slice(b",workdir=");
    options.extend(relative(work, false));
    options
}

/// A path in an option of overlayfs: comma and backslash are escaped, and the colon that separates lower directories.
fn escaped(path: &[u8], colon: bool) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(path.len());
    for &byte in path {
        if byte == b'\\' || byte == b',' || (colon && byte == b':') {
            escaped.push(b'\\');
        }
        escaped.push(byte);
    }
    escaped
}

#[cfg(test)]
mod tests;
