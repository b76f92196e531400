//! What is refused, and with which words.

use serde_json::{Value, json};

use super::{compiled, error, minimal, with};
use crate::compile::Options;

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let id_map = json!([{ "containerID": 0, "hostID": 1, "size": 2 }]);
    let mount = |mount: Value| json!([mount]);
    for (at, value, message) in [
        ("/hooks", json!({ "poststop": [{ "path": "/x" }] }), "hooks"),
        ("/process/ioPriority", json!({ "class": "IOPRIO_CLASS_RT", "priority": 1 }), "process.ioPriority"),
        ("/process/scheduler", json!({ "policy": "SCHED_FIFO" }), "process.scheduler"),
        ("/process/terminal", json!(true), "process.terminal without a terminal"),
        ("/linux/uidMappings", id_map.clone(), "linux.uidMappings"),
        ("/linux/gidMappings", id_map.clone(), "linux.gidMappings"),
        ("/linux/mountLabel", json!("x"), "linux.mountLabel"),
        ("/linux/personality", json!({ "domain": "LINUX32" }), "linux.personality"),
        ("/linux/intelRdt", json!({ "closID": "x" }), "linux.intelRdt"),
        ("/linux/timeOffsets", json!({ "boottime": { "secs": 1 } }), "linux.timeOffsets"),
        (
            "/linux/seccomp",
            json!({ "defaultAction": "SCMP_ACT_ALLOW" }),
            "linux.seccomp without a compiled program",
        ),
        ("/linux/namespaces", json!([{ "type": "mount" }, { "type": "user" }]), "linux.namespaces user"),
        ("/linux/namespaces", json!([{ "type": "mount" }, { "type": "time" }]), "linux.namespaces time"),
        (
            "/linux/namespaces",
            json!([{ "type": "mount", "path": "/x" }]),
            "linux.namespaces mount with a path",
        ),
        ("/mounts", mount(json!({ "destination": "/x", "type": "nfs" })), "mounts /x type \"nfs\""),
        (
            "/mounts",
            mount(json!({ "destination": "/x", "type": "bind", "source": "/y", "options": ["size=5"] })),
            "mounts /x option size=5 of a bind mount",
        ),
        (
            "/mounts",
            mount(json!({ "destination": "/x", "type": "bind", "source": "/y", "options": ["idmap"] })),
            "mounts /x option idmap",
        ),
        (
            "/mounts",
            mount(
                json!({ "destination": "/x", "type": "bind", "source": "/y", "uidMappings": id_map.clone() }),
            ),
            "mounts /x uidMappings, gidMappings",
        ),
        (
            "/mounts",
            mount(json!({ "destination": "/x", "type": "tmpfs", "options": ["rshared"] })),
            "mounts /x recursive option or propagation of tmpfs",
        ),
    ] {
        assert_eq!(error(with(minimal(), at, value)), format!("carry out {message}: not supported"), "{at}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_its_reason() {
    let mount = |target: &str, typ: &str| json!([{ "destination": target, "type": typ, "source": "/y" }]);
    for (at, value, message) in [
        ("/process/args", json!([]), "find process.args: missing"),
        ("/process/args", json!([""]), "find process.args: missing"),
        ("/process/args", json!(["a\u{0}b"]), "use process.args \"a\\0b\": with a NUL"),
        ("/process/env", json!(["A=\u{0}"]), "use process.env \"A=\\0\": with a NUL"),
        ("/process/cwd", json!("x"), "use process.cwd \"x\": not an absolute path without `..` and NUL"),
        ("/process/oomScoreAdj", json!(1001), "use process.oomScoreAdj \"1001\": not in -1000..=1000"),
        ("/hostname", json!("x"), "use hostname \"x\": the container has no uts namespace of its own"),
        ("/linux/namespaces", json!([]), "find linux.namespaces mount: missing"),
        (
            "/linux/namespaces",
            json!([{ "type": "mount" }, { "type": "mount" }]),
            "use linux.namespaces \"mnt\": listed twice",
        ),
        (
            "/linux/sysctl",
            json!({ "kernel.core_pattern": "|/x" }),
            "use linux.sysctl \"kernel.core_pattern\": not a parameter of a namespace",
        ),
        (
            "/linux/sysctl",
            json!({ "net.core.somaxconn": "1" }),
            "use linux.sysctl \"net.core.somaxconn\": the container shares this namespace with the host",
        ),
        ("/linux/rootfsPropagation", json!("odd"), "use linux.rootfsPropagation \"odd\": not a propagation"),
        (
            "/linux/maskedPaths",
            json!(["/a/../b"]),
            "use linux.maskedPaths \"/a/../b\": not an absolute path without `..` and NUL",
        ),
        ("/mounts", mount("/", "tmpfs"), "use mounts.destination \"/\": the root is not a mount of the list"),
        ("/mounts", mount("/x", "proc"), "use mounts /x \"proc\": procfs belongs at /proc"),
        (
            "/mounts",
            mount("/proc/self", "tmpfs"),
            "use mounts.destination \"/proc/self\": nothing may be mounted over /proc",
        ),
        (
            "/mounts",
            mount("/sys/fs/cgroup", "cgroup"),
            "find mounts /sys/fs/cgroup: cgroups to show: missing",
        ),
    ] {
        assert_eq!(error(with(minimal(), at, value)), message, "{at}");
    }
}

#[test]
fn a_plan_with_more_descriptors_than_a_packet_takes_is_refused() {
    let mounts = |count: usize| {
        let mount = |number| json!({ "destination": format!("/m{number}"), "type": "bind", "source": "/x" });
        with(minimal(), "/mounts", (0..count).map(mount).collect())
    };
    compiled(mounts(249), &Options::default());
    let message = "pass 250 descriptors: the kernel takes 249 at once; use fewer mounts";
    assert_eq!(error(mounts(250)), message);
}
