//! The machine the tests run on: where the programs are, and what is missing.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// The folder that `scripts/build` made, from `ORLOP_BIN`; `None` if it is not set, which skips a story aloud.
pub fn programs() -> Option<PathBuf> {
    std::env::var_os("ORLOP_BIN").map(PathBuf::from)
}

/// One program of that folder.
///
/// # Errors
/// `ORLOP_BIN` is not set, or the program is not in it.
pub fn program(name: &str) -> Result<PathBuf> {
    let Some(folder) = programs() else { bail!("find {name}: ORLOP_BIN is not set, scripts/test sets it") };
    let path = folder.join(name);
    if !path.exists() {
        bail!("find {name}: not in {}, run scripts/build", folder.display());
    }
    Ok(path)
}

/// A program somebody else made, from `PEERS_BIN` or `PATH`.
pub fn peer(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::var_os("PEERS_BIN")
        .map(PathBuf::from)
        .into_iter()
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}

/// The repository's folder.
pub fn repository() -> &'static Path {
    // The manifest of this crate is one folder below it.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/"))
}

/// Whether this process is root.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Whether the host has one cgroup tree (v2) with controllers.
pub fn is_cgroup_v2() -> bool {
    std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").is_ok_and(|text| !text.trim().is_empty())
}

/// Whether this story can run here; says aloud why not.
pub fn can_run_stories(story: &str) -> bool {
    let missing = if !is_root() {
        "needs root"
    } else if programs().is_none() {
        "needs ORLOP_BIN (scripts/test sets it)"
    } else {
        return true;
    };
    eprintln!("SKIPPED {story}: {missing}");
    false
}
