//! The infra container, built and run as it is in a pod.

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;

use kernel::process::Pidfd;
use launch::plan::{Executable, FdIndex, Signals};
use launch::protocol::Stdio;

use crate::harness::{Client, DEADLINE, Order, Started, Supervisor, build, children, is_root, wait_until};

fn start(client: &mut Client, id: &str, pause: &Path) -> Started {
    let program = fs::File::open(pause).unwrap();
    let order = Order {
        clone_flags: (libc::CLONE_NEWNS | libc::CLONE_NEWPID) as u64,
        descriptors: vec![program.as_fd()],
        executable: Executable::Descriptor(FdIndex(1)),
        signals: Signals::Blocked,
        ..Order::new(&["pause"])
    };
    client.start(id, &order, Stdio::Null, &[])
}

#[test]
fn pause_is_small_reaps_and_ends_when_asked() {
    if !is_root() {
        return;
    }
    let supervisor = Supervisor::start();
    let mut client = supervisor.client();
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../pause/Cargo.toml");
    let pause = build("pause", manifest, &["--release"], "release/pause");
    assert!(fs::metadata(&pause).unwrap().len() <= 1024, "file size");
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // At once: also a signal that comes before its first instruction counts.
        let started = start(&mut client, &format!("pause{signal}"), &pause);
        started.pidfd.send_signal(signal).unwrap();
        let exit = client.exited();
        assert_eq!((exit.code, exit.signal), (0, 0), "on signal {signal}");
    }
    let started = start(&mut client, "pause", &pause);
    let order = Order {
        descriptors: vec![started.pidfd.as_fd()],
        pid_namespace: Some(FdIndex(1)),
        ..Order::shell("sleep 1000 & sleep 1001 & exit 0")
    };
    client.start("guest", &order, Stdio::Null, &[]);
    assert_eq!(client.exited().id, "guest");
    wait_until("two orphans", || children(started.pid).len() == 2);
    for orphan in children(started.pid) {
        let orphan = Pidfd::open(orphan).unwrap();
        orphan.send_signal(libc::SIGKILL).unwrap();
        assert!(orphan.wait_exit(DEADLINE).unwrap());
    }
    wait_until("both reaped", || children(started.pid).is_empty());
    let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", started.pid)).unwrap();
    let resident = rollup.lines().find_map(|line| line.strip_prefix("Rss:")).unwrap();
    let resident: u64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(resident <= 16, "{resident} KiB resident");
    started.pidfd.send_signal(libc::SIGTERM).unwrap();
    assert_eq!(client.exited().code, 0);
}
