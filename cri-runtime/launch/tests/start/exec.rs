//! Further processes in a running container.

use std::os::fd::OwnedFd;
use std::path::Path;

use launch::compile::{Options, compile_exec};
use launch::plan::{FdIndex, Filter, SockFilter};
use serde_json::json;

use crate::harness::{Case, Ended, Image, Ready, Room, Running};
use crate::spec::{base, parse};

pub const CASES: &[Case] = &[
    Case {
        name: "an_exec_joins_everything_the_container_has",
        run: an_exec_joins_everything_the_container_has,
    },
    Case { name: "an_exec_is_confined_like_the_container", run: an_exec_is_confined_like_the_container },
    Case {
        name: "the_supervisor_stays_outside_after_an_exec",
        run: the_supervisor_stays_outside_after_an_exec,
    },
    Case { name: "an_exec_into_an_ended_container_fails", run: an_exec_into_an_ended_container_fails },
    Case {
        name: "an_exec_cannot_be_looked_at_before_it_runs",
        run: an_exec_cannot_be_looked_at_before_it_runs,
    },
];

/// A container that waits to be killed, and the room it is in.
fn container(directory: &Path, script: &str) -> (Room, Running) {
    let image = Image::new(directory);
    let ready =
        Ready::new(&parse(base(&format!("{script}; echo up; sleep 100"))), &image.options(), Vec::new());
    let room = Room::enter();
    let mut running = room.start(&ready).expect("it starts");
    assert_eq!(running.line(), "up");
    (room, running)
}

/// A further process in `container` that runs `script`.
fn exec(
    container: &Running,
    script: &str,
    options: Options,
    change: impl FnOnce(&mut serde_json::Value),
) -> Ready {
    let mut spec = base(script);
    change(&mut spec);
    let spec = parse(spec);
    let process = spec.process().as_ref().expect("a process");
    let options = Options { given: 1, ..options };
    let compiled = compile_exec(&spec, process, FdIndex(0), &options).expect("compile");
    let target: OwnedFd = container.pidfd.try_clone().expect("a copy");
    Ready::from(compiled, vec![target])
}

const NAMESPACES: &str = "for kind in pid mnt uts ipc net cgroup; do readlink /proc/$1/ns/$kind; done";

fn an_exec_joins_everything_the_container_has(directory: &Path) {
    let (room, container) = container(directory, "mkdir /made");
    let script = format!(
        "f() {{ {NAMESPACES}; }}; a=$(f self); b=$(f 1); test \"$a\" = \"$b\" && echo same; hostname; pwd; \
         cat /proc/self/oom_score_adj; test $$ -gt 1 && echo child; ls /proc/self/fd | wc -l; exit 3"
    );
    let ready = exec(&container, &script, Options::default(), |spec| spec["process"]["cwd"] = json!("/made"));
    let (output, ended) = room.run(&ready).expect("it starts");
    assert_eq!(output, "same\nsea\n/made\n500\nchild\n4\n");
    assert_eq!(ended, Ended::Code(3));
    assert_eq!(container.kill(), Ended::Signal(libc::SIGKILL));
}

fn an_exec_is_confined_like_the_container(directory: &Path) {
    let (room, container) = container(directory, "true");
    let allow = SockFilter { code: 0x06, jt: 0, jf: 0, k: 0x7fff_0000 };
    let options = Options { seccomp: Some(Filter { program: vec![allow], flags: 0 }), ..Options::default() };
    let ready = exec(&container, "cat /proc/self/status; umask", options, |spec| {
        spec["process"]["user"] = json!({ "uid": 1000, "gid": 2000, "additionalGids": [3000] });
    });
    let (output, _) = room.run(&ready).expect("it starts");
    for line in [
        "Uid:\t1000\t1000\t1000\t1000",
        "Gid:\t2000\t2000\t2000\t2000",
        "Groups:\t3000 ",
        // CVE-2022-29162: nothing inheritable.
        "CapInh:\t0000000000000000",
        "CapPrm:\t0000000000000000",
        "CapEff:\t0000000000000000",
        "CapBnd:\t00000000a80425fb",
        "CapAmb:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "0022",
    ] {
        assert!(output.lines().any(|found| found == line), "{line} in {output}");
    }
    container.kill();
}

fn the_supervisor_stays_outside_after_an_exec(directory: &Path) {
    let (room, container) = container(directory, "true");
    let ready = exec(&container, "echo $$", Options::default(), |_| ());
    for _ in 0..2 {
        room.run(&ready).expect("it starts");
    }
    // A process that creates no PID namespace now must be born in the supervisor's own.
    // SAFETY: this process has one thread.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: no pointers are passed; ends the process.
        unsafe { libc::_exit(i32::from(libc::getpid() < container.pid)) };
    }
    assert_eq!(crate::harness::wait(child), Ended::Code(0), "its number is one of the host's");
    container.kill();
}

fn an_exec_into_an_ended_container_fails(directory: &Path) {
    let (room, container) = container(directory, "true");
    let ready = exec(&container, "true", Options::default(), |_| ());
    container.kill();
    let failure = room.run(&ready).expect_err("there is nothing to join");
    assert_eq!(failure.to_string(), "join namespace pid: No such process (os error 3)");
}

/// Root in the container must not reach the supervisor's image or descriptors through the half-made process
/// (CVE-2019-5736, CVE-2016-9962). Without `CAP_SYS_PTRACE` it cannot open `exe` of what is not dumpable.
fn an_exec_cannot_be_looked_at_before_it_runs(directory: &Path) {
    // The container looks at every process that is not its own shell, all the time.
    let spy = "( while true; do for p in /proc/[0-9]*; do l=$(readlink $p/exe 2>/dev/null) && case $l in \
        */busybox) ;; *) echo \"seen $l\" >> /tmp/seen;; esac; done; done ) & true";
    let (room, container) = container(directory, spy);
    let ready = exec(&container, "true", Options::default(), |_| ());
    for _ in 0..200 {
        room.run(&ready).expect("it starts");
    }
    let look = exec(&container, "cat /tmp/seen 2>/dev/null; exit 0", Options::default(), |_| ());
    let (seen, _) = room.run(&look).expect("it starts");
    assert_eq!(seen, "");
    container.kill();
}
