//! A profile after its conditions on capabilities and kernel have been decided: what one container is held to.

use crate::plan::Filter;

use super::program;
use super::{Action, Arch, Result};

/// A comparison of one argument, all of it unsigned 64 bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compare {
    /// `argument != value`.
    NotEqual(u64),
    /// `argument < value`.
    Less(u64),
    /// `argument <= value`.
    LessOrEqual(u64),
    /// `argument == value`.
    Equal(u64),
    /// `argument >= value`.
    GreaterOrEqual(u64),
    /// `argument > value`.
    Greater(u64),
    /// `argument & mask == value`.
    Masked {
        /// The bits looked at.
        mask: u64,
        /// What they must be.
        value: u64,
    },
}

/// A condition on one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Condition {
    /// Which argument, 0 to 5.
    pub argument: u8,
    /// What must be true of it.
    pub compare: Compare,
}

/// What to do with some calls.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rule {
    /// Names; unknown ones are skipped.
    pub names: Vec<String>,
    /// What the kernel does.
    pub action: Action,
    /// All must hold, see the module's documentation for two on one argument. Empty: always.
    pub conditions: Vec<Condition>,
}

/// What one container is held to. Equal policies compile to equal programs, so a policy is its own cache key: the
/// whole value, because a mere hash that collides would load the wrong filter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Policy {
    /// For calls no rule decides.
    pub default: Action,
    /// The architectures a process may use; the native one always may.
    pub architectures: Vec<Arch>,
    /// In order.
    pub rules: Vec<Rule>,
    /// `SECCOMP_FILTER_FLAG_*`.
    pub flags: u32,
}

impl Policy {
    /// Compiles for a machine of the given architecture.
    ///
    /// # Errors
    /// [`super::Error::TooLong`] if the kernel would refuse the program for its length.
    pub fn compile(&self, native: Arch) -> Result<Filter> {
        Ok(Filter { program: program::compile(self, native)?, flags: self.flags })
    }
}
