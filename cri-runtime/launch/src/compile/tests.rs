use std::path::Path;

use kernel::mount::{attribute, propagation};
use kernel::namespace::Kind;
use serde_json::{Value, json};

use super::*;
use crate::plan::{Capabilities, Executable, Fresh, Link, Resolve, Root, SecurityLabel};

mod refusals;

fn minimal() -> Value {
    json!({
        "ociVersion": "1.2.0",
        "process": { "args": ["/run"], "env": ["A=b"], "cwd": "/", "user": { "uid": 1, "gid": 2 },
                     "noNewPrivileges": true },
        "linux": { "namespaces": [{ "type": "mount" }] },
    })
}

fn parse(spec: Value) -> Spec {
    serde_json::from_value(spec).expect("a valid spec")
}

fn compiled(spec: Value, options: &Options) -> Compiled {
    compile(&parse(spec), options).expect("it compiles")
}

fn names(compiled: &Compiled) -> Vec<String> {
    compiled.plan.steps.iter().map(ToString::to_string).collect()
}

fn error(spec: Value) -> String {
    compile(&parse(spec), &Options::default()).expect_err("it is refused").to_string()
}

/// `spec` with `value` at the JSON pointer `at`.
fn with(mut spec: Value, at: &str, value: Value) -> Value {
    let (parent, name) = at.rsplit_once('/').expect("a pointer");
    spec.pointer_mut(parent).expect("the parent exists")[name] = value;
    spec
}

#[test]
fn the_smallest_spec_becomes_the_smallest_plan() {
    let compiled = compiled(minimal(), &Options::default());
    assert_eq!(compiled.needs, []);
    assert_eq!(compiled.plan.clone_flags, Kind::Mount.flag());
    assert_eq!(
        names(&compiled),
        [
            "join session keyring",
            "create session",
            "pivot /",
            "set oom score",
            "set umask",
            "change directory /",
            "drop bounding capabilities",
            "set groups",
            "set user 1:2",
            "set capabilities",
            "set no_new_privs",
        ]
    );
    assert!(compiled.plan.steps.contains(&Step::Root(Root::Empty)));
    assert!(compiled.plan.steps.contains(&Step::Capabilities(Capabilities::default())));
    assert_eq!(compiled.plan.program.executable, Executable::Lookup);
    assert_eq!(compiled.plan.program.arguments, [b"/run"]);
}

/// What a pod's container gets, as a golden list: a change of order here is a change of behaviour.
#[test]
fn a_pods_container_becomes_this_plan() {
    let tmpfs = |target: &str| json!({ "destination": target, "type": "tmpfs" });
    let mut spec = minimal();
    spec["hostname"] = json!("sea");
    spec["root"] = json!({ "path": "x", "readonly": true });
    spec["mounts"] = json!([
        tmpfs("/dev/shm"),
        { "destination": "/a/b/c", "type": "bind", "source": "/host/c", "options": ["rbind"] },
        { "destination": "/sys/fs/cgroup", "type": "cgroup", "options": ["ro", "nosuid"] },
        { "destination": "/proc", "type": "proc" },
        tmpfs("/dev"),
        { "destination": "/sys", "type": "sysfs", "options": ["ro"] },
        { "destination": "/a/b", "type": "bind", "source": "/host/b", "options": ["rbind"] },
    ]);
    spec["linux"] = json!({
        "namespaces": [{ "type": "mount" }, { "type": "pid", "path": "/proc/9/ns/pid" }, { "type": "cgroup" },
                       { "type": "network", "path": "/run/netns/x" }, { "type": "uts" }, { "type": "ipc" }],
        "maskedPaths": ["/proc/kcore"], "readonlyPaths": ["/proc/sys"],
        "sysctl": { "net.core.somaxconn": "9" }, "rootfsPropagation": "rslave",
    });
    spec["process"]["rlimits"] = json!([{ "type": "RLIMIT_NOFILE", "soft": 1, "hard": 2 }]);
    let options = Options {
        rootfs: Rootfs::Overlay { lower: vec!["/l".into()], upper: "/u".into(), work: "/w".into() },
        cgroups: Cgroups {
            tasks: vec!["/sys/fs/cgroup/cpu,cpuacct/x/tasks".into()],
            unified: Some("/sys/fs/cgroup/unified/x".into()),
            visible: vec![
                VisibleCgroup {
                    name: "cpu,cpuacct".to_owned(),
                    source: "/sys/fs/cgroup/cpu,cpuacct/x".into(),
                },
                VisibleCgroup { name: "unified".to_owned(), source: "/sys/fs/cgroup/unified/x".into() },
            ],
        },
        seccomp: Some(Filter::default()),
        given: 2,
        ..Options::default()
    };
    let compiled = compiled(spec, &options);
    assert_eq!(
        names(&compiled),
        [
            "unshare cgroup namespace",
            "join session keyring",
            "create session",
            "set hostname sea",
            "set sysctl",
            "pivot /",
            "mount /proc",
            "mount /dev",
            "make devices",
            "link",
            "mount /sys",
            "mount /dev/shm",
            "mount /a/b",
            "mount /a/b/c",
            "mount /sys/fs/cgroup",
            "mount /sys/fs/cgroup/cpu,cpuacct",
            "mount /sys/fs/cgroup/unified",
            "link",
            "remount /sys/fs/cgroup",
            "make read-only",
            "mask",
            "set propagation",
            "remount /",
            "set oom score",
            "set umask",
            "change directory /",
            "set rlimit",
            "drop bounding capabilities",
            "set groups",
            "set user 1:2",
            "set capabilities",
            "set no_new_privs",
            "load seccomp filter",
        ]
    );
    let plan = &compiled.plan;
    assert_eq!(plan.clone_flags, Kind::Mount.flag() | Kind::Uts.flag() | Kind::Ipc.flag());
    // Two descriptors are the caller's; those of the needs follow.
    assert_eq!(plan.pid_namespace, Some(FdIndex(2)));
    assert_eq!(plan.join, [crate::plan::Join { namespaces: Kind::Net.flag(), fd: FdIndex(3) }]);
    assert_eq!(plan.cgroup.unified, Some(FdIndex(4)));
    assert_eq!(plan.cgroup.tasks, [FdIndex(5)]);
    assert!(plan.steps.contains(&Step::Root(Root::Tree(FdIndex(6)))));
    let links = [("cpu", "cpu,cpuacct"), ("cpuacct", "cpu,cpuacct")].map(|(name, target)| Link {
        path: format!("/sys/fs/cgroup/{name}").into_bytes(),
        target: target.as_bytes().to_vec(),
    });
    assert!(plan.steps.contains(&Step::Links(links.to_vec())));
    assert_eq!(compiled.needs[0], Need::Namespace { kind: Kind::Pid, path: "/proc/9/ns/pid".into() });
    assert_eq!(compiled.needs.last(), Some(&Need::NullDevice));
    assert_eq!(compiled.needs.len(), 10);
}

