//! Another binary takes over in place.

use std::fs::File;
use std::os::fd::AsFd;

use kernel::descriptor::sealed_memory_file;
use kernel::process::Pidfd;
use kernel::spawn::sealed_copy;
use launch::protocol::{Request, Stdio};

use crate::harness::{LOGGED, Order, Supervisor, binary, is_root, joined, open_log, wait_until};

#[test]
fn processes_logs_and_exits_survive_another_binary() {
    if !is_root() {
        return;
    }
    let supervisor = Supervisor::start();
    let mut client = supervisor.client();
    let before = supervisor.descriptors();
    let path = supervisor.log_path("0.log");
    let script = "i=0; while [ $i -lt 2000 ]; do printf $i; sleep 0.0005; echo; i=$((i+1)); done; exit 37";
    let started = client.start("a", &Order::shell(script), LOGGED, &[open_log(&path).as_fd()]);
    client.start("ended", &Order::shell("exit 4"), Stdio::Null, &[]);
    assert_eq!(client.exited().code, 4);
    let stdio = Stdio::Logged { log: true, max_line: 100, stdin: true };
    let input = supervisor.log_path("1.log");
    let reader = client.start("reader", &Order::shell("cat"), stdio, &[open_log(&input).as_fd()]);
    for _ in 0..3 {
        let program = sealed_copy(binary()).unwrap();
        client.send(&Request::Upgrade, &[program.as_fd()]);
        assert!(
            client.try_reply().map_or(true, |reply| reply.is_none()),
            "the connection ends with the program"
        );
        let (next, mut known) = supervisor.connect();
        known.sort_by(|a, b| a.0.id.cmp(&b.0.id));
        let ids: Vec<_> = known.iter().map(|(process, _)| process.id.as_str()).collect();
        assert_eq!(ids, ["a", "ended", "reader"]);
        assert_eq!((known[0].0.pid, known[0].0.start_time), (started.pid, started.start_time));
        assert_eq!(known[1].0.exit.as_ref().map(|exit| exit.code), Some(4));
        assert_eq!([known[0].1.len(), known[1].1.len(), known[2].1.len()], [3, 1, 4]);
        client = next;
    }
    assert_eq!(supervisor.notices().matches("resumed processes=3").count(), 3, "{}", supervisor.notices());
    let exit = client.exited();
    assert_eq!((exit.id.as_str(), exit.code, exit.started_at), ("a", 37, started.started_at));
    assert_eq!(supervisor.exit_record("a"), Some(exit));
    let expected: String = (0..2000).map(|n| format!("{n}\n")).collect();
    assert!(joined(&path, "stdout") == expected.as_bytes(), "the log has a gap");
    // The new one starts processes as well as the old one, and lets go of everything.
    client.start("b", &Order::shell("exit 6"), Stdio::Null, &[]);
    assert_eq!(client.exited().code, 6);
    drop(reader.pipes);
    client.send(&Request::CloseStdin { id: "reader".to_owned() }, &[]);
    assert_eq!(client.exited().code, 0);
    ["a", "b", "ended", "reader"].iter().for_each(|id| client.forget(id));
    client.settle();
    wait_until("all descriptors closed", || supervisor.descriptors() == before);
}

#[test]
fn a_binary_that_cannot_take_over_changes_nothing() {
    if !is_root() {
        return;
    }
    let supervisor = Supervisor::start();
    let mut client = supervisor.client();
    let started = client.start("a", &Order::shell("exec sleep 1000"), Stdio::Null, &[]);
    client.send(&Request::Upgrade, &[]);
    assert!(client.refused().contains("no binary"));
    let unsealed = File::open(binary()).unwrap();
    client.send(&Request::Upgrade, &[unsealed.as_fd()]);
    assert!(client.refused().contains("sealed"));
    let garbage = sealed_memory_file(c"garbage", b"no program").unwrap();
    client.send(&Request::Upgrade, &[garbage.as_fd()]);
    assert!(client.refused().contains("cannot be executed"));
    started.pidfd.send_signal(libc::SIGTERM).unwrap();
    assert_eq!(client.exited().signal, libc::SIGTERM);
    assert!(Pidfd::open(supervisor.pid()).is_ok());
}
