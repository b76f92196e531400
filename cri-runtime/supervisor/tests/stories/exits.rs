//! How processes end, and what is kept of it.

use std::fs;
use std::os::fd::AsFd;

use kernel::descriptor::remove_at;
use kernel::mount::Builder;
use kernel::process::{ExitStatus, zombie_exit};
use launch::protocol::{Request, Stdio};

use crate::harness::{Order, Supervisor, is_root, wait_until};

#[test]
fn the_record_of_an_exit_says_how_and_when() {
    if !is_root() {
        return;
    }
    let supervisor = Supervisor::start();
    let mut client = supervisor.client();
    client.start("a", &Order::shell("exit 37"), Stdio::Null, &[]);
    let exit = client.exited();
    assert_eq!(supervisor.exit_record("a"), Some(exit.clone()));
    assert_eq!((exit.code, exit.signal, exit.cri_code()), (37, 0, 37));
    assert!(supervisor.children().is_empty());
    for signal in [libc::SIGTERM, libc::SIGKILL, libc::SIGSEGV] {
        let id = format!("s{signal}");
        let started = client.start(&id, &Order::shell("exec sleep 1000"), Stdio::Null, &[]);
        started.pidfd.send_signal(signal).unwrap();
        let exit = client.exited();
        assert_eq!((exit.code, exit.signal, exit.cri_code()), (0, signal, 128 + signal));
        assert_eq!(supervisor.exit_record(&id), Some(exit));
    }
    assert_eq!(fs::read_dir(supervisor.directory.path().join("exits")).unwrap().count(), 4, "records only");
}

#[test]
fn an_exit_is_kept_until_it_is_forgotten() {
    if !is_root() {
        return;
    }
    let supervisor = Supervisor::start();
    let mut client = supervisor.client();
    let before = supervisor.descriptors();
    client.start("a", &Order::shell("exit 3"), Stdio::Null, &[]);
    let exit = client.exited();
    let (client, known) = supervisor.connect();
    assert_eq!(known.len(), 1);
    assert_eq!((known[0].0.exit.as_ref(), known[0].1.len()), (Some(&exit), 1), "with its pidfd");
    client.forget("a");
    client.forget("a");
    client.settle();
    // The connection before is closed in the turn in which the new one was greeted, but at its end.
    wait_until("all descriptors closed", || supervisor.descriptors() == before);
    assert!(supervisor.connect().1.is_empty());
}

#[test]
fn a_running_process_is_not_forgotten() {
    if !is_root() {
        return;
    }
    let supervisor = Supervisor::start();
    let mut client = supervisor.client();
    client.start("a", &Order::shell("exec sleep 1000"), Stdio::Null, &[]);
    client.forget("a");
    client.settle();
    assert_eq!(supervisor.connect().1.len(), 1);
}

#[test]
fn a_status_that_cannot_be_written_stays_in_the_zombie() {
    if !is_root() {
        return;
    }
    // No inode is left for a record.
    let builder = Builder::new("tmpfs").unwrap();
    builder.option("nr_inodes", b"2").unwrap();
    let exits = builder.mount(0).unwrap();
    let file = |name: &str, flags| {
        kernel::path::open_beneath(exits.as_fd(), std::path::Path::new(name), flags, 0o600)
    };
    file("filler", libc::O_CREAT | libc::O_WRONLY).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let supervisor = Supervisor::start_with(directory, exits.try_clone().unwrap(), &[]);
    let mut client = supervisor.client();
    let held = client.start("held", &Order::shell("exit 37"), Stdio::Null, &[]);
    assert_eq!(client.exited().code, 37, "it is told all the same");
    let forgotten = client.start("forgotten", &Order::shell("exit 38"), Stdio::Null, &[]);
    assert_eq!(client.exited().code, 38, "another one is not hidden behind it");
    let status = |pid| zombie_exit(pid).unwrap_or(None);
    assert_eq!(status(held.pid), Some(ExitStatus { code: 37, signal: 0 }));
    assert_eq!(status(forgotten.pid), Some(ExitStatus { code: 38, signal: 0 }));
    client.forget("forgotten");
    client.send(&Request::Shutdown, &[]);
    assert!(client.refused().contains("left"), "a status would be lost");
    assert_eq!(status(forgotten.pid), None, "reaped");
    remove_at(exits.as_fd(), "filler").unwrap();
    wait_until("the record", || file("held", libc::O_RDONLY).is_ok());
    wait_until("the end of the zombie", || supervisor.children().is_empty());
}

#[test]
fn orphans_are_reaped() {
    if !is_root() {
        return;
    }
    let supervisor = Supervisor::start();
    let mut client = supervisor.client();
    client.start("a", &Order::shell("(sh -c 'exit 1' & exit 2) & exit 3"), Stdio::Null, &[]);
    assert_eq!(client.exited().code, 3);
    wait_until("the end of the orphans", || supervisor.children().is_empty());
    assert!(!supervisor.notices().contains("ERROR"), "{}", supervisor.notices());
}

#[test]
fn a_record_is_whole_or_absent_wherever_the_supervisor_dies() {
    if !is_root() {
        return;
    }
    for (point, written) in [("begin", false), ("rename", false), ("end", true)] {
        let directory = tempfile::tempdir().unwrap();
        let exits = directory.path().join("exits");
        fs::create_dir(&exits).unwrap();
        let point = format!("supervisor.record.{point}");
        let exits = kernel::path::open_dir(&exits).unwrap();
        let mut supervisor = Supervisor::start_with(directory, exits, &[("ORLOP_FAILPOINT", &point)]);
        let mut client = supervisor.client();
        let started = client.start("a", &Order::shell("exit 37"), Stdio::Null, &[]);
        assert!(!supervisor.wait().success(), "it did not die at {point}");
        assert!(started.pidfd.wait_exit(crate::harness::DEADLINE).unwrap());
        let code = supervisor.exit_record("a").map(|exit| exit.code);
        assert_eq!(code, written.then_some(37), "at {point}");
    }
}
