//! What a container sees of itself.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use kernel::cgroup::Hierarchies;
use launch::compile::{Cgroups, Options, Rootfs};
use launch::plan::{FdIndex, Filter, Signals, SockFilter};
use oci_spec::runtime::Spec;
use serde_json::json;

use crate::harness::{Case, Ended, Image, Ready, Room, run, run_ready};
use crate::spec::{CAPABILITIES, base, parse};

pub const CASES: &[Case] = &[
    Case { name: "a_shell_runs_in_namespaces_of_its_own", run: a_shell_runs_in_namespaces_of_its_own },
    Case { name: "only_the_standard_streams_are_open", run: only_the_standard_streams_are_open },
    Case { name: "the_mount_table_holds_what_was_asked_for", run: the_mount_table_holds_what_was_asked_for },
    Case { name: "masked_paths_show_nothing", run: masked_paths_show_nothing },
    Case { name: "read_only_paths_cannot_be_written", run: read_only_paths_cannot_be_written },
    Case { name: "a_read_only_root_keeps_writable_mounts", run: a_read_only_root_keeps_writable_mounts },
    Case { name: "devices_work", run: devices_work },
    Case { name: "a_user_has_its_ids_and_capabilities", run: a_user_has_its_ids_and_capabilities },
    Case { name: "a_capability_can_be_ambient", run: a_capability_can_be_ambient },
    Case { name: "a_filter_is_in_force", run: a_filter_is_in_force },
    Case { name: "a_filter_loads_without_no_new_privs", run: a_filter_loads_without_no_new_privs },
    Case { name: "limits_are_set_or_stay_stricter", run: limits_are_set_or_stay_stricter },
    Case { name: "sysctls_reach_the_containers_namespaces", run: sysctls_reach_the_containers_namespaces },
    Case {
        name: "the_container_is_in_its_cgroups_and_sees_them",
        run: the_container_is_in_its_cgroups_and_sees_them,
    },
    Case { name: "a_missing_program_is_named", run: a_missing_program_is_named },
    Case { name: "a_program_runs_from_a_descriptor", run: a_program_runs_from_a_descriptor },
    Case { name: "every_step_is_timed", run: every_step_is_timed },
    Case { name: "an_apparmor_profile_is_entered", run: an_apparmor_profile_is_entered },
];

/// The output of a script in a container with the base spec after `change`.
pub fn output(directory: &Path, script: &str, change: impl FnOnce(&mut serde_json::Value)) -> String {
    let image = Image::new(directory);
    let mut spec = base(script);
    change(&mut spec);
    let (output, ended) = run(&parse(spec), &image.options()).expect("it starts");
    assert_eq!(ended, Ended::Code(0), "{output}");
    output
}

fn a_shell_runs_in_namespaces_of_its_own(directory: &Path) {
    let image = Image::new(directory);
    let own = |kind: &str| std::fs::read_link(format!("/proc/self/ns/{kind}")).expect("a namespace");
    let kinds = ["pid", "mnt", "uts", "ipc", "net", "cgroup"];
    let outside: Vec<String> = kinds.iter().map(|kind| own(kind).display().to_string()).collect();
    let script = "echo $$; hostname; echo $COLOUR; pwd; umask; cat /proc/self/oom_score_adj
        for kind in pid mnt uts ipc net cgroup; do readlink /proc/self/ns/$kind; done; exit 7";
    let mut spec = base(script);
    spec["process"]["cwd"] = json!("/made/on the way");
    let (output, ended) = run(&parse(spec), &image.options()).expect("it starts");
    assert_eq!(ended, Ended::Code(7));
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(&lines[..6], ["1", "sea", "blue", "/made/on the way", "0022", "500"]);
    for (inside, outside) in lines[6..].iter().zip(&outside) {
        assert_ne!(inside, outside);
    }
    assert_eq!(lines.len(), 12);
}

fn only_the_standard_streams_are_open(directory: &Path) {
    // No pipeline: its pipe would be open in the shell, or not, as the race goes.
    let listed = output(directory, "ls /proc/self/fd; echo; ls -l /proc/$$/fd", |_| ());
    let (own, shell) = listed.split_once("\n\n").expect("two lists");
    assert_eq!(own, "0\n1\n2\n3", "3 is the listing itself");
    let targets: Vec<&str> =
        shell.lines().filter_map(|line| line.split_once(" -> ")).map(|link| link.1).collect();
    assert_eq!(targets.len(), 3, "{shell}");
    assert_eq!(targets[0], "/dev/null");
    assert!(targets[1..].iter().all(|target| target.starts_with("pipe:")), "{shell}");
}

