//! Files with holes: where the stored data belongs. Four formats, one list of segments.

use std::io::Read;

use tar::{GnuExtSparseHeader, GnuHeader, GnuSparseHeader};

/// Most segments of one file; a map is memory.
const SEGMENTS_MAX: usize = 100_000;
const BLOCK: usize = 512;

/// A run of stored data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Where it starts in the file.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
}

type Result<T> = std::result::Result<T, &'static str>;
const CUT_OFF: &str = "its sparse map is cut off";

/// The map of the old GNU format: four segments in the header, 21 in each block that follows.
pub fn old(header: &GnuHeader, reader: &mut impl Read) -> Result<Vec<Segment>> {
    let mut segments = Vec::new();
    take(&header.sparse, &mut segments)?;
    let mut more = header.is_extended();
    while more {
        let mut block = GnuExtSparseHeader::new();
        reader.read_exact(block.as_mut_bytes()).map_err(|_| CUT_OFF)?;
        take(block.sparse(), &mut segments)?;
        more = block.is_extended();
    }
    Ok(segments)
}

fn take(headers: &[GnuSparseHeader], segments: &mut Vec<Segment>) -> Result<()> {
    for header in headers.iter().filter(|header| !header.is_empty()) {
        let (Ok(offset), Ok(length)) = (header.offset(), header.length()) else {
            return Err("its sparse map is not a list of numbers");
        };
        segments.push(Segment { offset, length });
    }
    if segments.len() > SEGMENTS_MAX { Err("its sparse map is too long") } else { Ok(()) }
}

/// The map of formats 0.0 and 0.1: offsets and lengths in turn.
pub fn pairs(numbers: &[u64]) -> Result<Vec<Segment>> {
    let (pairs, []) = numbers.as_chunks::<2>() else { return Err(CUT_OFF) };
    Ok(pairs.iter().map(|[offset, length]| Segment { offset: *offset, length: *length }).collect())
}

/// The map of format 1.0: decimal numbers by line at the start of the data, filled up to a block.
pub fn in_data(reader: &mut impl Read) -> Result<Vec<Segment>> {
    let mut taken = 0usize;
    let mut number = |reader: &mut dyn Read| -> Result<u64> {
        let mut value: u64 = 0;
        loop {
            let mut byte = [0];
            reader.read_exact(&mut byte).map_err(|_| CUT_OFF)?;
            taken += 1;
            match byte[0] {
                b'\n' => return Ok(value),
                digit @ b'0'..=b'9' => {
                    let next =
                        value.checked_mul(10).and_then(|value| value.checked_add(u64::from(digit - b'0')));
                    value = next.ok_or("its sparse map has a number that is too large")?;
                }
                _ => return Err("its sparse map is not a list of numbers"),
            }
        }
    };
    let count = number(reader)?;
    if count > SEGMENTS_MAX as u64 {
        return Err("its sparse map is too long");
    }
    let mut segments = Vec::new();
    for _ in 0..count {
        segments.push(Segment { offset: number(reader)?, length: number(reader)? });
    }
    let mut padding = vec![0; taken.next_multiple_of(BLOCK) - taken];
    reader.read_exact(&mut padding).map_err(|_| CUT_OFF)?;
    Ok(segments)
}

/// Whether a map is in order, fits the file, and covers exactly the stored data.
pub fn check(segments: &[Segment], size: u64, stored: u64) -> Result<()> {
    let (mut end, mut sum) = (0u64, 0u64);
    for segment in segments {
        if segment.offset < end {
            return Err("its sparse map is not in order");
        }
        end = segment.offset.checked_add(segment.length).ok_or("its sparse map is beyond its size")?;
        sum = sum.checked_add(segment.length).ok_or("its sparse map is beyond its size")?;
    }
    match (end <= size, sum == stored) {
        (false, _) => Err("its sparse map is beyond its size"),
        (_, false) => Err("its sparse map does not match its data"),
        _ => Ok(()),
    }
}
