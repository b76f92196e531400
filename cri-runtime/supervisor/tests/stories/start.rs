//! Starts, their streams, and their failures.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use kernel::descriptor::{pipe, sealed_memory_file, set_pipe_size};
use kernel::event::wait_readable;
use launch::plan::FdIndex;
use launch::protocol::{Launch, Reply, Request, Stdio};

use crate::harness::{Client, Order, Supervisor, binary, is_root, joined, open_log, records, wait_until};

#[test]
fn a_process_starts_with_an_identity_and_ends_with_a_code() {
    if !is_root() {
        return;
    }
    let supervisor = Supervisor::start();
    let mut client = supervisor.client();
    let started = client.start("a", &Order::shell("exit 7"), Stdio::Null, &[]);
    assert!(started.start_time > 0 && started.started_at > 1_600_000_000_000_000_000);
    assert!(started.pipes.is_empty());
    let exit = client.exited();
    assert_eq!((exit.id.as_str(), exit.pid, exit.code, exit.signal), ("a", started.pid, 7, 0));
    assert!(exit.finished_at >= exit.started_at && exit.started_at == started.started_at);
}

#[test]
fn passed_streams_are_used_as_they_are() {
    if !is_root() {
        return;
    }
    let supervisor = Supervisor::start();
    let mut client = supervisor.client();
    let ((input, give), (out, out_end), (err, err_end)) = (pipe().unwrap(), pipe().unwrap(), pipe().unwrap());
    let order = Order { record: false, ..Order::shell("cat; echo oops >&2") };
    client.start("a", &order, Stdio::Passed, &[input.as_fd(), out_end.as_fd(), err_end.as_fd()]);
    drop((input, out_end, err_end));
    File::from(give).write_all(b"as it is").unwrap();
    let (mut text, mut errors) = (String::new(), String::new());
    File::from(out).read_to_string(&mut text).unwrap();
    File::from(err).read_to_string(&mut errors).unwrap();
    assert_eq!((text.as_str(), errors.as_str()), ("as it is", "oops\n"));
    assert_eq!(client.exited().code, 0);
    assert_eq!(supervisor.exit_record("a"), None, "not asked for");
    assert!(supervisor.connect().1.is_empty(), "not kept");
}

#[test]
fn standard_input_stays_open_until_the_daemon_wants_it_closed() {
    if !is_root() {
        return;
    }
    let supervisor = Supervisor::start();
    let mut client = supervisor.client();
    let path = supervisor.log_path("0.log");
    let stdio = Stdio::Logged { log: true, max_line: 100, stdin: true };
    let mut started = client.start("a", &Order::shell("cat"), stdio, &[open_log(&path).as_fd()]);
    assert_eq!(started.pipes.len(), 3);
    File::from(started.pipes.pop().unwrap()).write_all(b"one\n").unwrap();
    wait_until("the line", || records(&path).len() == 1);
    // This daemon is gone; the process reads on.
    drop((client, started));
    let (client, mut known) = supervisor.connect();
    let (process, mut descriptors) = known.remove(0);
    assert_eq!((process.exit, descriptors.len()), (None, 4));
    File::from(descriptors.pop().unwrap()).write_all(b"two\n").unwrap();
    client.send(&Request::CloseStdin { id: "a".to_owned() }, &[]);
    assert_eq!(client.exited().code, 0, "cat saw the end of its input");
    let lines: Vec<_> = records(&path).into_iter().map(|(_, _, line)| line).collect();
    assert_eq!(lines, [b"one", b"two"]);
}

/// Soft and hard limit of open descriptors, one per line.
fn rlimits_of(pid: u32) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    line.split_whitespace().take(2).map(|limit| format!("{limit}\n")).collect()
}

