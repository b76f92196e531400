//! Pulling a small image from a registry on loopback, again and again: it is removed in between.

use anyhow::Result;

use super::{Clock, WARM_UP, row, turns};
use crate::report::Report;
use crate::sample::{Figure, Samples};
use crate::stage::Stage;

const SMALL: &str = "pull of a 1.2 MB image from loopback";

pub const MEASURES: [&str; 1] = [SMALL];

pub async fn measure(stage: &mut Stage, report: &mut Report, rounds: u32) -> Result<()> {
    let Some(image) = stage.small_image() else { return Ok(()) };
    let (subjects, _) = stage.players()?;
    let mut samples = vec![Samples::default(); subjects.len()];
    for round in 0..WARM_UP + rounds {
        if round == WARM_UP {
            samples.iter_mut().for_each(|samples| *samples = Samples::default());
        }
        for side in turns(subjects.len(), round) {
            let clock = Clock::start(&subjects[side])?;
            subjects[side].pull(&image).await?;
            clock.record(&mut samples[side])?;
            subjects[side].remove_image(&image).await?;
        }
    }
    let figures: Vec<Option<Figure>> = samples.iter().map(Samples::figure).collect();
    report.push(row(SMALL, "ms", &figures, None));
    Ok(())
}
