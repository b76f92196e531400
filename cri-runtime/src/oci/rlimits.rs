//! `process.rlimits`: a configured default, not what the daemon happens to have (F-71).

use oci_spec::runtime::{PosixRlimit, PosixRlimitBuilder, PosixRlimitType};

use super::Defaults;

/// The limits of every container; CRI has no field for them.
pub(super) fn rlimits(defaults: &Defaults) -> Vec<PosixRlimit> {
    let limit = PosixRlimitBuilder::default()
        .typ(PosixRlimitType::RlimitNofile)
        .soft(defaults.open_files)
        .hard(defaults.open_files)
        .build();
    vec![limit.expect("every field of the builder has a value")]
}
