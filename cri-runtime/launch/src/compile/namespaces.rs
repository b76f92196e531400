//! `linux.namespaces`, host and domain name.

use std::path::PathBuf;

use kernel::namespace::Kind;
use oci_spec::runtime::{LinuxNamespaceType, Spec};

use super::need::Needs;
use super::{CompileError, Need, Options};
use crate::plan::{FdIndex, Join};

/// Longest host or domain name (`__NEW_UTS_LEN`), bytes.
const UTS_NAME_MAX: usize = 64;

/// What becomes of the namespaces.
#[derive(Debug, Default)]
pub(super) struct Namespaces {
    /// Flags of those made by `clone3`.
    pub(super) created: u64,
    /// Those joined by the child.
    pub(super) join: Vec<Join>,
    /// The PID namespace joined around `clone3`.
    pub(super) pid: Option<FdIndex>,
    /// Whether a cgroup namespace is made after the cgroup is joined.
    pub(super) cgroup: bool,
    /// Flags of all that are not the host's.
    own: u64,
}

impl Namespaces {
    pub(super) fn owns(&self, kind: Kind) -> bool {
        self.own & kind.flag() != 0
    }

    /// A name for the container's UTS namespace; that of the host is not ours to rename.
    pub(super) fn uts_name(&self, name: &str, field: &str) -> Result<Vec<u8>, CompileError> {
        if !self.owns(Kind::Uts) {
            return Err(CompileError::invalid(field, name, "the container has no uts namespace of its own"));
        }
        if name.len() > UTS_NAME_MAX || name.contains('\0') {
            return Err(CompileError::invalid(field, name, "longer than 64 bytes or with a NUL"));
        }
        Ok(name.as_bytes().to_owned())
    }
}

fn kind(typ: LinuxNamespaceType) -> Result<Kind, CompileError> {
    Ok(match typ {
        LinuxNamespaceType::Mount => Kind::Mount,
        LinuxNamespaceType::Cgroup => Kind::Cgroup,
        LinuxNamespaceType::Uts => Kind::Uts,
        LinuxNamespaceType::Ipc => Kind::Ipc,
        LinuxNamespaceType::Pid => Kind::Pid,
        LinuxNamespaceType::Network => Kind::Net,
        LinuxNamespaceType::User => return Err(CompileError::unsupported("linux.namespaces user")),
        LinuxNamespaceType::Time => return Err(CompileError::unsupported("linux.namespaces time")),
    })
}

/// A namespace the spec lists.
struct Listed<'a> {
    kind: Kind,
    typ: LinuxNamespaceType,
    /// Of one to join.
    path: Option<&'a PathBuf>,
}

/// The kinds the spec lists, each once.
fn listed(spec: &Spec) -> Result<Vec<Listed<'_>>, CompileError> {
    let mut seen = 0;
    let mut listed = Vec::new();
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    for namespace in namespaces.into_iter().flatten() {
        let kind = kind(namespace.typ())?;
        if seen & kind.flag() != 0 {
            return Err(CompileError::invalid(
                "linux.namespaces",
                namespace.typ().to_string(),
                "listed twice",
            ));
        }
        seen |= kind.flag();
        listed.push(Listed { kind, typ: namespace.typ(), path: namespace.path().as_ref() });
    }
    if seen & Kind::Mount.flag() == 0 {
        return Err(CompileError::missing("linux.namespaces mount"));
    }
    Ok(listed)
}

pub(super) fn compile(spec: &Spec, options: &Options, needs: &mut Needs) -> Result<Namespaces, CompileError> {
    let mut namespaces = Namespaces::default();
    for Listed { kind, typ, path } in listed(spec)? {
        namespaces.own |= kind.flag();
        let given = options.namespaces.iter().find(|given| given.kind == typ).map(|given| given.fd);
        let fd = given.or_else(|| path.map(|path| needs.add(Need::Namespace { kind, path: path.clone() })));
        match (kind, fd) {
            // The steps that follow would change somebody else's mounts.
            (Kind::Mount, Some(_)) => {
                return Err(CompileError::unsupported("linux.namespaces mount with a path"));
            }
            (Kind::Pid, Some(fd)) => namespaces.pid = Some(fd),
            (_, Some(fd)) => namespaces.join.push(Join { namespaces: kind.flag(), fd }),
            (Kind::Cgroup, None) => namespaces.cgroup = true,
            (_, None) => namespaces.created |= kind.flag(),
        }
    }
    if let Some(given) =
        options.namespaces.iter().find(|given| kind(given.kind).map_or(true, |kind| !namespaces.owns(kind)))
    {
        return Err(CompileError::missing(format!("linux.namespaces {}", given.kind)));
    }
    Ok(namespaces)
}

/// For an exec: everything the container does not share with the host, through the pidfd of its process.
pub(super) fn compile_exec(spec: &Spec, target: FdIndex) -> Result<(Join, Option<FdIndex>), CompileError> {
    let own = listed(spec)?.iter().fold(0, |flags, listed| flags | listed.kind.flag());
    let pid = Kind::Pid.flag();
    Ok((Join { namespaces: own & !pid, fd: target }, (own & pid != 0).then_some(target)))
}
