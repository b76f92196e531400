//! The measures, in the order of the table. Each group takes turns between ours, the peer and the floor.

mod exec;
mod lifecycle;
mod logs;
mod memory;
mod parallel;
mod pull;

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::Runtime;
use crate::report::{Report, Row};
use crate::sample::{Figure, Samples};
use crate::stage::Stage;
use crate::subject::{Pod, Subject};

/// Rounds before the first one that counts.
const WARM_UP: u32 = 2;
/// How many things happen at once where a measure says "10-way".
const WAYS: usize = 10;

/// Runs every group that is asked for. A group that fails is noted, what it left is removed, and the next one runs.
pub async fn all(stage: &mut Stage, report: &mut Report, options: &Runtime) -> Result<()> {
    // Memory first: idle is before the first pod.
    if report.wants(&memory::MEASURES) {
        let outcome = memory::measure(stage, report, options.pods).await;
        settle("memory", outcome, stage, report).await;
    }
    if report.wants(&lifecycle::MEASURES) {
        let outcome = lifecycle::measure(stage, report, options.rounds).await;
        settle("lifecycle", outcome, stage, report).await;
    }
    if report.wants(&parallel::MEASURES) {
        let outcome = parallel::measure(stage, report, options.rounds).await;
        settle("10-way", outcome, stage, report).await;
    }
    if report.wants(&exec::MEASURES) {
        let outcome = exec::measure(stage, report, options.rounds).await;
        settle("ExecSync", outcome, stage, report).await;
    }
    if report.wants(&pull::MEASURES) {
        let outcome = pull::measure(stage, report, options.rounds).await;
        settle("pull", outcome, stage, report).await;
    }
    if report.wants(&logs::MEASURES) {
        let outcome = logs::measure(stage, report).await;
        settle("log", outcome, stage, report).await;
    }
    Ok(())
}

async fn settle(group: &str, outcome: Result<()>, stage: &mut Stage, report: &mut Report) {
    let Err(error) = outcome else { return };
    report.failed(group, &error);
    for subject in &stage.subjects {
        if let Err(error) = subject.clear().await {
            report.failed(&format!("after {group}"), &error);
        }
    }
}

/// Figures of both sides and the floor as a row. Sides are in the order of the stage: ours first.
fn row(measure: &str, unit: &'static str, sides: &[Option<Figure>], floor: Option<Figure>) -> Row {
    Row {
        measure: measure.to_owned(),
        unit,
        ours: sides.first().copied().flatten(),
        peer: sides.get(1).copied().flatten(),
        floor,
    }
}

/// Sides in turn: who was second in one round is first in the next.
fn turns(sides: usize, round: u32) -> Vec<usize> {
    let mut order: Vec<usize> = (0..sides).collect();
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

/// Time and CPU since a moment.
struct Clock<'a> {
    subject: &'a Subject,
    begun: Instant,
    cpu: Duration,
}

impl<'a> Clock<'a> {
    fn start(subject: &'a Subject) -> Result<Self> {
        let cpu = subject.account.cpu()?;
        Ok(Self { subject, begun: Instant::now(), cpu })
    }

    /// The time is taken first: reading the account takes some itself.
    fn stop(&self) -> Result<(Duration, Duration)> {
        let time = self.begun.elapsed();
        Ok((time, self.subject.account.cpu()?.saturating_sub(self.cpu)))
    }

    fn record(&self, samples: &mut Samples) -> Result<()> {
        let (time, cpu) = self.stop()?;
        samples.push(time, Some(cpu));
        Ok(())
    }
}

/// Stops and removes pods one after the other.
async fn remove(subject: &Subject, pods: &[Pod]) -> Result<()> {
    for pod in pods {
        subject.stop(&pod.id).await?;
        subject.remove(&pod.id).await?;
    }
    Ok(())
}

/// Median of numbers that are each a whole batch.
fn median(mut values: Vec<f64>) -> Option<Figure> {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).map(|value| Figure::from(*value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_take_turns_to_be_first() {
        assert_eq!((turns(2, 0), turns(2, 1), turns(1, 1)), (vec![0, 1], vec![1, 0], vec![0]));
    }

    #[test]
    fn the_median_of_batches_is_one_of_them() {
        assert_eq!(median(vec![9.0, 1.0, 5.0]).map(|figure| figure.value), Some(5.0));
        assert_eq!(median(Vec::new()), None);
    }
}
