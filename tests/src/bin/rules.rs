//! Takes bridges that are gone out of the shared nftables tables: what `scripts/dev-runtime --wipe` ends with.
#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use clap::Parser;

/// Remove what nftables still says about bridges that no longer exist.
#[derive(Parser)]
#[command(version, after_help = "Example:\n  rules orlop0")]
struct Options {
    /// Names of the bridges.
    #[arg(required = true)]
    bridge: Vec<String>,
}

fn main() -> Result<()> {
    for bridge in Options::parse().bridge {
        cni_plugins::plugins::bridge::forget_masquerade(&bridge)
            .with_context(|| format!("forget bridge {bridge}"))?;
    }
    cni_plugins::plugins::portmap::delete_if_unused().context("remove an empty table of host ports")?;
    Ok(())
}
