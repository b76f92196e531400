//! How long a start takes: gathering, cloning, every step, and the whole until the program runs.
//!
//! Prints medians; asserts nothing. As root, with `/bin/busybox` (package busybox-static). The plan is that of a pod's
//! container: all namespaces, overlay root, masked and read-only paths, cgroups of this host, RuntimeDefault filter.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use kernel::cgroup::Hierarchies;
use launch::compile::{Cgroups, Options, Rootfs, compile, compile_exec};
use launch::gather;
use launch::plan::FdIndex;
use launch::seccomp::{Arch, Context, KernelVersion, runtime_default};
use oci_spec::runtime::Spec;

#[path = "../tests/start/harness.rs"]
#[allow(dead_code, reason = "shared with the tests, which use all of it")]
mod harness;
#[path = "../tests/start/spec.rs"]
#[allow(dead_code, reason = "shared with the tests, which use all of it")]
mod spec;

const BATCHES: usize = 12;
/// Starts per batch. All of them are prepared before the first: more would make the process that forks keep, copy and
/// close descriptors that a supervisor does not have.
const ROUNDS: usize = 8;
const WARM_UP: usize = 1;

fn main() {
    // SAFETY: no pointers are passed.
    if unsafe { libc::geteuid() } != 0 || !Path::new("/bin/busybox").exists() {
        eprintln!("skipped: needs root and /bin/busybox (package busybox-static)");
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let hierarchies = Hierarchies::of_host(Path::new("/sys/fs/cgroup")).expect("cgroups");
    let name = format!("/orlop-bench-{}", std::process::id());
    let group = hierarchies.group(Path::new(&name)).expect("a name");
    group.create().expect("a cgroup");
    let cgroups = Cgroups::of(&group, false);

    let mut full = spec::base("exit");
    full["process"]["args"] = serde_json::json!(["/bin/busybox", "true"]);
    full["linux"]["seccomp"] = serde_json::Value::Null;
    let spec = spec::parse(full);
    println!("{:<46} {:>9} {:>9} {:>9}", "microseconds", "p50", "p90", "min");
    measure("no filter, no cgroup", directory.path(), &spec, Cgroups::default(), None);
    measure("cgroups", directory.path(), &spec, cgroups.clone(), None);
    let filter = default_filter();
    println!("filter: {} instructions", filter.program.len());
    let steps = measure("cgroups and filter", directory.path(), &spec, cgroups.clone(), Some(filter.clone()));
    for (name, times) in steps {
        row(&format!("  {name}"), times);
    }
    measure_exec(directory.path(), &spec, cgroups, filter);
    group.remove(Duration::from_secs(5)).expect("remove the cgroup");
}

fn default_filter() -> launch::plan::Filter {
    let native = Arch::native().expect("a known architecture");
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
    let context = Context {
        capabilities: spec::CAPABILITIES.iter().map(ToString::to_string).collect(),
        native,
        kernel: KernelVersion::parse(&release).expect("a version"),
    };
    runtime_default().resolve(&context).expect("resolve").compile(native).expect("compile")
}

/// One series; returns the times of each step by name.
fn measure(
    title: &str,
    directory: &Path,
    spec: &Spec,
    cgroups: Cgroups,
    seccomp: Option<launch::plan::Filter>,
) -> BTreeMap<String, Vec<u64>> {
    let own = directory.join(title.replace([' ', ','], "-"));
    let image = harness::Image::new(&own);
    let mut all = BTreeMap::<String, Vec<u64>>::new();
    let (mut compiling, mut gathering) = (Vec::new(), Vec::new());
    for batch in 0..BATCHES {
        let mut prepared = Vec::new();
        for round in 0..ROUNDS + WARM_UP {
            let upper = own.join(format!("upper-{batch}-{round}"));
            let work = own.join(format!("work-{batch}-{round}"));
            std::fs::create_dir(&upper).expect("mkdir");
            std::fs::create_dir(&work).expect("mkdir");
            let rootfs = Rootfs::Overlay { lower: vec![image.lower.clone()], upper, work };
            let (cgroups, seccomp) = (cgroups.clone(), seccomp.clone());
            let options = Options { rootfs, cgroups, seccomp, ..Options::default() };
            let begin = Instant::now();
            let compiled = compile(spec, &options).expect("compile");
            compiling.push(micros(begin));
            let begin = Instant::now();
            let fds = gather(&compiled.needs).expect("gather");
            gathering.push(micros(begin));
            prepared.push(harness::Ready { plan: compiled.plan, fds });
        }
        for (name, times) in enclosed(|room| start_all(room, &prepared)) {
            all.entry(name).or_default().extend(times);
        }
    }
    row(&format!("{title}: compile"), compiling);
    row(&format!("{title}: gather"), gathering);
    row(&format!("{title}: clone to running"), all.remove("total").expect("totals"));
    all
}

fn start_all(room: &harness::Room, prepared: &[harness::Ready]) -> Vec<(String, u64)> {
    let mut times = Vec::new();
    for (round, ready) in prepared.iter().enumerate() {
        let begin = Instant::now();
        let running = room.start(ready).expect("start");
        let total = micros(begin);
        if round >= WARM_UP {
            times.push(("total".to_owned(), total));
            times.extend(running.steps.iter().map(|step| (step.name.clone(), step.nanos / 1000)));
        }
        running.finish();
    }
    times
}

/// Execs into one running container, confined like it.
fn measure_exec(directory: &Path, spec: &Spec, cgroups: Cgroups, filter: launch::plan::Filter) {
    let image = harness::Image::new(&directory.join("exec"));
    let sleeper = spec::parse(spec::base("sleep 1000"));
    let container = harness::Ready::new(&sleeper, &image.options(), Vec::new());
    let options = Options { cgroups, seccomp: Some(filter), given: 1, ..Options::default() };
    let process = spec.process().as_ref().expect("a process");
    let compiled = compile_exec(spec, process, FdIndex(0), &options).expect("compile");
    let gathered = gather(&compiled.needs).expect("gather");
    let mut times = enclosed(move |room| {
        let container = room.start(&container).expect("start");
        let mut ready = harness::Ready { plan: compiled.plan, fds: gathered };
        ready.fds.insert(0, container.pidfd.try_clone().expect("a copy"));
        let mut times = Vec::new();
        for round in 0..BATCHES * ROUNDS + WARM_UP {
            let begin = Instant::now();
            let running = room.start(&ready).expect("start");
            let started = micros(begin);
            running.finish();
            if round >= WARM_UP {
                times.push(("running".to_owned(), started));
                times.push(("ended".to_owned(), micros(begin)));
            }
        }
        container.kill();
        times
    });
    row("exec: clone to running", times.remove("running").expect("times"));
    row("exec: clone to ended", times.remove("ended").expect("times"));
}

/// Runs `f` in the supervisor's place, a process that has left the host behind. Its results, named times, come back
/// through a pipe.
fn enclosed(f: impl FnOnce(&harness::Room) -> Vec<(String, u64)>) -> BTreeMap<String, Vec<u64>> {
    let (read, write) = harness::pipe();
    // SAFETY: this process has one thread.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        drop(read);
        let times = f(&harness::Room::enter());
        serde_json::to_writer(File::from(write), &times).expect("write");
        // SAFETY: ends the process without the parent's exit handlers.
        unsafe { libc::_exit(0) };
    }
    drop(write);
    drop(f);
    let text = std::io::read_to_string(File::from(read)).expect("read");
    assert_eq!(harness::wait(pid), harness::Ended::Code(0));
    let times: Vec<(String, u64)> = serde_json::from_str(&text).expect("times");
    let mut named = BTreeMap::<String, Vec<u64>>::new();
    for (name, time) in times {
        named.entry(name).or_default().push(time);
    }
    named
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).expect("not an eternity")
}

fn row(name: &str, mut times: Vec<u64>) {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    println!("{name:<46} {:>9} {:>9} {:>9}", at(50), at(90), at(0));
}
