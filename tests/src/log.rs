//! Reading container logs in the CRI format (L-01, L-02).

use std::path::Path;

use anyhow::{Context, Result, bail};

/// One record of a log file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// RFC 3339 time as written.
    pub time: String,
    /// `stdout` or `stderr`.
    pub stream: String,
    /// Whether the line ends here (`F`) or goes on in the next record (`P`).
    pub full: bool,
    /// Content without the newline.
    pub content: String,
}

/// Every record of a file; a file that does not exist yet has none.
///
/// # Errors
/// It cannot be read, or a line is not a record.
pub fn records(path: &Path) -> Result<Vec<Record>> {
    match std::fs::read(path) {
        Ok(bytes) => {
            parse(&String::from_utf8_lossy(&bytes)).with_context(|| format!("read log {}", path.display()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("read log {}", path.display())),
    }
}

/// Contents only, of both streams.
///
/// # Errors
/// As [`records`].
pub fn lines(path: &Path) -> Result<Vec<String>> {
    Ok(records(path)?.into_iter().map(|record| record.content).collect())
}

fn parse(text: &str) -> Result<Vec<Record>> {
    text.lines()
        .enumerate()
        .map(|(index, line)| record(line).with_context(|| format!("line {}", index + 1)))
        .collect()
}

fn record(line: &str) -> Result<Record> {
    let mut fields = line.splitn(4, ' ');
    let mut next = || fields.next().with_context(|| format!("too few fields: {line:?}"));
    let (time, stream, tags, content) = (next()?, next()?, next()?, next()?);
    if !time.contains('T') || !matches!(stream, "stdout" | "stderr") {
        bail!("not a CRI log record: {line:?}");
    }
    let full = match tags.split(':').next() {
        Some("F") => true,
        Some("P") => false,
        _ => bail!("neither whole nor partial: {line:?}"),
    };
    Ok(Record { time: time.to_owned(), stream: stream.to_owned(), full, content: content.to_owned() })
}

/// The numbers of `line N` records, in order.
pub fn numbers(lines: &[String]) -> Vec<u64> {
    lines.iter().filter_map(|line| line.strip_prefix("line ")?.parse().ok()).collect()
}

/// The first place where a count that began at 1 has a gap or a repetition: (expected, found).
pub fn first_gap(numbers: &[u64]) -> Option<(u64, u64)> {
    (1..)
        .zip(numbers)
        .find(|(expected, found)| expected != *found)
        .map(|(expected, found)| (expected, *found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_four_fields_and_the_content_may_have_spaces() {
        let parsed = parse("2024-01-01T00:00:00.000000000Z stdout F a b  c\n").expect("a record");
        assert_eq!(
            (parsed[0].stream.as_str(), parsed[0].full, parsed[0].content.as_str()),
            ("stdout", true, "a b  c")
        );
        assert!(!parse("2024-01-01T00:00:00Z stderr P half\n").expect("a record")[0].full);
    }

    #[test]
    fn an_empty_line_is_a_record_and_a_torn_one_is_not() {
        assert_eq!(parse("2024-01-01T00:00:00Z stdout F \n").expect("a record")[0].content, "");
        assert!(parse("2024-01-01T00:00:00Z std").is_err());
    }

    #[test]
    fn a_gap_and_a_repetition_are_found() {
        assert_eq!(first_gap(&[1, 2, 3]), None);
        assert_eq!(first_gap(&[1, 3]), Some((2, 3)));
        assert_eq!(first_gap(&[1, 1]), Some((2, 1)));
        assert_eq!(first_gap(&[2]), Some((1, 2)));
    }
}
