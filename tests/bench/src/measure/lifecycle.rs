//! One pod after the other, from request to removal: every stage of a life has its own figure.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Clock, WARM_UP, row, turns};
use crate::floor::Floor;
use crate::report::Report;
use crate::sample::{Figure, Samples};
use crate::stage::Stage;
use crate::subject::{DEADLINE, LOG, Network, Subject};
use crate::watch::Watch;

const RUN: &str = "RunPodSandbox with network";
const RUN_HOST: &str = "RunPodSandbox with host network";
const START: &str = "CreateContainer + StartContainer";
const POD: &str = "RunPodSandbox + CreateContainer + StartContainer";
const BYTE: &str = "sandbox request to first byte of stdout";
const BYTE_99: &str = "sandbox request to first byte of stdout, p99";
const STOP: &str = "StopPodSandbox with a running container";
const REMOVE: &str = "RemovePodSandbox";
const CPU: &str = "CPU per lifecycle, sequential";

pub const MEASURES: [&str; 9] = [RUN, RUN_HOST, START, POD, BYTE, BYTE_99, STOP, REMOVE, CPU];

/// Before each turn. The kernel takes down the network namespaces of the turn before in the background, and holds the lock
/// that the making of links needs: who comes next must not pay for it.
const QUIET: Duration = Duration::from_millis(100);

/// What one side took.
#[derive(Default)]
struct Life {
    run: Samples,
    run_host: Samples,
    start: Samples,
    pod: Samples,
    byte: Samples,
    stop: Samples,
    remove: Samples,
    whole: Samples,
}

pub async fn measure(stage: &mut Stage, report: &mut Report, rounds: u32) -> Result<()> {
    let (subjects, floor) = stage.players()?;
    let mut lives: Vec<Life> = subjects.iter().map(|_| Life::default()).collect();
    let mut ground = Life::default();
    for round in 0..WARM_UP + rounds {
        if round == WARM_UP {
            // Whatever the first rounds cost stays out.
            lives.iter_mut().for_each(|life| *life = Life::default());
            ground = Life::default();
        }
        for side in turns(subjects.len(), round) {
            tokio::time::sleep(QUIET).await;
            live(&mut subjects[side], &mut lives[side]).await?;
            live_on_host(&mut subjects[side], &mut lives[side]).await?;
        }
        tokio::time::sleep(QUIET).await;
        touch(floor, &mut ground)?;
    }
    let mut push = |measure: &str, of: fn(&Life) -> Option<Figure>| {
        let sides: Vec<Option<Figure>> = lives.iter().map(of).collect();
        report.push(row(measure, "ms", &sides, of(&ground)));
    };
    push(RUN, |life| life.run.figure());
    push(RUN_HOST, |life| life.run_host.figure());
    push(START, |life| life.start.figure());
    push(POD, |life| life.pod.figure());
    push(BYTE, |life| life.byte.figure());
    push(BYTE_99, |life| life.byte.quantile(0.99).map(Figure::from));
    push(STOP, |life| life.stop.figure());
    push(REMOVE, |life| life.remove.figure());
    push(CPU, |life| life.whole.mean_cpu().map(Figure::from));
    Ok(())
}

async fn live(subject: &mut Subject, life: &mut Life) -> Result<()> {
    let mut pod = subject.prepare(Network::Pod)?;
    let watch = Watch::new(pod.logs())?;
    let whole = Clock::start(subject)?;
    let clock = Clock::start(subject)?;
    subject.run(&mut pod).await?;
    clock.record(&mut life.run)?;
    let clock = Clock::start(subject)?;
    let container = subject.create(&pod, &["then", "say", "ready", "--", "sleep"]).await?;
    subject.start(&container).await?;
    clock.record(&mut life.start)?;
    whole.record(&mut life.pod)?;
    watch.grown(LOG, 1, DEADLINE).await?;
    whole.record(&mut life.byte)?;
    subject.exec(&container).await?;
    let clock = Clock::start(subject)?;
    subject.stop(&pod.id).await?;
    clock.record(&mut life.stop)?;
    let clock = Clock::start(subject)?;
    subject.remove(&pod.id).await?;
    clock.record(&mut life.remove)?;
    whole.record(&mut life.whole)
}

async fn live_on_host(subject: &mut Subject, life: &mut Life) -> Result<()> {
    let mut pod = subject.prepare(Network::Host)?;
    let clock = Clock::start(subject)?;
    subject.run(&mut pod).await?;
    clock.record(&mut life.run_host)?;
    subject.stop(&pod.id).await?;
    subject.remove(&pod.id).await
}

fn touch(floor: &mut Floor, life: &mut Life) -> Result<()> {
    let Life { run, run_host, start, pod, byte, stop, .. } = life;
    let operations = [
        ("sandbox", run),
        ("host-sandbox", run_host),
        ("container", start),
        ("pod", pod),
        ("first-byte", byte),
        ("stop", stop),
    ];
    for (operation, samples) in operations {
        let begun = Instant::now();
        let time = floor.measure(operation)?;
        debug_assert!(time <= begun.elapsed(), "the part is not longer than the whole");
        samples.push(time, None);
    }
    Ok(())
}
