//! The inside of the power-cut test: what runs in the machine whose power `scripts/powercut` cuts, and what prepares it.
//!
//! It owns the images that can check themselves ([`gallery`]) and what is demanded after each boot ([`node`]); when the
//! power goes is decided outside.
#![forbid(unsafe_code)]

mod gallery;
mod node;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

use gallery::Gallery;

/// Pull and remove images until the power goes, after a look at what the last cut left.
#[derive(Parser)]
#[command(
    version,
    after_help = "\
Examples (scripts/powercut does all of this):
  powercut prepare /var/tmp/gallery
  powercut node --gallery /var/tmp/gallery --disk /mnt --seed 7"
)]
struct Options {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make the images and write them to a folder.
    Prepare {
        /// The folder; made if missing.
        folder: PathBuf,
    },
    /// Start a runtime on a disk, check every image it lists, then pull and remove images until the power goes.
    Node {
        /// What `prepare` wrote.
        #[arg(long)]
        gallery: PathBuf,
        /// A folder on the disk that survives.
        #[arg(long)]
        disk: PathBuf,
        /// Seed of the order of pulls and removals.
        #[arg(long)]
        seed: u64,
        /// End after the checks and remove the runtime.
        #[arg(long)]
        last: bool,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    match Options::parse().verb {
        Verb::Prepare { folder } => Gallery::make()?.write(&folder),
        Verb::Node { gallery, disk, seed, last } => {
            let gallery = Gallery::read(&gallery)?;
            let mut node = node::Node::boot(&disk).await?;
            let checked = node.check(&gallery).await;
            if let Err(error) = checked {
                return Err(error.context(format!("the daemon's log ends:\n{}", node.log_end())));
            }
            if last { node.end().await } else { node.churn(&gallery, seed).await }
        }
    }
}
