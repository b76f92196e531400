//! The real supervisor, spoken to as a daemon speaks to it. Needs root; skipped aloud without.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod daemons;
mod exits;
mod harness;
mod logs;
mod pause;
mod start;
mod upgrade;