fn the_mount_table_holds_what_was_asked_for(directory: &Path) {
    let table = output(directory, "cat /proc/self/mounts", |spec| {
        spec["linux"]["maskedPaths"] = json!([]);
        spec["linux"]["readonlyPaths"] = json!([]);
    });
    let mounts: Vec<(&str, &str, &str)> = table
        .lines()
        .map(|line| {
            let fields: Vec<&str> = line.split(' ').collect();
            (fields[1], fields[2], fields[3])
        })
        .collect();
    let places: Vec<&str> = mounts.iter().map(|mount| mount.0).collect();
    assert_eq!(
        places,
        ["/", "/proc", "/dev", "/sys", "/dev/shm", "/dev/pts", "/dev/mqueue"],
        "by depth, nothing else"
    );
    assert_eq!(mounts[1].2, "rw,nosuid,nodev,noexec,relatime");
    assert_eq!(mounts[2].1, "tmpfs");
    assert!(mounts[2].2.starts_with("rw,nosuid,size=65536k,mode=755"), "{:?}", mounts[2]);
    assert!(mounts[3].2.starts_with("ro,nosuid,nodev,noexec"));
    assert!(mounts[5].2.contains("gid=5,mode=620,ptmxmode=666"), "{:?}", mounts[5]);
}

fn masked_paths_show_nothing(directory: &Path) {
    let script = "cat /proc/keys /proc/timer_list | wc -c; ls /sys/firmware /proc/acpi | grep -v : | wc -w
        stat -c '%t:%T' /proc/keys; touch /sys/firmware/x 2>&1; chmod 600 /proc/keys 2>&1; ls /proc/nothing 2>&1
        cat /secret/file; exit 0";
    let listed = output(directory, script, |spec| {
        let paths = spec["linux"]["maskedPaths"].as_array_mut().expect("a list");
        paths.push(json!("/proc/nothing"));
        paths.push(json!("/etc/shadow/below"));
    });
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(&lines[..3], ["0", "0", "1:3"]);
    assert!(lines[3].contains("Read-only file system"), "{listed}");
    // It is the host's own node.
    assert!(lines[4].contains("Read-only file system"), "{listed}");
    assert!(lines[5].contains("No such file"), "{listed}");
}

fn read_only_paths_cannot_be_written(directory: &Path) {
    let script = "for file in /proc/sys/kernel/hostname /proc/sysrq-trigger /proc/irq/default_smp_affinity; do
        test -e $file || continue; echo x 2>/dev/null > $file && echo written $file; done; cat /proc/self/mounts";
    let listed = output(directory, script, |_| ());
    assert!(!listed.contains("written"), "{listed}");
    assert!(listed.lines().any(|line| line.starts_with("proc /proc/sys proc ro,")), "{listed}");
}

fn a_read_only_root_keeps_writable_mounts(directory: &Path) {
    let script = "touch /new 2>&1; touch /tmp/new && touch /dev/shm/new && echo fine; mkdir /proc/x 2>/dev/null; exit 0";
    let listed = output(directory, script, |spec| {
        spec["root"]["readonly"] = json!(true);
        let mounts = spec["mounts"].as_array_mut().expect("a list");
        mounts.push(json!({ "destination": "/tmp", "type": "tmpfs", "options": ["mode=1777"] }));
    });
    assert_eq!(listed, "touch: /new: Read-only file system\nfine\n");
}

fn devices_work(directory: &Path) {
    let script = "echo lost > /dev/null; head -c 4 /dev/zero | wc -c; head -c 4 /dev/urandom | wc -c
        echo x 2>&1 > /dev/full; readlink /dev/fd; readlink /dev/ptmx; stat -c '%a %u %g %t:%T %F' /dev/null /dev/nodes/mem
        test -c /dev/ptmx && echo ptmx; test -e /dev/console || echo no console";
    let listed = output(directory, script, |spec| {
        spec["linux"]["devices"] = json!([
            { "path": "/dev/nodes/mem", "type": "c", "major": 1, "minor": 7, "fileMode": 0o640, "uid": 3, "gid": 4 },
        ]);
    });
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines[0], "4");
    assert_eq!(lines[1], "4");
    assert!(lines[2].contains("No space left"), "{listed}");
    assert_eq!(lines[3], "/proc/self/fd");
    assert_eq!(lines[4], "pts/ptmx");
    assert_eq!(lines[5], "666 0 0 1:3 character special file");
    assert_eq!(lines[6], "640 3 4 1:7 character special file");
    assert_eq!(&lines[7..], ["ptmx", "no console"]);
}

