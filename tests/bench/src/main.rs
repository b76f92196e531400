//! Ours beside the peer and the floor: one table of latencies, rates, CPU and memory.
//!
//! `runtime` is our CRI daemon beside containerd with runc. Both are started isolated and spoken to over CRI with the same
//! image, network and seccomp profile; they take turns within every round, so that what happens on the machine
//! happens to both. The column "floor" is what the kernel alone needs for the same (the program `floor`).
//!
//! It is run by `scripts/bench`, which gives it namespaces of its own and removes what a killed run would leave.
#![forbid(unsafe_code)]

mod account;
mod floor;
mod measure;
mod registry;
mod report;
mod sample;
mod stage;
mod subject;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};

use report::Report;
use stage::Stage;

/// Measure ours, the peer and the floor in turn, and print one table.
#[derive(Parser)]
#[command(
    name = "bench",
    version,
    after_help = "\
Examples:
  scripts/bench runtime
  scripts/bench runtime --json runtime.json
  scripts/bench runtime --rounds 100 --only ExecSync"
)]
struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// The CRI daemon, beside containerd with runc
    Runtime(Runtime),
}

/// How the runtimes are measured.
#[derive(clap::Args)]
pub struct Runtime {
    /// Write one row a measure to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Rounds of every sequential measure, after a warm-up
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rounds: u32,
    /// Only measures with this in their name
    #[arg(long, value_name = "MEASURE")]
    only: Option<String>,
    /// Pods for the slope of memory
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=500))]
    pods: u32,
    /// Leave the peer out
    #[arg(long)]
    without_peer: bool,
    /// Folder for everything; it is empty at the end (scripts/bench makes it)
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Cgroup for everything, in every hierarchy (scripts/bench removes it)
    #[arg(long, value_name = "GROUP")]
    cgroup: String,
}

fn main() -> ExitCode {
    let What::Runtime(options) = Options::parse().what;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the clients");
    match runtime.and_then(|runtime| runtime.block_on(run(&options))) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures; false if something could not be measured.
async fn run(options: &Runtime) -> Result<bool> {
    alone()?;
    let mut report = Report::new(options.only.clone());
    let mut stage = Stage::open(options)?;
    let outcome = tokio::select! {
        outcome = measured(&mut stage, &mut report, options) => outcome,
        signal = tokio::signal::ctrl_c() => signal.context("listen for Ctrl-C").and(Err(anyhow::anyhow!("interrupted"))),
    };
    // Before the table: what cannot be removed is told last, where it is seen.
    let closed = stage.close().await;
    report.print();
    if let Some(file) = &options.json {
        report.write(file)?;
    }
    outcome?;
    closed?;
    Ok(report.complete())
}

async fn measured(stage: &mut Stage, report: &mut Report, options: &Runtime) -> Result<()> {
    stage.start().await?;
    println!("{}", stage.description());
    measure::all(stage, report, options).await
}

/// Bridges and rules are made under fixed names: that is right only in a network namespace where nobody else is.
fn alone() -> Result<()> {
    let links = std::fs::read_to_string("/proc/net/dev").context("read /proc/net/dev")?;
    let others: Vec<&str> = links
        .lines()
        .skip(2)
        .filter_map(|line| Some(line.split_once(':')?.0.trim()))
        .filter(|name| *name != "lo")
        .collect();
    if others.is_empty() {
        return Ok(());
    }
    bail!(
        "this network namespace has links of others ({}): run scripts/bench, which makes one of its own",
        others.join(", ")
    )
}