#[test]
fn nothing_of_the_supervisor_reaches_the_program() {
    if !is_root() {
        return;
    }
    // A limit below the hard one, which the supervisor raises for itself.
    let pid = std::process::id();
    let lower =
        std::process::Command::new("prlimit").arg(format!("--pid={pid}")).arg("--nofile=900:").status();
    assert!(lower.unwrap().success());
    let supervisor = Supervisor::start();
    let mut client = supervisor.client();
    let other = supervisor.log_path("other.log");
    client.start_logged("other", "exec sleep 1000", &open_log(&other));
    let path = supervisor.log_path("0.log");
    let script =
        "ulimit -Sn; ulimit -Hn; ls /proc/$$/fd; env | sort; grep -E 'Sig(Blk|Ign)' /proc/self/status";
    client.start_logged("a", script, &open_log(&path));
    assert_eq!(client.exited().code, 0);
    let output = String::from_utf8(joined(&path, "stdout")).unwrap();
    let none = "0000000000000000";
    let limit = rlimits_of(pid);
    let expected = format!("{limit}0\n1\n2\nPATH=/usr/bin:/bin\nPWD=/\nSigBlk:\t{none}\nSigIgn:\t{none}\n");
    assert_eq!(output, expected);
}

#[test]
fn a_program_that_does_not_exist_is_a_failure_with_its_errno() {
    if !is_root() {
        return;
    }
    let supervisor = Supervisor::start();
    let mut client = supervisor.client();
    let before = supervisor.descriptors();
    let token = client.ask("a", &Order::new(&["/no/such/program"]), Stdio::Null, &[]);
    let failure = client.answer(token).unwrap_err();
    assert_eq!(failure.errno, libc::ENOENT, "{failure}");
    assert!(failure.object.contains("/no/such/program"), "{failure}");
    assert_eq!((supervisor.children(), supervisor.descriptors()), (vec![], before), "nothing of it is left");
    assert_eq!(supervisor.exit_record("a"), None);
    client.start("a", &Order::shell("exit 0"), Stdio::Null, &[]);
    assert_eq!(client.exited().code, 0, "its identity is free again");
}

/// Sends a launch as it is and returns the errno of its failure.
fn errno_of(client: &Client, launch: Launch) -> i32 {
    client.send(&Request::Launch(launch), &[]);
    match client.reply().0 {
        Reply::Failed { token: 77, failure } => failure.errno,
        other => panic!("{other:?}"),
    }
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    if !is_root() {
        return;
    }
    let supervisor = Supervisor::start();
    let mut client = supervisor.client();
    let launch = |id: &str, plan: &[u8], stdio| Launch {
        token: 77,
        id: id.to_owned(),
        plan: plan.to_vec(),
        stdio,
        record: true,
    };
    assert_eq!(errno_of(&client, launch("../a", &[], Stdio::Null)), libc::EINVAL);
    assert_eq!(errno_of(&client, launch("a", &[], Stdio::Null)), libc::EINVAL, "no plan at all");
    assert_eq!(errno_of(&client, launch("a", &[0xff; 40], Stdio::Null)), libc::EPROTO, "no plan");
    client.start("a", &Order::shell("exec sleep 1000"), Stdio::Null, &[]);
    let token = client.ask("a", &Order::shell("exit 0"), Stdio::Null, &[]);
    assert_eq!(client.answer(token).unwrap_err().errno, libc::EEXIST, "the identity is taken");
    let token = client.ask("b", &Order::shell("exit 0"), Stdio::Passed, &[]);
    assert_eq!(client.answer(token).unwrap_err().errno, libc::EINVAL, "streams are missing");
    client.connection.send(&[0xff; 9], &[]).unwrap();
    assert!(client.refused().contains("decoded"));
    let stranger = supervisor.connect_silently();
    stranger.send(&Request::Shutdown, &[]);
    assert!(stranger.refused().contains("hello"));
}

