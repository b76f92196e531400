//! Which device nodes the processes of a group may make and open.

use std::ffi::CString;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use super::control;
use super::device_bpf::{Instruction, device_program};
use super::hierarchy::Version;
use super::{Cgroup, Error, Result};

/// Kind of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// Block and character devices.
    All,
    /// Block devices.
    Block,
    /// Character devices.
    Char,
}

/// What may be done with a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Access {
    /// Open for reading.
    pub read: bool,
    /// Open for writing.
    pub write: bool,
    /// Make a node with mknod(2).
    pub mknod: bool,
}

impl Access {
    /// Everything.
    pub const ALL: Self = Self { read: true, write: true, mknod: true };

    /// Reads the letters `r`, `w` and `m`, each at most once and at least one; `None` for anything else.
    pub fn parse(letters: &str) -> Option<Self> {
        let mut access = Self::default();
        for letter in letters.bytes() {
            let flag = match letter {
                b'r' => &mut access.read,
                b'w' => &mut access.write,
                b'm' => &mut access.mknod,
                _ => return None,
            };
            if std::mem::replace(flag, true) {
                return None;
            }
        }
        (access != Self::default()).then_some(access)
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (set, letter) in [(self.read, "r"), (self.write, "w"), (self.mknod, "m")] {
            if set {
                f.write_str(letter)?;
            }
        }
        Ok(())
    }
}

/// One rule. Of a list of rules the last that speaks about an access decides; without any, the access is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceRule {
    /// Allow or deny.
    pub allow: bool,
    /// Kind of device.
    pub kind: DeviceKind,
    /// Major number; `None` for all.
    pub major: Option<u32>,
    /// Minor number; `None` for all.
    pub minor: Option<u32>,
    /// The accesses it speaks about.
    pub access: Access,
}

impl DeviceRule {
    /// Denies everything: the first rule of every container that is not privileged.
    pub const DENY_ALL: Self =
        Self { allow: false, kind: DeviceKind::All, major: None, minor: None, access: Access::ALL };
    /// Allows everything.
    pub const ALLOW_ALL: Self = Self { allow: true, ..Self::DENY_ALL };

    fn is_everything(&self) -> bool {
        self.major.is_none()
            && self.minor.is_none()
            && self.access == Access::ALL
            && self.kind == DeviceKind::All
    }
}

/// As the v1 control files read it: `c 1:3 rwm`.
impl fmt::Display for DeviceRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            DeviceKind::All => "a",
            DeviceKind::Block => "b",
            DeviceKind::Char => "c",
        };
        write!(f, "{kind} ")?;
        for (number, end) in [(self.major, ":"), (self.minor, " ")] {
            match number {
                Some(number) => write!(f, "{number}{end}")?,
                None => write!(f, "*{end}")?,
            }
        }
        write!(f, "{}", self.access)
    }
}

impl Cgroup {
    /// Sets the device rules of a new group, before its first process and before it has children.
    ///
    /// v1 writes them to `devices.allow` and `devices.deny`; v2 has no files for it and attaches a program
    /// ([`device_program`]), which lives as long as the group. Without either a container with `CAP_MKNOD` could open
    /// every disk of the host, so a host that offers neither is an error.
    ///
    /// # Errors
    /// [`Error::Controller`] on v1 without the devices controller, [`Error::Write`], [`Error::DeviceProgram`].
    pub fn set_devices(&self, rules: &[DeviceRule]) -> Result<()> {
        match self.hierarchies.version() {
            Version::V1 => self.write_device_rules(rules),
            Version::V2 => self.attach_device_program(&self.directory(0), rules),
        }
    }

    fn write_device_rules(&self, rules: &[DeviceRule]) -> Result<()> {
        let Some(directory) = self.controller("devices") else {
            return Err(Error::Controller {
                path: self.path(),
                controller: "devices".to_owned(),
                file: "devices.deny".to_owned(),
            });
        };
        // A v1 group starts with the rules of its parent, whereas a list starts with everything denied.
        let first = (!rules.first().is_some_and(DeviceRule::is_everything)).then_some(DeviceRule::DENY_ALL);
        for rule in first.iter().chain(rules) {
            for rule in split_for_v1(*rule) {
                let path = directory.join(if rule.allow { "devices.allow" } else { "devices.deny" });
                let value = rule.to_string();
                control::write(&path, &value).map_err(|source| Error::Write { path, value, source })?;
            }
        }
        Ok(())
    }

    pub(super) fn attach_device_program(&self, directory: &Path, rules: &[DeviceRule]) -> Result<()> {
        let failed = |operation| move |source| Error::DeviceProgram { operation, path: self.path(), source };
        let program = load(&device_program(rules)).map_err(failed("load"))?;
        attach(&program, directory).map_err(failed("attach"))
    }
}

/// v1 reads type `a` as everything whatever follows it, so a rule about both kinds that is not about everything is
/// written as one rule for each kind.
fn split_for_v1(rule: DeviceRule) -> impl Iterator<Item = DeviceRule> {
    let whole = rule.kind != DeviceKind::All || rule.is_everything();
    let (first, second) = if whole { (rule.kind, None) } else { (DeviceKind::Block, Some(DeviceKind::Char)) };
    std::iter::once(first).chain(second).map(move |kind| DeviceRule { kind, ..rule })
}

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_ATTACH: libc::c_long = 8;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
/// Programs of parents and children run, too, and all of them must agree.
const BPF_F_ALLOW_MULTI: u32 = 2;

/// Start of the kernel's `union bpf_attr` for `BPF_PROG_LOAD`; what is missing at its end counts as zero.
#[repr(C)]
struct LoadAttr {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
}

#[repr(C)]
struct AttachAttr {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
}

fn bpf<T>(command: libc::c_long, attr: &T) -> io::Result<i32> {
    // SAFETY: the pointer and the size describe `attr`, a `repr(C)` prefix of the kernel's `union bpf_attr` for this
    // command without padding; buffers it points to are kept alive by the callers.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attr), std::mem::size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { i32::try_from(result).map_err(io::Error::other) }
}

/// Loads a program; the kernel verifies it.
fn load(program: &[Instruction]) -> io::Result<OwnedFd> {
    let license = CString::new("Apache-2.0")?;
    let attr = LoadAttr {
        prog_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: u32::try_from(program.len()).map_err(io::Error::other)?,
        insns: program.as_ptr() as u64,
        license: license.as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
    };
    let fd = bpf(BPF_PROG_LOAD, &attr)?;
    // SAFETY: the descriptor was just returned by the kernel and nobody else has it; it is close-on-exec.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Attaches a program to a group, which then holds it.
fn attach(program: &OwnedFd, directory: &Path) -> io::Result<()> {
    let group = std::fs::File::open(directory)?;
    let raw = |fd: i32| u32::try_from(fd).map_err(io::Error::other);
    let attr = AttachAttr {
        target_fd: raw(group.as_raw_fd())?,
        attach_bpf_fd: raw(program.as_raw_fd())?,
        attach_type: BPF_CGROUP_DEVICE,
        attach_flags: BPF_F_ALLOW_MULTI,
    };
    bpf(BPF_PROG_ATTACH, &attr).map(drop)
}

#[cfg(test)]
mod tests;
