//! Containers started for real: plans compiled, descriptors gathered, the child let loose.
//!
//! Needs root and `/bin/busybox` (package busybox-static). No threads anywhere: the executor forks a single-threaded
//! supervisor, so every case runs in a forked process of its own that plays first the daemon, then the supervisor.

mod cases;
mod escapes;
mod exec;
mod harness;
mod outside;
mod spec;

fn main() {
    let cases: Vec<harness::Case> =
        [cases::CASES, outside::CASES, exec::CASES, escapes::CASES].into_iter().flatten().copied().collect();
    harness::main(&cases);
}
