use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use kernel::descriptor::pipe;

use super::*;

fn open(path: &Path) -> File {
    OpenOptions::new().read(true).append(true).create(true).open(path).unwrap()
}

struct Fixture {
    directory: tempfile::TempDir,
    log: Log,
    pump: Pump,
    out: Option<File>,
    err: Option<File>,
}

impl Fixture {
    fn new(content: &[u8]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        fs::write(&path, content).unwrap();
        let ((out_read, out), (err_read, err)) = (pipe().unwrap(), pipe().unwrap());
        let log = Log::new([out_read, err_read], Sink::new(Some(open(&path))), 16).unwrap();
        Self { directory, log, pump: Pump::default(), out: Some(out.into()), err: Some(err.into()) }
    }

    fn write(&mut self, text: &str) {
        self.out.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// The contents of the file without its times.
    fn records(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.directory.path().join(name)).unwrap();
        text.lines().map(|line| line.split_once(' ').map_or(line, |(_, rest)| rest).to_owned()).collect()
    }
}

#[test]
fn both_streams_go_to_one_file_record_by_record() {
    let mut fixture = Fixture::new(b"");
    fixture.write("one\nunfini");
    assert_eq!(fixture.pump.turn(&mut fixture.log, Stream::Stdout), Progress::More);
    fixture.err.as_mut().unwrap().write_all(b"oops\n").unwrap();
    fixture.pump.turn(&mut fixture.log, Stream::Stderr);
    fixture.write("shed\n");
    fixture.pump.turn(&mut fixture.log, Stream::Stdout);
    assert_eq!(fixture.pump.turn(&mut fixture.log, Stream::Stdout), Progress::Drained);
    assert_eq!(fixture.records("0.log"), ["stdout F one", "stderr F oops", "stdout F unfinished"]);
}

#[test]
fn the_end_of_a_stream_ends_its_last_line() {
    let mut fixture = Fixture::new(b"");
    fixture.write("last words");
    fixture.out = None;
    fixture.pump.turn(&mut fixture.log, Stream::Stdout);
    assert_eq!(fixture.pump.turn(&mut fixture.log, Stream::Stdout), Progress::Ended);
    assert!(fixture.log.has_ended(Stream::Stdout) && !fixture.log.has_ended(Stream::Stderr));
    assert_eq!(fixture.records("0.log"), ["stdout P last words"]);
}

#[test]
fn a_line_torn_by_a_crash_does_not_spoil_the_next() {
    let mut fixture = Fixture::new(b"T stdout F whole\nT stdout F to");
    fixture.write("next\n");
    fixture.pump.turn(&mut fixture.log, Stream::Stdout);
    assert_eq!(fixture.records("0.log"), ["stdout F whole", "stdout F to", "stdout F next"]);
}

#[test]
fn reopening_switches_between_records() {
    let mut fixture = Fixture::new(b"");
    fixture.write("old\nhalf");
    fixture.pump.turn(&mut fixture.log, Stream::Stdout);
    let next = open(&fixture.directory.path().join("1.log"));
    fixture.log.sink_mut().reopen(next);
    fixture.write(" new\n");
    fixture.pump.turn(&mut fixture.log, Stream::Stdout);
    assert_eq!(fixture.records("0.log"), ["stdout F old"]);
    assert_eq!(fixture.records("1.log"), ["stdout F half new"]);
}

#[test]
fn draining_stops_at_what_was_there() {
    let mut fixture = Fixture::new(b"");
    fixture.write("a\nb\n");
    fixture.pump.drain(&mut fixture.log);
    assert_eq!(fixture.records("0.log"), ["stdout F a", "stdout F b"]);
    assert!(!fixture.log.has_ended(Stream::Stdout), "somebody still holds the write end");
}

#[test]
fn a_file_that_takes_nothing_costs_its_bytes_and_nothing_else() {
    let (read, write) = pipe().unwrap();
    let (err, _err) = pipe().unwrap();
    let full = OpenOptions::new().append(true).open("/dev/full").unwrap();
    let mut log = Log::new([read, err], Sink::new(Some(full)), 16).unwrap();
    let mut pump = Pump::default();
    let mut out = File::from(write);
    out.write_all(b"12345\n789").unwrap();
    pump.turn(&mut log, Stream::Stdout);
    assert_eq!((log.sink().dropped(), log.sink().failure()), (6, Some(libc::ENOSPC)));
    drop(out);
    pump.turn(&mut log, Stream::Stdout);
    assert_eq!(log.sink().dropped(), 9, "the last piece too");
}