fn status_field<'a>(status: &'a str, field: &str) -> &'a str {
    let line = status.lines().find(|line| line.starts_with(field)).expect("the field exists");
    line[field.len()..].trim()
}

/// Bits 0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31: the default set.
const DEFAULT_MASK: &str = "00000000a80425fb";

fn a_user_has_its_ids_and_capabilities(directory: &Path) {
    let status = output(directory, "cat /proc/self/status; id; umask; touch /tmp/x 2>&1; exit 0", |spec| {
        spec["process"]["user"] =
            json!({ "uid": 1000, "gid": 2000, "umask": 0o077, "additionalGids": [3000, 4000] });
    });
    assert_eq!(status_field(&status, "Uid:"), "1000\t1000\t1000\t1000");
    assert_eq!(status_field(&status, "Gid:"), "2000\t2000\t2000\t2000");
    assert_eq!(status_field(&status, "Groups:"), "3000 4000");
    for (field, mask) in [
        ("CapInh:", "0000000000000000"),
        ("CapPrm:", "0000000000000000"),
        ("CapEff:", "0000000000000000"),
        ("CapBnd:", DEFAULT_MASK),
        ("CapAmb:", "0000000000000000"),
    ] {
        assert_eq!(status_field(&status, field), mask, "{field}");
    }
    assert_eq!(status_field(&status, "NoNewPrivs:"), "1");
    assert_eq!(status_field(&status, "Seccomp:"), "0");
    assert_eq!(status_field(&status, "SigBlk:"), "0000000000000000");
    assert_eq!(status_field(&status, "SigIgn:"), "0000000000000000");
    assert!(status.contains("uid=1000 gid=2000 groups=3000,4000"), "{status}");
    assert!(status.contains("\n0077\n"), "{status}");
    assert!(status.ends_with("touch: /tmp/x: Permission denied\n"), "{status}");
}

fn a_capability_can_be_ambient(directory: &Path) {
    let status = output(directory, "cat /proc/self/status", |spec| {
        let sets = ["CAP_NET_BIND_SERVICE"];
        spec["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
        spec["process"]["capabilities"] = json!({
            "bounding": CAPABILITIES, "effective": sets, "permitted": sets, "inheritable": sets, "ambient": sets,
        });
    });
    assert_eq!(status_field(&status, "CapEff:"), "0000000000000400");
    assert_eq!(status_field(&status, "CapAmb:"), "0000000000000400");
}

/// Answers one system call with `EPERM` and allows the others.
fn forbid(number: i64) -> Filter {
    let (load, jump_equal, ret) = (0x20, 0x15, 0x06);
    let instruction = |code, jt, jf, k| SockFilter { code, jt, jf, k };
    Filter {
        program: vec![
            instruction(load, 0, 0, 0),
            instruction(jump_equal, 0, 1, number as u32),
            instruction(ret, 0, 0, 0x0005_0000 | libc::EPERM as u32),
            instruction(ret, 0, 0, 0x7fff_0000),
        ],
        flags: 0,
    }
}

fn a_filter_is_in_force(directory: &Path) {
    let image = Image::new(directory);
    let options = Options { seccomp: Some(forbid(libc::SYS_mkdir)), ..image.options() };
    let spec = parse(base("cat /proc/self/status; mkdir /tmp/x 2>&1; exit 0"));
    let (listed, _) = run(&spec, &options).expect("it starts");
    assert_eq!(status_field(&listed, "Seccomp:"), "2");
    assert_eq!(status_field(&listed, "Seccomp_filters:"), "1");
    assert!(
        listed.ends_with("mkdir: can't create directory '/tmp/x': Operation not permitted\n"),
        "{listed}"
    );
}

fn a_filter_loads_without_no_new_privs(directory: &Path) {
    let image = Image::new(directory);
    let options = Options { seccomp: Some(forbid(libc::SYS_mkdir)), ..image.options() };
    let mut spec = base("cat /proc/self/status");
    spec["process"]["noNewPrivileges"] = json!(false);
    spec["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
    let (status, ended) = run(&parse(spec), &options).expect("it starts");
    assert_eq!(ended, Ended::Code(0));
    assert_eq!(status_field(&status, "Seccomp:"), "2");
    assert_eq!(status_field(&status, "NoNewPrivs:"), "0");
    assert_eq!(status_field(&status, "CapPrm:"), "0000000000000000");
    assert_eq!(status_field(&status, "CapBnd:"), DEFAULT_MASK);
}

fn limits_are_set_or_stay_stricter(directory: &Path) {
    let script = "cat /proc/self/limits; cat /proc/self/oom_score_adj";
    let limits = output(directory, script, |spec| {
        spec["process"]["rlimits"] = json!([
            { "type": "RLIMIT_NOFILE", "soft": 100, "hard": 200 },
            { "type": "RLIMIT_CORE", "soft": 0, "hard": 0 },
            // Above every limit of this process: EPERM without CAP_SYS_RESOURCE.
            { "type": "RLIMIT_MSGQUEUE", "soft": 99_999_999, "hard": 99_999_999 },
        ]);
        // Below that of this process likewise.
        spec["process"]["oomScoreAdj"] = json!(-900);
    });
    let values = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).expect("the limit exists");
        let mut values = line[name.len()..].split_whitespace();
        (values.next().expect("soft").to_owned(), values.next().expect("hard").to_owned())
    };
    assert_eq!(values("Max open files"), ("100".to_owned(), "200".to_owned()));
    assert_eq!(values("Max core file size"), ("0".to_owned(), "0".to_owned()));
    let (soft, hard) = values("Max msgqueue size");
    assert!(soft == hard && soft.parse::<u64>().is_ok_and(|soft| soft <= 99_999_999), "{limits}");
    let score: i32 = limits.lines().last().expect("a line").parse().expect("a number");
    assert!((-900..=0).contains(&score), "{score}");
}

