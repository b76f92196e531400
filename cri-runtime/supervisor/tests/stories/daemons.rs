//! Daemons come and go; processes do not notice.

use std::os::fd::AsFd;

use kernel::process::is_alive;
use launch::protocol::{Request, Stdio};

use crate::harness::{LOGGED, Order, Supervisor, is_root, joined, open_log, wait_until};

#[test]
fn output_goes_on_without_a_daemon() {
    if !is_root() {
        return;
    }
    let supervisor = Supervisor::start();
    let mut client = supervisor.client();
    let path = supervisor.log_path("0.log");
    // One line per millisecond, then more than every pipe on the way can hold.
    let script =
        "i=0; while [ $i -lt 300 ]; do echo $i; i=$((i+1)); sleep 0.001; done; seq 300 400000; exit 37";
    let started = client.start_logged("a", script, &open_log(&path));
    drop(client);
    // Daemons that say hello and die, again and again.
    for _ in 0..20 {
        let (_, known) = supervisor.connect();
        assert_eq!((known.len(), known[0].0.pid), (1, started.pid));
        assert_eq!(known[0].0.start_time, started.start_time);
    }
    assert!(started.pidfd.wait_exit(crate::harness::DEADLINE).unwrap(), "it hangs without a daemon");
    wait_until("the exit record", || supervisor.exit_record("a").is_some());
    let (_, known) = supervisor.connect();
    assert_eq!(known[0].0.exit.as_ref().map(|exit| exit.code), Some(37), "it ended while nobody listened");
    assert_eq!(known[0].0.exit, supervisor.exit_record("a"));
    let expected: String = (0..=400_000).map(|n| format!("{n}\n")).collect();
    assert!(joined(&path, "stdout") == expected.as_bytes(), "the sequence is not complete");
}

#[test]
fn a_new_daemon_takes_the_place_of_the_old_one() {
    if !is_root() {
        return;
    }
    let supervisor = Supervisor::start();
    let mut old = supervisor.client();
    let path = supervisor.log_path("0.log");
    let started = old.start("a", &Order::shell("exec sleep 1000"), LOGGED, &[open_log(&path).as_fd()]);
    let (new, known) = supervisor.connect();
    assert!(old.try_reply().map_or(true, |reply| reply.is_none()), "the old connection is closed");
    assert_eq!(known.len(), 1);
    assert_eq!((known[0].0.pid, known[0].1.len()), (started.pid, 3), "pidfd and both read ends");
    let pidfd = kernel::process::Pidfd::from(known.into_iter().next().unwrap().1.remove(0));
    pidfd.send_signal(libc::SIGTERM).unwrap();
    assert_eq!(new.exited().signal, libc::SIGTERM);
}

#[test]
fn a_start_whose_daemon_is_gone_is_undone_or_known() {
    if !is_root() {
        return;
    }
    let supervisor = Supervisor::start();
    drop(supervisor.client());
    let baseline = supervisor.descriptors();
    for round in 0..20 {
        let (mut client, _) = supervisor.connect();
        let id = format!("p{round}");
        client.ask(&id, &Order::shell("exec sleep 1000"), Stdio::Null, &[]);
        if round % 2 == 0 {
            client.settle_started();
        }
        drop(client);
        let (client, known) = supervisor.connect();
        for (process, _) in known {
            assert_eq!(process.id, id);
            assert!(is_alive(process.pid, process.start_time));
            kernel::process::Pidfd::open(process.pid).unwrap().send_signal(libc::SIGKILL).unwrap();
            assert_eq!(client.exited().signal, libc::SIGKILL);
            client.forget(&id);
            client.settle();
        }
    }
    wait_until("the end of every child", || supervisor.children().is_empty());
    // The last daemon's connection is closed when the supervisor gets to it.
    wait_until("all descriptors closed", || supervisor.descriptors() <= baseline);
}

#[test]
fn a_daemon_that_does_not_read_delays_nobody() {
    if !is_root() {
        return;
    }
    let supervisor = Supervisor::start();
    let mut client = supervisor.client();
    let path = supervisor.log_path("0.log");
    let started = client.start_logged("writer", "seq 1 300000; exit 5", &open_log(&path));
    // Answers pile up unread; the requests behind them wait in the socket.
    for number in 0..40 {
        client.ask(&format!("p{number}"), &Order::shell("exit 0"), Stdio::Null, &[]);
    }
    assert!(started.pidfd.wait_exit(crate::harness::DEADLINE).unwrap());
    wait_until("the exit record", || supervisor.exit_record("writer").is_some());
    assert_eq!(supervisor.exit_record("writer").unwrap().code, 5);
}

#[test]
fn it_ends_when_asked_and_nothing_is_left() {
    if !is_root() {
        return;
    }
    let mut supervisor = Supervisor::start();
    let mut client = supervisor.client();
    let started = client.start("a", &Order::shell("exec sleep 1000"), Stdio::Null, &[]);
    client.send(&Request::Shutdown, &[]);
    assert!(client.refused().contains("processes are left"));
    kernel::process::Pidfd::open(supervisor.pid()).unwrap().send_signal(libc::SIGTERM).unwrap();
    client.settle();
    started.pidfd.send_signal(libc::SIGKILL).unwrap();
    client.exited();
    client.forget("a");
    client.send(&Request::Shutdown, &[]);
    assert!(supervisor.wait().success());
    assert!(supervisor.notices().contains("signal ignored"), "{}", supervisor.notices());
}

#[test]
fn it_lives_in_a_small_place_of_its_own() {
    if !is_root() {
        return;
    }
    let supervisor = Supervisor::start();
    let _client = supervisor.client();
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", supervisor.pid())).unwrap();
    assert!(read("mountinfo").lines().count() <= 2, "{}", read("mountinfo"));
    assert_eq!(read("environ"), "");
    assert_eq!(read("status").lines().find(|line| line.starts_with("Threads:")), Some("Threads:\t1"));
    let program = std::fs::read_link(format!("/proc/{}/exe", supervisor.pid())).unwrap();
    assert!(program.to_string_lossy().contains("memfd:"), "{program:?}");
}
