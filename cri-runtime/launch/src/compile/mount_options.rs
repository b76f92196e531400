//! Mount options as OCI spells them, to flags of the kernel.

use kernel::mount::{attribute, propagation};

use super::need::Change;

/// What one option means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// Set and clear `MOUNT_ATTR_*` flags of the mount.
    Attribute(Change),
    /// The same for all mounts of a recursive bind (`mount_setattr(2)`, `AT_RECURSIVE`).
    Recursive(Change),
    /// Propagation, of all mounts of a recursive bind whether it is spelled with an r or not: a clone is a peer of the
    /// host's mount until it is told otherwise, and one below that nobody named must not stay one.
    Propagation(u64),
    /// Bind mount, and whether with all mounts below.
    Bind(bool),
    /// The kernel's default anyway.
    Nothing,
}

const fn set(flag: u64) -> Change {
    Change { set: flag, clear: 0 }
}

const fn clear(flag: u64) -> Change {
    Change { set: 0, clear: flag }
}

/// Access time is one choice of three: going back to the default is clearing the mask.
const DEFAULT_ATIME: Change = clear(attribute::ATIME);

const ATTRIBUTES: [(&str, Change); 20] = [
    ("ro", set(attribute::RDONLY)),
    ("rw", clear(attribute::RDONLY)),
    ("nosuid", set(attribute::NOSUID)),
    ("suid", clear(attribute::NOSUID)),
    ("nodev", set(attribute::NODEV)),
    ("dev", clear(attribute::NODEV)),
    ("noexec", set(attribute::NOEXEC)),
    ("exec", clear(attribute::NOEXEC)),
    ("noatime", set(attribute::NOATIME)),
    ("atime", DEFAULT_ATIME),
    ("strictatime", set(attribute::STRICTATIME)),
    ("nostrictatime", DEFAULT_ATIME),
    ("relatime", DEFAULT_ATIME),
    ("norelatime", DEFAULT_ATIME),
    ("nodiratime", set(attribute::NODIRATIME)),
    ("diratime", clear(attribute::NODIRATIME)),
    ("nosymfollow", set(attribute::NOSYMFOLLOW)),
    ("symfollow", clear(attribute::NOSYMFOLLOW)),
    ("defaults", clear(0)),
    ("async", clear(0)),
];

const PROPAGATIONS: [(&str, u64); 4] = [
    ("private", propagation::PRIVATE),
    ("slave", propagation::SLAVE),
    ("shared", propagation::SHARED),
    ("unbindable", propagation::UNBINDABLE),
];

/// Options that have a meaning for some runtime or for `mount(8)`, and none here: they must not end up as options of
/// a filesystem, where some would be accepted silently.
const REFUSED: [&str; 10] =
    ["remount", "tmpcopyup", "idmap", "ridmap", "mand", "nomand", "iversion", "noiversion", "acl", "noacl"];

fn meaning(option: &str) -> Option<Meaning> {
    match option {
        "bind" => return Some(Meaning::Bind(false)),
        "rbind" => return Some(Meaning::Bind(true)),
        _ => {}
    }
    if let Some((_, change)) = ATTRIBUTES.iter().find(|(name, _)| *name == option) {
        return Some(if change.is_empty() { Meaning::Nothing } else { Meaning::Attribute(*change) });
    }
    if let Some((_, kind)) = PROPAGATIONS.iter().find(|(name, _)| *name == option) {
        return Some(Meaning::Propagation(*kind));
    }
    // "ro" and "rw" begin with r themselves and are found above; "relatime" likewise.
    let recursive = option.strip_prefix('r')?;
    if let Some((_, kind)) = PROPAGATIONS.iter().find(|(name, _)| *name == recursive) {
        return Some(Meaning::Propagation(*kind));
    }
    let (_, change) = ATTRIBUTES.iter().find(|(name, change)| *name == recursive && !change.is_empty())?;
    Some(Meaning::Recursive(*change))
}

/// What a list of options adds up to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct MountOptions {
    /// `Some(recursive)` for a bind mount.
    pub(super) bind: Option<bool>,
    /// Flags of the mount.
    pub(super) attributes: Change,
    /// Flags of all mounts.
    pub(super) recursive_attributes: Change,
    /// Propagation.
    pub(super) propagation: Option<u64>,
    /// Options of the filesystem.
    pub(super) data: Vec<String>,
}

/// Reads a list of options; the last of contradicting ones counts. Returns the one that is refused, if any.
pub(super) fn parse(options: &[String]) -> Result<MountOptions, String> {
    let mut parsed = MountOptions::default();
    for option in options {
        match meaning(option) {
            Some(Meaning::Attribute(change)) => apply(&mut parsed.attributes, change),
            Some(Meaning::Recursive(change)) => apply(&mut parsed.recursive_attributes, change),
            Some(Meaning::Propagation(kind)) => parsed.propagation = Some(kind),
            Some(Meaning::Bind(recursive)) => parsed.bind = Some(recursive || parsed.bind == Some(true)),
            Some(Meaning::Nothing) => {}
            None if REFUSED.contains(&option.as_str()) => return Err(option.clone()),
            None => parsed.data.push(option.clone()),
        }
    }
    Ok(parsed)
}

fn apply(sum: &mut Change, change: Change) {
    let atime = if (change.set | change.clear) & attribute::ATIME != 0 { attribute::ATIME } else { 0 };
    sum.set = (sum.set & !(change.clear | atime)) | change.set;
    sum.clear = (sum.clear & !change.set) | change.clear | atime;
}

#[cfg(test)]
mod tests;
