//! `process.user`: ids and names, looked up in the image and nowhere else (F-60, F-61).
//!
//! The image's `/etc/passwd` and `/etc/group` were written by a stranger. They are resolved inside the root, opened
//! without waiting for whoever would be at the other end of a FIFO, must be regular files, and are read line by line
//! up to a limit (CVE-2026-47262).

use std::collections::BTreeSet;
use std::io::{self, BufRead, Read};
use std::os::fd::BorrowedFd;
use std::path::Path;

use cri_api::v1::{LinuxContainerSecurityContext, SupplementalGroupsPolicy};

use super::ResolveError;

/// Largest user database read, bytes.
const DATABASE_MAX: u64 = 10 << 20;
/// Longest line of it, bytes; a longer one is no entry.
const LINE_MAX: usize = 64 << 10;
const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// Who a container's process is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResolvedUser {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// All groups set on the process, the primary one first: one that is missing here could be shed by a program that
    /// changes its group, and with it what the group is denied (CVE-2022-36109).
    pub groups: Vec<u32>,
    /// Home directory from the image, if it knows the user.
    pub home: Option<String>,
}

/// An id from a signed field.
///
/// # Errors
/// Negative, or beyond what a process can have: 4294967295 means "unchanged" to the kernel, so that the container
/// would stay root (CVE-2024-40635).
pub(super) fn id(field: &'static str, value: i64) -> Result<u32, ResolveError> {
    u32::try_from(value)
        .ok()
        .filter(|id| *id != u32::MAX)
        .ok_or_else(|| ResolveError::invalid(field, value, "an id is 0 to 4294967294"))
}

/// Resolves the user of a container.
///
/// # Errors
/// An id out of range, a name the image does not know, a group without a user, a database that cannot be read.
pub(super) fn resolve(
    security: &LinuxContainerSecurityContext,
    image_user: &str,
    rootfs: BorrowedFd<'_>,
) -> Result<ResolvedUser, ResolveError> {
    resolve_in(security, image_user, &Image(rootfs))
}

/// What a user can be looked up in.
pub(super) trait Databases {
    /// The lines of `/etc/passwd`, split at colons; none if there is no such file.
    fn passwd(&self) -> Result<Vec<PasswdEntry>, ResolveError>;
    /// The same for `/etc/group`.
    fn group(&self) -> Result<Vec<GroupEntry>, ResolveError>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PasswdEntry {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GroupEntry {
    name: String,
    gid: u32,
    members: Vec<String>,
}

/// A user or group as it is asked for.
enum Wanted<'a> {
    Id(u32),
    Name(&'a str),
}

pub(super) fn resolve_in(
    security: &LinuxContainerSecurityContext,
    image_user: &str,
    image: &impl Databases,
) -> Result<ResolvedUser, ResolveError> {
    let group = security.run_as_group.as_ref().map(|group| id("run_as_group", group.value)).transpose()?;
    let (user, group) = match (&security.run_as_user, security.run_as_username.as_str()) {
        (Some(user), _) => (Wanted::Id(id("run_as_user", user.value)?), group.map(Wanted::Id)),
        (None, "") => match group {
            Some(group) => {
                return Err(ResolveError::invalid(
                    "run_as_group",
                    group,
                    "it needs run_as_user or run_as_username",
                ));
            }
            None => split(image_user)?,
        },
        (None, name) => (wanted("run_as_username", name)?, group.map(Wanted::Id)),
    };
    let entries = image.passwd()?;
    let (uid, entry) = match user {
        Wanted::Id(uid) => (uid, entries.iter().find(|entry| entry.uid == uid)),
        Wanted::Name(name) => {
            let entry = entries.iter().find(|entry| entry.name == name);
            let entry = entry.ok_or_else(|| unknown("user", name, PASSWD))?;
            (entry.uid, Some(entry))
        }
    };
    let strict = security.supplemental_groups_policy == i32::from(SupplementalGroupsPolicy::Strict);
    let by_name = matches!(group, Some(Wanted::Name(_)));
    let groups = if by_name || (!strict && entry.is_some()) { image.group()? } else { Vec::new() };
    let gid = match group {
        Some(Wanted::Id(gid)) => gid,
        Some(Wanted::Name(name)) => {
            let entry = groups.iter().find(|entry| entry.name == name);
            entry.ok_or_else(|| unknown("group", name, GROUP))?.gid
        }
        None => entry.map_or(0, |entry| entry.gid),
    };
    let mut further = BTreeSet::new();
    for group in &security.supplemental_groups {
        further.insert(id("supplemental_groups", *group)?);
    }
    if let (false, Some(entry)) = (strict, entry) {
        let member = |group: &&GroupEntry| group.members.contains(&entry.name);
        further.extend(groups.iter().filter(member).map(|group| group.gid));
    }
    further.remove(&gid);
    let groups = std::iter::once(gid).chain(further).collect();
    Ok(ResolvedUser { uid, gid, groups, home: entry.map(|entry| entry.home.clone()) })
}

/// `USER` of an image: `user`, `user:group`, each a name or a number; empty is root.
fn split(text: &str) -> Result<(Wanted<'_>, Option<Wanted<'_>>), ResolveError> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (text, None),
    };
    let user = if user.is_empty() { Wanted::Id(0) } else { wanted("image user", user)? };
    Ok((user, group.map(|group| wanted("image group", group)).transpose()?))
}

