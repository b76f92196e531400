//! What the supervisor costs: memory, log throughput, time of a start. Needs root.
//!
//!     cargo bench -p supervisor
//!
//! Prints one line per measure. The program it measures is the one that is shipped.

#![allow(clippy::unwrap_used, reason = "a benchmark stops at the first surprise")]

#[allow(dead_code, reason = "shared with the stories, which use all of it")]
#[path = "../tests/stories/harness.rs"]
mod harness;

use std::fs;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use harness::{Client, LOGGED, Order, Supervisor, is_root};
use kernel::mount::Builder;
use kernel::path::open_beneath;
use launch::protocol::{Reply, Stdio};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, verb, bytes, length] = &arguments[..]
        && verb == "write"
    {
        return write_lines(bytes.parse().unwrap(), length.parse().unwrap());
    }
    if is_root() {
        memory(200);
        for length in [16, 64, 100, 256, 1024, 16 << 10] {
            throughput(128 << 20, length);
        }
        latency(200);
    }
}

/// Writes lines of `length` bytes, newline included, as fast as the pipe takes them.
fn write_lines(bytes: usize, length: usize) {
    let mut line = vec![b'x'; length];
    line[length - 1] = b'\n';
    let buffer = line.repeat((65_536_usize).div_ceil(length));
    let mut out = std::io::stdout().lock();
    let mut left = bytes;
    while left > 0 {
        let part = &buffer[..left.min(buffer.len())];
        out.write_all(part).unwrap();
        left -= part.len();
    }
}

/// A field of `smaps_rollup`, KiB.
fn rollup(supervisor: &Supervisor, field: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", supervisor.pid())).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    value.trim().trim_end_matches(" kB").parse().unwrap()
}

/// CPU time spent so far.
fn cpu(supervisor: &Supervisor) -> Duration {
    let text = fs::read_to_string(format!("/proc/{}/schedstat", supervisor.pid())).unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

fn memory(processes: usize) {
    let supervisor = Supervisor::start();
    let mut client = supervisor.client();
    let report = |when: &str| {
        let (pss, anonymous) = (rollup(&supervisor, "Pss:"), rollup(&supervisor, "Pss_Anon:"));
        println!("memory, {when:<34} {pss:>7} KiB PSS, of which {anonymous} KiB anonymous");
    };
    report("idle");
    for number in 0..processes {
        let id = format!("{number:064x}");
        let log = harness::open_log(&supervisor.log_path(&id));
        client.start(&id, &Order::shell("echo started; exec sleep 1000"), LOGGED, &[log.as_fd()]);
    }
    report(&format!("{processes} logged processes"));
    let id = "f".repeat(64);
    let log = harness::open_log(&supervisor.log_path(&id));
    client.start_logged(&id, "seq 1 3000000", &log);
    client.exited();
    report("after 20 MB of output on top");
}

fn throughput(bytes: usize, length: usize) {
    let supervisor = Supervisor::start();
    let mut client = supervisor.client();
    let disk = Builder::new("tmpfs").unwrap().mount(0).unwrap();
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_APPEND;
    let log = open_beneath(disk.as_fd(), Path::new("0.log"), flags, 0o640).unwrap();
    let own = std::env::current_exe().unwrap();
    let order = Order::new(&[own.to_str().unwrap(), "write", &bytes.to_string(), &length.to_string()]);
    client.start("writer", &order, LOGGED, &[log.as_fd()]);
    let (before, since) = (cpu(&supervisor), Instant::now());
    assert_eq!(client.exited().log_bytes_dropped, 0);
    let (wall, busy) = (since.elapsed().as_secs_f64(), (cpu(&supervisor) - before).as_secs_f64());
    let megabytes = bytes as f64 / 1e6;
    println!(
        "log, lines of {length:>5} bytes {:>22.0} MB/s, {:.0} MB per CPU second, {:.2} cores",
        megabytes / wall,
        megabytes / busy,
        busy / wall
    );
}

fn latency(count: usize) {
    let supervisor = Supervisor::start();
    let mut client = supervisor.client();
    let order = Order { record: false, ..Order::new(&["/bin/true"]) };
    let mut times: Vec<Duration> = (0..count).map(|number| start_once(&mut client, number, &order)).collect();
    times.sort();
    let (p50, p95) = (times[count / 2], times[count * 95 / 100]);
    println!("start, request to Started {:>21.0?} p50, {p95:.0?} p95, {:.0?} minimum", p50, times[0]);
}

fn start_once(client: &mut Client, number: usize, order: &Order<'_>) -> Duration {
    let since = Instant::now();
    client.ask(&format!("p{number}"), order, Stdio::Null, &[]);
    let Reply::Started { .. } = client.reply().0 else { panic!("not started") };
    let time = since.elapsed();
    client.exited();
    time
}
