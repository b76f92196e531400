//! What a person sees: colour, tables, sizes, ages.

use std::io::{IsTerminal, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Sends what the libraries log to standard error: warnings always, everything with `--debug`.
pub fn logging(debug: bool) {
    let level = if debug { "orlop=debug,kubelet=debug" } else { "warn" };
    let filter = std::env::var("ORLOP_LOG").unwrap_or_else(|_| level.to_owned());
    // A filter that cannot be read shows everything there is, rather than nothing.
    let filter: Targets = filter.parse().unwrap_or_else(|_| Targets::new().with_default(LevelFilter::TRACE));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(colour(&std::io::stderr()))
        .without_time()
        .with_target(false);
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
}

/// Whether to colour a stream: only a terminal, and not where NO_COLOR is set (no-color.org) or the terminal is dumb.
pub fn colour(stream: &impl IsTerminal) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    stream.is_terminal() && !set("NO_COLOR") && !dumb
}

/// Rows under headings, columns as wide as their longest cell.
pub fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = headings.iter().map(|heading| heading.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::new();
        for (cell, width) in cells.zip(&widths) {
            line.push_str(&format!("{cell:<width$}   "));
        }
        line.trim_end().to_owned() + "\n"
    };
    let mut text = line(&mut headings.iter().copied());
    for row in rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

/// Prints to standard output. A reader that went away (`orlop ps | head`) is not an error.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints a value as JSON.
pub fn print_json(value: &serde_json::Value) {
    print(&format!("{value:#}\n"));
}

/// A size in binary units.
pub fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    for (unit, factor) in UNITS {
        if bytes >= factor {
            let tenths = bytes.saturating_mul(10) / factor;
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    format!("{bytes} B")
}

/// The time since a moment in nanoseconds since the epoch, in its two largest units.
pub fn age(nanos: i64) -> String {
    let then = UNIX_EPOCH + Duration::from_nanos(u64::try_from(nanos).unwrap_or(0));
    let seconds = SystemTime::now().duration_since(then).unwrap_or_default().as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// A duration as short as it can be read: `812us`, `4.2ms`, `1.35s`.
pub fn duration(nanos: u64) -> String {
    match nanos {
        0..1_000_000 => format!("{}us", nanos / 1000),
        1_000_000..1_000_000_000 => format!("{}.{}ms", nanos / 1_000_000, nanos / 100_000 % 10),
        _ => format!("{}.{:02}s", nanos / 1_000_000_000, nanos / 10_000_000 % 100),
    }
}

/// The first characters of an id, enough for a person.
pub fn short(id: &str) -> &str {
    let bare = id.strip_prefix("sha256:").unwrap_or(id);
    bare.get(..12).unwrap_or(bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_longest_cell() {
        let rows =
            vec![vec!["a".to_owned(), "running".to_owned()], vec!["longer".to_owned(), "x".to_owned()]];
        assert_eq!(table(&["NAME", "STATE"], &rows), "NAME     STATE\na        running\nlonger   x\n");
    }

    #[test]
    fn sizes_and_durations() {
        assert_eq!([size(10), size(1536), size(3 << 30)], ["10 B", "1.5 KiB", "3.0 GiB"]);
        assert_eq!(
            [duration(812_999), duration(4_210_000), duration(1_354_000_000)],
            ["812us", "4.2ms", "1.35s"]
        );
    }
}