/// Digits are an id, also where a name of digits exists: a number that means somebody else would be a trap.
fn wanted<'a>(field: &'static str, text: &'a str) -> Result<Wanted<'a>, ResolveError> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(Wanted::Name(text));
    }
    let number = text.parse().map_err(|_| ResolveError::invalid(field, text, "an id is 0 to 4294967294"))?;
    id(field, number).map(Wanted::Id)
}

fn unknown(kind: &'static str, name: &str, file: &'static str) -> ResolveError {
    ResolveError::UnknownName { kind, name: name.to_owned(), file }
}

/// The databases of a root filesystem.
struct Image<'a>(BorrowedFd<'a>);

impl Databases for Image<'_> {
    fn passwd(&self) -> Result<Vec<PasswdEntry>, ResolveError> {
        read(self.0, PASSWD, passwd_entry)
    }

    fn group(&self) -> Result<Vec<GroupEntry>, ResolveError> {
        read(self.0, GROUP, group_entry)
    }
}

fn read<T>(
    rootfs: BorrowedFd<'_>,
    file: &'static str,
    parse: fn(&str) -> Option<T>,
) -> Result<Vec<T>, ResolveError> {
    let failed = |source| ResolveError::Database { file, source };
    let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY;
    let opened = match kernel::path::open_in_root(rootfs, Path::new(file), flags, 0) {
        Ok(opened) => std::fs::File::from(opened),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => {
            return Ok(Vec::new());
        }
        Err(source) => return Err(failed(source)),
    };
    let metadata = opened.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(io::Error::other("not a regular file")));
    }
    if metadata.len() > DATABASE_MAX {
        return Err(failed(io::Error::other(format!("larger than {DATABASE_MAX} bytes"))));
    }
    entries(io::BufReader::new(opened.take(DATABASE_MAX)), parse).map_err(failed)
}

/// Entries line by line; what is no entry is passed over, as C libraries do.
fn entries<T>(mut reader: impl BufRead, parse: fn(&str) -> Option<T>) -> io::Result<Vec<T>> {
    let mut found = Vec::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(found);
        }
        if line.len() <= LINE_MAX {
            found.extend(
                std::str::from_utf8(&line).ok().and_then(|text| parse(text.trim_end_matches(['\n', '\r']))),
            );
        }
    }
}

/// `name:password:uid:gid:comment:home:shell`.
fn passwd_entry(line: &str) -> Option<PasswdEntry> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, uid, gid, rest @ ..] = fields.as_slice() else { return None };
    let home = rest.get(1).copied().unwrap_or_default();
    if name.is_empty() || name.starts_with('#') || home.contains('\0') {
        return None;
    }
    let number = |text: &str| text.parse::<u32>().ok().filter(|id| *id != u32::MAX);
    Some(PasswdEntry {
        name: (*name).to_owned(),
        uid: number(uid)?,
        gid: number(gid)?,
        home: if home.starts_with('/') { home.to_owned() } else { "/".to_owned() },
    })
}

/// `name:password:gid:member,member`.
fn group_entry(line: &str) -> Option<GroupEntry> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, gid, rest @ ..] = fields.as_slice() else { return None };
    if name.is_empty() || name.starts_with('#') {
        return None;
    }
    let members = rest.first().copied().unwrap_or_default();
    Some(GroupEntry {
        name: (*name).to_owned(),
        gid: gid.parse().ok().filter(|gid| *gid != u32::MAX)?,
        members: members.split(',').filter(|member| !member.is_empty()).map(str::to_owned).collect(),
    })
}

#[cfg(test)]
mod tests;
