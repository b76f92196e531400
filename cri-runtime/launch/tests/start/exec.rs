//! Further processes in a running container.

use crate::harness::Case;

pub const CASES: &[Case] = &[];
