//! The table, and the same as JSON.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::sample::Figure;

/// One measure of all sides.
#[derive(Debug, Clone)]
pub struct Row {
    /// As in the project's table of targets.
    pub measure: String,
    /// What the numbers are.
    pub unit: &'static str,
    pub ours: Option<Figure>,
    pub peer: Option<Figure>,
    pub floor: Option<Figure>,
}

/// Rows, in the order in which they were measured.
pub struct Report {
    only: Option<String>,
    rows: Vec<Row>,
    failures: Vec<String>,
}

impl Report {
    /// An empty one, that takes only measures with `only` in their name.
    pub fn new(only: Option<String>) -> Self {
        Self { only, rows: Vec::new(), failures: Vec::new() }
    }

    /// Whether one of these measures is asked for.
    pub fn wants(&self, measures: &[&str]) -> bool {
        measures.iter().any(|measure| self.takes(measure))
    }

    fn takes(&self, measure: &str) -> bool {
        self.only.as_ref().is_none_or(|only| measure.to_lowercase().contains(&only.to_lowercase()))
    }

    /// Adds a row, if it is asked for.
    pub fn push(&mut self, row: Row) {
        if self.takes(&row.measure) {
            self.rows.push(row);
        }
    }

    /// Notes what could not be measured: it is told at once and again at the end, and the run fails.
    pub fn failed(&mut self, what: &str, error: &anyhow::Error) {
        let text = format!("{what}: {error:#}");
        eprintln!("bench: NOT MEASURED {text}");
        self.failures.push(text);
    }

    /// Whether everything was measured.
    pub fn complete(&self) -> bool {
        self.failures.is_empty()
    }

    /// Prints the table.
    pub fn print(&self) {
        let width = self.rows.iter().map(|row| row.measure.chars().count()).max().unwrap_or(0).max(8);
        let group = |name: &str| format!("{name:^33}");
        println!(
            "\n{:width$} {:>7} |{}|{}|{}|",
            "",
            "",
            group("ours"),
            group("peer"),
            format_args!("{:^25}", "floor")
        );
        let four = format!("{:>8} {:>7} {:>7} {:>7} ", "p50", "p95", "min", "CPU ms");
        println!(
            "{:width$} {:>7} | {four}| {four}| {:>7} {:>7} {:>7} | {:>9} {:>10}",
            "measure", "unit", "p50", "p95", "min", "ours/peer", "ours/floor"
        );
        for row in &self.rows {
            let ratio = |other: Option<Figure>| {
                ratio(row.ours, other).map_or_else(String::new, |ratio| format!("{ratio:.3}"))
            };
            println!(
                "{:width$} {:>7} | {}| {}| {:>7} {:>7} {:>7} | {:>9} {:>10}",
                row.measure,
                row.unit,
                cells(row.ours),
                cells(row.peer),
                cell(row.floor.map(|figure| figure.value)),
                cell(row.floor.and_then(|figure| figure.p95)),
                cell(row.floor.and_then(|figure| figure.min)),
                ratio(row.peer),
                ratio(row.floor),
            );
        }
        for failure in &self.failures {
            println!("NOT MEASURED {failure}");
        }
    }

    /// Writes an array with one row a line.
    pub fn write(&self, file: &Path) -> Result<()> {
        let rows: Vec<String> = self.rows.iter().map(|row| row.json().to_string()).collect();
        std::fs::write(file, format!("[\n{}\n]\n", rows.join(",\n")))
            .with_context(|| format!("write {}", file.display()))
    }
}

impl Row {
    fn json(&self) -> Value {
        json!({
            "measure": self.measure,
            "ours": self.ours.map(|figure| rounded(figure.value)),
            "peer": self.peer.map(|figure| rounded(figure.value)),
            "floor": self.floor.map(|figure| rounded(figure.value)),
            "ratio": ratio(self.ours, self.peer).map(rounded),
            "unit": self.unit,
            "detail": {"ours": detail(self.ours), "peer": detail(self.peer), "floor": detail(self.floor)},
        })
    }
}

fn detail(figure: Option<Figure>) -> Value {
    figure.map_or(Value::Null, |figure| {
        json!({"p95": figure.p95.map(rounded), "min": figure.min.map(rounded), "cpu_ms": figure.cpu.map(rounded)})
    })
}

fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

fn ratio(one: Option<Figure>, other: Option<Figure>) -> Option<f64> {
    let (one, other) = (one?.value, other?.value);
    (other > 0.0).then(|| one / other)
}

fn cells(figure: Option<Figure>) -> String {
    format!(
        "{:>8} {:>7} {:>7} {:>7} ",
        cell(figure.map(|figure| figure.value)),
        cell(figure.and_then(|figure| figure.p95)),
        cell(figure.and_then(|figure| figure.min)),
        cell(figure.and_then(|figure| figure.cpu)),
    )
}

/// Three significant digits, as far as the column goes.
fn cell(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value >= 100.0 => format!("{value:.0}"),
        Some(value) if value >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests;
