//! The lines of a CRI log: `2026-01-02T03:04:05.000000006Z stdout F text`.
//!
//! A runtime splits long lines into parts tagged `P`, the last one `F`; what was one line for the container is one line
//! here again, whatever came in between on the other stream.

/// Longest line that is put together again; beyond it the parts come out as lines.
const MAX_LINE: usize = 1 << 20;

/// One line of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When its first part was written, as the runtime wrote it.
    pub time: String,
    /// Whether it is of standard error.
    pub stderr: bool,
    /// The text as the container wrote it, without the line break.
    pub text: Vec<u8>,
}

/// Turns the bytes of a log into lines.
#[derive(Debug, Default)]
pub struct LineReader {
    buffer: Vec<u8>,
    /// Unfinished lines of standard output and standard error.
    partial: [Option<Line>; 2],
}

impl LineReader {
    /// Takes bytes and answers the lines that are complete with them.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Line> {
        self.buffer.extend_from_slice(bytes);
        let mut lines = Vec::new();
        let mut start = 0;
        while let Some(length) = self.buffer[start..].iter().position(|byte| *byte == b'\n') {
            let record = self.buffer[start..start + length].to_vec();
            start += length + 1;
            lines.extend(self.record(&record));
        }
        self.buffer.drain(..start);
        lines
    }

    /// What a container left without a line break at its end.
    pub fn finish(&mut self) -> Vec<Line> {
        let rest = std::mem::take(&mut self.buffer);
        let mut lines: Vec<Line> =
            if rest.is_empty() { Vec::new() } else { self.record(&rest).into_iter().collect() };
        lines.extend(self.partial.iter_mut().filter_map(Option::take));
        lines
    }

    fn record(&mut self, record: &[u8]) -> Option<Line> {
        let mut fields = record.splitn(4, |byte| *byte == b' ');
        let (time, stream, tags) = (fields.next()?, fields.next()?, fields.next()?);
        let text = fields.next().unwrap_or_default();
        let stderr = match stream {
            b"stdout" => false,
            b"stderr" => true,
            // Not a CRI line, so not one we can say anything about.
            _ => return None,
        };
        // Tags are separated by colons; the first one says whether the line is complete.
        let partial = tags.split(|byte| *byte == b':').next() == Some(b"P");
        let slot = &mut self.partial[usize::from(stderr)];
        let mut line = slot.take().unwrap_or_else(|| Line {
            time: String::from_utf8_lossy(time).into_owned(),
            stderr,
            text: Vec::new(),
        });
        line.text.extend_from_slice(text);
        if partial && line.text.len() < MAX_LINE {
            *slot = Some(line);
            return None;
        }
        Some(line)
    }
}

#[cfg(test)]
mod tests;
