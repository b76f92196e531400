//! Processes: the identity that survives pid reuse, how one ended, and what this process does to itself at start.
//!
//! A process is held by a [`Pidfd`] wherever possible; a bare pid is only a name that the kernel gives to somebody
//! else once the process is reaped. Together with [`start_time`] a pid is an identity that can be written to disk.

mod own;
mod pidfd;
mod stat;
#[cfg(test)]
mod tests;
mod wait;

pub use own::{
    DescriptorLimit, become_subreaper, execute, ignore_sigpipe, is_root, new_session, own_pid,
    raise_descriptor_limit, set_name, wall_clock,
};
pub use pidfd::Pidfd;
pub use stat::{Stat, boot_id, is_alive, start_time, zombie_exit};
pub use wait::{ExitStatus, Reap, next_ended_child, reap};
