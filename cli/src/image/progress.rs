//! A bar for every layer, redrawn in place; only on a terminal.

use std::io::Write;

use cri_api::admin::LayerProgress;

use crate::output;

const BAR: u64 = 24;

/// What is drawn at the moment.
#[derive(Debug)]
pub struct Progress {
    active: bool,
    drawn: usize,
}

impl Progress {
    pub fn new() -> Self {
        Self { active: std::io::IsTerminal::is_terminal(&std::io::stderr()), drawn: 0 }
    }

    /// Draws the layers over what was drawn before.
    pub fn show(&mut self, layers: &[LayerProgress]) {
        if !self.active {
            return;
        }
        let mut text = self.back();
        for layer in layers {
            text.push_str(&line(layer));
            text.push_str("\x1b[K\n");
        }
        self.drawn = layers.len();
        // A terminal that went away does not end the transfer.
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }

    /// Takes the bars away: what is left on the screen is the result.
    pub fn clear(&mut self) {
        if self.active {
            let text = self.back() + "\x1b[J";
            let _ = std::io::stderr().lock().write_all(text.as_bytes());
            self.drawn = 0;
        }
    }

    fn back(&self) -> String {
        if self.drawn == 0 { String::new() } else { format!("\x1b[{}A\r", self.drawn) }
    }
}

fn line(layer: &LayerProgress) -> String {
    let done = layer.bytes_done.min(layer.bytes_total.max(layer.bytes_done));
    let filled = match (layer.phase.as_str(), layer.bytes_total) {
        ("done" | "shared", _) => BAR,
        (_, 0) => 0,
        (_, total) => (done.saturating_mul(BAR) / total).min(BAR),
    };
    let filled = usize::try_from(filled).unwrap_or(0);
    let empty = usize::try_from(BAR).unwrap_or(0) - filled;
    let total = if layer.bytes_total == 0 {
        String::new()
    } else {
        format!(" / {}", output::size(layer.bytes_total))
    };
    format!(
        "{} {:<11} [{}{}] {}{total}",
        output::short(&layer.digest),
        layer.phase,
        "=".repeat(filled),
        " ".repeat(empty),
        output::size(done)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills_with_the_bytes_and_never_overflows() {
        let layer = |phase: &str, bytes_done, bytes_total| LayerProgress {
            digest: "sha256:0123456789abcdef".to_owned(),
            phase: phase.to_owned(),
            bytes_done,
            bytes_total,
        };
        let half = line(&layer("downloading", 512, 1024));
        assert_eq!(
            half,
            format!("0123456789ab downloading [{}{}] 512 B / 1.0 KiB", "=".repeat(12), " ".repeat(12))
        );
        assert!(line(&layer("downloading", 4096, 1024)).contains(&format!("[{}]", "=".repeat(24))));
        assert!(line(&layer("waiting", 0, 0)).contains(&format!("[{}]", " ".repeat(24))));
    }
}
