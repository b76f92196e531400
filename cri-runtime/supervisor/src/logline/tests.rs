use proptest::prelude::*;

use super::*;

const TIME: i64 = 1_795_183_689_123_456_789;
const TEXT: &str = "2026-11-20T14:08:09.123456789Z";

/// What a naive reader makes of records: stream, tag and content of each.
fn parse(records: &[u8]) -> Vec<(String, u8, Vec<u8>)> {
    let mut parsed = Vec::new();
    let Some(records) = records.strip_suffix(b"\n") else {
        assert!(records.is_empty(), "torn");
        return parsed;
    };
    for record in records.split(|&byte| byte == b'\n') {
        let mut fields = record.splitn(4, |&byte| byte == b' ');
        assert_eq!(fields.next(), Some(TEXT.as_bytes()));
        let stream = String::from_utf8(fields.next().unwrap().to_vec()).unwrap();
        let tag = fields.next().unwrap();
        assert!(tag == b"F" || tag == b"P", "{tag:?}");
        parsed.push((stream, tag[0], fields.next().unwrap().to_vec()));
    }
    parsed
}

/// Pushes chunks as they would be read, writing the batch whenever it is full.
fn pump(chunks: &[Vec<u8>], max: usize, limit: usize, end: bool) -> Vec<u8> {
    let head = Head::new(&Stamp::at(TIME), Stream::Stdout);
    let (mut lines, mut batch, mut file) = (Lines::default(), Batch::new(limit), Vec::new());
    for chunk in chunks {
        let mut rest = &chunk[..];
        loop {
            let used = lines.push(rest, max, &head, &mut batch);
            assert!(lines.held().len() <= max);
            rest = &rest[used..];
            if rest.is_empty() {
                break;
            }
            assert!(!batch.records().is_empty(), "no progress");
            file.extend_from_slice(batch.records());
            batch.clear();
        }
        file.extend_from_slice(batch.records());
        batch.clear();
    }
    if end {
        assert!(lines.finish(&head, &mut batch));
        file.extend_from_slice(batch.records());
    }
    file
}

fn text(chunks: &[&str], max: usize) -> String {
    let chunks: Vec<_> = chunks.iter().map(|chunk| chunk.as_bytes().to_vec()).collect();
    let file = String::from_utf8(pump(&chunks, max, 4096, true)).unwrap();
    file.replace(TEXT, "T")
}

#[test]
fn lines_become_records() {
    let cases: &[(&[&str], usize, &str)] = &[
        (&["hello\n"], 16, "T stdout F hello\n"),
        (&["hel", "lo\nwor", "ld\n"], 16, "T stdout F hello\nT stdout F world\n"),
        (&["\n\n"], 16, "T stdout F \nT stdout F \n"),
        (&["no newline"], 16, "T stdout P no newline\n"),
        (&["crlf\r\n"], 16, "T stdout F crlf\r\n"),
        (&["1234\n"], 4, "T stdout F 1234\n"),
        (&["1234", "\n"], 4, "T stdout F 1234\n"),
        (&["12345\n"], 4, "T stdout P 1234\nT stdout F 5\n"),
        (&["1234", "5\n"], 4, "T stdout P 1234\nT stdout F 5\n"),
        (&["12345678\n"], 4, "T stdout P 1234\nT stdout F 5678\n"),
        (&["12", "345678", "9"], 4, "T stdout P 1234\nT stdout P 5678\nT stdout P 9\n"),
        (&[""], 4, ""),
    ];
    for (chunks, max, expected) in cases {
        assert_eq!(text(chunks, *max), *expected, "{chunks:?} at {max}");
    }
}

#[test]
fn a_record_names_its_stream() {
    let head = Head::new(&Stamp::at(TIME), Stream::Stderr);
    let mut batch = Batch::new(100);
    Lines::default().push(b"x\n", 10, &head, &mut batch);
    assert_eq!(batch.records(), format!("{TEXT} stderr F x\n").as_bytes());
}

#[test]
fn an_oversized_record_goes_alone_and_its_memory_goes_with_it() {
    let head = Head::new(&Stamp::at(TIME), Stream::Stdout);
    let (mut lines, mut batch) = (Lines::default(), Batch::new(100));
    let input = [b"small\n".as_slice(), &[b'x'; 500], b"\n"].concat();
    assert_eq!(lines.push(&input, 1000, &head, &mut batch), 6);
    batch.clear();
    assert_eq!(lines.push(&input[6..], 1000, &head, &mut batch), 501);
    assert_eq!(batch.records().len(), HEAD + 501);
    batch.clear();
    assert!(batch.records.capacity() < 500);
}

#[test]
fn stamps_follow_the_calendar() {
    let cases = [
        (0, "1970-01-01T00:00:00.000000000Z"),
        (-5, "1970-01-01T00:00:00.000000000Z"),
        (951_782_400_000_000_001, "2000-02-29T00:00:00.000000001Z"),
        (951_868_799_999_999_999, "2000-02-29T23:59:59.999999999Z"),
        (1_709_251_199_000_000_000, "2024-02-29T23:59:59.000000000Z"),
        (1_709_251_200_000_000_000, "2024-03-01T00:00:00.000000000Z"),
        (4_107_542_399_000_000_000, "2100-02-28T23:59:59.000000000Z"),
        (4_107_542_400_000_000_000, "2100-03-01T00:00:00.000000000Z"),
        (TIME, TEXT),
    ];
    for (nanos, expected) in cases {
        assert_eq!(std::str::from_utf8(Stamp::at(nanos).as_bytes()).unwrap(), expected);
    }
}

fn output() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let byte = prop_oneof![3 => any::<u8>(), 2 => Just(b'\n'), 1 => Just(b' ')];
    proptest::collection::vec(proptest::collection::vec(byte, 0..60), 0..12)
}

proptest! {
    #[test]
    fn readers_get_back_every_byte_and_no_other(chunks in output(), max in 1_usize..40, limit in 1_usize..300) {
        let whole = chunks.concat();
        let file = pump(&chunks, max, limit, true);
        let mut joined = Vec::new();
        for (_, tag, content) in parse(&file) {
            prop_assert!(content.len() <= max);
            joined.extend_from_slice(&content);
            if tag == b'F' {
                joined.push(b'\n');
            }
        }
        prop_assert_eq!(&joined, &whole);
        prop_assert_eq!(content_length(&file), whole.len() as u64);
    }

    #[test]
    fn how_output_was_read_does_not_show(chunks in output(), max in 1_usize..40) {
        let once = pump(&[chunks.concat()], max, 4096, true);
        prop_assert_eq!(pump(&chunks, max, 128, true), once);
    }

    #[test]
    fn a_line_is_cut_only_where_it_must_be(line in proptest::collection::vec(1_u8..10, 0..100), max in 1_usize..40) {
        let mut input = line.clone();
        input.push(b'\n');
        let records = parse(&pump(&[input], max, 4096, true));
        prop_assert_eq!(records.len(), line.len().div_ceil(max).max(1));
        let (last, pieces) = records.split_last().unwrap();
        prop_assert_eq!(last.1, b'F');
        prop_assert!(pieces.iter().all(|(_, tag, content)| *tag == b'P' && content.len() == max));
    }
}
