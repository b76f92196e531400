//! What becomes of output.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use kernel::mount::Builder;
use kernel::path::open_beneath;
use launch::protocol::{Reply, Request, Stdio};

use crate::harness::{
    LOGGED, Order, Supervisor, is_root, joined, make_gate, open_gate, open_log, records, wait_until,
};

#[test]
fn output_is_logged_byte_for_byte_in_both_streams() {
    if !is_root() {
        return;
    }
    let supervisor = Supervisor::start();
    let mut client = supervisor.client();
    let path = supervisor.log_path("0.log");
    client.start_logged("a", r"printf 'one\r\n\ntwo'; printf 'e\0\377\n' >&2", &open_log(&path));
    assert_eq!(client.exited().code, 0);
    assert_eq!(joined(&path, "stdout"), b"one\r\n\ntwo");
    assert_eq!(joined(&path, "stderr"), b"e\0\xff\n");
    let tags: Vec<_> = records(&path).into_iter().filter(|r| r.0 == "stdout").map(|r| r.1).collect();
    assert_eq!(tags, ["F", "F", "P"]);
}

#[test]
fn a_long_line_comes_in_pieces_and_binary_data_comes_whole() {
    if !is_root() {
        return;
    }
    let supervisor = Supervisor::start();
    let mut client = supervisor.client();
    let content: Vec<u8> = (0..3 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(supervisor.log_path("input"), &content).unwrap();
    let path = supervisor.log_path("0.log");
    let input = supervisor.log_path("input");
    let script = format!(
        "head -c 1000000 /dev/zero 2>&- | true; cat {}; head -c 1048576 {} | tr '\\n' x; echo",
        input.display(),
        input.display()
    );
    client.start_logged("a", &script, &open_log(&path));
    assert_eq!(client.exited().code, 0);
    let mut expected = content.clone();
    expected.extend(content[..1 << 20].iter().map(|&byte| if byte == b'\n' { b'x' } else { byte }));
    expected.push(b'\n');
    assert!(joined(&path, "stdout") == expected, "the log differs");
    assert!(records(&path).iter().all(|(_, _, content)| content.len() <= 16 << 10));
    assert!(
        records(&path).iter().filter(|(_, tag, content)| tag == "P" && content.len() == 16 << 10).count()
            >= 63
    );
}

#[test]
fn a_reopened_log_loses_and_repeats_nothing() {
    if !is_root() {
        return;
    }
    let supervisor = Supervisor::start();
    let mut client = supervisor.client();
    let path = |number: usize| supervisor.log_path(&format!("{number}.log"));
    client.start_logged(
        "a",
        "i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); done",
        &open_log(&path(0)),
    );
    let mut exit = None;
    for number in 1..6 {
        client.send(&Request::ReopenLog { id: "a".to_owned() }, &[open_log(&path(number)).as_fd()]);
        match client.reply().0 {
            Reply::LogReopened { id, done } => assert_eq!((id.as_str(), done), ("a", exit.is_none())),
            Reply::Exited(ended) => exit = Some(ended),
            other => panic!("{other:?}"),
        }
        if exit.is_none() {
            wait_until("a line in the new log", || {
                fs::metadata(path(number)).unwrap().len() > 0
                    || records(&path(number - 1)).iter().any(|r| r.2 == b"19999")
            });
        }
    }
    if exit.is_none() {
        client.exited();
    }
    let files: Vec<u8> =
        (0..6).filter(|&n| path(n).exists()).flat_map(|n| joined(&path(n), "stdout")).collect();
    let expected: String = (0..20000).map(|n| format!("{n}\n")).collect();
    assert!(files == expected.as_bytes());
}

#[test]
fn output_is_discarded_if_there_is_no_log() {
    if !is_root() {
        return;
    }
    let supervisor = Supervisor::start();
    let mut client = supervisor.client();
    let stdio = Stdio::Logged { log: false, max_line: 100, stdin: false };
    client.start("a", &Order::shell("seq 1 100000"), stdio, &[]);
    let exit = client.exited();
    assert_eq!((exit.code, exit.log_bytes_dropped), (0, 0));
}

#[test]
fn a_grandchild_that_keeps_the_pipe_delays_no_exit_and_is_still_logged() {
    if !is_root() {
        return;
    }
    let supervisor = Supervisor::start();
    let mut client = supervisor.client();
    let before = supervisor.descriptors();
    let (path, gate) = (supervisor.log_path("0.log"), supervisor.log_path("gate"));
    make_gate(&gate);
    let script =
        format!("(read line < {}; echo from the grave; exit 3) & echo parent; exit 5", gate.display());
    client.start_logged("a", &script, &open_log(&path));
    assert_eq!(client.exited().code, 5);
    assert_eq!(joined(&path, "stdout"), b"parent\n");
    client.forget("a");
    client.settle();
    open_gate(&gate).write_all(b"go\n").unwrap();
    wait_until("the orphan's line", || joined(&path, "stdout") == b"parent\nfrom the grave\n");
    wait_until("the orphan's end", || supervisor.children().is_empty() && supervisor.descriptors() == before);
}

/// A file system of `pages` pages that is in nobody's mount table.
fn tiny_filesystem(pages: u32) -> OwnedFd {
    let builder = Builder::new("tmpfs").unwrap();
    builder.option("size", (pages * 4096).to_string().as_bytes()).unwrap();
    builder.mount(0).unwrap()
}

fn open_in(filesystem: &OwnedFd, name: &str) -> File {
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_APPEND;
    open_beneath(filesystem.as_fd(), Path::new(name), flags, 0o644).unwrap().into()
}

#[test]
fn a_full_disk_costs_lines_but_never_stops_the_process() {
    if !is_root() {
        return;
    }
    let supervisor = Supervisor::start();
    let mut client = supervisor.client();
    let disk = tiny_filesystem(16);
    open_in(&disk, "filler").write_all(&[0; 8 * 4096]).unwrap();
    let log = open_in(&disk, "0.log");
    let gate = supervisor.log_path("gate");
    make_gate(&gate);
    let script = format!("seq 100000 199999; read line < {}; echo back again", gate.display());
    let started = client.start("a", &Order::shell(&script), LOGGED, &[log.as_fd()]);
    // Opening the gate waits until the process has written everything.
    let mut gate = open_gate(&gate);
    // The rest is still on its way through the pipe.
    wait_until("an empty pipe", || kernel::descriptor::unread_bytes(started.pipes[0].as_fd()).unwrap() == 0);
    client.settle();
    kernel::descriptor::remove_at(disk.as_fd(), "filler").unwrap();
    gate.write_all(b"go\n").unwrap();
    let exit = client.exited();
    assert_eq!(exit.code, 0);
    let copy = supervisor.log_path("copy");
    fs::write(&copy, fs::read(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&log))).unwrap())
        .unwrap();
    let output = String::from_utf8(joined(&copy, "stdout")).unwrap();
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines.last(), Some(&"back again"), "it resumed");
    let whole = lines[..lines.len() - 1].iter().all(|line| line.len() == 6 && line.parse::<u32>().is_ok());
    assert!(whole && lines.len() > 100, "{} lines", lines.len());
    assert_eq!(exit.log_bytes_dropped, (100_001 - lines.len() as u64) * 7, "every byte is accounted for");
    assert!(supervisor.notices().contains("log not written"), "{}", supervisor.notices());
    assert!(supervisor.notices().contains("log written again"), "{}", supervisor.notices());
}