fn sysctls_reach_the_containers_namespaces(directory: &Path) {
    let outside = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").expect("read");
    let script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shmmni";
    let listed = output(directory, script, |spec| {
        spec["linux"]["sysctl"] =
            json!({ "net.ipv4.ip_unprivileged_port_start": "77", "kernel.shmmni": "1234" });
    });
    assert_eq!(listed, "77\n1234\n");
    let after = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").expect("read");
    assert_eq!(outside, after);
}

fn the_container_is_in_its_cgroups_and_sees_them(directory: &Path) {
    let Ok(hierarchies) = Hierarchies::of_host(Path::new("/sys/fs/cgroup")) else {
        eprintln!("skipped: no cgroups are mounted");
        return;
    };
    let image = Image::new(directory);
    // The directory's name is nobody else's; the process id here is always 1.
    let name = format!("/orlop-launch-test{}", directory.file_name().expect("a name").to_string_lossy());
    let group = hierarchies.group(Path::new(&name)).expect("a name");
    group.create().expect("a cgroup");
    let options = Options { cgroups: Cgroups::of(&group, false), ..image.options() };
    let script = "cat /proc/self/cgroup; ls /sys/fs/cgroup; echo x 2>&1 > /sys/fs/cgroup/x; \
        cat /sys/fs/cgroup/*/cgroup.procs /sys/fs/cgroup/cgroup.procs 2>/dev/null | sort -u; exit 0";
    let mut spec = base(script);
    spec["mounts"].as_array_mut().expect("a list").push(json!({
        "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
        "options": ["nosuid", "noexec", "nodev", "relatime", "ro"],
    }));
    let ready = Ready::new(&parse(spec), &options, Vec::new());
    // Whatever happens, the cgroup must not stay behind.
    let result = std::panic::catch_unwind(|| run_ready(&ready));
    group.remove(Duration::from_secs(5)).expect("remove the cgroup");
    let (listed, _) = result.expect("no panic").expect("it starts");
    let (memberships, rest): (Vec<&str>, Vec<&str>) =
        listed.lines().partition(|line| line.contains(':') && line.ends_with('/'));
    assert!(!memberships.is_empty(), "{listed}");
    assert!(!listed.contains(&name), "every membership is the root: {listed}");
    assert!(rest.iter().any(|line| line.contains("Read-only file system")), "{listed}");
    assert!(rest.contains(&"1"), "process 1 is found in them: {listed}");
}

