//! Measurements of one thing, and what is said of them.

use std::time::Duration;

/// Times of one operation, with the CPU each took.
#[derive(Debug, Default, Clone)]
pub struct Samples {
    times: Vec<f64>,
    cpu: Vec<f64>,
}

/// What the table shows of one side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    /// The median of samples, or the one number that was measured.
    pub value: f64,
    /// 95th percentile.
    pub p95: Option<f64>,
    /// Smallest.
    pub min: Option<f64>,
    /// Mean CPU of an operation, milliseconds.
    pub cpu: Option<f64>,
}

impl From<f64> for Figure {
    fn from(value: f64) -> Self {
        Self { value, p95: None, min: None, cpu: None }
    }
}

impl Samples {
    /// One more.
    pub fn push(&mut self, time: Duration, cpu: Option<Duration>) {
        self.times.push(millis(time));
        self.cpu.extend(cpu.map(millis));
    }

    /// Median, spread and CPU; `None` without samples. Milliseconds.
    pub fn figure(&self) -> Option<Figure> {
        Some(Figure {
            value: self.quantile(0.5)?,
            p95: self.quantile(0.95),
            min: self.quantile(0.0),
            cpu: self.mean_cpu(),
        })
    }

    /// The time that this share of the samples does not exceed, milliseconds.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let mut sorted = self.times.clone();
        sorted.sort_by(f64::total_cmp);
        // Nearest rank: never a number that was not measured.
        let rank = (sorted.len() as f64 * share).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied()
    }

    /// CPU of one operation, milliseconds.
    pub fn mean_cpu(&self) -> Option<f64> {
        (!self.cpu.is_empty()).then(|| self.cpu.iter().sum::<f64>() / self.cpu.len() as f64)
    }
}

/// Milliseconds.
pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests;
