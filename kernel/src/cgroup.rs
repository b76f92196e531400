//! Control groups: one logical group, whatever hierarchies the host mounts.
//!
//! Owns: finding the mounted hierarchies ([`Hierarchies`]), making, limiting, listing, killing, reading and removing
//! one group across all of them ([`Cgroup`]), the device rules of both versions. Does not own: which limits a
//! container gets (the runtime's `oci` module), and the joining itself, which the launch executor does with the
//! descriptors of [`Join`].
//!
//! A group is named by one path below the mount point of each hierarchy, as Kubernetes does (`/kubepods/pod1/c1`).
//! Three layouts exist, and all three are served:
//!
//! | layout | where limits go | a process joins by |
//! |---|---|---|
//! | v2 | the one `cgroup2` mount | `CLONE_INTO_CGROUP` |
//! | v1 | one mount per controller | writing 0 to `tasks` of each |
//! | hybrid | v1, and an empty `cgroup2` mount beside it | both |
//!
//! `tasks` and not `cgroup.procs`: the latter takes the kernel's `cgroup_threadgroup_rwsem` for writing and so waits
//! for an RCU grace period, milliseconds on a loaded host; a single-threaded child moves itself for nothing.
//!
//! Everything is synchronous and every wait takes a deadline from its caller.

mod control;
mod convert;
mod device_bpf;
mod devices;
mod error;
mod exec;
mod group;
mod hierarchy;
mod kill;
mod limits;
mod remove;
mod stats;
mod transaction;
mod v1;
mod v2;

pub use convert::{shares_to_weight, weight_to_shares};
pub use device_bpf::{Instruction, device_program};
pub use devices::{Access, DeviceKind, DeviceRule};
pub use error::{Error, Result};
pub use group::{Cgroup, Join};
pub use hierarchy::{Hierarchies, Version};
pub use limits::{HugepageLimit, Limits, UNLIMITED};
pub use stats::{Cpuset, Pressure, PressureLine, Stats};
