use super::{Line, LineReader};

fn line(time: &str, stderr: bool, text: &str) -> Line {
    Line { time: time.to_owned(), stderr, text: text.as_bytes().to_vec() }
}

#[test]
fn parts_are_joined_although_the_other_stream_writes_in_between() {
    let log = b"t1 stdout P one \nt2 stderr F error\nt3 stdout P two \nt4 stdout F three\nt5 stdout F \n";
    let lines = LineReader::default().feed(log);
    assert_eq!(lines, [line("t2", true, "error"), line("t1", false, "one two three"), line("t5", false, "")]);
}

#[test]
fn bytes_may_arrive_cut_anywhere() {
    let log = b"t1 stdout P a\nt2 stdout F b c\n";
    let whole = LineReader::default().feed(log);
    for cut in 0..log.len() {
        let mut reader = LineReader::default();
        let mut lines = reader.feed(&log[..cut]);
        lines.extend(reader.feed(&log[cut..]));
        assert_eq!(lines, whole, "cut at {cut}");
    }
}

#[test]
fn what_a_container_did_not_finish_comes_at_the_end() {
    let mut reader = LineReader::default();
    assert!(reader.feed(b"t1 stdout P half").is_empty());
    assert_eq!(reader.finish(), [line("t1", false, "half")]);
    assert!(reader.finish().is_empty());
}

#[test]
fn other_text_is_left_out() {
    assert!(LineReader::default().feed(b"garbage\n\nt1 nostream F x\n").is_empty());
}
