//! Printing the lines of several containers so that a person can tell them apart.

use std::io::Write;

use super::Line;
use crate::output;

/// Colours that are readable on dark and on light ground (ANSI).
const COLOURS: [u8; 6] = [36, 33, 32, 35, 34, 31];

/// Prints lines with the container's name in front.
#[derive(Clone, Debug)]
pub struct Printer {
    width: usize,
    colour_out: bool,
    colour_err: bool,
    prefix: bool,
    times: bool,
}

impl Printer {
    /// For these containers; one alone needs no name in front, unless `always`.
    pub fn new<'a>(names: impl Iterator<Item = &'a str>, always: bool, times: bool) -> Self {
        let widths: Vec<usize> = names.map(|name| name.chars().count()).collect();
        Self {
            width: widths.iter().copied().max().unwrap_or(0),
            colour_out: output::colour(&std::io::stdout()),
            colour_err: output::colour(&std::io::stderr()),
            prefix: always || widths.len() > 1,
            times,
        }
    }

    /// Prints a line where it belongs: what the container wrote to standard error goes to ours. `index` chooses the
    /// colour.
    pub fn print(&self, index: usize, name: &str, line: &Line) {
        if line.stderr {
            self.write(std::io::stderr().lock(), self.colour_err, index, name, line);
        } else {
            self.write(std::io::stdout().lock(), self.colour_out, index, name, line);
        }
    }

    fn write(&self, mut out: impl Write, colour: bool, index: usize, name: &str, line: &Line) {
        let bytes = self.render(colour, index, name, line);
        // A reader that went away is not an error of the pod.
        let _ = out.write_all(&bytes).and_then(|()| out.flush());
    }

    fn render(&self, colour: bool, index: usize, name: &str, line: &Line) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(line.text.len() + 64);
        if self.prefix {
            let width = self.width;
            let prefix = match colour {
                true => format!("\x1b[{}m{name:<width$} |\x1b[0m ", COLOURS[index % COLOURS.len()]),
                false => format!("{name:<width$} | "),
            };
            bytes.extend_from_slice(prefix.as_bytes());
        }
        if self.times {
            bytes.extend_from_slice(line.time.as_bytes());
            bytes.push(b' ');
        }
        bytes.extend_from_slice(&line.text);
        bytes.push(b'\n');
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(names: &[&str], always: bool, colour: bool) -> String {
        let printer = Printer::new(names.iter().copied(), always, false);
        let line = Line { time: "t".to_owned(), stderr: false, text: b"hello".to_vec() };
        String::from_utf8(printer.render(colour, 0, names[0], &line)).unwrap()
    }

    #[test]
    fn names_stand_in_a_column_and_colour_only_when_asked_for() {
        assert_eq!(rendered(&["a", "web"], false, false), "a   | hello\n");
        assert_eq!(rendered(&["a"], false, false), "hello\n");
        assert_eq!(rendered(&["a"], true, false), "a | hello\n");
        assert_eq!(rendered(&["a", "web"], false, true), "\u{1b}[36ma   |\u{1b}[0m hello\n");
    }
}