#[test]
fn without_no_new_privs_the_filter_comes_before_the_capabilities_go() {
    let options = Options { seccomp: Some(Filter::default()), ..Options::default() };
    for (value, order) in [
        (
            json!(true),
            ["set user 1:2", "set capabilities", "set no_new_privs", "load seccomp filter"].as_slice(),
        ),
        (json!(false), ["set user 1:2", "load seccomp filter", "set capabilities"].as_slice()),
        (Value::Null, ["set user 1:2", "load seccomp filter", "set capabilities"].as_slice()),
    ] {
        let compiled = compiled(with(minimal(), "/process/noNewPrivileges", value), &options);
        assert!(names(&compiled).ends_with(&order.iter().map(ToString::to_string).collect::<Vec<_>>()));
    }
}

#[test]
fn a_bind_mount_becomes_a_need_and_an_attachment() {
    let mount = json!([{ "destination": "/data//x/.", "type": "none", "source": "/host",
                         "options": ["rbind", "rro", "nodev", "rshared"] }]);
    let compiled = compiled(with(minimal(), "/mounts", mount), &Options::default());
    let expected = Bind {
        source: "/host".into(),
        recursive: true,
        attributes: Change { set: attribute::NODEV, clear: 0 },
        recursive_attributes: Change { set: attribute::RDONLY, clear: 0 },
        propagation: propagation::SHARED,
    };
    assert_eq!(compiled.needs, [Need::Bind(expected)]);
    let target = b"/data/x".to_vec();
    assert!(compiled.plan.steps.contains(&Step::Attach {
        target,
        tree: FdIndex(0),
        resolve: Resolve::InRoot
    }));
}

#[test]
fn a_bind_mount_that_says_nothing_is_private() {
    let mount = json!([{ "destination": "/data", "type": "bind", "source": "/host" }]);
    let compiled = compiled(with(minimal(), "/mounts", mount), &Options::default());
    let expected = Bind { source: "/host".into(), propagation: propagation::PRIVATE, ..Bind::default() };
    assert_eq!(compiled.needs, [Need::Bind(expected)]);
}

#[test]
fn kernel_trees_are_mounted_without_following_links() {
    for (target, resolve) in [
        ("/dev/shm", Resolve::NoLinks),
        ("/sys", Resolve::NoLinks),
        ("/device", Resolve::InRoot),
        ("/tmp", Resolve::InRoot),
    ] {
        let mount =
            json!([{ "destination": target, "type": "tmpfs", "options": ["mode=700", "noswap", "ro"] }]);
        let compiled = compiled(with(minimal(), "/mounts", mount), &Options::default());
        let mounts: Vec<&Fresh> = compiled
            .plan
            .steps
            .iter()
            .filter_map(|step| match step {
                Step::Mount(fresh) => Some(fresh),
                _ => None,
            })
            .collect();
        let [fresh] = mounts.as_slice() else { panic!("one mount") };
        assert_eq!(fresh.resolve, resolve, "{target}");
        assert_eq!(fresh.attributes, attribute::RDONLY);
        let options: Vec<_> = fresh.options.iter().map(|o| (o.key.as_str(), o.value.as_deref())).collect();
        assert_eq!(options, [("mode", Some("700")), ("noswap", None)]);
    }
}

