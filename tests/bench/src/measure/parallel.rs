//! Ten at once: how many a second, and what CPU each takes.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{WAYS, median, row, turns};
use crate::report::Report;
use crate::sample::{Figure, millis};
use crate::stage::Stage;
use crate::subject::{Network, Pod, Subject};

const RUN: &str = "RunPodSandbox 10-way with network";
const RUN_HOST: &str = "RunPodSandbox 10-way with host network";
const LIFE: &str = "whole lifecycle 10-way";
const CPU: &str = "CPU per lifecycle, 10-way";

pub const MEASURES: [&str; 4] = [RUN, RUN_HOST, LIFE, CPU];

/// Pods of one batch.
const PODS: usize = 40;

#[derive(Default, Clone)]
struct Rates {
    run: Vec<f64>,
    run_host: Vec<f64>,
    life: Vec<f64>,
    cpu: Vec<f64>,
}

pub async fn measure(stage: &mut Stage, report: &mut Report, rounds: u32) -> Result<()> {
    let (subjects, _) = stage.players()?;
    let mut rates = vec![Rates::default(); subjects.len()];
    // A batch is many pods: a tenth of the rounds says as much.
    for round in 0..rounds.div_ceil(10) {
        for side in turns(subjects.len(), round) {
            let (subject, rates) = (&mut subjects[side], &mut rates[side]);
            rates.run.push(sandboxes(subject, Network::Pod).await?);
            rates.run_host.push(sandboxes(subject, Network::Host).await?);
            let cpu = subject.account.cpu()?;
            rates.life.push(lives(subject).await?);
            rates.cpu.push(millis(subject.account.cpu()?.saturating_sub(cpu)) / PODS as f64);
        }
    }
    let mut push = |measure: &str, unit, of: fn(&Rates) -> &Vec<f64>| {
        let sides: Vec<Option<Figure>> = rates.iter().map(|rates| median(of(rates).clone())).collect();
        report.push(row(measure, unit, &sides, None));
    };
    push(RUN, "pods/s", |rates| &rates.run);
    push(RUN_HOST, "pods/s", |rates| &rates.run_host);
    push(LIFE, "pods/s", |rates| &rates.life);
    push(CPU, "ms", |rates| &rates.cpu);
    Ok(())
}

/// Sandboxes a second; they are removed after the clock has stopped.
async fn sandboxes(subject: &mut Subject, network: Network) -> Result<f64> {
    let pods = prepare(subject, network)?;
    let begun = Instant::now();
    let pods = at_once(pods, async |mut pod| {
        subject.run(&mut pod).await?;
        Ok(pod)
    })
    .await?;
    let rate = rate(begun.elapsed());
    at_once(pods, async |pod| {
        subject.stop(&pod.id).await?;
        subject.remove(&pod.id).await
    })
    .await?;
    Ok(rate)
}

/// Whole lives a second.
async fn lives(subject: &mut Subject) -> Result<f64> {
    let pods = prepare(subject, Network::Pod)?;
    let begun = Instant::now();
    at_once(pods, async |mut pod| {
        subject.run(&mut pod).await?;
        let container = subject.create(&pod, &["sleep"]).await?;
        subject.start(&container).await?;
        subject.exec(&container).await?;
        subject.stop(&pod.id).await?;
        subject.remove(&pod.id).await
    })
    .await?;
    Ok(rate(begun.elapsed()))
}

fn prepare(subject: &mut Subject, network: Network) -> Result<Vec<Pod>> {
    (0..PODS).map(|_| subject.prepare(network)).collect()
}

fn rate(time: Duration) -> f64 {
    PODS as f64 / time.as_secs_f64()
}

/// Does something with each item, [`WAYS`] at a time; everything that was begun ends before a failure is told.
pub async fn at_once<I, O>(items: Vec<I>, work: impl AsyncFn(I) -> Result<O>) -> Result<Vec<O>> {
    let queue = std::cell::RefCell::new(items);
    let results = std::cell::RefCell::new(Vec::new());
    let worker = async || {
        loop {
            // The borrow ends before the work begins.
            let Some(item) = queue.borrow_mut().pop() else { break };
            let result = work(item).await;
            results.borrow_mut().push(result);
        }
    };
    let mut workers: Vec<_> = (0..WAYS).map(|_| Box::pin(worker())).collect();
    let mut running: Vec<bool> = vec![true; workers.len()];
    std::future::poll_fn(|context| {
        for (worker, running) in workers.iter_mut().zip(&mut running) {
            *running = *running && worker.as_mut().poll(context).is_pending();
        }
        if running.contains(&true) { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    drop(workers);
    results.into_inner().into_iter().collect::<Result<Vec<O>>>().context("10-way")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everything_is_done_and_ten_at_a_time() {
        let (now, most) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
        let done = at_once((0..35).collect(), async |number: u32| {
            now.set(now.get() + 1);
            most.set(most.get().max(now.get()));
            tokio::task::yield_now().await;
            now.set(now.get() - 1);
            Ok(number)
        });
        let mut done = done.await.expect("no failure");
        done.sort_unstable();
        assert_eq!((done, most.get()), ((0..35).collect::<Vec<u32>>(), 10));
    }

    #[tokio::test]
    async fn one_failure_is_told_and_the_rest_is_still_done() {
        let count = std::cell::Cell::new(0);
        let outcome = at_once((0..20).collect(), async |number: u32| {
            count.set(count.get() + 1);
            anyhow::ensure!(number != 7, "seven");
            Ok(())
        });
        assert!(outcome.await.is_err());
        assert_eq!(count.get(), 20);
    }
}
