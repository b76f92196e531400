//! Architectures and their system call numbers.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::{Error, Result};

/// Numbers of all known system calls, a column for each architecture in the order of [`COLUMNS`].
const TABLE: &str = include_str!("syscalls.txt");
const COLUMNS: [Arch; 5] = [Arch::X86_64, Arch::X86, Arch::X32, Arch::Aarch64, Arch::Arm];

/// Set in the number of an x32 call; its audit architecture is that of `x86_64`.
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// Names that are right and add nothing: the native architecture is always there, and the others are never those of
/// a machine this program runs on.
const WITHOUT_EFFECT: [&str; 19] = [
    "SCMP_ARCH_NATIVE",
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_PARISC",
    "SCMP_ARCH_PARISC64",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_M68K",
    "SCMP_ARCH_SH",
    "SCMP_ARCH_SHEB",
];

/// An architecture a filter can speak about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Arch {
    /// 64-bit x86.
    X86_64,
    /// 32-bit x86, as the kernel's compatibility mode runs it.
    X86,
    /// 64-bit x86 with 32-bit pointers.
    X32,
    /// 64-bit Arm.
    Aarch64,
    /// 32-bit Arm (EABI).
    Arm,
}

impl Arch {
    /// The architecture this program was built for; `None` where there is no table of system calls for it.
    pub const fn native() -> Option<Self> {
        if cfg!(all(target_arch = "x86_64", target_pointer_width = "64")) {
            Some(Self::X86_64)
        } else if cfg!(target_arch = "aarch64") {
            Some(Self::Aarch64)
        } else {
            None
        }
    }

    /// `AUDIT_ARCH_*` of linux/audit.h: ELF machine, 0x40000000 little endian, 0x80000000 64 bit.
    pub(super) fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }

    /// The name in the `arches` of conditions in profiles.
    pub(super) fn condition_name(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::X86 => "x86",
            Self::X32 => "x32",
            Self::Aarch64 => "arm64",
            Self::Arm => "arm",
        }
    }

    /// The OCI name.
    pub(super) fn oci_name(self) -> &'static str {
        match self {
            Self::X86_64 => "SCMP_ARCH_X86_64",
            Self::X86 => "SCMP_ARCH_X86",
            Self::X32 => "SCMP_ARCH_X32",
            Self::Aarch64 => "SCMP_ARCH_AARCH64",
            Self::Arm => "SCMP_ARCH_ARM",
        }
    }

    /// Reads an OCI name; `None` for an architecture that exists and is of no concern here.
    pub(super) fn parse(name: &str) -> Result<Option<Self>> {
        let found = COLUMNS.into_iter().find(|arch| arch.oci_name() == name);
        if found.is_none() && !WITHOUT_EFFECT.contains(&name) {
            return Err(Error::UnknownArchitecture(name.to_owned()));
        }
        Ok(found)
    }

    /// The number of a call, x32 with its bit; `None` if there is no such call on this architecture.
    pub(super) fn number(self, syscall: &str) -> Option<u32> {
        let column = COLUMNS.iter().position(|arch| *arch == self)?;
        let number = table().get(syscall)?[column]?;
        Some(if self == Self::X32 { number | X32_BIT } else { number })
    }
}

fn table() -> &'static HashMap<&'static str, [Option<u32>; COLUMNS.len()]> {
    static NUMBERS: OnceLock<HashMap<&'static str, [Option<u32>; COLUMNS.len()]>> = OnceLock::new();
    NUMBERS.get_or_init(|| {
        let rows = TABLE.lines().filter(|line| !line.starts_with('#'));
        rows.filter_map(|line| {
            let mut words = line.split(' ');
            let name = words.next()?;
            let mut numbers = [None; COLUMNS.len()];
            for (number, word) in numbers.iter_mut().zip(words) {
                *number = word.parse().ok();
            }
            Some((name, numbers))
        })
        .collect()
    })
}

/// All names, for tests that walk over everything.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    table().keys().copied()
}

#[cfg(test)]
mod tests;
