//! The one small parent of every container on the node.
//!
//! A single thread with an event loop: it starts processes from plans the daemon has compiled, carries their output
//! into log files, and writes down how they end. It outlives daemons and is replaced in place. Everything an outsider
//! wrote was parsed by the daemon; what arrives here is checked for shape only.
//!
//! - [`start`]: from "just executed" to a running [`server`].
//! - [`server`]: the loop, one file per matter.
//! - [`process`]: the processes and their states; [`daemon`]: who is talked to; [`state`]: what an upgrade takes along.
//! - [`log`] and [`logline`]: output; [`record`]: exit records; [`enclosure`]: the mount namespace.

#![forbid(unsafe_code)]

pub mod daemon;
pub mod enclosure;
pub mod log;
pub mod logline;
pub mod notice;
pub mod options;
pub mod process;
pub mod record;
pub mod server;
pub mod start;
pub mod state;
pub mod token;
