//! The directories of a daemon: made at its start, and removed by one that leaves nothing behind. What is in them belongs
//! to others; here nothing but directories, locks and sockets is ever touched.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::config::Config;

const LOCK: &str = "lock";

/// Makes the directories and takes the locks that keep a second daemon out (RC-16).
///
/// # Errors
/// If one cannot be made, or another daemon runs there.
pub fn prepare(config: &Config) -> Result<Vec<File>> {
    let mut locks = Vec::new();
    for dir in [&config.root, &config.state] {
        fs::create_dir_all(dir).with_context(|| format!("make directory {}", dir.display()))?;
        // Nobody but root looks into containers' layers and records.
        fs::set_permissions(dir, fs::Permissions::from_mode(0o711))
            .with_context(|| format!("set mode of {}", dir.display()))?;
        locks.push(lock(dir)?);
    }
    let private = [config.timelines(), config.records(), config.exits(), config.root.join("containers")];
    for dir in private {
        fs::create_dir_all(&dir).with_context(|| format!("make directory {}", dir.display()))?;
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))
            .with_context(|| format!("set mode of {}", dir.display()))?;
    }
    Ok(locks)
}

fn lock(dir: &Path) -> Result<File> {
    let path = dir.join(LOCK);
    match kernel::file::try_lock(&path).with_context(|| format!("lock {}", path.display()))? {
        Some(mut file) => {
            file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()))?;
            Ok(file)
        }
        None => {
            let holder = fs::read_to_string(&path).unwrap_or_default();
            bail!("lock {}: cri-runtime with pid {} runs there already", path.display(), holder.trim())
        }
    }
}

/// Removes sockets, locks and the supervisor's log, and every directory in which nothing is kept. For a daemon without
/// pods that is about to end; what is there of images stays whole unless there are `no_images`.
///
/// # Errors
/// If something that is to go cannot be removed.
pub fn remove_empty(config: &Config, no_images: bool) -> Result<()> {
    for socket in [&config.socket, &config.supervisor_socket()] {
        remove(socket, |path| fs::remove_file(path))?;
    }
    // The supervisor has ended in order: nobody will ask what it said.
    remove(&config.supervisor_log(), |path| fs::remove_file(path))?;
    prune(&config.state, usize::MAX)?;
    // Not deeper than this: an empty directory inside a layer is part of an image.
    for name in ["containers", "timelines", "trash"] {
        prune(&config.root.join(name), 0)?;
    }
    if no_images {
        prune(&config.root.join("images/records"), 1)?;
        prune(&config.root.join("images"), 1)?;
    }
    prune(&config.root, 0)
}

/// Removes a directory that has nothing in it but its lock, after having done so with those in it, `depth` levels down.
fn prune(dir: &Path, depth: usize) -> Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.with_context(|| format!("list {}", dir.display()))?,
    };
    if depth > 0 {
        for entry in entries {
            let entry = entry.with_context(|| format!("list {}", dir.display()))?;
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                prune(&entry.path(), depth - 1)?;
            }
        }
    }
    let left = fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))?;
    if left.flatten().any(|entry| entry.file_name() != LOCK) {
        return Ok(());
    }
    remove(&dir.join(LOCK), |path| fs::remove_file(path))?;
    match fs::remove_dir(dir) {
        // Somebody puts something into it: a parent that is not ours alone, another daemon that starts.
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        // Nothing of ours is in a directory that something is mounted on.
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Ok(()),
        removed => removed.with_context(|| format!("remove {}", dir.display())),
    }
}

fn remove(path: &Path, how: impl FnOnce(&Path) -> io::Result<()>) -> Result<()> {
    match how(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.with_context(|| format!("remove {}", path.display())),
    }
}

#[cfg(test)]
mod tests;
