//! Times pulls of an image into an empty store: `measure_pull REFERENCE [ROUNDS] [CERTS_D]`.
//!
//! Every round starts with nothing and ends when the image is durable and visible. Prints one line a round and then
//! the median; processor time is of the whole process.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use cri_runtime::image::{Images, ImagesConfig, PullRequest};

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let reference = arguments.next().context("usage: measure_pull REFERENCE [ROUNDS] [CERTS_D]")?;
    let rounds: usize = arguments.next().map_or(Ok(5), |rounds| rounds.parse())?;
    let certs: Option<PathBuf> = arguments.next().map(Into::into);
    let base = std::env::current_dir()?.join(format!("measure-pull-{}", std::process::id()));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut times = Vec::new();
    for round in 0..rounds {
        let root = base.join(round.to_string());
        std::fs::create_dir_all(&root)?;
        let mut config = ImagesConfig::new(root);
        config.registry_directories.extend(certs.clone());
        let images = Images::open(config)?;
        let (start, processor) = (Instant::now(), processor_time()?);
        let request = PullRequest { reference: reference.clone(), credentials: None };
        let image = runtime
            .block_on(async { images.pull(request).await })
            .map_err(|error| anyhow!(error.message()))?;
        let (took, worked) = (start.elapsed(), processor_time()? - processor);
        println!("{took:?} ({worked:?} of processor), {} bytes in {} layers", image.size, image.layers.len());
        times.push(took);
    }
    times.sort();
    println!("median {:?}", times.get(rounds / 2).copied().unwrap_or(Duration::ZERO));
    std::fs::remove_dir_all(&base).with_context(|| format!("remove {base:?}"))
}

/// User and system time of this process, from `/proc/self/stat` in ticks of 10 ms.
fn processor_time() -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |field: usize| fields.get(field).and_then(|ticks| ticks.parse::<u64>().ok()).unwrap_or(0);
    Ok(Duration::from_millis(10 * (ticks(11) + ticks(12))))
}
