//! What the supervisor tells people: one line per event on standard error.

use std::fmt::{self, Write as _};
use std::io::Write as _;

use kernel::process::wall_clock;

use crate::logline::Stamp;

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Part of normal work.
    Info,
    /// Somebody should look at it.
    Warn,
    /// Something was lost or refused.
    Error,
}

/// Writes `time level event key=value ...`. A standard error that cannot be written is no reason to do less.
pub fn notice(level: Level, event: &str, fields: &[(&str, &dyn fmt::Display)]) {
    let line = format(&Stamp::at(wall_clock()), level, event, fields);
    let _ = std::io::stderr().write_all(line.as_bytes());
}

fn format(stamp: &Stamp, level: Level, event: &str, fields: &[(&str, &dyn fmt::Display)]) -> String {
    let level = match level {
        Level::Info => "INFO",
        Level::Warn => "WARN",
        Level::Error => "ERROR",
    };
    let mut line = String::from_utf8_lossy(stamp.as_bytes()).into_owned();
    // Writing to a string cannot fail.
    let _ = write!(line, " {level} {event}");
    for (key, value) in fields {
        let value = value.to_string();
        let plain = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
        let _ = if plain { write!(line, " {key}={value}") } else { write!(line, " {key}={value:?}") };
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_its_values_hold() {
        let fields: [(&str, &dyn fmt::Display); 4] =
            [("pid", &7), ("id", &"abc"), ("error", &"no \"room\"\n"), ("x", &"")];
        assert_eq!(
            format(&Stamp::at(0), Level::Warn, "record not written", &fields),
            "1970-01-01T00:00:00.000000000Z WARN record not written pid=7 id=abc error=\"no \\\"room\\\"\\n\" x=\"\"\n"
        );
    }
}