#[test]
fn a_large_plan_travels_in_a_memory_file() {
    if !is_root() {
        return;
    }
    let supervisor = Supervisor::start();
    let client = supervisor.client();
    let padding = "x".repeat(100 << 10);
    let order = Order::shell(&format!("true {padding}; exit 9"));
    let root = kernel::mount::open_tree_clone(std::path::Path::new("/"), true).unwrap();
    let plan = sealed_memory_file(c"plan", &order.encoded()).unwrap();
    let launch = Launch { token: 1, id: "a".to_owned(), plan: Vec::new(), stdio: Stdio::Null, record: true };
    client.send(&Request::Launch(launch), &[plan.as_fd(), root.as_fd()]);
    client.answer(1).unwrap();
    assert_eq!(client.exited().code, 9);
}

#[test]
fn many_starts_at_once_are_all_answered() {
    if !is_root() {
        return;
    }
    let supervisor = Supervisor::start();
    let mut client = supervisor.client();
    let before = supervisor.descriptors();
    let (mut started, mut codes) = (0, Vec::new());
    for number in 0..30 {
        client.ask(&format!("p{number}"), &Order::shell(&format!("exit {number}")), Stdio::Null, &[]);
    }
    while started < 30 || codes.len() < 30 {
        match client.reply().0 {
            Reply::Started { .. } => started += 1,
            Reply::Exited(exit) => {
                assert_eq!(exit.id, format!("p{}", exit.code));
                codes.push(exit.code);
            }
            other => panic!("{other:?}"),
        }
    }
    for number in 0..30 {
        client.forget(&format!("p{number}"));
    }
    client.settle();
    assert_eq!((supervisor.children(), supervisor.descriptors()), (vec![], before));
}

/// A pipe into which nothing fits any more: a child that writes to it never gets to its program.
fn full_pipe() -> (OwnedFd, OwnedFd) {
    let (read, write) = pipe().unwrap();
    let room = set_pipe_size(write.as_fd(), 4096).unwrap();
    File::from(write.try_clone().unwrap()).write_all(&vec![0; room]).unwrap();
    (read, write)
}

fn hanging(write: &OwnedFd) -> Order<'_> {
    Order { descriptors: vec![write.as_fd()], tasks: vec![FdIndex(1)], ..Order::shell("exit 0") }
}

#[test]
fn a_start_that_hangs_delays_no_other_and_ends_with_its_daemon() {
    if !is_root() {
        return;
    }
    let supervisor = Supervisor::start();
    let mut client = supervisor.client();
    let (_read, write) = full_pipe();
    client.ask("hangs", &hanging(&write), Stdio::Null, &[]);
    client.start("other", &Order::shell("exit 3"), Stdio::Null, &[]);
    assert_eq!(client.exited().code, 3);
    client.send(&Request::Shutdown, &[]);
    assert!(client.refused().contains("left"));
    let program = kernel::spawn::sealed_copy(binary()).unwrap();
    client.send(&Request::Upgrade, &[program.as_fd()]);
    assert!(client.refused().contains("under way"));
    assert_eq!(supervisor.children().len(), 1);
    let (mut client, known) = supervisor.connect();
    assert_eq!(known.len(), 1, "the one that hangs is undone");
    wait_until("its end", || supervisor.children().is_empty());
    client.start("hangs", &Order::shell("exit 4"), Stdio::Null, &[]);
    assert_eq!(client.exited().code, 4);
}

#[test]
#[ignore = "waits for the deadline of 30 seconds"]
fn a_start_that_hangs_is_given_up() {
    if !is_root() {
        return;
    }
    let supervisor = Supervisor::start();
    let mut client = supervisor.client();
    let before = supervisor.descriptors();
    let (_read, write) = full_pipe();
    let token = client.ask("hangs", &hanging(&write), Stdio::Null, &[]);
    assert!(wait_readable(client.connection.as_fd(), Duration::from_secs(60)).unwrap());
    assert_eq!(client.answer(token).unwrap_err().errno, libc::ETIMEDOUT);
    assert_eq!((supervisor.children(), supervisor.descriptors()), (vec![], before));
}
