//! How fast a container can write short lines, all of which end in its log.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{remove, row, turns};
use crate::report::Report;
use crate::sample::{Figure, millis};
use crate::stage::Stage;
use crate::subject::{LOG, Network, Subject};
use crate::watch::Watch;

const SPEED: &str = "log throughput of one container, short lines";
const CPU: &str = "CPU per 100 MB of log";

pub const MEASURES: [&str; 2] = [SPEED, CPU];

/// Lines of one run, and their length without the newline.
const LINES: u64 = 1_000_000;
const LENGTH: u64 = 63;
/// What a line's record has before it: a time of at most 35 bytes, the stream, the tag, three spaces. The shortest time
/// has 20 bytes, as no digit of the fraction is owed.
const PREFIX_MIN: u64 = 20 + 1 + 6 + 1 + 1 + 1;
const ROUNDS: u32 = 3;
const DEADLINE: Duration = Duration::from_secs(120);

pub async fn measure(stage: &mut Stage, report: &mut Report) -> Result<()> {
    let (subjects, _) = stage.players()?;
    let mut speeds = vec![Vec::new(); subjects.len()];
    let mut cpus = vec![Vec::new(); subjects.len()];
    for round in 0..ROUNDS {
        for side in turns(subjects.len(), round) {
            let (speed, cpu) = flood(&mut subjects[side]).await?;
            speeds[side].push(speed);
            cpus[side].push(cpu);
        }
    }
    let medians =
        |values: Vec<Vec<f64>>| values.into_iter().map(super::median).collect::<Vec<Option<Figure>>>();
    report.push(row(SPEED, "MB/s", &medians(speeds), None));
    report.push(row(CPU, "ms", &medians(cpus), None));
    Ok(())
}

/// Megabytes of content a second, and milliseconds of CPU for a hundred of them (the writer's own included).
async fn flood(subject: &mut Subject) -> Result<(f64, f64)> {
    let mut pod = subject.prepare(Network::Host)?;
    let watch = Watch::new(pod.logs())?;
    subject.run(&mut pod).await?;
    let (lines, length) = (LINES.to_string(), LENGTH.to_string());
    let container = subject.create(&pod, &["then", "lines", &lines, &length, "--", "sleep"]).await?;
    let cpu = subject.account.cpu()?;
    subject.start(&container).await?;
    watch.grown(LOG, 1, DEADLINE).await?;
    let begun = Instant::now();
    watch.grown(LOG, LINES * (LENGTH + 1 + PREFIX_MIN), DEADLINE).await?;
    complete(&pod.logs().join(LOG)).await?;
    let time = begun.elapsed();
    let cpu = subject.account.cpu()?.saturating_sub(cpu);
    let log = pod.logs().join(LOG);
    remove(subject, &[pod]).await?;
    // A log that stays would fill the memory it is kept in.
    match std::fs::remove_file(&log) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).context("remove the log");
        }
        _ => {}
    }
    let megabytes = (LINES * (LENGTH + 1)) as f64 / 1e6;
    Ok((megabytes / time.as_secs_f64(), millis(cpu) / megabytes * 100.0))
}

/// Waits for the last line, which is known by its number.
async fn complete(log: &std::path::Path) -> Result<()> {
    use std::io::{Read, Seek, SeekFrom};
    let wanted = format!(" {LINES}.");
    let deadline = Instant::now() + DEADLINE;
    loop {
        let mut file = std::fs::File::open(log).context("open the log")?;
        let back = file.seek(SeekFrom::End(0)).context("find the log's end")?.min(4096);
        file.seek(SeekFrom::End(-i64::try_from(back)?)).context("find the log's end")?;
        let mut end = Vec::new();
        file.read_to_end(&mut end).context("read the log's end")?;
        let text = String::from_utf8_lossy(&end);
        if text.ends_with('\n') && text.lines().next_back().is_some_and(|line| line.contains(&wanted)) {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < deadline, "the log's last line did not come");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