#[test]
fn the_hosts_dev_is_left_alone() {
    let spec = with(
        minimal(),
        "/mounts",
        json!([{ "destination": "/dev", "type": "bind", "source": "/dev", "options": ["rbind"] }]),
    );
    let spec =
        with(spec, "/linux/devices", json!([{ "path": "/dev/x", "type": "c", "major": 1, "minor": 2 }]));
    let names = names(&compiled(spec, &Options::default()));
    assert!(!names.iter().any(|name| name == "make devices" || name == "link"), "{names:?}");
}

#[test]
fn devices_can_be_bound_from_the_host() {
    let spec = with(minimal(), "/mounts", json!([{ "destination": "/dev", "type": "tmpfs" }]));
    let options = Options { devices: DeviceNodes::Bound, ..Options::default() };
    let compiled = compiled(spec, &options);
    let sources: Vec<&Path> = compiled
        .needs
        .iter()
        .filter_map(|need| match need {
            Need::Bind(bind) => Some(bind.source.as_path()),
            _ => None,
        })
        .collect();
    let expected = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];
    assert_eq!(sources, expected.map(Path::new));
    assert!(!names(&compiled).contains(&"make devices".to_owned()));
}

#[test]
fn a_terminal_appears_as_the_console() {
    let spec = with(minimal(), "/process/terminal", json!(true));
    assert_eq!(error(spec.clone()), "carry out process.terminal without a terminal: not supported");
    let options = Options { terminal: Some("/dev/pts/7".into()), ..Options::default() };
    let compiled = compiled(spec, &options);
    let names = names(&compiled);
    assert!(names.contains(&"mount /dev/console".to_owned()));
    assert!(names.contains(&"set controlling terminal".to_owned()));
    assert!(matches!(&compiled.needs[..], [Need::Bind(bind)] if bind.source == Path::new("/dev/pts/7")));
}

#[test]
fn labels_are_written_for_the_security_modules() {
    let spec = with(minimal(), "/process/apparmorProfile", json!("profile"));
    let spec = with(spec, "/process/selinuxLabel", json!("a:b:c:s0"));
    let labels: Vec<Step> = compiled(spec, &Options::default())
        .plan
        .steps
        .into_iter()
        .filter(|step| matches!(step, Step::SecurityLabel(_)))
        .collect();
    let label = |files: &[&str], value: &str| {
        Step::SecurityLabel(SecurityLabel {
            files: files.iter().map(ToString::to_string).collect(),
            value: value.as_bytes().to_vec(),
        })
    };
    assert_eq!(labels, [label(&["apparmor/exec", "exec"], "exec profile"), label(&["exec"], "a:b:c:s0")]);
}

#[test]
fn a_given_namespace_takes_the_place_of_its_path() {
    let spec = with(
        minimal(),
        "/linux/namespaces",
        json!([{ "type": "mount" }, { "type": "network", "path": "/run/netns/x" }, { "type": "pid" }]),
    );
    let given = |kind, fd| GivenNamespace { kind, fd: FdIndex(fd) };
    let options = Options {
        given: 2,
        namespaces: vec![given(LinuxNamespaceType::Network, 0), given(LinuxNamespaceType::Pid, 1)],
        ..Options::default()
    };
    let compiled = compiled(spec, &options);
    assert_eq!(compiled.needs, []);
    assert_eq!(compiled.plan.join, [crate::plan::Join { namespaces: Kind::Net.flag(), fd: FdIndex(0) }]);
    assert_eq!(compiled.plan.pid_namespace, Some(FdIndex(1)));
    let error = compile(&parse(minimal()), &options).expect_err("the spec does not list them");
    assert_eq!(error, CompileError::Missing { field: "linux.namespaces net".to_owned() });
}

#[test]
fn an_exec_joins_what_the_container_owns_and_mounts_nothing() {
    let spec = parse(with(
        minimal(),
        "/linux/namespaces",
        json!([{ "type": "mount" }, { "type": "network", "path": "/run/netns/x" }, { "type": "pid" }, { "type": "cgroup" }]),
    ));
    let process = spec.process().as_ref().expect("a process");
    let options = Options { given: 1, seccomp: Some(Filter::default()), ..Options::default() };
    let compiled = compile_exec(&spec, process, FdIndex(0), &options).expect("it compiles");
    let namespaces = Kind::Mount.flag() | Kind::Net.flag() | Kind::Cgroup.flag();
    assert_eq!(compiled.plan.join, [crate::plan::Join { namespaces, fd: FdIndex(0) }]);
    assert_eq!(compiled.plan.pid_namespace, Some(FdIndex(0)));
    assert_eq!(compiled.plan.clone_flags, 0);
    let names = names(&compiled);
    assert_eq!(names[..3], ["join session keyring", "create session", "set oom score"]);
    assert_eq!(names.last().map(String::as_str), Some("load seccomp filter"));
}

#[test]
fn limits_files_of_lxcfs_may_be_mounted_in_proc() {
    let mount = json!([{ "destination": "/proc/meminfo", "type": "bind", "source": "/x" }]);
    compiled(with(minimal(), "/mounts", mount), &Options::default());
}
