//! The stories of a pod: each test is one, told over CRI to a daemon of its own, and nothing is left when it ends.
//!
//! They need root and the programs (`ORLOP_BIN`, set by `scripts/test`), and are skipped aloud without them. The same
//! stories run on this host and in the virtual machine with cgroup v2.
#![forbid(unsafe_code)]

mod crash;
mod crictl;
mod faults;
mod hostile_images;
mod images;
mod lifecycle;
mod logs;
mod network;
mod resources;
mod wiping;

/// Ends a story that cannot be told here, after saying why.
macro_rules! story {
    ($name:literal) => {
        if !tests::host::can_run_stories($name) {
            return Ok(());
        }
    };
}
pub(crate) use story;
