//! Images that try to get out, or to redirect what is done for them.

use crate::harness::Case;

pub const CASES: &[Case] = &[];
