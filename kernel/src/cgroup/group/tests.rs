//! Stories on the host's own hierarchies, in groups of this test's own below `/orlop-test-<pid>-<n>`; and stories on
//! a directory that looks like cgroup v2.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::cgroup::{Access, DeviceKind, DeviceRule, HugepageLimit};

const DEADLINE: Duration = Duration::from_secs(10);

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A group of the host that is killed and removed in the end, whatever happened.
struct Host {
    parent: Cgroup,
    group: Cgroup,
}

impl Host {
    /// `None`, said aloud, where the host or the user does not allow it.
    fn new() -> Option<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let hierarchies = match Hierarchies::of_host(root) {
            Ok(hierarchies) => hierarchies,
            Err(error) => {
                eprintln!("skipped: {error}");
                return None;
            }
        };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = PathBuf::from(format!("/orlop-test-{}-{number}", std::process::id()));
        let parent = hierarchies.group(&name).unwrap();
        let group = hierarchies.group(&name.join("c")).unwrap();
        match group.create() {
            Ok(()) => Some(Self { parent, group }),
            Err(Error::Create { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => {
                eprintln!("skipped: no right to make a cgroup");
                None
            }
            Err(error) => panic!("{error}: {error:?}"),
        }
    }

    /// A shell that joins the group before it runs the script, as a container's process does.
    fn run(&self, join: &Join, script: &str) -> Child {
        let mut joined = String::new();
        for tasks in &join.tasks {
            joined.push_str(&format!("echo 0 > '{}' || exit 97\n", tasks.display()));
        }
        if let Some(unified) = &join.unified {
            joined.push_str(&format!("echo 0 > '{}/cgroup.procs' || exit 97\n", unified.display()));
        }
        Command::new("sh").arg("-c").arg(joined + script).stdout(Stdio::piped()).spawn().unwrap()
    }

    /// Waits until so many processes are in the group.
    fn wait_for(&self, group: &Cgroup, count: usize) -> Vec<i32> {
        let end = Instant::now() + DEADLINE;
        loop {
            let procs = group.procs().unwrap();
            if procs.len() >= count {
                return procs;
            }
            assert!(Instant::now() < end, "only {procs:?} joined");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn read(&self, controller: &str, file: &str) -> String {
        control::read(&self.group.controller(controller).unwrap().join(file)).unwrap()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let killed = self.parent.kill(DEADLINE);
        let removed = self.parent.remove(DEADLINE);
        if !std::thread::panicking() {
            killed.unwrap();
            removed.unwrap();
            assert!(!self.parent.exists());
        }
    }
}

#[test]
fn a_process_joins_every_hierarchy_and_is_killed_with_its_children() {
    let Some(host) = Host::new() else { return };
    let mut shell = host.run(&host.group.join(), "sleep 1000 & sleep 1000 & wait");
    let procs = host.wait_for(&host.group, 3);
    assert!(procs.contains(&i32::try_from(shell.id()).unwrap()));
    let membership = fs::read_to_string(format!("/proc/{}/cgroup", shell.id())).unwrap();
    let own = host.group.path();
    for line in membership.lines() {
        let (_, rest) = line.split_once(':').unwrap();
        let (controllers, path) = rest.split_once(':').unwrap();
        let mounted = controllers.is_empty() || host.group.hierarchies.index_of(controllers).is_some();
        assert!(!mounted || Path::new(path) == own, "{line}");
    }
    host.group.kill(DEADLINE).unwrap();
    assert_eq!(host.group.procs().unwrap(), Vec::<i32>::new());
    assert!(!shell.wait().unwrap().success());
    host.group.remove(DEADLINE).unwrap();
    host.group.remove(DEADLINE).unwrap();
    assert!(!host.group.exists());
    assert_eq!(host.group.oom_kills().unwrap(), 0);
}

#[test]
fn a_fork_bomb_is_killed() {
    let Some(host) = Host::new() else { return };
    host.group.apply(&Limits { pids_max: Some(256), ..Limits::default() }).unwrap();
    // A shell that cannot fork ends, but what it left behind stays: the group never empties by itself.
    let script = "for i in 1 2 3 4; do (while :; do sleep 1000 & done) 2>/dev/null & done; wait";
    let mut shell = host.run(&host.group.join(), script);
    host.wait_for(&host.group, 20);
    host.group.kill(DEADLINE).unwrap();
    assert_eq!(host.group.procs().unwrap(), Vec::<i32>::new());
    shell.wait().unwrap();
}

#[test]
fn a_frozen_group_is_killed() {
    let Some(host) = Host::new() else { return };
    let mut shell = host.run(&host.group.join(), "sleep 1000 & wait");
    host.wait_for(&host.group, 2);
    match host.group.hierarchies.version() {
        Version::V1 => {
            if let Some(freezer) = host.group.controller("freezer") {
                control::write(&freezer.join("freezer.state"), "FROZEN").unwrap();
            }
        }
        Version::V2 => control::write(&host.group.directory(0).join("cgroup.freeze"), "1").unwrap(),
    }
    host.group.kill(DEADLINE).unwrap();
    shell.wait().unwrap();
}

#[test]
fn an_exec_is_killed_and_the_container_is_not() {
    let Some(host) = Host::new() else { return };
    let mut container = host.run(&host.group.join(), "sleep 1000 & wait");
    let inside = host.wait_for(&host.group, 2);
    let exec = host.group.create_exec_child("exec-1").unwrap();
    let mut shell = host.run(&exec.join(), "(sleep 1000 & sleep 1000 & wait) & wait");
    host.wait_for(&exec, 4);
    assert!(host.group.procs().unwrap().len() >= 6, "the container's list includes the exec");
    exec.kill(DEADLINE).unwrap();
    shell.wait().unwrap();
    assert_eq!(host.group.procs().unwrap(), inside);
    exec.remove(DEADLINE).unwrap();
    assert!(host.group.exists() && !exec.exists());
    host.group.kill(DEADLINE).unwrap();
    container.wait().unwrap();
}

#[test]
fn what_an_exec_leaves_behind_goes_on_in_the_container() {
    let Some(host) = Host::new() else { return };
    let exec = host.group.create_exec_child("exec-1").unwrap();
    let mut shell = host.run(&exec.join(), "sleep 1000 & sleep 1000 & wait");
    let running = host.wait_for(&exec, 3);
    assert!(host.group.dissolve(DEADLINE).is_err(), "a container's group is not an exec's");
    exec.dissolve(DEADLINE).unwrap();
    assert!(!exec.exists());
    assert_eq!(host.group.procs().unwrap(), running);
    exec.dissolve(DEADLINE).unwrap();
    host.group.kill(DEADLINE).unwrap();
    shell.wait().unwrap();
}

#[test]
fn the_name_of_an_exec_is_one_component() {
    let Some(host) = Host::new() else { return };
    for bad in ["", "..", "a/b", "/a"] {
        assert!(matches!(host.group.exec_child(bad), Err(Error::Path { .. })), "{bad:?}");
    }
    let exec = host.group.exec_child("a").unwrap();
    assert!(exec.exec_child("b").is_err());
}

#[test]
fn limits_are_set_changed_and_put_back_when_one_is_refused() {
    let Some(host) = Host::new() else { return };
    let limits = |memory: i64, shares| Limits {
        cpu_shares: Some(shares),
        cpu_quota_us: Some(50_000),
        cpu_period_us: Some(100_000),
        memory_limit: Some(memory),
        memory_swap_limit: Some(memory),
        pids_max: Some(77),
        hugepages: vec![HugepageLimit { page_size: "2MB".into(), limit: 0 }],
        ..Limits::default()
    };
    host.group.apply(&limits(64 << 20, 512)).unwrap();
    host.group.apply(&limits(128 << 20, 512)).unwrap();
    host.group.apply(&limits(32 << 20, 512)).unwrap();
    let (memory, shares) = match host.group.hierarchies.version() {
        Version::V1 => ("memory.limit_in_bytes", "cpu.shares"),
        Version::V2 => ("memory.max", "cpu.weight"),
    };
    assert_eq!(host.read("memory", memory), (32 << 20).to_string());
    let before = host.read("cpu", shares);
    assert_eq!(host.read("pids", "pids.max"), "77");

    // CPU 4000 does not exist; cpusets are written before shares on both versions, so refuse late instead: the
    // memory node is refused after the CPUs have been taken.
    let cpus = host.read("cpuset", "cpuset.cpus");
    let refused = Limits {
        cpuset_cpus: Some("0".into()),
        cpuset_mems: Some("999".into()),
        cpu_shares: Some(2),
        ..Limits::default()
    };
    let error = host.group.apply(&refused).unwrap_err();
    assert!(matches!(&error, Error::Write { path, .. } if path.ends_with("cpuset.mems")), "{error:?}");
    assert_eq!(host.read("cpuset", "cpuset.cpus"), cpus);
    assert_eq!(host.read("cpu", shares), before);
}

#[test]
fn stats_count_what_a_process_used() {
    let Some(host) = Host::new() else { return };
    // Memory counters reach memory.stat in batches of pages for each CPU: use far more than a batch.
    let script = "x=$(head -c 8000000 /dev/zero | tr '\\0' a); echo done; sleep 1000; echo $x";
    let mut shell = host.run(&host.group.join(), script);
    let mut line = [0u8; 5];
    io::Read::read_exact(shell.stdout.as_mut().unwrap(), &mut line).unwrap();
    let stats = host.group.stats().unwrap();
    assert!(stats.cpu_usage_ns > 0 && stats.memory_usage > 0 && stats.pids >= 1, "{stats:?}");
    assert!(stats.page_faults > 0 && stats.memory_anon > 0, "{stats:?}");
    let cpuset = host.group.effective_cpuset().unwrap();
    assert!(!cpuset.cpus.is_empty() && !cpuset.mems.is_empty());
    host.group.kill(DEADLINE).unwrap();
    shell.wait().unwrap();
}

#[test]
fn a_process_killed_for_want_of_memory_is_counted() {
    let Some(host) = Host::new() else { return };
    let limits =
        Limits { memory_limit: Some(8 << 20), memory_swap_limit: Some(8 << 20), ..Limits::default() };
    host.group.apply(&limits).unwrap();
    // tail keeps an endless line in memory.
    let mut shell = host.run(&host.group.join(), "exec tail -n 1 /dev/zero");
    assert!(!shell.wait().unwrap().success());
    assert_eq!(host.group.oom_kills().unwrap(), 1);
    assert_eq!(host.group.stats().unwrap().oom_kills, 1);
}

const NULL: DeviceRule =
    DeviceRule { allow: true, kind: DeviceKind::Char, major: Some(1), minor: Some(3), access: Access::ALL };

/// Prints the names of the devices that can be read.
const OPEN_DEVICES: &str =
    "exec 2>/dev/null; head -c1 /dev/null && echo null; head -c1 /dev/zero >/dev/null && echo zero; true";

#[test]
fn a_device_that_is_not_allowed_cannot_be_opened() {
    let Some(host) = Host::new() else { return };
    host.group.set_devices(&[DeviceRule::DENY_ALL, NULL]).unwrap();
    let output = host.run(&host.group.join(), OPEN_DEVICES).wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "null\n");
}

/// The verifier of the kernel is the judge of the generator. A hybrid host takes the program, too: it needs a
/// `cgroup2` mount, not its controllers.
#[test]
fn the_kernel_accepts_the_device_program_and_obeys_it() {
    let Some(host) = Host::new() else { return };
    let Some(unified) = host.group.unified() else {
        eprintln!("skipped: no cgroup2 mount");
        return;
    };
    let mknod = Access { mknod: true, ..Access::default() };
    let rules = [
        DeviceRule::DENY_ALL,
        DeviceRule { kind: DeviceKind::Char, access: mknod, ..DeviceRule::ALLOW_ALL },
        NULL,
        DeviceRule { allow: false, minor: Some(8), ..NULL },
    ];
    match host.group.attach_device_program(&unified, &rules) {
        Ok(()) => {}
        // A kernel without device programs refuses the smallest one, too, and so does one that trusts nobody.
        Err(error) if host.group.attach_device_program(&unified, &[DeviceRule::ALLOW_ALL]).is_err() => {
            eprintln!("skipped: {error}: {error:?}");
            return;
        }
        Err(error) => panic!("{error}: {error:?}"),
    }
    let output = host.run(&host.group.join(), OPEN_DEVICES).wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "null\n");
}

/// A directory with the files of a v2 group, as far as the code reads them.
fn imitate_v2(directory: &Path) {
    fs::create_dir_all(directory).unwrap();
    let files = [
        ("cgroup.controllers", "cpuset cpu memory pids\n"),
        ("cgroup.subtree_control", "cpu\n"),
        ("cgroup.procs", ""),
        ("cpu.max", "max 100000\n"),
        ("cpu.weight", "100\n"),
        ("memory.max", "max\n"),
        ("memory.current", "4096\n"),
        ("memory.swap.max", "max\n"),
        ("memory.events", "low 0\nhigh 0\nmax 9\noom 1\noom_kill 2\noom_group_kill 1\n"),
        ("memory.stat", "anon 100\ninactive_file 7\npgfault 5\npgmajfault 1\n"),
        ("cpu.stat", "usage_usec 10\nuser_usec 6\nsystem_usec 4\n"),
        ("pids.max", "max\n"),
        ("pids.current", "3\n"),
    ];
    for (name, content) in files {
        fs::write(directory.join(name), content).unwrap();
    }
}

fn imitated_group(root: &Path) -> Cgroup {
    imitate_v2(root);
    imitate_v2(&root.join("pod"));
    imitate_v2(&root.join("pod/c"));
    let mountinfo = format!("24 23 0:22 / {} rw - cgroup2 cgroup2 rw\n", root.display());
    Hierarchies::detect(root, mountinfo.as_bytes()).unwrap().group(Path::new("/pod/c")).unwrap()
}

#[test]
fn v2_ancestors_hand_down_what_they_have_and_do_not_yet() {
    let root = tempfile::tempdir().unwrap();
    let group = imitated_group(root.path());
    group.create().unwrap();
    for directory in ["", "pod"] {
        let written = fs::read_to_string(root.path().join(directory).join("cgroup.subtree_control")).unwrap();
        assert_eq!(written, "+cpuset +memory +pids", "{directory}");
    }
    let leaf = fs::read_to_string(root.path().join("pod/c/cgroup.subtree_control")).unwrap();
    assert_eq!(leaf, "cpu\n", "the group itself keeps its processes, so it hands down nothing");
}

#[test]
fn v2_limits_go_to_v2_files() {
    let root = tempfile::tempdir().unwrap();
    let group = imitated_group(root.path());
    let limits = Limits {
        cpu_shares: Some(2048),
        cpu_quota_us: Some(20_000),
        memory_limit: Some(1 << 20),
        memory_swap_limit: Some(3 << 20),
        // No hugetlb among the controllers: ignored (F-86).
        hugepages: vec![HugepageLimit { page_size: "2MB".into(), limit: 0 }],
        ..Limits::default()
    };
    group.apply(&limits).unwrap();
    let read = |file: &str| fs::read_to_string(root.path().join("pod/c").join(file)).unwrap();
    assert_eq!(read("cpu.max"), "20000");
    assert_eq!(read("memory.max"), (1 << 20).to_string());
    assert_eq!(read("memory.swap.max"), (2 << 20).to_string());
    let below = Limits { memory_limit: Some(4095), ..Limits::default() };
    assert!(matches!(group.apply(&below), Err(Error::MemoryInUse { usage: 4096, .. })));
    let absent = Limits { unified: [("io.weight".to_owned(), "5".to_owned())].into(), ..Limits::default() };
    assert!(matches!(group.apply(&absent), Err(Error::Controller { controller, .. }) if controller == "io"));
}

#[test]
fn v2_counters_are_read() {
    let root = tempfile::tempdir().unwrap();
    let group = imitated_group(root.path());
    let stats = group.stats().unwrap();
    assert_eq!((stats.cpu_usage_ns, stats.cpu_user_ns, stats.cpu_system_ns), (10_000, 6_000, 4_000));
    assert_eq!((stats.memory_usage, stats.memory_anon, stats.memory_inactive_file), (4096, 100, 7));
    assert_eq!((stats.page_faults, stats.major_page_faults, stats.pids), (5, 1, 3));
    assert_eq!((stats.oom_kills, stats.cpu_pressure), (2, None));
    assert_eq!(group.join(), Join { tasks: Vec::new(), unified: Some(root.path().join("pod/c")) });
}
