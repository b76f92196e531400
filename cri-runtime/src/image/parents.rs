//! Directories that a layer needs but does not mention (I-23).
//!
//! Layers are unpacked side by side, so a layer that says `/tmp/x` without saying `/tmp` cannot know that a layer below
//! made `/tmp` with mode 1777; and in an overlay the topmost directory of a name decides the attributes. When the image
//! is put together the right attributes are known: a thin directory tree on top of all layers carries them, made of
//! nothing but those directories and the ones above them. Most images need none.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use kernel::path::{open_beneath, open_dir};
use kernel::tree::entry::{self, Status};

use super::store::PathText;

const DIRECTORY: i32 = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;
const IMPLIED: (u32, u32, u32) = (0o755, 0, 0);
const ACLS: [&std::ffi::CStr; 2] = [c"system.posix_acl_access", c"system.posix_acl_default"];

/// The attributes that count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    mode: u32,
    uid: u32,
    gid: u32,
    modified: (i64, i64),
    acls: Vec<Option<Vec<u8>>>,
}

impl Attributes {
    fn is_implied(&self) -> bool {
        (self.mode, self.uid, self.gid) == IMPLIED && self.acls.iter().all(Option::is_none)
    }
}

/// What one layer says about a path.
enum State {
    /// Nothing, so the layers below decide.
    Absent,
    /// It is needed, but not described. With `true` nothing below counts either.
    Implied(bool),
    /// It is described.
    Described(Attributes),
    /// It is removed, or something else.
    Hidden,
}

/// The directories to make, with their attributes; empty if every layer is right as it is. `layers` are lowest first,
/// each with its implied directories.
pub fn directories(layers: &[(PathBuf, Vec<PathText>)]) -> io::Result<BTreeMap<PathBuf, Attributes>> {
    let implied: Vec<BTreeSet<&Path>> =
        layers.iter().map(|(_, paths)| paths.iter().map(|path| path.0.as_path()).collect()).collect();
    let effective = |path: &Path| -> io::Result<Option<(Attributes, bool)>> {
        let mut was_implied = false;
        for ((layer, _), implied) in layers.iter().zip(&implied).rev() {
            match state(layer, implied, path)? {
                State::Absent => {}
                State::Implied(false) => was_implied = true,
                State::Described(attributes) => return Ok(Some((attributes, was_implied))),
                State::Implied(true) | State::Hidden => return Ok(None),
            }
        }
        Ok(None)
    };
    let mut wanted = BTreeMap::new();
    let paths: BTreeSet<&Path> = implied.iter().flatten().copied().collect();
    for path in paths {
        match effective(path)? {
            Some((attributes, true)) if !attributes.is_implied() => {
                wanted.insert(path.to_owned(), attributes)
            }
            _ => None,
        };
    }
    // The directories above come along, and they too are topmost then.
    for path in wanted.keys().cloned().collect::<Vec<_>>() {
        for above in path.ancestors().skip(1) {
            if !wanted.contains_key(above) {
                let (mode, uid, gid) = IMPLIED;
                let plain = Attributes { mode, uid, gid, modified: (0, 0), acls: vec![None; ACLS.len()] };
                let attributes = effective(above)?.map_or(plain, |(attributes, _)| attributes);
                wanted.insert(above.to_owned(), attributes);
            }
        }
    }
    Ok(wanted)
}

fn state(layer: &Path, implied: &BTreeSet<&Path>, path: &Path) -> io::Result<State> {
    let root = open_dir(layer)?;
    let mut opaque = is_opaque(root.as_fd(), Path::new("."))?;
    let mut walked = PathBuf::new();
    for component in path.components() {
        let above = if walked.as_os_str().is_empty() { PathBuf::from(".") } else { walked.clone() };
        // A link inside the path: the layer means another directory, which is looked at under its own name.
        let Ok(parent) = open_beneath(root.as_fd(), &above, DIRECTORY, 0) else { return Ok(State::Hidden) };
        let name = Path::new(component.as_os_str());
        let status: Status = match entry::status(parent.as_fd(), name) {
            Ok(status) => status,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(if opaque { State::Hidden } else { State::Absent });
            }
            Err(error) => return Err(error),
        };
        if !status.is_directory() {
            return Ok(State::Hidden);
        }
        opaque |= is_opaque(parent.as_fd(), name)?;
        walked.push(name);
    }
    if implied.contains(path) {
        return Ok(State::Implied(opaque));
    }
    let place = if walked.as_os_str().is_empty() { PathBuf::from(".") } else { walked };
    let directory = open_beneath(root.as_fd(), &place, DIRECTORY, 0)?;
    let status = entry::status_of(directory.as_fd())?;
    let acls = ACLS.map(|acl| entry::attribute(directory.as_fd(), Path::new("."), acl));
    Ok(State::Described(Attributes {
        mode: status.mode & 0o7777,
        uid: status.uid,
        gid: status.gid,
        modified: status.modified,
        acls: acls.into_iter().collect::<io::Result<_>>()?,
    }))
}

fn is_opaque(parent: std::os::fd::BorrowedFd<'_>, name: &Path) -> io::Result<bool> {
    Ok(entry::attribute(parent, name, c"trusted.overlay.opaque")?.is_some_and(|value| value == b"y"))
}

/// Makes the directories inside the empty directory `root`.
pub fn make(root: &Path, directories: &BTreeMap<PathBuf, Attributes>) -> io::Result<()> {
    let root = open_dir(root)?;
    let place = |path: &Path| {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        open_beneath(root.as_fd(), path, DIRECTORY, 0)
    };
    // Parents sort before their children; times are set afterwards, from the bottom up.
    for (path, attributes) in directories {
        if let (Some(name), Some(above)) = (path.file_name(), path.parent()) {
            entry::mkdir(place(above)?.as_fd(), Path::new(name), 0o700)?;
        }
        let directory = place(path)?;
        let this = Path::new(".");
        entry::chown(directory.as_fd(), this, attributes.uid, attributes.gid)?;
        entry::chmod(directory.as_fd(), this, attributes.mode)?;
        for (acl, value) in ACLS.iter().zip(&attributes.acls) {
            if let Some(value) = value {
                entry::set_attribute(directory.as_fd(), this, acl, value)?;
            }
        }
    }
    for (path, attributes) in directories.iter().rev() {
        entry::set_modified(place(path)?.as_fd(), Path::new("."), attributes.modified)?;
    }
    Ok(())
}
