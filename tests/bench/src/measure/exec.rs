//! ExecSync of a program that does nothing: a probe's cost.

use std::time::Instant;

use anyhow::Result;

use super::parallel::at_once;
use super::{Clock, WARM_UP, median, remove, row, turns};
use crate::report::Report;
use crate::sample::{Figure, Samples};
use crate::stage::Stage;
use crate::subject::{Network, Pod};

const ONE: &str = "ExecSync true";
const TEN: &str = "ExecSync 10-way";

pub const MEASURES: [&str; 2] = [ONE, TEN];

/// Executions of one parallel batch.
const BATCH: usize = 100;

pub async fn measure(stage: &mut Stage, report: &mut Report, rounds: u32) -> Result<()> {
    let (subjects, floor) = stage.players()?;
    let mut pods: Vec<Pod> = Vec::new();
    let mut containers = Vec::new();
    for subject in subjects.iter_mut() {
        let mut pod = subject.prepare(Network::Pod)?;
        subject.run(&mut pod).await?;
        let container = subject.create(&pod, &["sleep"]).await?;
        subject.start(&container).await?;
        pods.push(pod);
        containers.push(container);
    }
    let mut samples = vec![Samples::default(); subjects.len()];
    let mut ground = Samples::default();
    for round in 0..WARM_UP + rounds {
        if round == WARM_UP {
            samples.iter_mut().chain([&mut ground]).for_each(|samples| *samples = Samples::default());
        }
        for side in turns(subjects.len(), round) {
            let clock = Clock::start(&subjects[side])?;
            subjects[side].exec(&containers[side]).await?;
            clock.record(&mut samples[side])?;
        }
        ground.push(floor.measure("exec")?, None);
    }
    let figures: Vec<Option<Figure>> = samples.iter().map(Samples::figure).collect();
    report.push(row(ONE, "ms", &figures, ground.figure()));
    let mut rates = vec![Vec::new(); subjects.len()];
    for round in 0..rounds.div_ceil(10) {
        for side in turns(subjects.len(), round) {
            let begun = Instant::now();
            at_once(vec![(); BATCH], async |()| subjects[side].exec(&containers[side]).await).await?;
            rates[side].push(BATCH as f64 / begun.elapsed().as_secs_f64());
        }
    }
    report.push(row(TEN, "/s", &rates.into_iter().map(median).collect::<Vec<_>>(), None));
    for (subject, pod) in subjects.iter().zip(&pods) {
        remove(subject, std::slice::from_ref(pod)).await?;
    }
    Ok(())
}
