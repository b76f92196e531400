//! The floor: what a container start costs when a program does nothing but the kernel's work for it.
//!
//! One thread, no daemon, no protocol, no records: namespaces, cgroups, an overlay root, its mounts and masks, the seccomp
//! filter, execve; and for a sandbox a network namespace with a veth pair. It owns the numbers in the column "floor" of
//! `scripts/bench`, and shares no code with what is measured beside it, except that the filter is the very one that
//! containers get.
//!
//! The process leaves nothing: it works in mount and network namespaces of its own, below one folder and one cgroup.

mod call;
mod cgroup;
mod child;
mod netlink;
mod network;
mod operation;
mod workshop;

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;

use operation::Operation;
use workshop::Workshop;

/// Measure what the kernel alone needs for a container start, a sandbox and an exec.
#[derive(Parser)]
#[command(
    name = "floor",
    version,
    after_help = "\
Examples:
  floor --program target/orlop/demo --pause target/orlop/pause
  floor --program target/orlop/demo --rounds 100 start exec
  echo start | floor --program target/orlop/demo --answer"
)]
struct Options {
    /// Static program that is started; it understands the verbs of the demo program
    #[arg(long)]
    program: PathBuf,
    /// Program that holds a sandbox's namespaces (default: the program, sleeping)
    #[arg(long)]
    pause: Option<PathBuf>,
    /// Folder for overlay layers; a folder is made inside and removed at the end
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// Cgroup, in every hierarchy, below which groups are made
    #[arg(long, default_value_t = format!("floor-{}", std::process::id()))]
    cgroup: String,
    /// Measurements of each operation
    #[arg(long, default_value_t = 60)]
    rounds: usize,
    /// Read operations from standard input, one a line; answer each with its nanoseconds
    #[arg(long)]
    answer: bool,
    /// What is measured (default: everything)
    #[arg(value_enum)]
    operations: Vec<Operation>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let mut workshop =
        Workshop::open(&options.dir, &options.cgroup, &options.program, options.pause.as_deref())?;
    if options.answer { answer(&mut workshop) } else { table(&mut workshop, &options) }
}

/// One line in, one line out; ends with its input. A failure is an answer too: the asker decides what it means.
fn answer(workshop: &mut Workshop) -> Result<()> {
    let mut out = std::io::stdout();
    for line in std::io::stdin().lock().lines() {
        let line = line.context("read an operation")?;
        let answer = <Operation as clap::ValueEnum>::from_str(line.trim(), false)
            .map_err(anyhow::Error::msg)
            .and_then(|operation| operation.measure(workshop));
        match answer {
            Ok(time) => writeln!(out, "{}", time.as_nanos()),
            Err(error) => writeln!(out, "error: {error:#}"),
        }
        .and_then(|()| out.flush())
        .context("write an answer")?;
    }
    Ok(())
}

fn table(workshop: &mut Workshop, options: &Options) -> Result<()> {
    let chosen = if options.operations.is_empty() { Operation::ALL } else { &options.operations };
    println!("{:<16}{:>10}{:>10}{:>10}   microseconds, {} rounds", "", "p50", "p95", "min", options.rounds);
    for operation in chosen {
        // The first one pays for cold caches.
        operation.measure(workshop)?;
        let mut times =
            (0..options.rounds.max(1)).map(|_| operation.measure(workshop)).collect::<Result<Vec<_>>>()?;
        times.sort();
        let at = |quantile: f64| micros(times[((times.len() - 1) as f64 * quantile).round() as usize]);
        println!(
            "{:<16}{:>10}{:>10}{:>10}   {}",
            operation.name(),
            at(0.5),
            at(0.95),
            micros(times[0]),
            operation.content()
        );
    }
    Ok(())
}

fn micros(time: Duration) -> u128 {
    time.as_micros()
}