fn a_missing_program_is_named(directory: &Path) {
    let image = Image::new(directory);
    std::fs::write(image.lower.join("bin/plain"), "text").expect("write");
    std::fs::create_dir(image.lower.join("bin/folder")).expect("mkdir");
    let ready: Vec<(Ready, &str, i32)> = [
        ("nothing", "execute nothing: No such file or directory (os error 2)", libc::ENOENT),
        ("/bin/nothing", "execute /bin/nothing: No such file or directory (os error 2)", libc::ENOENT),
        ("plain", "execute plain: Permission denied (os error 13)", libc::EACCES),
        ("/bin/folder", "execute /bin/folder: Permission denied (os error 13)", libc::EACCES),
    ]
    .into_iter()
    .map(|(name, message, errno)| {
        let mut spec = base("");
        spec["process"]["args"] = json!([name]);
        (Ready::new(&parse(spec), &image.options(), Vec::new()), message, errno)
    })
    .collect();
    let room = Room::enter();
    for (ready, message, errno) in ready {
        let failure = room.run(&ready).expect_err("it cannot be executed");
        assert_eq!(failure.to_string(), message);
        assert_eq!(failure.errno, errno);
    }
}

/// The pause container: an empty read-only root, a program that is no file of anything, all signals blocked.
fn a_program_runs_from_a_descriptor(_: &Path) {
    let program: OwnedFd = std::fs::File::open("/bin/busybox").expect("open").into();
    let options = Options {
        rootfs: Rootfs::Empty,
        given: 1,
        executable: Some(FdIndex(0)),
        signals: Signals::Blocked,
        environment: Some(vec![b"BYTES=\xff\xfe".to_vec()]),
        ..Options::default()
    };
    let spec: Spec = parse(json!({
        "ociVersion": "1.2.0",
        "root": { "path": "", "readonly": true },
        "process": { "args": ["sh", "-c", "read x < /proc/self/status; while read a b; do
            test $a = SigBlk: && echo $b; done < /proc/1/status; echo $BYTES; echo y > /x"],
            "cwd": "/", "user": { "uid": 65535, "gid": 65535 } },
        "mounts": [{ "destination": "/proc", "type": "proc", "options": ["ro"] }],
        "linux": { "namespaces": [{ "type": "mount" }, { "type": "pid" }] },
    }));
    let ready = Ready::new(&spec, &options, vec![program]);
    let mut running = Room::enter().start(&ready).expect("it starts");
    assert_eq!(running.line(), "fffffffffffbfeff", "all but what cannot be blocked");
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut running.output, &mut rest).expect("read");
    assert!(rest.starts_with(b"\xff\xfe\n"), "the environment is bytes");
    assert_ne!(crate::harness::wait(running.pid), Ended::Code(0), "the root is read-only");
}

fn every_step_is_timed(directory: &Path) {
    let image = Image::new(directory);
    let ready = Ready::new(&parse(base("exit")), &image.options(), Vec::new());
    let running = Room::enter().start(&ready).expect("it starts");
    let names: Vec<&str> = running.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names[..2], ["clone", "connect streams"]);
    assert_eq!(names.last(), Some(&"execute"));
    for name in ["pivot /", "mount /proc", "mask", "make devices", "set hostname sea", "change directory /"] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    assert!(running.steps.iter().all(|step| step.nanos > 0));
    running.finish();
}

fn an_apparmor_profile_is_entered(directory: &Path) {
    let enabled = std::fs::read_to_string("/sys/module/apparmor/parameters/enabled");
    if !enabled.is_ok_and(|enabled| enabled.trim() == "Y") {
        eprintln!("skipped: this kernel has no AppArmor");
        return;
    }
    let image = Image::new(directory);
    let spec = |profile: &str| {
        let mut spec = base("cat /proc/self/attr/current");
        spec["process"]["apparmorProfile"] = json!(profile);
        parse(spec)
    };
    let (output, _) = run(&spec("unconfined"), &image.options()).expect("it starts");
    assert_eq!(output.trim_end_matches('\0').trim(), "unconfined");
    let failure = run(&spec("no-such-profile"), &image.options()).expect_err("it is not loaded");
    assert_eq!(
        failure.to_string(),
        "set security label exec no-such-profile: No such file or directory (os error 2)"
    );
}
